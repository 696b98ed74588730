//! Where a device hangs and who lives there, by slot: what every event asks for, looked up by its texts
//! once and after that only when the registers have changed.
//!
//! Derived from [`Homes`] and the entities' slots; never stored, and nothing depends on what of it is
//! known already: looking a place up gives slots to exactly those residents who are recorded next.

use super::Homes;
use features::{EntityKind, Store};
use std::collections::HashMap;
use std::sync::Arc;

/// A dwelling with the slots of its residents, in the order of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dwelling: Arc<str>,
    pub(crate) residents: Vec<u32>,
    /// The dwelling's own slot; nothing where the features have no room left.
    pub(crate) home: Option<u32>,
    /// Some resident has no slot: the features have no room left, or the key is unusable.
    pub(crate) is_partial: bool,
    seen: u32,
}

const NOWHERE: u32 = u32::MAX;

/// What is known of a device: as of which state of the registers, and the number of its place.
#[derive(Clone, Copy, Debug)]
struct Known {
    seen: u32,
    place: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// By the device's slot.
    devices: Vec<Known>,
    all: Vec<Place>,
    by_dwelling: HashMap<Arc<str>, u32>,
}

impl Places {
    /// The place of a device, where it is known as the registers stand now.
    pub(crate) fn known(&self, slot: usize, homes: Homes<'_>) -> Option<&Place> {
        let known = self.devices.get(slot).filter(|known| known.seen == homes.changes())?;
        self.get(known.place)
    }

    pub(crate) fn get(&self, place: u32) -> Option<&Place> {
        self.all.get(place as usize)
    }

    /// The place of a device, as its registers stand now, and its number.
    pub(crate) fn of_device(
        &mut self,
        slot: usize,
        device: &str,
        homes: Homes<'_>,
        store: &mut Store,
    ) -> Option<(u32, &Place)> {
        let seen = homes.changes();
        if self.devices.len() <= slot {
            self.devices.resize(slot + 1, Known { seen: 0, place: NOWHERE });
        }
        let known = self.devices.get_mut(slot)?;
        if known.seen != seen {
            let dwelling = homes.dwelling_of_device(device);
            let place = dwelling.map(|dwelling| {
                let next = self.all.len() as u32;
                if let Some(place) = self.by_dwelling.get(dwelling) {
                    return *place;
                }
                let dwelling: Arc<str> = dwelling.into();
                self.by_dwelling.insert(Arc::clone(&dwelling), next);
                let home = store.slot(EntityKind::Dwelling, &dwelling).map(|slot| slot as u32);
                let residents = Vec::new();
                self.all.push(Place { dwelling, residents, home, is_partial: false, seen: 0 });
                next
            });
            *known = Known { seen, place: place.unwrap_or(NOWHERE) };
        }
        let number = known.place;
        let place = self.all.get_mut(number as usize)?;
        if place.seen != seen {
            place.seen = seen;
            place.residents.clear();
            let all = homes.residents_of_dwelling(&place.dwelling);
            let slots = all.iter().filter_map(|key| store.slot(EntityKind::Resident, key));
            place.residents.extend(slots.map(|slot| slot as u32));
            place.is_partial = place.residents.len() < all.len();
        }
        Some((number, place))
    }
}
