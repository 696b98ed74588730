//! Signs of life: heartbeats that are missing.

use super::device::{Device, Life, hash_of};
use super::engine::Conditions;
use super::groups::{Group, Registers};
use super::plan::ClassPlan;
use super::sight::Sight;
use super::tick;
use super::verdict::{Spot, Verdict, What};
use std::sync::Arc;

/// Kinds of devices and gateways that are told apart; those beyond are all one.
const CLASSES_MAX: usize = 255;
const GATEWAYS_MAX: usize = 2_000_000;

impl Conditions {
    /// Takes an event as a sign of life. True where the device has restarted since the one before.
    #[inline]
    pub(super) fn hear(
        &mut self,
        sight: &Sight<'_>,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) -> bool {
        while self.kept.devices.len() <= sight.device as usize {
            self.kept.devices.push(Device::default());
        }
        let Some(device) = self.kept.devices.get_mut(sight.device as usize) else { return false };
        let (seen, hash) = (tick::ceil(sight.at_us.min(sight.now_us)), hash_of(sight.source));
        let before = *device;
        let is_newest = seen >= before.seen;
        device.seen = seen.max(before.seen);
        if is_newest {
            device.boot = sight.boot as u16;
        }
        let has_moved = device.gateway == 0 || is_newest && device.gateway_hash != hash;
        if before.life() == Life::Alive && !has_moved {
            return is_newest && before.boot != sight.boot as u16;
        }
        self.hear_news(sight, (before, hash), has_moved, registers, out);
        before.life() != Life::New && is_newest && before.boot != sight.boot as u16
    }

    fn hear_news(
        &mut self,
        sight: &Sight<'_>,
        (before, hash): (Device, u32),
        has_moved: bool,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        let slot = sight.device;
        if has_moved && let Some(gateway) = self.gateway(sight.source) {
            self.groups.join_gateway(slot, before.gateway, gateway);
            self.forget_votes(before.gateway != 0);
            if let Some(device) = self.kept.devices.get_mut(slot as usize) {
                (device.gateway, device.gateway_hash) = (gateway, hash);
            }
        }
        match before.life() {
            Life::Alive => {}
            // Watched from its first word on that is not of the past.
            Life::New if self.is_old(sight) => {}
            Life::New => {
                let class = self.class_in_service(slot, registers);
                self.groups.settle(slot, registers);
                if let Some(device) = self.kept.devices.get_mut(slot as usize) {
                    device.class = class;
                }
                self.revive(slot);
            }
            Life::Silent | Life::Explained => self.hear_again(sight, before, registers, out),
        }
    }

    /// For tests with more devices than registers.
    #[cfg(test)]
    pub(super) fn class_by_hand(&mut self, slot: u32, class: u8) {
        if let Some(device) = self.kept.devices.get_mut(slot as usize) {
            device.class = class;
        }
        self.revive(slot);
    }

    fn gateway(&mut self, name: &str) -> Option<u32> {
        if let Some(known) = self.groups.gateway(name) {
            return Some(known);
        }
        if self.kept.gateways.len() >= GATEWAYS_MAX {
            return None;
        }
        let name: Arc<str> = name.into();
        self.kept.gateways.push_back(Arc::clone(&name));
        let number = self.kept.gateways.len() as u32;
        self.groups.add_gateway(name, number);
        Some(number)
    }

    /// The number of a class, a new one where the name is new.
    pub(super) fn class(&mut self, name: &str) -> u8 {
        if let Some(at) = self.kept.classes.iter().position(|each| **each == *name) {
            return (at + 1) as u8;
        }
        if self.kept.classes.len() >= CLASSES_MAX {
            return 0;
        }
        self.kept.classes.push_back(name.into());
        self.number_classes();
        self.kept.classes.len() as u8
    }

    pub(super) fn class_plan(&self, device: &Device) -> Option<ClassPlan> {
        self.classes.get(usize::from(device.class)).copied().flatten()
    }

    /// A device that is heard, from now on.
    pub(super) fn revive(&mut self, slot: u32) {
        let Some(device) = self.kept.devices.get_mut(slot as usize) else { return };
        device.set_life(Life::Alive);
        let device = *device;
        if let Some(class) = self.class_plan(&device) {
            let due = device.seen.max(self.kept.resumed).saturating_add(class.timeout);
            self.device_wheel.arm(slot, due);
        }
    }

    /// A device that was missing speaks. What is so old that it would be missing all the same is no
    /// return; what is from before it was called missing shows that it never was.
    fn hear_again(
        &mut self,
        sight: &Sight<'_>,
        before: Device,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        let slot = sight.device;
        let timeout = self.class_plan(&before).map_or(0, |class| class.timeout);
        let seen = tick::ceil(sight.at_us.min(sight.now_us));
        let now = tick::floor(sight.now_us);
        if timeout > 0 && (seen <= before.seen || seen.saturating_add(timeout) <= now) {
            return;
        }
        self.revive(slot);
        if before.life() == Life::Explained {
            for group in self.groups.of(slot, before.gateway) {
                self.count_return(group, out);
            }
            // It may have been told before the outage was known.
            if !self.any_other(slot, registers, |other| is_missing(other.life())) {
                let alert = Arc::clone(&self.plan.words.offline);
                out.push(Verdict { alert, spot: Spot::Device(slot), what: What::Over });
            }
            return;
        }
        if let Some(gateway) = self.groups.gateway(registers.device(slot)) {
            self.give_time(Group::Gateway(gateway));
        }
        if self.any_other(slot, registers, |other| other.life() == Life::Silent) {
            return;
        }
        let missing_from = before.seen.max(self.kept.resumed).saturating_add(timeout);
        let what = if seen < missing_from {
            let (id, name) = (sight.id, registers.device(slot));
            let time = crate::clock::text(sight.at_us);
            let reason = format!("event {id} of {time} came late: {name} was not silent");
            What::Wrong { event_us: sight.at_us, reason }
        } else {
            What::Over
        };
        let alert = Arc::clone(&self.plan.words.offline);
        out.push(Verdict { alert, spot: Spot::Device(slot), what });
    }

    /// Whether another device of the same home is such.
    pub(super) fn any_other(
        &self,
        slot: u32,
        registers: Registers<'_>,
        is_such: impl Fn(&Device) -> bool,
    ) -> bool {
        let Some(home) = registers.home_of(slot) else { return false };
        let others = registers.rows.homes().devices_of_dwelling(home);
        let slots =
            others.filter_map(|name| registers.slot_of(name)).filter(|other| *other != slot);
        slots.filter_map(|other| self.kept.devices.get(other as usize)).any(is_such)
    }

    /// The log's clock has moved: heartbeats whose time is over.
    pub(super) fn miss_heartbeats(&mut self, registers: Registers<'_>, out: &mut Vec<Verdict>) {
        let to = tick::floor(self.kept.now_us);
        let Self { device_wheel, kept, classes, .. } = self;
        let missed = device_wheel.turn(to, |slot| {
            let device = kept.devices.get(slot as usize).filter(|it| it.life() == Life::Alive)?;
            let class = classes.get(usize::from(device.class)).copied().flatten()?;
            Some(device.seen.max(kept.resumed).saturating_add(class.timeout))
        });
        for (_, slot) in missed {
            self.miss(slot, registers, out);
        }
    }

    fn miss(&mut self, slot: u32, registers: Registers<'_>, out: &mut Vec<Verdict>) {
        let Some(device) = self.kept.devices.get(slot as usize).copied() else { return };
        // Another that was due at the same moment may have found out for both.
        let Some(class) = self.class_plan(&device).filter(|_| device.life() == Life::Alive) else {
            return;
        };
        let is_explained = self.is_explained(slot, &device, registers)
            || self.is_outage(slot, (&device, class), registers, out);
        let life = if is_explained { Life::Explained } else { Life::Silent };
        if let Some(device) = self.kept.devices.get_mut(slot as usize) {
            device.set_life(life);
        }
        if is_explained {
            return;
        }
        let since = crate::clock::text(tick::to_us(device.seen));
        let what = What::Fire {
            severity: class.offline.severity,
            level: class.offline.level,
            event_us: 0,
            evidence: Vec::new(),
            devices: vec![slot],
            reason: format!("{} was last heard at {since}", registers.device(slot)),
        };
        let alert = Arc::clone(&self.plan.words.offline);
        out.push(Verdict { alert, spot: Spot::Device(slot), what });
    }

    /// What was found of groups holds no longer: somebody has left one.
    pub(super) fn forget_votes(&mut self, left: bool) {
        if left {
            self.not_before.clear();
        }
    }
}

pub(super) fn is_missing(life: Life) -> bool {
    matches!(life, Life::Silent | Life::Explained)
}
