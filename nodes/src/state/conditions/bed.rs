//! The bed: who leaves it at night and does not come back.

use super::engine::Conditions;
use super::home::{Bed, Home, IDLE_BITS};
use super::kept::Timer;
use super::sight::{PlaceId, Sight};
use super::tick;
use super::verdict::{Spot, Verdict, What};
use crate::state::rules::When;
use std::sync::Arc;

/// The bit of [`super::home::Home::told`] that no inactivity rule has.
const TOLD: u8 = !IDLE_BITS;
/// From this value on somebody is in it, in millionths.
const TAKEN: i64 = 500_000;

impl Conditions {
    pub(super) fn lie_or_rise(&mut self, sight: &Sight<'_>, out: &mut Vec<Verdict>) {
        let Some(slot) = sight.place.as_home() else { return };
        let at = tick::floor(sight.at_us.min(sight.now_us));
        let bed = if sight.value >= TAKEN { Bed::Taken } else { Bed::Empty };
        let Some(home) = self.home_mut(slot) else { return };
        let before = *home;
        home.bed_said = home.bed_said.max(at);
        if at < before.bed_at || before.bed == bed {
            return;
        }
        if at < before.bed_said && before.bed != Bed::Unknown {
            return self.was_otherwise(slot, (sight, bed), &before, out);
        }
        (home.bed, home.bed_at) = (bed, at);
        if bed == Bed::Empty {
            self.leave_watches(sight, i64::MAX, out);
            if before.bed == Bed::Taken && !self.is_old(sight) {
                self.wait_for_return((slot, at), sight.at_us);
            }
        } else if before.told & TOLD != 0 {
            home.told &= !TOLD;
            self.return_to_bed(sight, before.bed_at, out);
        }
    }

    /// A word that came late: the bed has said since that it is as it was thought to be. It was otherwise
    /// in between, and is as it was said from its last word on.
    fn was_otherwise(
        &mut self,
        slot: u32,
        (sight, bed): (&Sight<'_>, Bed),
        before: &Home,
        out: &mut Vec<Verdict>,
    ) {
        let said = before.bed_said;
        if let Some(home) = self.home_mut(slot) {
            home.bed_at = said;
            home.told &= if bed == Bed::Taken { !TOLD } else { u8::MAX };
        }
        if bed == Bed::Empty {
            return self.leave_watches(sight, tick::to_us(said), out);
        }
        if before.told & TOLD != 0 {
            self.return_to_bed(sight, before.bed_at, out);
        }
        if !self.is_old(sight) {
            self.wait_for_return((slot, said), tick::to_us(said));
        }
    }

    /// Somebody left their bed, at night: back in time, or told.
    fn wait_for_return(&mut self, (slot, at): (u32, u32), at_us: i64) {
        if let Some((_, rule)) = &self.plan.bed_exit
            && self.plan.hours.is_night(at_us)
        {
            let due_us = at_us + i64::from(rule.out_s) * 1_000_000;
            self.kept.timers.insert(due_us, Timer::Bed(slot, at));
        }
    }

    fn return_to_bed(&mut self, sight: &Sight<'_>, left: u32, out: &mut Vec<Verdict>) {
        let Some((alert, rule)) = &self.plan.bed_exit else { return };
        let told_us = tick::to_us(left) + i64::from(rule.out_s) * 1_000_000;
        let what = if sight.at_us < told_us {
            let time = crate::clock::text(sight.at_us);
            let reason = format!("event {} of {time} came late: back in bed by then", sight.id);
            What::Wrong { event_us: sight.at_us, reason }
        } else {
            What::Over
        };
        let alert = Arc::clone(alert);
        out.push(Verdict { alert, spot: Spot::Place(sight.place), what });
    }

    /// The time has come at which somebody should be back.
    pub(super) fn miss_in_bed(&mut self, slot: u32, left: u32, out: &mut Vec<Verdict>) {
        let Some((alert, rule)) = self.plan.bed_exit.clone() else { return };
        let is_night = self.plan.hours.is_night(self.kept.now_us);
        let Some(home) = self.home_mut(slot) else { return };
        if home.bed != Bed::Empty || home.bed_at != left || !is_night || home.told & TOLD != 0 {
            return;
        }
        home.told |= TOLD;
        let since_us = tick::to_us(left);
        let what = What::Fire {
            severity: rule.severity,
            level: rule.level,
            event_us: since_us,
            evidence: Vec::new(),
            devices: Vec::new(),
            reason: format!("out of bed since {}", crate::clock::text(since_us)),
        };
        out.push(Verdict { alert, spot: Spot::Place(PlaceId::home(slot)), what });
    }

    /// Who is not in bed does not breathe for its sensor: rules that ask for the bed are over. If the
    /// bed was empty before the reading that they rest on, they were wrong. What rests on a reading of
    /// later than `until_us`, when it was taken again, stands.
    fn leave_watches(&mut self, sight: &Sight<'_>, until_us: i64, out: &mut Vec<Verdict>) {
        let plan = Arc::clone(&self.plan);
        for (rule, judge) in plan.judges.iter().enumerate() {
            if !matches!(judge.when, When::InBed | When::NotOutOfBed) {
                continue;
            }
            if self.rests_on_us(sight.place, rule as u16).is_some_and(|us| us >= until_us) {
                continue;
            }
            if let Some(rests_on_us) = self.drop_watch(sight.place, rule as u16) {
                let what = if sight.at_us <= rests_on_us {
                    let time = crate::clock::text(sight.at_us);
                    let reason =
                        format!("event {} of {time} came late: the bed was empty", sight.id);
                    What::Wrong { event_us: sight.at_us, reason }
                } else {
                    What::Over
                };
                let alert = Arc::clone(&judge.alert);
                out.push(Verdict { alert, spot: Spot::Place(sight.place), what });
            }
        }
    }
}
