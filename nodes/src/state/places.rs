//! Where a device hangs and who lives there, by slot: what every event asks for, looked up by its texts
//! once and after that only when the registers have changed.
//!
//! Derived from [`Homes`] and the entities' slots; never stored, and nothing depends on what of it is
//! known already: looking a place up gives slots to exactly those residents who are recorded next.

use super::Homes;
use super::by_slot::extend_to;
use features::{EntityKind, Store};

/// A dwelling's residents by slot, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) residents: Box<[u32]>,
    /// Some resident has no slot: the features have no room left, or the key is unusable.
    pub(crate) is_partial: bool,
    seen: u32,
}

/// What is known of a device's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hung<'a> {
    Nowhere,
    /// In the dwelling of this slot.
    In(u32, &'a Place),
    /// In a dwelling that has no slot: the features have no room left, or the key is unusable.
    Unplaced,
}

const NOWHERE: u32 = u32::MAX;
const UNPLACED: u32 = u32::MAX - 1;

/// As of which state of the registers, and the slot of the dwelling.
#[derive(Clone, Copy, Debug)]
struct Known {
    seen: u32,
    dwelling: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// By the device's slot.
    devices: Vec<Known>,
    /// By the dwelling's slot.
    all: Vec<Place>,
}

impl Places {
    /// The place of a device and its dwelling's slot, where it is known as the registers stand now.
    pub(crate) fn known(&self, slot: usize, homes: Homes<'_>) -> Option<(u32, &Place)> {
        let known = self.devices.get(slot).filter(|known| known.seen == homes.changes())?;
        Some((known.dwelling, self.all.get(known.dwelling as usize)?))
    }

    /// The place of a device, as its registers stand now.
    pub(crate) fn of_device(
        &mut self,
        slot: usize,
        device: &str,
        homes: Homes<'_>,
        store: &mut Store,
    ) -> Hung<'_> {
        let seen = homes.changes();
        extend_to(&mut self.devices, slot + 1, Known { seen: 0, dwelling: NOWHERE });
        let Some(known) = self.devices.get_mut(slot) else { return Hung::Nowhere };
        if known.seen != seen {
            let dwelling = match homes.dwelling_of_device(device) {
                None => NOWHERE,
                Some(dwelling) => {
                    store.slot(EntityKind::Dwelling, dwelling).map_or(UNPLACED, |slot| slot as u32)
                }
            };
            *known = Known { seen, dwelling };
        }
        let dwelling = match known.dwelling {
            NOWHERE => return Hung::Nowhere,
            UNPLACED => return Hung::Unplaced,
            dwelling => dwelling,
        };
        extend_to(&mut self.all, dwelling as usize + 1, Place::default());
        let Some(place) = self.all.get_mut(dwelling as usize) else { return Hung::Nowhere };
        if place.seen != seen {
            let all =
                homes.residents_of_dwelling(store.key(EntityKind::Dwelling, dwelling as usize));
            let slots = all.iter().filter_map(|key| store.slot(EntityKind::Resident, key));
            let residents: Box<[u32]> = slots.map(|slot| slot as u32).collect();
            *place = Place { is_partial: residents.len() < all.len(), residents, seen };
        }
        Hung::In(dwelling, place)
    }
}
