//! Devices that were taken away, as the register says: nobody misses them, and what was told of them as
//! devices is over. A hazard that they saw is not: that is for people to say.

use super::battery::Charge;
use super::device::{Battery, Life};
use super::devices::is_missing;
use super::engine::Conditions;
use super::groups::{Group, Registers};
use super::kept::Timer;
use super::verdict::{Spot, Verdict, What};
use super::watch::Watch;
use crate::state::{Condition, State};
use features::{EntityKind, Kind};
use raft::Position;
use std::sync::Arc;

/// What stands as the health of a device of which no row is left.
const NO_ROW: &str = "no longer in the register";

impl Conditions {
    /// The word by which the register says that a device was taken away.
    pub(super) fn withdrawn_as(&self, device: &str, registers: Registers<'_>) -> Option<String> {
        let health = registers.text("device", device, "health")?;
        self.plan.withdrawn.contains(&health).then_some(health)
    }

    /// The number of a device's class; 0 for one of none, or that was taken away.
    pub(super) fn class_in_service(&mut self, slot: u32, registers: Registers<'_>) -> u8 {
        if self.withdrawn_as(registers.device(slot), registers).is_some() {
            return 0;
        }
        registers.class_of(slot).map_or(0, |class| self.class(&class))
    }

    /// What the register says of a device that it knows is in service no more.
    pub(super) fn gone_as(&self, device: &str, registers: Registers<'_>) -> Option<String> {
        if registers.text("device", device, "device_id").is_none() {
            return Some(NO_ROW.to_owned());
        }
        self.withdrawn_as(device, registers)
    }

    /// Forgets a device that is in service no more; what was told of it is over.
    pub(super) fn withdraw(&mut self, slot: u32, health: &str, registers: Registers<'_>) {
        let before = self.kept.devices.get(slot as usize).copied();
        let Some(before) = before.filter(|device| device.life() != Life::New) else { return };
        if let Some(device) = self.kept.devices.get_mut(slot as usize) {
            device.set_life(Life::New);
            device.set_battery(Battery::Good);
            device.class = 0;
        }
        if let Some(charge) = self.kept.charges.get_mut(slot as usize) {
            *charge = Charge::default();
        }
        self.forget_votes(true);
        let mut said = Vec::new();
        if before.life() == Life::Explained {
            for group in self.groups.of(slot, before.gateway) {
                self.count_return(group, &mut said);
            }
        }
        if let Some(gateway) = self.groups.gateway(registers.device(slot)) {
            self.give_time(Group::Gateway(gateway));
        }
        let words = self.plan.words.clone();
        let mut over = Vec::new();
        if is_missing(before.life()) {
            over.push(words.offline);
        }
        if before.battery() != Battery::Good {
            over.push(words.battery);
        }
        if self.forget_flaps(slot) {
            over.push(words.fault);
        }
        let health: Arc<str> = health.into();
        said.extend(over.into_iter().map(|alert| {
            let what = What::Withdrawn { health: Arc::clone(&health) };
            Verdict { alert, spot: Spot::Device(slot), what }
        }));
        self.unsaid.append(&mut said);
        self.forget_tampering(slot, registers);
    }

    /// True where it flapped so that it was told.
    fn forget_flaps(&mut self, slot: u32) -> bool {
        let all = self.kept.flaps.range((slot, 0)..=(slot, u8::MAX));
        let flaps: Vec<_> = all.map(|(key, flap)| (*key, flap.is_faulty, flap.due_us)).collect();
        for (key, _, due_us) in &flaps {
            self.kept.flaps.remove(key);
            self.kept.timers.remove(*due_us, Timer::Flap(key.0, key.1));
        }
        flaps.iter().any(|flap| flap.1)
    }

    /// Who takes a device down opens it: what rests on its tamper contact alone is over, too.
    fn forget_tampering(&mut self, slot: u32, registers: Registers<'_>) {
        let plan = Arc::clone(&self.plan);
        for (rule, _) in plan.of_kind(Kind::Tamper) {
            let Some(judge) = plan.judge(*rule) else { continue };
            let of_rule = self.kept.watches.iter().filter(|((_, each), _)| each == rule);
            let of_device = of_rule.filter(|(_, watch)| watch.rests_on(slot));
            for key in of_device.map(|(key, _)| *key).collect::<Vec<_>>() {
                let Some(watch) = self.kept.watches.get(&key) else { continue };
                let (due_us, mut watch) = (watch.due_us, Watch::clone(watch));
                let is_over = watch.forget_device(slot);
                self.keep_watch(key, watch, due_us);
                if is_over && !self.fires_otherwise(key.0, *rule, judge) {
                    let reason = format!("{} was taken away", registers.device(slot));
                    let what = What::Wrong { event_us: self.kept.now_us, reason };
                    let (alert, spot) = (Arc::clone(&judge.alert), Spot::Place(key.0));
                    self.unsaid.push(Verdict { alert, spot, what });
                }
            }
        }
    }

    /// Whether a device has what an alert of this kind is about.
    fn is_in_trouble(&self, alert: &str, slot: u32) -> bool {
        let words = &self.plan.words;
        let device = self.kept.devices.get(slot as usize);
        device.is_some_and(|device| {
            (alert == &*words.offline && is_missing(device.life()))
                || (alert == &*words.battery && device.battery() != Battery::Good)
                || (alert == &*words.fault && self.flaps_now(slot))
        })
    }

    fn flaps_now(&self, slot: u32) -> bool {
        self.kept.flaps.range((slot, 0)..=(slot, u8::MAX)).any(|(_, flap)| flap.is_faulty)
    }
}

impl State {
    /// What rows of the command say to the rules.
    pub(crate) fn tell_of_rows(&mut self, at: Position) {
        let said = self.conditions.take_unsaid();
        if !said.is_empty() {
            self.tell(at, said);
        }
    }

    /// The case of a device that was taken away is over, where no other device of that place is such.
    pub(super) fn tell_withdrawn(&mut self, at: Position, verdict: &Verdict, health: &str) {
        let Spot::Device(slot) = verdict.spot else { return };
        let device = self.features.key(EntityKind::Device, slot as usize).to_owned();
        let registers = Registers { rows: &self.rows, store: &self.features };
        let (dwelling, other) = registers.names_of(&verdict.spot);
        let place = if dwelling.is_empty() { other } else { dwelling };
        let here = self.alerts.open_at(&verdict.alert, &place);
        // It may hang elsewhere by now, or nowhere.
        let open = here.filter(|open| open.evidence.contains(&device)).or_else(|| {
            let mut of_kind = self.alerts.open_of_kind(&verdict.alert);
            of_kind.find(|open| open.evidence.contains(&device))
        });
        let Some(open) = open.or(here) else { return };
        let homes = registers.rows.homes();
        let others = homes.devices_of_dwelling(&open.dwelling_id);
        let slots = others.filter(|each| *each != device).filter_map(|it| registers.slot_of(it));
        let is_such = |slot| self.conditions.is_in_trouble(&verdict.alert, slot);
        if slots.collect::<Vec<_>>().into_iter().any(is_such) {
            return;
        }
        let (id, event_us) = (open.alert_id.clone(), self.clock_us);
        let why = format!("{device} is withdrawn: {health}");
        self.correct(at, &id, (Condition::Cleared, event_us), &why);
    }
}
