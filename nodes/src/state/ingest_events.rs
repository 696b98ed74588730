//! Events: deduplicated, folded into the features of device, dwelling and residents, and held
//! against the alert rules. The safety rules fire here, in the event's own log entry, without a model.

use super::act_on_alert::due_us;
use super::alert::EVIDENCE_MAX;
use super::{Alert, AlertRule, Condition, Homes, Recent, Reply, State, Transition, Work};
use features::civil;
use features::table::Cell;
use features::{EntityKind, Event, Kind, Quality, effective_time_us};
use raft::Position;

/// An event with what the log says of it.
struct Received<'a> {
    event: &'a Event,
    kind: Kind,
    /// The time that windows and rules go by.
    at_us: i64,
}

impl State {
    pub(crate) fn ingest_events(&mut self, at: Position, events: Vec<Event>) -> Reply {
        let (mut accepted, mut duplicates) = (0, 0);
        let shown_from = events.len().saturating_sub(Recent::EVENTS_KEPT);
        for (position, event) in events.into_iter().enumerate() {
            // Checked at the door; an event that slipped past an older door is left out everywhere.
            let Ok(kind) = event.kind.parse::<Kind>() else { continue };
            if !self.dedup.admit(&event.source, &event.event_id) {
                duplicates += 1;
                continue;
            }
            accepted += 1;
            let (at_us, quality) = effective_time_us(event.event_time_us, self.clock_us);
            let received = Received { event: &event, kind, at_us };
            let dwelling = self.fold(at, &received);
            if quality != Quality::Backfill {
                self.hold_against_rules(at, &received, dwelling.as_deref());
            }
            self.recent.count(self.clock_us);
            if position >= shown_from {
                self.recent.show(event.clone());
            }
            self.write_down(at, event, quality, dwelling);
        }
        self.events_total += u64::from(accepted);
        Reply::Ingested { accepted, duplicates }
    }

    /// Updates the features of all that the event concerns; says which dwelling it came from.
    fn fold(&mut self, at: Position, received: &Received<'_>) -> Option<String> {
        let Received { event, kind, at_us, .. } = *received;
        let interval_us = self.rules.score_interval_us();
        self.features.record(EntityKind::Device, &event.device_id, kind, at_us, event.value);
        let dwelling = self.homes.dwelling_of_device(&event.device_id)?.to_owned();
        for resident in self.homes.residents_of_dwelling(&dwelling) {
            self.features.record(EntityKind::Resident, resident, kind, at_us, event.value);
            self.scores.touch(resident, at.index, interval_us);
        }
        Some(dwelling)
    }

    /// The event's own texts become the row: this is done for every event there is.
    fn write_down(
        &mut self,
        at: Position,
        event: Event,
        quality: Quality,
        dwelling: Option<String>,
    ) {
        let quality = match (&dwelling, quality) {
            (None, Quality::Good) => "unknown_device",
            (_, quality) => quality.as_str(),
        };
        self.append(
            "sensor_event",
            vec![
                Cell::Text(event.source),
                Cell::Text(event.event_id),
                Cell::Text(event.device_id),
                dwelling.map_or(Cell::Null, Cell::Text),
                Cell::Time(event.event_time_us),
                Cell::Text(event.kind),
                Cell::Real(event.value),
                Cell::Text(event.unit),
                Cell::text(quality),
                Cell::Time(self.clock_us),
                Cell::Int(i64::from(event.boot_id)),
                Cell::Int(event.seq as i64),
                Cell::Int(at.index as i64),
            ],
        );
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
        let place = dwelling.unwrap_or(&received.event.device_id);
        if received.event.value < rule.threshold {
            let open = self.alerts.open_at(&rule.alert, place);
            if let Some(firing) = open.filter(|open| open.condition == Condition::Firing) {
                self.clear(at, firing.clone());
            }
            return;
        }
        let (rule, place) = (rule.clone(), place.to_owned());
        let key = (rule.alert.clone(), place.clone());
        if let Some(open) = self.alerts.open_at(&rule.alert, &place) {
            let mut alert = open.clone();
            alert.condition = Condition::Firing;
            if alert.evidence.len() < EVIDENCE_MAX {
                alert.evidence.push(received.event.event_id.clone());
            }
            alert.log_index = at.index;
            self.keep_alert(alert);
            return;
        }
        let counted = self.alerts.counted.entry(key.clone()).or_default();
        counted.push((received.at_us, received.event.event_id.clone()));
        counted.sort();
        let newest_us = counted.last().map_or(0, |(us, _)| *us);
        let oldest_us = newest_us - i64::from(rule.within_s) * 1_000_000;
        counted.retain(|(us, _)| *us >= oldest_us);
        if counted.len() >= rule.count.max(1) as usize {
            let evidence = self.alerts.counted.remove(&key).unwrap_or_default();
            self.raise(
                at,
                &rule,
                &place,
                dwelling,
                evidence.into_iter().map(|(_, id)| id).collect(),
            );
        }
    }

    fn raise(
        &mut self,
        at: Position,
        rule: &AlertRule,
        place: &str,
        dwelling: Option<&str>,
        mut evidence: Vec<String>,
    ) {
        evidence.truncate(EVIDENCE_MAX);
        let resident = self.homes.residents_of_dwelling(place).first().cloned().unwrap_or_default();
        let now_us = self.clock_us;
        let level = rule.level.clamp(1, 3);
        let mut told_us = [0; 3];
        told_us[0] = now_us;
        // The centre is told beside the family, not after it.
        told_us[level as usize - 1] = now_us;
        self.alerts_total += 1;
        let mut alert = Alert {
            // The index of the entry and a running number: the same on every node, in order of raising.
            alert_id: format!("a{:012}-{}", at.index, self.alerts_total),
            kind: rule.alert.clone(),
            severity: rule.severity,
            dwelling_id: dwelling.unwrap_or_default().to_owned(),
            resident_key: if dwelling.is_some() { resident } else { place.to_owned() },
            region: Homes::region_of(&self.rows, place).unwrap_or_default(),
            condition: Condition::Firing,
            work: Work::L1Notified,
            level,
            raised_us: now_us,
            due_us: 0,
            closed_us: 0,
            told_us,
            evidence,
            model: String::new(),
            version: String::new(),
            decision_id: String::new(),
            outcome: String::new(),
            log_index: at.index,
            transitions: 0,
            history: Vec::new(),
            action_ids: Vec::new(),
        };
        alert.due_us = due_us(&self.rules, &alert, alert.work, now_us);
        let reason = format!(
            "{} readings of {} at or over {} within {} s: level {level} told",
            rule.count, rule.kind, rule.threshold, rule.within_s
        );
        for (from, to, reason) in [
            ("", Work::New, reason),
            ("new", Work::L1Notified, "family or neighbour told".to_owned()),
        ] {
            alert.note(Transition {
                from: from.to_owned(),
                to: to.as_str().to_owned(),
                actor: "hearth".to_owned(),
                at_us: now_us,
                reason,
                log_index: at.index,
            });
        }
        self.keep_alert(alert);
    }

    /// A reading under the threshold: the condition is over, the case is not.
    fn clear(&mut self, at: Position, mut alert: Alert) {
        alert.condition = Condition::Cleared;
        alert.log_index = at.index;
        self.keep_alert(alert);
    }

    /// Keeps an alert and writes its row and its new transitions down.
    pub(crate) fn keep_alert(&mut self, alert: Alert) {
        let written = self.alerts.get(&alert.alert_id).map_or(0, |old| old.transitions);
        let fresh = (alert.transitions - written) as usize;
        for (at, transition) in
            alert.history.iter().enumerate().skip(alert.history.len().saturating_sub(fresh))
        {
            let seq = alert.transitions as usize - alert.history.len() + at + 1;
            self.append(
                "alert_history",
                vec![
                    Cell::text(&alert.alert_id),
                    Cell::Int(seq as i64),
                    Cell::text(&transition.from),
                    Cell::text(&transition.to),
                    Cell::text(&transition.actor),
                    Cell::Time(transition.at_us),
                    Cell::text(&transition.reason),
                    Cell::Int(transition.log_index as i64),
                ],
            );
        }
        self.upsert_current("alert", alert.to_row());
        self.alerts.put(alert);
    }
}

impl Alert {
    /// The row of the table `alert`.
    pub(crate) fn to_row(&self) -> Vec<Cell> {
        let time = |us: i64| if us == 0 { Cell::Null } else { Cell::Time(us) };
        let text = |value: &str| if value.is_empty() { Cell::Null } else { Cell::text(value) };
        let row = vec![
            Cell::text(&self.alert_id),
            text(&self.dwelling_id),
            text(&self.resident_key),
            text(&self.region),
            Cell::text(&self.kind),
            Cell::text(self.severity.as_str()),
            Cell::Int(i64::from(self.level)),
            Cell::Time(self.raised_us),
            Cell::Texts(self.evidence.clone()),
            text(&self.model),
            text(&self.version),
            Cell::text(self.condition.as_str()),
            Cell::text(self.work.as_str()),
            time(self.told_us[0]),
            time(self.told_us[1]),
            time(self.told_us[2]),
            time(self.due_us),
            time(self.closed_us),
            text(&self.outcome),
            text(&self.decision_id),
            Cell::Int(self.log_index as i64),
        ];
        debug_assert!(civil::table("alert").is_some_and(|table| table.check(&row).is_ok()));
        row
    }
}
