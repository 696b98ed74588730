//! Events: deduplicated, folded into the features of device, dwelling and residents, and held
//! against the alert rules. The safety rules fire here, in the event's own log entry, without a model.

use super::conditions::SeenFrom;
use super::lookahead::{AHEAD, Coming};
use super::places::Hung;
use super::{Recent, Reply, State};
use features::{
    EntityKind, EventColumns, EventRef, EventRow, Kind, Quality, Store, effective_time_us,
};
use raft::Position;
use std::ops::Range;
use std::sync::Arc;

/// An event with what the log says of it.
struct Received<'a> {
    event: &'a EventRef<'a>,
    kind: Kind,
    /// The device's slot, where it is known already.
    device: Option<usize>,
    /// The time that windows and rules go by.
    at_us: i64,
}

/// Which dwelling an event is from.
enum Hangs {
    Nowhere,
    /// By its slot.
    At(u32),
    Named(Arc<str>),
}

impl State {
    /// The events of one command or of several, each up to one of the `ends`; a reply to each.
    pub(crate) fn ingest_events(
        &mut self,
        at: Position,
        events: &[EventRef<'_>],
        ends: &[usize],
    ) -> Vec<Reply> {
        if self.events.is_empty() {
            self.events = EventColumns::with_capacity(events.len());
        }
        let mut coming = Vec::with_capacity(events.len().min(AHEAD));
        let mut from = 0;
        let each = |end: &usize| {
            let positions = std::mem::replace(&mut from, *end)..*end;
            self.ingest_some(at, events, positions, &mut coming)
        };
        ends.iter().map(each).collect()
    }

    fn ingest_some(
        &mut self,
        at: Position,
        events: &[EventRef<'_>],
        positions: Range<usize>,
        coming: &mut Vec<Coming>,
    ) -> Reply {
        let (mut accepted, mut duplicates) = (0, 0);
        let shown_from = events.len().saturating_sub(Recent::EVENTS_KEPT);
        for position in positions {
            let Some(event) = events.get(position) else { break };
            if position % AHEAD == 0 {
                let next = events.get(position..).unwrap_or_default();
                self.look_ahead(next.get(..AHEAD).unwrap_or(next), coming);
            }
            let Some(Coming { kind, key, device }) = coming.get(position % AHEAD).copied() else {
                continue;
            };
            // Checked at the door; an event that slipped past an older door is left out everywhere.
            let Some(kind) = kind else { continue };
            if !self.dedup.admit_key(key) {
                duplicates += 1;
                continue;
            }
            accepted += 1;
            let (at_us, quality) = effective_time_us(event.event_time_us, self.clock_us);
            let received = Received { event, kind, device, at_us };
            let (hangs, from) = self.fold(at, &received);
            if quality != Quality::Backfill
                && let Some(from) = from
            {
                self.watch_event(at, (event, kind, at_us), from);
            }
            if position >= shown_from {
                self.recent.show(event);
            }
            self.write_down(at, event, quality, &hangs);
        }
        self.recent.count(self.clock_us, u64::from(accepted));
        self.events_total += u64::from(accepted);
        Reply::Ingested { accepted, duplicates }
    }

    /// Updates the features of all that the event concerns; says which dwelling it came from, and the
    /// slots that rules know it by.
    fn fold(&mut self, at: Position, received: &Received<'_>) -> (Hangs, Option<SeenFrom>) {
        let (hangs, from) = self.fold_people(at, received);
        if !self.features.wants(EntityKind::Dwelling) {
            return (hangs, from);
        }
        let slot = match &hangs {
            Hangs::Nowhere => None,
            Hangs::At(slot) => Some(*slot as usize),
            Hangs::Named(dwelling) => self.features.slot(EntityKind::Dwelling, dwelling),
        };
        if let Some(slot) = slot {
            let Received { event, kind, at_us, .. } = *received;
            self.features.record_at(EntityKind::Dwelling, slot, kind, at_us, event.value);
        }
        (hangs, from)
    }

    fn fold_people(&mut self, at: Position, received: &Received<'_>) -> (Hangs, Option<SeenFrom>) {
        let Received { event, kind, at_us, .. } = *received;
        let (device, value) = (event.device_id, event.value);
        let interval_us = self.rules.score_interval_us();
        let Self { features, rows, places, scores, .. } = self;
        let homes = rows.homes();
        let slot = received.device.or_else(|| features.slot(EntityKind::Device, device));
        let mut from = slot.map(|slot| SeenFrom { device: slot as u32, home: None });
        if features.takes(at_us, value)
            && let Some(slot) = slot
        {
            features.record_at(EntityKind::Device, slot, kind, at_us, value);
            match places.of_device(slot, device, homes, features) {
                Hung::Nowhere => return (Hangs::Nowhere, from),
                Hung::In(home, place) if !place.is_partial => {
                    for slot in &place.residents {
                        let slot = *slot as usize;
                        features.record_at(EntityKind::Resident, slot, kind, at_us, value);
                        scores.touch(slot, at.index, interval_us);
                    }
                    from = from.map(|from| SeenFrom { home: Some(home), ..from });
                    return (Hangs::At(home), from);
                }
                Hung::In(..) | Hung::Unplaced => {}
            }
        }
        let Some(dwelling) = homes.dwelling_of_device(device) else {
            return (Hangs::Nowhere, from);
        };
        for resident in homes.residents_of_dwelling(dwelling) {
            features.record(EntityKind::Resident, resident, kind, at_us, value);
            if let Some(slot) = features.find(EntityKind::Resident, resident) {
                scores.touch(slot, at.index, interval_us);
            }
        }
        let home = features.slot(EntityKind::Dwelling, dwelling).map(|slot| slot as u32);
        (Hangs::Named(dwelling.into()), from.map(|from| SeenFrom { home, ..from }))
    }

    fn write_down(&mut self, at: Position, event: &EventRef<'_>, quality: Quality, hangs: &Hangs) {
        let dwelling = name_of(&self.features, hangs);
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
}

fn name_of<'a>(features: &'a Store, hangs: &'a Hangs) -> Option<&'a str> {
    match hangs {
        Hangs::Nowhere => None,
        Hangs::At(slot) => Some(features.key(EntityKind::Dwelling, *slot as usize)),
        Hangs::Named(dwelling) => Some(dwelling),
    }
}
