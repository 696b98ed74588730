//! What devices have in common: the gateway that they are heard by, their building, its community.
//! Derived from the registers and from who was heard by whom.

use super::sight::PlaceId;
use super::verdict::Spot;
use crate::state::Rows;
use crate::state::by_slot::extend_to;
use features::{EntityKind, Store};
use std::collections::HashMap;
use std::sync::Arc;

const NONE: u32 = u32::MAX;

/// What a device belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    District,
    Community(u32),
    Building(u32),
    Gateway(u32),
}

#[derive(Clone, Debug)]
struct Building {
    name: Arc<str>,
    community: u32,
    devices: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Community {
    name: Arc<str>,
    buildings: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// By the device's slot.
    building_of: Vec<u32>,
    buildings: Vec<Building>,
    by_building: HashMap<Arc<str>, u32>,
    communities: Vec<Community>,
    by_community: HashMap<Arc<str>, u32>,
    gateways: HashMap<Arc<str>, u32>,
    /// The devices of a gateway as a list in both directions: the first by gateway, the others by slot.
    first: Vec<u32>,
    next: Vec<u32>,
    before: Vec<u32>,
}

/// Where names are looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) store: &'a Store,
}

impl Registers<'_> {
    pub(crate) fn device(&self, slot: u32) -> &str {
        self.store.key(EntityKind::Device, slot as usize)
    }

    pub(crate) fn slot_of(&self, device: &str) -> Option<u32> {
        self.store.find(EntityKind::Device, device).map(|slot| slot as u32)
    }

    pub(crate) fn home_of(&self, device: u32) -> Option<&str> {
        self.rows.homes().dwelling_of_device(self.device(device))
    }

    /// `device.kind`.
    pub(crate) fn class_of(&self, device: u32) -> Option<String> {
        self.text("device", self.device(device), "kind")
    }

    pub(crate) fn text(&self, table: &str, key: &str, column: &str) -> Option<String> {
        self.rows.text(table, key, column).map(str::to_owned)
    }

    /// The dwelling of a spot, or what stands in for it where it lies in none.
    pub(crate) fn names_of(&self, spot: &Spot) -> (String, String) {
        let none = String::new;
        match spot {
            Spot::Place(place) if place.as_home().is_some() => {
                (self.name_of(*place).to_owned(), none())
            }
            Spot::Place(place) => (none(), self.name_of(*place).to_owned()),
            Spot::Device(slot) => match self.home_of(*slot) {
                Some(dwelling) => (dwelling.to_owned(), none()),
                None => (none(), self.device(*slot).to_owned()),
            },
            Spot::Named(device) => match self.rows.homes().dwelling_of_device(device) {
                Some(dwelling) => (dwelling.to_owned(), none()),
                None => (none(), device.to_string()),
            },
            Spot::Group(name) => (none(), name.to_string()),
        }
    }

    pub(crate) fn name_of(&self, place: PlaceId) -> &str {
        let entity =
            if place.as_home().is_some() { EntityKind::Dwelling } else { EntityKind::Device };
        self.store.key(entity, place.slot() as usize)
    }
}

impl Groups {
    /// The number of a gateway's name, counted from 1; names it where it is new.
    pub(crate) fn gateway(&self, name: &str) -> Option<u32> {
        self.gateways.get(name).copied()
    }

    pub(crate) fn add_gateway(&mut self, name: Arc<str>, number: u32) {
        self.gateways.insert(name, number);
    }

    /// Puts a device under another gateway.
    pub(crate) fn join_gateway(&mut self, device: u32, old: u32, new: u32) {
        let wanted = device as usize + 1;
        extend_to(&mut self.next, wanted, NONE);
        extend_to(&mut self.before, wanted, NONE);
        if self.first.len() <= new as usize {
            self.first.resize(new as usize + 1, NONE);
        }
        if old != 0 {
            self.leave_gateway(device, old);
        }
        let head = std::mem::replace(&mut self.first[new as usize], device);
        self.next[device as usize] = head;
        self.before[device as usize] = NONE;
        if head != NONE {
            self.before[head as usize] = device;
        }
    }

    fn leave_gateway(&mut self, device: u32, old: u32) {
        let (before, next) = (self.before[device as usize], self.next[device as usize]);
        if before != NONE {
            self.next[before as usize] = next;
        } else if let Some(first) = self.first.get_mut(old as usize)
            && *first == device
        {
            *first = next;
        }
        if next != NONE {
            self.before[next as usize] = before;
        }
    }

    /// Looks up where a device hangs. True where it left a building.
    pub(crate) fn settle(&mut self, device: u32, registers: Registers<'_>) -> bool {
        let building = registers.home_of(device).and_then(|home| {
            let building = registers.text("dwelling", home, "building_id")?;
            Some(self.building(&building, registers))
        });
        let building = building.unwrap_or(NONE);
        extend_to(&mut self.building_of, device as usize + 1, NONE);
        let old = std::mem::replace(&mut self.building_of[device as usize], building);
        if old == building {
            return false;
        }
        if let Some(old) = self.buildings.get_mut(old as usize)
            && let Ok(at) = old.devices.binary_search(&device)
        {
            old.devices.remove(at);
        }
        if let Some(new) = self.buildings.get_mut(building as usize)
            && let Err(at) = new.devices.binary_search(&device)
        {
            new.devices.insert(at, device);
        }
        old != NONE
    }

    fn building(&mut self, name: &str, registers: Registers<'_>) -> u32 {
        if let Some(known) = self.by_building.get(name) {
            return *known;
        }
        let number = self.buildings.len() as u32;
        let name: Arc<str> = name.into();
        self.by_building.insert(Arc::clone(&name), number);
        self.buildings.push(Building { name, community: NONE, devices: Vec::new() });
        self.place_building(number, registers);
        number
    }

    /// Looks up which community a building is in.
    fn place_building(&mut self, building: u32, registers: Registers<'_>) {
        let Some(known) = self.buildings.get(building as usize) else { return };
        let community = registers
            .text("building", &known.name, "grid_id")
            .and_then(|grid| registers.text("grid", &grid, "community"));
        let community = community.map_or(NONE, |name| {
            if let Some(known) = self.by_community.get(name.as_str()) {
                return *known;
            }
            let number = self.communities.len() as u32;
            let name: Arc<str> = name.into();
            self.by_community.insert(Arc::clone(&name), number);
            self.communities.push(Community { name, buildings: Vec::new() });
            number
        });
        let Some(known) = self.buildings.get_mut(building as usize) else { return };
        let old = std::mem::replace(&mut known.community, community);
        if old == community {
            return;
        }
        if let Some(old) = self.communities.get_mut(old as usize) {
            old.buildings.retain(|each| *each != building);
        }
        if let Some(new) = self.communities.get_mut(community as usize) {
            new.buildings.push(building);
        }
    }

    /// Every building is looked up again: grids have moved.
    pub(crate) fn place_buildings(&mut self, registers: Registers<'_>) {
        for building in 0..self.buildings.len() as u32 {
            self.place_building(building, registers);
        }
    }

    /// The widest first.
    pub(crate) fn of(&self, device: u32, gateway: u32) -> Vec<Group> {
        let building = self.building_of.get(device as usize).copied().unwrap_or(NONE);
        let community =
            self.buildings.get(building as usize).map_or(NONE, |building| building.community);
        let mut all = vec![Group::District];
        if community != NONE {
            all.push(Group::Community(community));
        }
        if building != NONE {
            all.push(Group::Building(building));
        }
        if gateway != 0 {
            all.push(Group::Gateway(gateway));
        }
        all
    }

    pub(crate) fn name(&self, group: Group, gateways: &imbl::Vector<Arc<str>>) -> Arc<str> {
        let building = |at: u32| self.buildings.get(at as usize).map(|each| &each.name);
        let community = |at: u32| self.communities.get(at as usize).map(|each| &each.name);
        match group {
            Group::District => "district".into(),
            Group::Community(at) => named("community", community(at)),
            Group::Building(at) => named("building", building(at)),
            Group::Gateway(at) => named("gateway", gateways.get(at as usize - 1)),
        }
    }

    /// Calls for every device of a group; `devices` is how many there are in all.
    pub(crate) fn each(&self, group: Group, devices: u32, mut call: impl FnMut(u32)) {
        match group {
            Group::District => (0..devices).for_each(call),
            Group::Community(at) => {
                let buildings = self.communities.get(at as usize).into_iter();
                for building in buildings.flat_map(|each| &each.buildings) {
                    let building = self.buildings.get(*building as usize).into_iter();
                    building.flat_map(|each| &each.devices).for_each(|device| call(*device));
                }
            }
            Group::Building(at) => {
                let building = self.buildings.get(at as usize).into_iter();
                building.flat_map(|each| &each.devices).for_each(|device| call(*device));
            }
            Group::Gateway(at) => {
                let mut device = self.first.get(at as usize).copied().unwrap_or(NONE);
                while device != NONE {
                    call(device);
                    device = self.next.get(device as usize).copied().unwrap_or(NONE);
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let lists = [&self.building_of, &self.first, &self.next, &self.before];
        let lists: usize = lists.into_iter().map(|list| list.capacity() * 4).sum();
        let buildings: usize = self
            .buildings
            .iter()
            .map(|each| size_of::<Building>() + each.devices.capacity() * 4)
            .sum();
        let names = (self.gateways.capacity() + self.by_building.capacity()) * 24;
        lists + buildings + names
    }
}

fn named(what: &str, name: Option<&Arc<str>>) -> Arc<str> {
    format!("{what}:{}", name.map_or("", AsRef::as_ref)).into()
}
