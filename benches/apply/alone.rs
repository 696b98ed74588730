//! What of applying an event is the features' own: the name of its device becomes a slot, and the reading
//! goes into the series of the device and of those who live where it hangs. Where that is, is looked up
//! before the clock starts.

use crate::clock;
use crate::district::Stream;
use features::{EntityKind, Event, Kind, Store, effective_time_us};
use nodes::state::State;
use std::hint::black_box;
use std::time::Duration;

/// Events that are looked at together, as apply does.
const AHEAD: usize = 64;

/// Some events that came together, and by event the slots of the residents.
struct Entry {
    now_us: i64,
    events: Vec<(Event, Kind)>,
    residents: Vec<Vec<usize>>,
}

/// What so many events in entries of so many take.
pub(crate) fn took(
    state: &mut State,
    stream: &mut Stream,
    (entries, events): (usize, usize),
) -> Duration {
    let entries: Vec<Entry> = (0..entries).map(|_| entry(state, stream, events)).collect();
    clock(|| entries.iter().for_each(|entry| record(&mut state.features, entry)))
}

fn entry(state: &State, stream: &mut Stream, events: usize) -> Entry {
    let events = stream.take(events).into_iter();
    let events: Vec<(Event, Kind)> =
        events.filter_map(|event| event.kind.parse().ok().map(|kind| (event, kind))).collect();
    let homes = state.homes();
    let residents = |event: &Event| {
        let dwelling = homes.dwelling_of_device(&event.device_id).unwrap_or_default();
        let keys = homes.residents_of_dwelling(dwelling).into_iter();
        keys.filter_map(|key| state.features.find(EntityKind::Resident, key)).collect()
    };
    let residents = events.iter().map(|(event, _)| residents(event)).collect();
    Entry { now_us: stream.now_us(), events, residents }
}

fn record(store: &mut Store, entry: &Entry) {
    let (mut hashes, mut devices, mut heard) = (Vec::new(), Vec::new(), Vec::new());
    store.advance(entry.now_us);
    for (events, residents) in entry.events.chunks(AHEAD).zip(entry.residents.chunks(AHEAD)) {
        let names = events.iter().map(|(event, _)| event.device_id.as_str());
        store.find_each(EntityKind::Device, names, &mut hashes, &mut devices);
        let said = devices.iter().zip(events);
        heard.clear();
        heard.extend(said.filter_map(|(slot, (_, kind))| Some(((*slot)?, *kind))));
        black_box(store.warm_each(EntityKind::Device, &heard));
        let people = events.iter().zip(residents);
        heard.clear();
        heard
            .extend(people.flat_map(|((_, kind), all)| all.iter().map(move |slot| (*slot, *kind))));
        black_box(store.warm_each(EntityKind::Resident, &heard));
        for (((event, kind), residents), device) in events.iter().zip(residents).zip(&devices) {
            let (at_us, _) = effective_time_us(event.event_time_us, entry.now_us);
            if let Some(slot) = *device {
                store.record_at(EntityKind::Device, slot, *kind, at_us, event.value);
            }
            for slot in residents {
                store.record_at(EntityKind::Resident, *slot, *kind, at_us, event.value);
            }
        }
    }
}
