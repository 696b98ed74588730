//! Outages: what is silent as a whole explains its devices, and inhibits what was told of them.

use super::device::{Device, Life};
use super::engine::Conditions;
use super::groups::{Group, Registers};
use super::kept::Silence;
use super::outage::Fleet;
use super::plan::ClassPlan;
use super::tick;
use super::verdict::{Spot, Verdict, What};
use std::sync::Arc;

impl Conditions {
    /// Something larger that is known to be silent has the device in it.
    pub(super) fn is_explained(
        &mut self,
        slot: u32,
        device: &Device,
        registers: Registers<'_>,
    ) -> bool {
        if !self.kept.silences.is_empty() {
            for group in self.groups.of(slot, device.gateway) {
                let name = self.groups.name(group, &self.kept.gateways);
                if let Some(silence) = self.kept.silences.get_mut(&name) {
                    silence.silent += 1;
                    return true;
                }
            }
        }
        let gateway = self.kept.gateways.get((device.gateway as usize).wrapping_sub(1));
        let gateway = gateway.and_then(|name| registers.slot_of(name));
        gateway.filter(|gateway| *gateway != slot).is_some_and(|gateway| {
            let gateway = self.kept.devices.get(gateway as usize);
            gateway.is_some_and(|gateway| matches!(gateway.life(), Life::Silent | Life::Explained))
        })
    }

    pub(super) fn is_outage(
        &mut self,
        slot: u32,
        (device, class): (&Device, ClassPlan),
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) -> bool {
        if std::mem::take(&mut self.grids_moved) {
            self.groups.place_buildings(registers);
            self.forget_votes(true);
        }
        for group in self.groups.of(slot, device.gateway) {
            let fleet = Fleet {
                devices: &self.kept.devices,
                classes: &self.classes,
                now: tick::floor(self.kept.now_us),
                resumed: self.kept.resumed,
            };
            let plan = self.plan.outage;
            let vote =
                fleet.is_out(&self.groups, group, class.heartbeat, plan, &mut self.not_before);
            let Some(vote) = vote else { continue };
            for late in &vote.late {
                if let Some(device) = self.kept.devices.get_mut(*late as usize) {
                    device.set_life(Life::Explained);
                }
            }
            let name = self.groups.name(group, &self.kept.gateways);
            let silence = Silence { since_us: self.kept.now_us, silent: vote.silent, returned: 0 };
            self.kept.silences.insert(Arc::clone(&name), silence);
            let what = What::Fire {
                severity: self.plan.grades.outage.severity,
                level: self.plan.grades.outage.level,
                event_us: 0,
                evidence: Vec::new(),
                devices: Vec::new(),
                reason: format!(
                    "{} of {} devices of {name} that should have spoken are silent",
                    vote.silent, vote.voters
                ),
            };
            let alert = Arc::clone(&self.plan.words.outage);
            out.push(Verdict { alert, spot: Spot::Group(Arc::clone(&name)), what });
            self.explain_earlier(group, (&name, &vote.late), registers, out);
            return true;
        }
        false
    }

    /// Those of the group that fell silent no more than a heartbeat before the others were told one by
    /// one, while there were too few for an outage: it explains them, too. What broke earlier is broken.
    fn explain_earlier(
        &mut self,
        group: Group,
        (name, late): (&Arc<str>, &[u32]),
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        let devices = &self.kept.devices;
        let seen = |slot: &u32| devices.get(*slot as usize).map(|device| device.seen);
        let Some(began) = late.iter().filter_map(seen).min() else { return };
        let mut earlier = Vec::new();
        self.groups.each(group, devices.len() as u32, |slot| {
            let Some(device) = devices.get(slot as usize) else { return };
            let heartbeat = self.class_plan(device).map_or(0, |class| class.heartbeat);
            if device.life() == Life::Silent && device.seen.saturating_add(heartbeat) >= began {
                earlier.push(slot);
            }
        });
        for slot in &earlier {
            if let Some(device) = self.kept.devices.get_mut(*slot as usize) {
                device.set_life(Life::Explained);
            }
        }
        if let Some(silence) = self.kept.silences.get_mut(name) {
            silence.silent += earlier.len() as u32;
        }
        for slot in earlier {
            if !self.any_other(slot, registers, |other| other.life() == Life::Silent) {
                let alert = Arc::clone(&self.plan.words.offline);
                let what = What::Explained { by: Arc::clone(name) };
                out.push(Verdict { alert, spot: Spot::Device(slot), what });
            }
        }
    }

    pub(super) fn count_return(&mut self, group: Group, out: &mut Vec<Verdict>) {
        if self.kept.silences.is_empty() {
            return;
        }
        let name = self.groups.name(group, &self.kept.gateways);
        let Some(silence) = self.kept.silences.get_mut(&name) else { return };
        silence.returned += 1;
        if silence.returned.saturating_mul(2) < silence.silent {
            return;
        }
        self.kept.silences.remove(&name);
        self.give_time(group);
        let alert = Arc::clone(&self.plan.words.outage);
        out.push(Verdict { alert, spot: Spot::Group(name), what: What::Over });
    }

    /// What explained the silence of these is over: who stays silent is missing for themselves, after
    /// some time.
    pub(super) fn give_time(&mut self, group: Group) {
        let mut explained = Vec::new();
        let devices = &self.kept.devices;
        self.groups.each(group, devices.len() as u32, |slot| {
            if devices.get(slot as usize).is_some_and(|each| each.life() == Life::Explained) {
                explained.push(slot);
            }
        });
        let until = tick::floor(self.kept.now_us).saturating_add(self.plan.outage.grace);
        for slot in explained {
            let Some(device) = self.kept.devices.get(slot as usize).copied() else { continue };
            let timeout = self.class_plan(&device).map_or(0, |class| class.timeout);
            if let Some(device) = self.kept.devices.get_mut(slot as usize) {
                device.seen = device.seen.max(until.saturating_sub(timeout));
            }
            self.revive(slot);
        }
    }
}
