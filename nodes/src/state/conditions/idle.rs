//! Nobody moves for longer than the limit and longer than is usual at this hour.

use super::device::Life;
use super::engine::Conditions;
use super::groups::Registers;
use super::home::{Bed, Home, IDLE_BITS};
use super::hours::{HOUR_US, Hours};
use super::plan::IdlePlan;
use super::sight::{PlaceId, Sight};
use super::tick::{self, TICKS_PER_S};
use super::verdict::{Spot, Verdict, What};
use features::Kind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Hours of habit that are looked through: two weeks.
const HOURS_MAX: usize = 336;
/// A home that is heard for less has no habit yet.
const LEARNING_US: i64 = 7 * 24 * HOUR_US;
/// How long to wait where nothing could be heard of the home.
const AGAIN: u32 = 3_600 * TICKS_PER_S;

/// Inactivity that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Idle {
    /// The log time at which it was.
    pub(crate) raised_us: i64,
}

impl IdlePlan {
    /// When a silence has lasted for so long; by day, unless the night counts.
    fn ends_us(&self, hours: &Hours, since_us: i64, limit_us: i64) -> i64 {
        if self.at_night { since_us + limit_us } else { hours.after_day_time(since_us, limit_us) }
    }

    /// Whether a silence of a home's first week is one that would be told later on: no habit, then.
    fn is_first_weeks(&self, hours: &Hours, home: &Home, (from, to): (u32, u32)) -> bool {
        let from_us = tick::to_us(from);
        from_us < tick::to_us(home.since) + LEARNING_US
            && self.ends_us(hours, from_us, self.limit_us) <= tick::to_us(to)
    }

    /// When the silence that began with the last movement is told; nothing where nobody ever moved.
    pub(crate) fn due_us(&self, hours: &Hours, home: &Home) -> Option<i64> {
        let since = if self.only_door { home.door } else { home.moved };
        if since == 0 {
            return None;
        }
        let since_us = tick::to_us(since);
        let may_be_out = !self.only_door && home.left_by_door();
        let limit_us = if may_be_out { self.after_door_us } else { self.limit_us };
        let mut at_us = self.ends_us(hours, since_us, limit_us);
        let learned_us = tick::to_us(home.since) + LEARNING_US;
        if at_us < learned_us {
            let first_us = self.ends_us(hours, since_us, self.first_week_us);
            at_us = at_us.max(first_us.min(learned_us));
        }
        if self.habit_percent == 0 {
            return Some(at_us);
        }
        if self.only_door {
            return Some(at_us.max(since_us + home.habit.doors_us() / 100 * self.habit_percent));
        }
        for _ in 0..HOURS_MAX {
            if !self.at_night {
                at_us = hours.dawn(at_us);
            }
            let usual_us = home.habit.usual_us(hours.hour(at_us));
            let usual_until_us = since_us + usual_us / 100 * self.habit_percent;
            let end_us = hours.hour_end(at_us);
            if usual_until_us < end_us {
                return Some(at_us.max(usual_until_us));
            }
            at_us = end_us;
        }
        Some(at_us)
    }
}

/// Whether an event is somebody's movement.
fn is_movement(sight: &Sight<'_>) -> bool {
    sight.value > 0 || matches!(sight.kind, Kind::Door | Kind::Contact | Kind::Bed)
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
        let (hours, is_old) = (plan.hours, self.is_old(sight));
        let is_door = sight.kind == Kind::Door;
        let Some(home) = self.home_mut(slot) else { return };
        let before = *home;
        home.is_live |= !is_old;
        // A silence that was told is no habit, nor is one that nobody was there to tell of.
        let is_learned = before.told & IDLE_BITS == 0 && (before.is_live || is_old);
        let is_long = || {
            let mut plans = plan.idle.iter().filter(|plan| !plan.only_door);
            plans.any(|plan| plan.is_first_weeks(&hours, &before, (before.moved, at)))
        };
        if home.since == 0 {
            home.since = at;
        }
        if !is_door && !home.is_presence(at) {
            if !before.is_live {
                self.ask_home(slot);
            }
            return;
        }
        if is_door && at > home.door {
            if home.door != 0 && is_learned {
                home.habit.learn_door(tick::to_us(home.door), tick::to_us(at));
            }
            home.door = at;
        }
        if at > home.moved {
            // How long nobody was in says nothing of how long they are still.
            let is_still = !before.left_by_door() && !is_long();
            if home.moved != 0 && is_learned && is_still {
                home.habit.learn(&hours, tick::to_us(home.moved), tick::to_us(at));
            }
            home.moved = at;
        }
        if before.told & IDLE_BITS != 0 {
            self.end_idle(slot, sight, out);
        }
        // The first door may come late, and be due before anything that was waited for.
        let is_first = before.moved == 0 || !before.is_live || (is_door && before.door == 0);
        if is_first || before.told & IDLE_BITS != 0 {
            self.ask_home(slot);
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
        if registers.rows.homes().residents_of_dwelling(dwelling).is_empty()
            || !self.is_heard(dwelling, registers)
        {
            // Who lives nowhere misses nobody; who cannot be heard may be well.
            let after = tick::floor(self.kept.now_us).saturating_add(AGAIN);
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
            let (what, since) =
                if idle.only_door { ("door", home.door) } else { ("movement", home.moved) };
            let since_us = tick::to_us(since);
            let usual_us = if idle.only_door {
                home.habit.doors_us()
            } else {
                home.habit.usual_us(plan.hours.hour(now_us))
            };
            let what = What::Fire {
                severity: idle.severity,
                level: idle.level,
                event_us: since_us,
                evidence: Vec::new(),
                devices: Vec::new(),
                reason: format!(
                    "no {what} since {}, for {:.1} h; the longest of 28 days at this hour was {:.1} h",
                    crate::clock::text(since_us),
                    (now_us - since_us) as f64 / HOUR_US as f64,
                    usual_us as f64 / HOUR_US as f64
                ),
            };
            let alert = Arc::clone(&idle.alert);
            out.push(Verdict { alert, spot: Spot::Place(place), what });
        }
    }

    /// Whether any device of a home that is expected to speak still does.
    fn is_heard(&self, dwelling: &str, registers: Registers<'_>) -> bool {
        let devices = registers.rows.homes().devices_of_dwelling(dwelling);
        let slots = devices.filter_map(|name| registers.slot_of(name));
        let mut expected = slots
            .filter_map(|slot| self.kept.devices.get(slot as usize))
            .filter(|device| self.class_plan(device).is_some())
            .peekable();
        expected.peek().is_none() || expected.any(|device| device.life() == Life::Alive)
    }

    /// Whether a bed is taken at a time; nothing where no bed ever spoke.
    pub(super) fn bed_of(&self, place: PlaceId, at_us: i64) -> Bed {
        let word = self.plan.bed_word;
        self.home(place).map_or(Bed::Unknown, |home| home.bed_at(at_us, word))
    }
}
