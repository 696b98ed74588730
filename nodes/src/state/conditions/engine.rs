//! The engine: events and the log's clock in, verdicts out.

use super::bits::Bits;
use super::device::Life;
use super::flapping::{Flap, Turned, number_of};
use super::groups::{Group, Groups, Registers};
use super::kept::{Kept, Timer};
use super::outage::NotBefore;
use super::plan::{ClassPlan, Plan};
use super::sight::{PlaceId, Sight};
use super::tick;
use super::verdict::{Spot, Verdict, What};
use super::wheel::Wheel;
use crate::state::rules::Rules;
use features::Kind;
use imbl::OrdMap;
use std::sync::Arc;

/// A log without an entry for so long was a cluster without a leader: a running one ticks twice a
/// second.
const PAUSE_US: i64 = 60_000_000;

/// What the machine sees. [`Kept`] is stored; everything else is made from it, from the rules and from
/// the registers.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub(super) kept: Kept,
    pub(super) plan: Arc<Plan>,
    /// By the class's number.
    pub(super) classes: Vec<Option<ClassPlan>>,
    pub(super) groups: Groups,
    pub(super) not_before: NotBefore,
    pub(super) device_wheel: Wheel,
    pub(super) home_wheel: Wheel,
    /// Some device may be due earlier than its wheel knows.
    pub(super) wheel_is_stale: bool,
    /// Buildings may lie in other communities than is known.
    pub(super) grids_moved: bool,
    /// Homes, and devices without one, that have a watch.
    busy: [Bits; 2],
    /// What follows from rows of the command that is being applied.
    pub(super) unsaid: Vec<Verdict>,
}

/// Since 1970, by the log's clock.
fn minute(us: i64) -> i64 {
    us.div_euclid(60_000_000)
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            kept: Kept::default(),
            plan: Arc::new(Plan::new(&Rules::default())),
            classes: vec![None],
            groups: Groups::default(),
            not_before: NotBefore::default(),
            device_wheel: Wheel::default(),
            home_wheel: Wheel::default(),
            wheel_is_stale: false,
            grids_moved: false,
            busy: [Bits::default(), Bits::default()],
            unsaid: Vec::new(),
        }
    }
}

impl Conditions {
    /// What of it is stored; copies share what is large.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The engine as it was when this was kept.
    pub(crate) fn restore(kept: Kept, rules: &Rules, registers: Registers<'_>) -> Self {
        let mut engine = Self { kept, plan: Arc::new(Plan::new(rules)), ..Self::default() };
        engine.number_classes();
        for (at, name) in engine.kept.gateways.iter().enumerate() {
            engine.groups.add_gateway(Arc::clone(name), at as u32 + 1);
        }
        for slot in 0..engine.kept.devices.len() as u32 {
            let Some(device) = engine.kept.devices.get(slot as usize).copied() else { continue };
            if device.life() != Life::New {
                engine.groups.settle(slot, registers);
            }
            if device.gateway != 0 {
                engine.groups.join_gateway(slot, 0, device.gateway);
            }
        }
        let places: Vec<PlaceId> = engine.kept.watches.keys().map(|key| key.0).collect();
        for place in places {
            engine.set_busy(place, true);
        }
        engine.arm_all();
        engine
    }

    pub(super) fn number_classes(&mut self) {
        let named = self.kept.classes.iter().map(|name| self.plan.classes.get(&**name).copied());
        self.classes = std::iter::once(None).chain(named).collect();
    }

    /// Both wheels anew, from what is kept.
    fn arm_all(&mut self) {
        let now = tick::floor(self.kept.now_us);
        self.wheel_is_stale = false;
        self.device_wheel = Wheel::at(now);
        for slot in 0..self.kept.devices.len() as u32 {
            let Some(device) = self.kept.devices.get(slot as usize).copied() else { continue };
            if device.life() == Life::Alive
                && let Some(class) = self.class_plan(&device)
            {
                let due = device.seen.max(self.kept.resumed).saturating_add(class.timeout);
                self.device_wheel.arm(slot, due);
            }
        }
        self.home_wheel = Wheel::at(now);
        for slot in 0..self.kept.homes.len() as u32 {
            self.ask_home(slot);
        }
    }

    /// The log's clock has moved.
    pub(crate) fn advance(
        &mut self,
        now_us: i64,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        if now_us <= self.kept.now_us {
            return;
        }
        // As of the time before, as a restored engine would.
        if self.wheel_is_stale {
            self.arm_all();
        }
        let before_us = std::mem::replace(&mut self.kept.now_us, now_us);
        if before_us != 0 && now_us - before_us > PAUSE_US {
            self.kept.resumed = tick::floor(now_us);
            self.not_before.clear();
        }
        loop {
            let due = self.kept.timers.take_due(now_us);
            if due.is_empty() {
                break;
            }
            for timer in due {
                match timer {
                    Timer::Watch(place, rule) => self.look_at_watch((place, rule), out),
                    Timer::Flap(device, kind) => self.look_at_flap(device, kind, out),
                    Timer::Bed(home, left) => self.miss_in_bed(home, left, out),
                    Timer::Night(home, rule) => self.end_night(home, rule, out),
                }
            }
        }
        if tick::floor(now_us) > tick::floor(before_us) {
            self.miss_heartbeats(registers, out);
            self.miss_movement(registers, out);
        }
        if minute(now_us) > minute(before_us) {
            self.look_at_ages(registers);
            out.append(&mut self.unsaid);
        }
    }

    /// An event.
    pub(crate) fn see(
        &mut self,
        sight: &Sight<'_>,
        registers: Registers<'_>,
        out: &mut Vec<Verdict>,
    ) {
        // The last will of a device is no sign of its life.
        let restarted = sight.kind != Kind::Offline && self.hear(sight, registers, out);
        let is_muted = self.plan.flap(sight.kind).is_some() && self.flaps(sight, out);
        match sight.kind {
            Kind::Battery => self.charge(sight, registers, out),
            Kind::Bed if !is_muted => self.lie_or_rise(sight, out),
            Kind::Respiration if self.plan.has_breath => self.breathed(sight),
            _ => {}
        }
        let is_movement = self.plan.is_movement(sight.kind);
        if !is_muted && self.may_matter(sight, is_movement) {
            self.hold(sight, restarted, out);
        }
        if is_movement && !is_muted {
            self.moved(sight, out);
        }
        if !is_muted && self.plan.has_nights(sight.kind) {
            self.count_night(sight);
        }
    }

    /// What rows that were learned say; to be told in the entry that brought them.
    pub(crate) fn take_unsaid(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.unsaid)
    }

    /// Whether some rule could look at the event: nearly every reading is on the good side of every
    /// threshold, at a place where nothing is waited for.
    #[inline]
    fn may_matter(&self, sight: &Sight<'_>, is_movement: bool) -> bool {
        let named = self.plan.of_kind(sight.kind);
        if named.is_empty() && !is_movement {
            return false;
        }
        named.iter().any(|(rule, part)| self.plan.counts((*rule, *part), sight.value))
            || self.is_busy(sight.place)
    }

    /// Looks at what an event of the device will change, and gives something that depends on it.
    pub(crate) fn warm_device(&self, slot: usize) -> usize {
        self.kept.devices.get(slot).map_or(0, |device| device.seen as usize)
    }

    /// The same of a place.
    pub(crate) fn warm_home(&self, place: PlaceId, kind: Kind) -> usize {
        let is_looked_at =
            self.plan.is_movement(kind) || kind == Kind::Respiration && self.plan.has_breath;
        let home = if is_looked_at { self.home(place) } else { None };
        usize::from(self.is_busy(place)) + home.map_or(0, |home| home.moved as usize)
    }

    /// True where the device is broken and its readings are to be held against nothing.
    fn flaps(&mut self, sight: &Sight<'_>, out: &mut Vec<Verdict>) -> bool {
        let Some(flap_plan) = self.plan.flap(sight.kind) else { return false };
        let key = (sight.device, sight.kind as u8);
        let (number, is_over) = (number_of(sight.kind), sight.value >= flap_plan.level);
        let Some(device) = self.kept.devices.get(sight.device as usize) else { return false };
        let (last_kind, was_over) = device.side();
        let is_new_side = (last_kind, was_over) != (number, is_over);
        if number != 0 && (last_kind == 0 || last_kind == number) && is_new_side {
            // Written where it changes only: to write to a page is dearer than to look at it.
            if let Some(device) = self.kept.devices.get_mut(sight.device as usize) {
                device.set_side(number, is_over);
            }
        }
        let known = if self.kept.flaps.is_empty() { None } else { self.kept.flaps.get(&key) };
        let is_same = number != 0 && (last_kind == 0 || last_kind == number && was_over == is_over);
        if known.is_none() && is_same {
            return false;
        }
        let plan = Arc::clone(&self.plan);
        let Some(flap_plan) = plan.flap(sight.kind) else { return false };
        let first = if number != 0 && last_kind == number { was_over } else { is_over };
        let mut flap = known.map_or_else(|| Flap::new(first, sight.at_us), |it| Flap::clone(it));
        let due_us = flap.due_us;
        if due_us == 0 {
            flap.due_us = sight.now_us + flap_plan.within_us;
        }
        let turned = flap.see(flap_plan, sight.value, (sight.at_us, sight.now_us));
        if flap.due_us != due_us {
            self.kept.timers.remove(due_us, Timer::Flap(key.0, key.1));
            self.kept.timers.insert(flap.due_us, Timer::Flap(key.0, key.1));
        }
        let is_muted = flap.is_faulty && flap_plan.mute;
        self.kept.flaps.insert(key, Arc::new(flap));
        if turned == Turned::Faulty {
            if is_muted {
                self.forget_device(sight, out);
            }
            if self.is_old(sight) {
                return is_muted;
            }
            let what = What::Fire {
                severity: plan.grades.fault.severity,
                level: plan.grades.fault.level,
                event_us: sight.at_us,
                evidence: vec![sight.id.to_owned()],
                devices: vec![sight.device],
                reason: format!(
                    "the {} sensor changed {} times within {} s",
                    sight.kind,
                    flap_plan.changes,
                    flap_plan.within_us / 1_000_000
                ),
            };
            let alert = Arc::clone(&plan.words.fault);
            out.push(Verdict { alert, spot: Spot::Device(sight.device), what });
        }
        is_muted
    }

    /// No change for so long: the device is sound, or not worth remembering.
    fn look_at_flap(&mut self, device: u32, kind: u8, out: &mut Vec<Verdict>) {
        let Some(flap) = self.kept.flaps.remove(&(device, kind)) else { return };
        let mut others = self.kept.flaps.range((device, 0)..=(device, u8::MAX));
        if flap.is_faulty && !others.any(|(_, other)| other.is_faulty) {
            let alert = Arc::clone(&self.plan.words.fault);
            out.push(Verdict { alert, spot: Spot::Device(device), what: What::Over });
        }
    }

    /// A row of a register says something new.
    pub(crate) fn learn(&mut self, table: &str, key: &str, registers: Registers<'_>) {
        match table {
            "device" => {
                if let Some(slot) = registers.slot_of(key).filter(|slot| self.is_known(*slot)) {
                    match self.gone_as(key, registers) {
                        Some(health) => self.withdraw(slot, &health, registers),
                        None => self.learn_device(slot, registers),
                    }
                }
                self.look_at_age(key, registers);
            }
            "dwelling" => {
                for device in registers.rows.homes().devices_of_dwelling(key) {
                    let slot = registers.slot_of(device);
                    let known = slot.filter(|slot| self.is_known(*slot));
                    if known.is_some_and(|slot| self.groups.settle(slot, registers)) {
                        self.not_before.clear();
                    }
                }
            }
            "building" | "grid" => self.grids_moved = true,
            _ => {}
        }
    }

    fn is_known(&self, slot: u32) -> bool {
        let device = self.kept.devices.get(slot as usize);
        device.is_some_and(|device| device.life() != Life::New)
    }

    fn learn_device(&mut self, slot: u32, registers: Registers<'_>) {
        let class = self.class_in_service(slot, registers);
        if let Some(device) = self.kept.devices.get_mut(slot as usize)
            && device.class != class
        {
            device.class = class;
            self.wheel_is_stale = true;
            self.not_before.clear();
        }
        if self.groups.settle(slot, registers) {
            self.not_before.clear();
        }
    }

    /// Another set is in force: what a rule of the same kinds and alert has seen stays, the rest is
    /// forgotten.
    pub(crate) fn change_rules(&mut self, old: &Rules, new: &Rules) {
        let before = std::mem::replace(&mut self.plan, Arc::new(Plan::new(new)));
        let plan = Arc::clone(&self.plan);
        let mut watches = OrdMap::new();
        for ((place, rule), watch) in std::mem::take(&mut self.kept.watches) {
            self.kept.timers.remove(watch.due_us, Timer::Watch(place, rule));
            let same = before.judge(rule).and_then(|was| {
                plan.judges.iter().position(|judge| judge.identity == was.identity)
            });
            let Some(rule) = same.map(|rule| rule as u16) else { continue };
            let mut watch = watch;
            if let Some(judge) = plan.judge(rule) {
                Arc::make_mut(&mut watch).hold_against(judge);
            }
            if watch.is_empty() {
                continue;
            }
            if watch.due_us > 0 {
                self.kept.timers.insert(watch.due_us, Timer::Watch(place, rule));
            }
            watches.insert((place, rule), watch);
        }
        self.busy = [Bits::default(), Bits::default()];
        for (place, _) in watches.keys() {
            let side = usize::from(place.as_home().is_none());
            self.busy[side].set(place.slot(), true);
        }
        self.kept.watches = watches;
        if old.inactivity != new.inactivity {
            for (home, _) in std::mem::take(&mut self.kept.idle).keys() {
                if let Some(home) = self.kept.homes.get_mut(*home as usize) {
                    home.told &= !super::home::IDLE_BITS;
                }
            }
        }
        if old.nights != new.nights {
            self.kept.nights = OrdMap::new();
            self.kept.timers.forget_nights();
        }
        self.number_classes();
        self.not_before.clear();
        self.arm_all();
    }

    /// A replay of the past: it is learned from, and wakes nobody.
    pub(super) fn is_old(&self, sight: &Sight<'_>) -> bool {
        sight.at_us < sight.now_us - self.plan.paging_age_us
    }

    #[inline]
    pub(super) fn is_busy(&self, place: PlaceId) -> bool {
        self.busy[usize::from(place.as_home().is_none())].has(place.slot())
    }

    pub(super) fn set_busy(&mut self, place: PlaceId, is_busy: bool) {
        self.busy[usize::from(place.as_home().is_none())].set(place.slot(), is_busy);
    }

    /// By whom a device was heard last.
    pub(crate) fn gateway_of(&self, device: u32) -> Option<&str> {
        let gateway = self.kept.devices.get(device as usize)?.gateway;
        self.kept.gateways.get((gateway as usize).checked_sub(1)?).map(AsRef::as_ref)
    }

    /// The devices that a gateway heard last.
    pub(crate) fn heard_by(&self, gateway: &str) -> Vec<u32> {
        let mut all = Vec::new();
        if let Some(number) = self.groups.gateway(gateway) {
            self.groups.each(Group::Gateway(number), 0, |slot| all.push(slot));
        }
        all
    }

    pub(crate) fn knows_gateway(&self, name: &str) -> bool {
        self.groups.gateway(name).is_some()
    }

    /// The next time of the log at which something may happen by itself, wheels apart.
    pub(crate) fn next_timer_us(&self) -> Option<i64> {
        self.kept.timers.next_us()
    }

    /// About how much memory heartbeat timers take, and what devices have in common.
    #[cfg(test)]
    pub(crate) fn heartbeat_bytes(&self) -> usize {
        self.kept.devices.heap_bytes() + self.device_wheel.heap_bytes() + self.groups.heap_bytes()
    }
}
