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
        let Lookahead { hashes, devices } = &mut room;
        self.features.find_each(EntityKind::Device, names, hashes, devices);
        for (each, device) in coming.iter_mut().zip(devices) {
            each.device = *device;
        }
        all += self.warm_devices(coming) + self.warm_homes(coming);
        black_box(all);
        self.lookahead = room;
    }

    fn warm_devices(&self, coming: &[Coming]) -> usize {
        let mut all = 0;
        for Coming { kind, device, .. } in coming {
            if let (Some(kind), Some(slot)) = (kind, device) {
                all += self.features.warm(EntityKind::Device, *slot, *kind);
                all += self.conditions.warm_device(*slot);
            }
        }
        all
    }

    fn warm_homes(&self, coming: &[Coming]) -> usize {
        let mut all = 0;
        for Coming { device, .. } in coming {
            let place = device.and_then(|slot| self.places.known(slot, &self.homes));
            all += place.map_or(0, |place| place.dwelling.len() + place.residents.len());
        }
        for Coming { kind, device, .. } in coming {
            let place = device.and_then(|slot| self.places.known(slot, &self.homes));
            let Some((place, kind)) = place.zip(*kind) else { continue };
            for resident in &place.residents {
                let slot = *resident as usize;
                all += self.features.warm(EntityKind::Resident, slot, kind);
                all += self.scores.warm(slot);
            }
            if let Some(home) = place.home {
                all += self.conditions.warm_home(PlaceId::home(home), kind);
            }
        }
        all
    }
}
