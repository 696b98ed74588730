//! Nobody moves for longer than the limit and longer than is usual at this hour.

use super::device::Life;
use super::engine::Conditions;
use super::groups::Registers;
use super::home::{Bed, Home, IDLE_BITS};
use super::hours::HOUR_US;
use super::idle_plan::IdlePlan;
use super::plan::Plan;
use super::sight::{PlaceId, Sight};
use super::tick::{self, TICKS_PER_S};
use super::verdict::{Spot, Verdict, What};
use features::Kind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Breath is written down no more often: it comes every few seconds.
const BREATH: u32 = 15 * 60 * TICKS_PER_S;
/// What is silent for longer is not part of the home any more.
const GONE: u32 = 7 * 86_400 * TICKS_PER_S;
/// How long to wait where nothing could be heard of the home.
const AGAIN: u32 = 3_600 * TICKS_PER_S;

/// Inactivity that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Idle {
    /// The log time at which it was.
    pub(crate) raised_us: i64,
}

/// Whether an event is somebody's movement.
fn is_movement(sight: &Sight<'_>) -> bool {
    sight.value > 0 || matches!(sight.kind, Kind::Door | Kind::Contact | Kind::Bed)
}

/// A movement ends what was still until now: habit, as far as it was a habit. Beside it when the silence of
/// the home and that of its door were told.
fn learn(plan: &Plan, home: &mut Home, (at, is_door): (u32, bool), told_us: [Option<i64>; 2]) {
    let at_us = tick::to_us(at);
    if is_door && home.door != 0 && at > home.door && told_us[1].is_none() {
        home.habit.learn_door(tick::to_us(home.door), at_us);
    }
    // How long nobody was in says nothing of how long they are still.
    if home.moved == 0 || at <= home.moved || home.left_by_door() {
        return;
    }
    let mut plans = plan.idle.iter().filter(|plan| !plan.only_door);
    if plans.any(|idle| idle.is_first_weeks(&plan.hours, home, (home.moved, at))) {
        return;
    }
    // Of a silence that was told as much as was told, and that only where the person moved by themselves:
    // through a door that opens comes help.
    let until_us = match told_us[0] {
        None => at_us,
        Some(_) if is_door => return,
        Some(told_us) => told_us.min(at_us),
    };
    home.habit.learn(&plan.hours, tick::to_us(home.moved), until_us);
}

impl Conditions {
    pub(super) fn home_mut(&mut self, slot: u32) -> Option<&mut Home> {
        while self.kept.homes.len() <= slot as usize {
            self.kept.homes.push(Home::default());
        }
        self.kept.homes.get_mut(slot as usize)
    }

    pub(super) fn home(&self, place: PlaceId) -> Option<&Home> {
        self.kept.homes.get(place.as_home()? as usize)
    }

    /// Somebody moved.
    pub(super) fn moved(&mut self, sight: &Sight<'_>, out: &mut Vec<Verdict>) {
        let Some(slot) = sight.place.as_home().filter(|_| is_movement(sight)) else { return };
        let at = tick::floor(sight.at_us.min(sight.now_us)).max(1);
        let plan = Arc::clone(&self.plan);
        let is_old = self.is_old(sight);
        let is_door = sight.kind == Kind::Door;
        let told_us = [false, true].map(|only_door| self.told_us(slot, only_door));
        let Some(home) = self.home_mut(slot) else { return };
        let before = *home;
        home.is_live |= !is_old;
        if home.since == 0 {
            home.since = at;
        }
        if !is_door && !home.is_presence(at) {
            if !before.is_live {
                self.ask_home(slot);
            }
            return;
        }
        // What nobody was there to tell of is no habit.
        if before.is_live || is_old {
            learn(&plan, home, (at, is_door), told_us);
        }
        home.door = if is_door { home.door.max(at) } else { home.door };
        home.moved = home.moved.max(at);
        if before.told & IDLE_BITS != 0 {
            self.end_idle(slot, sight, out);
        }
        // The first door may come late, and be due before anything that was waited for.
        let is_first = before.moved == 0 || !before.is_live || (is_door && before.door == 0);
        if is_first || before.told & IDLE_BITS != 0 {
            self.ask_home(slot);
        }
    }

    /// When a silence that goes on was told first.
    fn told_us(&self, slot: u32, only_door: bool) -> Option<i64> {
        if self.kept.homes.get(slot as usize)?.told & IDLE_BITS == 0 {
            return None;
        }
        let told = self.kept.idle.range((slot, 0)..=(slot, u8::MAX));
        let is_such = |rule: u8| {
            self.plan.idle.get(usize::from(rule)).is_some_and(|plan| plan.only_door == only_door)
        };
        told.filter(|((_, rule), _)| is_such(*rule)).map(|(_, idle)| idle.raised_us).min()
    }

    /// Somebody breathes in bed: no movement, but whoever sleeps is not missed.
    pub(super) fn breathed(&mut self, sight: &Sight<'_>) {
        let Some(slot) = sight.place.as_home().filter(|_| sight.value > 0) else { return };
        let at = tick::floor(sight.at_us.min(sight.now_us));
        // Looked at before it is written: a page that is written is copied.
        let known = self.kept.homes.get(slot as usize);
        if known.is_some_and(|home| at > home.breath.saturating_add(BREATH))
            && let Some(home) = self.home_mut(slot)
        {
            home.breath = at;
        }
    }

    /// Has the wheel look at a home not later than anything in it could be due.
    pub(super) fn ask_home(&mut self, slot: u32) {
        let now = tick::floor(self.kept.now_us);
        if let Some(home) = self.kept.homes.get(slot as usize)
            && let Some(due) = self.home_due(home, now)
        {
            self.home_wheel.arm(slot, due);
        }
    }

    /// The first tick at which a rule may fire. Habits change with movement, so that no rule is believed
    /// for longer than the shortest limit.
    fn home_due(&self, home: &Home, now: u32) -> Option<u32> {
        let rules = self.plan.idle.iter().enumerate();
        let waiting = rules.filter(|(rule, _)| home.told >> rule & 1 == 0);
        let due = waiting.filter_map(|(_, plan)| self.rule_due(plan, home)).min()?;
        let shortest = self.plan.idle.iter().map(|plan| plan.limit_us).min().unwrap_or(HOUR_US);
        let again = now.saturating_add((shortest / tick::TICK_US) as u32);
        Some(due.min(again.max(now + 1)))
    }

    fn rule_due(&self, plan: &IdlePlan, home: &Home) -> Option<u32> {
        // Nobody is missed on the word of a recording.
        if !home.is_live {
            return None;
        }
        let resumed = self.kept.resumed;
        let grace = if resumed == 0 { 0 } else { resumed + self.plan.outage.grace };
        let due_us = plan.due_us(&self.plan.hours, home)?;
        Some(tick::ceil(due_us).max(grace).max(home.ask_after))
    }

    fn end_idle(&mut self, slot: u32, sight: &Sight<'_>, out: &mut Vec<Verdict>) {
        for rule in 0..self.plan.idle.len() as u8 {
            let Some(told) = self.kept.idle.get(&(slot, rule)).copied() else { continue };
            let Some(plan) = self.plan.idle.get(usize::from(rule)).cloned() else { continue };
            let Some(home) = self.kept.homes.get(slot as usize).copied() else { continue };
            if plan.only_door && sight.kind != Kind::Door {
                continue;
            }
            let due_us = plan.due_us(&self.plan.hours, &home);
            let is_late = sight.at_us < told.raised_us;
            // From before it was told, and too old to have kept it from being told.
            if is_late && due_us.is_none_or(|due_us| due_us <= told.raised_us) {
                continue;
            }
            self.kept.idle.remove(&(slot, rule));
            if let Some(home) = self.home_mut(slot) {
                home.told &= !(1 << rule);
            }
            let others = self.kept.idle.range((slot, 0)..=(slot, u8::MAX));
            let mut alerts = others
                .filter_map(|((_, rule), _)| Some(&self.plan.idle.get(usize::from(*rule))?.alert));
            if alerts.any(|alert| *alert == plan.alert) {
                continue;
            }
            let what = if is_late {
                let time = crate::clock::text(sight.at_us);
                let reason = format!("event {} of {time} came late: somebody moved", sight.id);
                What::Wrong { event_us: sight.at_us, reason }
            } else {
                What::Over
            };
            let spot = Spot::Place(sight.place);
            out.push(Verdict { alert: plan.alert, spot, what });
        }
    }

    /// The log's clock has moved: homes that are still.
    pub(super) fn miss_movement(&mut self, registers: Registers<'_>, out: &mut Vec<Verdict>) {
        let to = tick::floor(self.kept.now_us);
        let mut wheel = std::mem::take(&mut self.home_wheel);
        let asked = wheel.turn(to, |slot| {
            let home = self.kept.homes.get(slot as usize)?;
            self.home_due(home, to.saturating_sub(1))
        });
        self.home_wheel = wheel;
        for (_, slot) in asked {
            self.look_at_home(slot, registers, out);
            self.ask_home(slot);
        }
    }

    fn look_at_home(&mut self, slot: u32, registers: Registers<'_>, out: &mut Vec<Verdict>) {
        let Some(home) = self.kept.homes.get(slot as usize).copied() else { return };
        let place = PlaceId::home(slot);
        let dwelling = registers.name_of(place);
        let is_empty = registers.rows.homes().residents_of_dwelling(dwelling).is_empty();
        if is_empty || !self.is_heard(dwelling, registers) {
            // Who lives nowhere misses nobody; who cannot be heard may be well, and is given time.
            let graces = self.plan.idle.iter().map(|plan| plan.deaf_grace);
            let grace = if is_empty { 0 } else { graces.max().unwrap_or(0) };
            let after = tick::floor(self.kept.now_us).saturating_add(grace.max(AGAIN));
            if let Some(home) = self.home_mut(slot) {
                home.ask_after = after;
            }
            return;
        }
        let now_us = self.kept.now_us;
        let plan = Arc::clone(&self.plan);
        for (rule, idle) in plan.idle.iter().enumerate() {
            let due = self.rule_due(idle, &home);
            if home.told >> rule & 1 == 1 || due.is_none_or(|due| due > tick::floor(now_us)) {
                continue;
            }
            if let Some(home) = self.home_mut(slot) {
                home.told |= 1 << rule;
            }
            self.kept.idle.insert((slot, rule as u8), Idle { raised_us: now_us });
            let what = What::Fire {
                severity: idle.severity,
                level: idle.level,
                event_us: tick::to_us(idle.since(&home)),
                evidence: Vec::new(),
                devices: Vec::new(),
                reason: idle.reason(&plan.hours, &home, now_us),
            };
            let alert = Arc::clone(&idle.alert);
            out.push(Verdict { alert, spot: Spot::Place(place), what });
        }
    }

    /// Whether a silence of the home is one of its people: a device that is expected to speak still does,
    /// and something of it spoke within so many heartbeats of the quickest of them.
    fn is_heard(&self, dwelling: &str, registers: Registers<'_>) -> bool {
        let now = tick::floor(self.kept.now_us);
        let beats = self.plan.idle.iter().map(|plan| plan.deaf_beats).max().unwrap_or(0);
        let devices = registers.rows.homes().devices_of_dwelling(dwelling);
        let slots = devices.filter_map(|name| registers.slot_of(name));
        let (mut expected, mut alive) = (false, false);
        let (mut quickest, mut newest) = (u32::MAX, self.kept.resumed);
        for device in slots.filter_map(|slot| self.kept.devices.get(slot as usize)) {
            let Some(class) = self.class_plan(device) else { continue };
            expected = true;
            alive |= device.life() == Life::Alive;
            newest = newest.max(device.seen);
            if device.life() != Life::New && device.seen.saturating_add(GONE) > now {
                quickest = quickest.min(class.heartbeat);
            }
        }
        let is_deaf = beats > 0 && newest.saturating_add(quickest.saturating_mul(beats)) < now;
        !expected || alive && !is_deaf
    }

    /// Whether a bed is taken at a time; nothing where no bed ever spoke.
    pub(super) fn bed_of(&self, place: PlaceId, at_us: i64) -> Bed {
        let word = self.plan.bed_word;
        self.home(place).map_or(Bed::Unknown, |home| home.bed_at(at_us, word))
    }
}
