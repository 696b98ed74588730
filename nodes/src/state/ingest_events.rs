//! Events: deduplicated, folded into the features of device, dwelling and residents, and held
//! against the alert rules. The safety rules fire here, in the event's own log entry, without a model.

use super::cases::Raise;
use super::{AlertRule, Condition, Recent, Reply, State};
use features::{EntityKind, EventColumns, EventRef, EventRow, Kind, Quality, effective_time_us};
use raft::Position;
use std::sync::Arc;

/// An event with what the log says of it.
struct Received<'a> {
    event: &'a EventRef<'a>,
    kind: Kind,
    /// The time that windows and rules go by.
    at_us: i64,
}

impl State {
    pub(crate) fn ingest_events(&mut self, at: Position, events: &[EventRef<'_>]) -> Reply {
        let (mut accepted, mut duplicates) = (0, 0);
        let shown_from = events.len().saturating_sub(Recent::EVENTS_KEPT);
        if self.events.is_empty() {
            self.events = EventColumns::with_capacity(events.len());
        }
        for (position, event) in events.iter().enumerate() {
            // Checked at the door; an event that slipped past an older door is left out everywhere.
            let Ok(kind) = event.kind.parse::<Kind>() else { continue };
            if !self.dedup.admit(event.source, event.event_id) {
                duplicates += 1;
                continue;
            }
            accepted += 1;
            let (at_us, quality) = effective_time_us(event.event_time_us, self.clock_us);
            let received = Received { event, kind, at_us };
            let dwelling = self.fold(at, &received);
            if quality != Quality::Backfill {
                self.hold_against_rules(at, &received, dwelling.as_deref());
            }
            if position >= shown_from {
                self.recent.show(event.to_event());
            }
            self.write_down(at, event, quality, dwelling.as_deref());
        }
        self.recent.count(self.clock_us, u64::from(accepted));
        self.events_total += u64::from(accepted);
        Reply::Ingested { accepted, duplicates }
    }

    /// Updates the features of all that the event concerns; says which dwelling it came from.
    fn fold(&mut self, at: Position, received: &Received<'_>) -> Option<Arc<str>> {
        let Received { event, kind, at_us } = *received;
        let (device, value) = (event.device_id, event.value);
        let interval_us = self.rules.score_interval_us();
        let Self { features, homes, places, scores, .. } = self;
        if features.takes(at_us, value)
            && let Some(slot) = features.slot(EntityKind::Device, device)
        {
            features.record_at(EntityKind::Device, slot, kind, at_us, value);
            let place = places.of_device(slot, device, homes, features)?;
            if !place.is_partial {
                for slot in &place.residents {
                    let slot = *slot as usize;
                    features.record_at(EntityKind::Resident, slot, kind, at_us, value);
                    scores.touch(slot, at.index, interval_us);
                }
                return Some(Arc::clone(&place.dwelling));
            }
        }
        let dwelling = homes.dwelling_of_device(device)?;
        for resident in homes.residents_of_dwelling(dwelling) {
            features.record(EntityKind::Resident, resident, kind, at_us, value);
            if let Some(slot) = features.find(EntityKind::Resident, resident) {
                scores.touch(slot, at.index, interval_us);
            }
        }
        Some(dwelling.into())
    }

    fn write_down(
        &mut self,
        at: Position,
        event: &EventRef<'_>,
        quality: Quality,
        dwelling: Option<&str>,
    ) {
        let quality = match (dwelling, quality) {
            (None, Quality::Good) => "unknown_device",
            (_, quality) => quality.as_str(),
        };
        self.entry_events += 1;
        self.events.push(&EventRow {
            source: event.source,
            event_id: event.event_id,
            device_id: event.device_id,
            dwelling_id: dwelling,
            event_time_us: event.event_time_us,
            kind: event.kind,
            value: event.value,
            unit: event.unit,
            quality,
            received_us: self.clock_us,
            boot_id: event.boot_id,
            seq: event.seq,
            log_index: at.index,
        });
    }

    fn hold_against_rules(
        &mut self,
        at: Position,
        received: &Received<'_>,
        dwelling: Option<&str>,
    ) {
        let kind = received.kind.as_str();
        let Some(rule) = self.rules.alerts.iter().find(|rule| rule.kind == kind) else { return };
        // A device without a home is a place of its own: its alarm is not lost.
        let place = dwelling.unwrap_or(received.event.device_id);
        if received.event.value < rule.threshold {
            let open = self.alerts.open_at(&rule.alert, place);
            if let Some(firing) = open.filter(|open| open.condition == Condition::Firing) {
                let id = firing.alert_id.clone();
                self.set_condition(at, &id, Condition::Cleared);
            }
            return;
        }
        let (rule, place) = (rule.clone(), place.to_owned());
        let key = (rule.alert.clone(), place.clone());
        if let Some(open) = self.alerts.open_at(&rule.alert, &place) {
            let id = open.alert_id.clone();
            self.seen_again(at, &id, received.event.event_id);
            return;
        }
        let counted = self.alerts.counted.entry(key.clone()).or_default();
        counted.push((received.at_us, received.event.event_id.to_owned()));
        counted.sort();
        let newest_us = counted.last().map_or(0, |(us, _)| *us);
        let oldest_us = newest_us - i64::from(rule.within_s) * 1_000_000;
        counted.retain(|(us, _)| *us >= oldest_us);
        if counted.len() >= rule.count.max(1) as usize {
            let evidence = self.alerts.counted.remove(&key).unwrap_or_default();
            let raise = Raise {
                evidence: evidence.into_iter().map(|(_, id)| id).collect(),
                event_us: newest_us,
                ..raise_of(&rule, &place, dwelling)
            };
            self.raise(at, raise);
        }
    }
}

/// What a rule asks for at a place.
fn raise_of(rule: &AlertRule, place: &str, dwelling: Option<&str>) -> Raise {
    Raise {
        kind: rule.alert.clone(),
        severity: rule.severity,
        level: rule.level,
        dwelling: dwelling.unwrap_or_default().to_owned(),
        // A device without a home is a place of its own: its alarm is not lost.
        resident: if dwelling.is_some() { String::new() } else { place.to_owned() },
        evidence: Vec::new(),
        event_us: 0,
        model: String::new(),
        version: String::new(),
        reason: format!(
            "{} readings of {} at or over {} within {} s",
            rule.count, rule.kind, rule.threshold, rule.within_s
        ),
        suppressed_by: String::new(),
    }
}
