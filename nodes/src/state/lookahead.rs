//! What the next events of an entry will ask memory for, asked for all together before they do.
//!
//! At the size of a district hardly anything that an event changes is in a cache, and each thing is
//! found by way of another: applied one after the other, an event waits some twenty times. Looking at
//! the same things for many events in a row waits for many at once. It changes nothing, and what it
//! finds is only what cannot change meanwhile: kinds, fingerprints, slots.

use super::State;
use super::conditions::PlaceId;
use super::dedup::fingerprint;
use features::{EntityKind, EventRef, Kind};
use std::hint::black_box;

/// Events that are looked at together: enough to overlap their waits, few enough to stay in the cache.
pub(super) const AHEAD: usize = 64;

/// What is known of an event before its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    /// Nothing for an event that slipped past an older door.
    pub(super) kind: Option<Kind>,
    pub(super) key: u128,
    /// The device's slot, where it was seen before this part of the entry.
    pub(super) device: Option<usize>,
}

/// Room to work in, kept between entries.
#[derive(Debug, Default)]
pub(crate) struct Lookahead {
    hashes: Vec<u64>,
    devices: Vec<Option<usize>>,
    /// Whom readings are of, and of which kind they are.
    heard: Vec<(usize, Kind)>,
}

impl State {
    /// Looks ahead at some events, and puts what it finds of each into `coming`.
    pub(super) fn look_ahead(&mut self, events: &[EventRef<'_>], coming: &mut Vec<Coming>) {
        let mut room = std::mem::take(&mut self.lookahead);
        coming.clear();
        coming.extend(events.iter().map(|event| Coming {
            kind: event.kind.parse().ok(),
            key: fingerprint(event.source, event.event_id),
            device: None,
        }));
        let mut all = 0_usize;
        for (place, each) in coming.iter().enumerate() {
            all += usize::from(self.dedup.warm(each.key, place));
        }
        let names = events.iter().map(|event| event.device_id);
        let Lookahead { hashes, devices, heard } = &mut room;
        self.features.find_each(EntityKind::Device, names, hashes, devices);
        for (each, device) in coming.iter_mut().zip(devices) {
            each.device = *device;
        }
        all += self.warm_devices(coming, heard) + self.warm_homes(coming, heard);
        black_box(all);
        self.lookahead = room;
    }

    fn warm_devices(&self, coming: &[Coming], heard: &mut Vec<(usize, Kind)>) -> usize {
        heard.clear();
        heard.extend(coming.iter().filter_map(|each| each.device.zip(each.kind)));
        let known: usize = heard.iter().map(|(slot, _)| self.conditions.warm_device(*slot)).sum();
        known + self.features.warm_each(EntityKind::Device, heard)
    }

    fn warm_homes(&self, coming: &[Coming], heard: &mut Vec<(usize, Kind)>) -> usize {
        let homes = self.rows.homes();
        // The first byte of its name stands for it.
        let name = |home: u32| {
            let name = self.features.key(EntityKind::Dwelling, home as usize);
            name.bytes().next().map_or(0, usize::from)
        };
        let mut all = 0;
        heard.clear();
        for Coming { device, .. } in coming {
            let place = device.and_then(|slot| self.places.known(slot, homes));
            let Some((home, place)) = place else { continue };
            all += place.residents.len() + name(home);
        }
        for Coming { kind, device, .. } in coming {
            let place = device.and_then(|slot| self.places.known(slot, homes));
            let Some(((home, place), kind)) = place.zip(*kind) else { continue };
            heard.extend(place.residents.iter().map(|slot| (*slot as usize, kind)));
            all += self.conditions.warm_home(PlaceId::home(home), kind);
        }
        all += heard.iter().map(|(slot, _)| self.scores.warm(*slot)).sum::<usize>();
        all + self.features.warm_each(EntityKind::Resident, heard)
    }
}

#[cfg(test)]
mod tests {
    use crate::state::{Command, State};
    use features::table::{Cell, encode_row};
    use features::{Event, civil};
    use proptest::prelude::*;
    use raft::Position;

    const NOW_US: i64 = 1_790_000_000_000_000;
    const SECOND_US: i64 = 1_000_000;
    const KINDS: [&str; 9] = [
        "door",
        "motion",
        "gas",
        "respiration",
        "heartbeat",
        "bed",
        "battery",
        "smoke",
        "nonsense",
    ];

    fn row(table: &str, cells: &[(&str, String)]) -> Vec<u8> {
        let table = civil::table(table).unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, text) in cells {
            row[table.position(name).unwrap()] = Cell::text(text);
        }
        let rows = vec![encode_row(&row).unwrap()];
        Command::UpsertRows { table: table.name.to_owned(), rows }.encode()
    }

    /// Three homes; in the first live two. Device 9 hangs nowhere.
    fn street() -> State {
        let mut state = State::new();
        let mut rows = Vec::new();
        for home in 0..3 {
            let (dwelling, household) = (format!("w{home}"), format!("h{home}"));
            rows.push(row("dwelling", &[("dwelling_id", dwelling.clone())]));
            let lives = [("household_id", household.clone()), ("dwelling_id", dwelling.clone())];
            rows.push(row("household", &lives));
            for resident in 0..2 - home.min(1) {
                let key = format!("r{home}{resident}");
                let cells = [("resident_key", key), ("household_id", household.clone())];
                rows.push(row("resident", &cells));
            }
            for device in 0..3 {
                rows.push(device_in(home * 3 + device, home));
            }
        }
        state.apply(Position { index: 1, term: 1, time_us: NOW_US }, &rows).unwrap();
        state
    }

    fn device_in(device: u32, home: u32) -> Vec<u8> {
        let kind = ("kind", ["gas", "door", "resp"][device as usize % 3].to_owned());
        row(
            "device",
            &[("device_id", format!("d{device}")), ("dwelling_id", format!("w{home}")), kind],
        )
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let ago_s = prop_oneof![4 => 0..10_i64, 1 => -200..0_i64, 1 => 0..900_000_i64];
        let value = prop_oneof![Just(0.0), Just(1.0), 0.0..30.0, Just(2e9)];
        (0..400_u32, 0..10_u32, 0..KINDS.len(), ago_s, value).prop_map(
            |(id, device, kind, ago_s, value)| Event {
                event_id: format!("e{id}"),
                device_id: format!("d{device}"),
                kind: KINDS[kind].to_owned(),
                event_time_us: NOW_US - ago_s * SECOND_US,
                value,
                source: format!("g{}", device % 2),
                ..Event::default()
            },
        )
    }

    fn bytes(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.freeze().write(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        /// Many events in a command, and many commands of one event side by side, are what they are one by
        /// one: nothing depends on how far was looked ahead, also where one is a double of another beside
        /// it, its device is new, or somebody moves.
        #[test]
        fn looking_ahead_changes_nothing(
            entries in prop::collection::vec(prop::collection::vec(any_event(), 1..200), 1..4),
            moves in prop::collection::vec((0..9_u32, 0..3_u32), 4),
        ) {
            let (mut whole, mut beside, mut single) = (street(), street(), street());
            for (n, (events, (device, home))) in entries.into_iter().zip(moves).enumerate() {
                let index = 2 + n as u64;
                let at = Position { index, term: 1, time_us: NOW_US + n as i64 * 100 * SECOND_US };
                let each = |event: &Event| Command::IngestEvents { events: vec![event.clone()] };
                let mut side_by_side: Vec<_> = events.iter().map(|event| each(event).encode()).collect();
                // Behind a command of another kind nobody looks.
                let mut alone: Vec<_> = side_by_side
                    .iter()
                    .flat_map(|event| [event.clone(), Command::Tick.encode()])
                    .collect();
                side_by_side.push(device_in(device, home));
                alone.push(device_in(device, home));
                let all = [Command::IngestEvents { events }.encode(), device_in(device, home)];
                whole.apply(at, &all).unwrap();
                let beside = beside.apply(at, &side_by_side).unwrap();
                let single = single.apply(at, &alone).unwrap();
                // To each command its own reply.
                prop_assert!(beside.iter().eq(single.iter().take(alone.len() - 1).step_by(2).chain(single.last())));
            }
            // Bytes and replies differ, and nothing else may.
            (whole.hash, beside.hash, single.hash) = ([0; 32], [0; 32], [0; 32]);
            let wanted = format!("{:?}", single.take_changes());
            for other in [&mut whole, &mut beside] {
                prop_assert_eq!(&format!("{:?}", other.take_changes()), &wanted);
                prop_assert!(bytes(other) == bytes(&single));
            }
        }
    }
}
