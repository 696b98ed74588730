//! A rule over silence: when one that goes on is told, and what is said then.

use super::home::Home;
use super::hours::{DAY_US, HOUR_US, Hours};
use super::tick::{self, TICKS_PER_S};
use crate::clock;
use crate::state::Severity;
use crate::state::rules::{InactivityRule, Rules};
use std::sync::Arc;

/// Hours of habit that are looked through: two weeks.
const HOURS_MAX: usize = 336;
/// In the first week of a home sensors are still being fitted.
const FITTING_US: i64 = 7 * DAY_US;

#[derive(Clone, Debug)]
pub(crate) struct IdlePlan {
    pub(crate) alert: Arc<str>,
    pub(crate) only_door: bool,
    pub(crate) limit_us: i64,
    after_door_us: i64,
    first_week_us: i64,
    known_us: i64,
    /// In hundredths; 0 for no habit.
    habit_percent: i64,
    at_night: bool,
    /// In hundredths; 0 where nothing is told at night.
    night_percent: i64,
    /// 0 where nobody looks at breath.
    pub(crate) asleep_us: i64,
    pub(crate) deaf_beats: u32,
    /// In ticks.
    pub(crate) deaf_grace: u32,
    pub(crate) severity: Severity,
    pub(crate) level: u32,
}

/// The rules of a set, in its order.
pub(crate) fn idle_plans(rules: &Rules) -> Vec<IdlePlan> {
    rules.inactivity.iter().map(IdlePlan::new).collect()
}

impl IdlePlan {
    fn new(rule: &InactivityRule) -> Self {
        let us = |hours: f64| (hours * 3_600.0 * 1e6).round() as i64;
        Self {
            alert: rule.alert.as_str().into(),
            only_door: rule.kinds.iter().all(|kind| kind == "door"),
            limit_us: us(rule.limit_h),
            after_door_us: us(rule.after_door_h.max(rule.limit_h)),
            first_week_us: us(rule.first_week_h.max(rule.limit_h)),
            known_us: i64::from(rule.known_days) * DAY_US,
            habit_percent: (rule.habit_times * 100.0).round() as i64,
            at_night: rule.at_night,
            night_percent: (rule.night_times * 100.0).round() as i64,
            asleep_us: if rule.asleep_h > 0.0 { us(rule.asleep_h.max(rule.limit_h)) } else { 0 },
            deaf_beats: rule.deaf_beats,
            deaf_grace: (rule.deaf_grace_h * 3_600.0).round() as u32 * TICKS_PER_S,
            severity: rule.severity,
            level: rule.level,
        }
    }

    /// When a silence has lasted for so long; by day, unless the night counts.
    fn ends_us(&self, hours: &Hours, since_us: i64, limit_us: i64) -> i64 {
        if self.at_night { since_us + limit_us } else { hours.after_day_time(since_us, limit_us) }
    }

    /// Whether a silence of a home's first week is one that says that nobody was there: no habit, then.
    pub(crate) fn is_first_weeks(
        &self,
        hours: &Hours,
        home: &Home,
        (from, to): (u32, u32),
    ) -> bool {
        let from_us = tick::to_us(from);
        let long_us = self.limit_us.max(self.asleep_us);
        from_us < tick::to_us(home.since) + FITTING_US
            && self.ends_us(hours, from_us, long_us) <= tick::to_us(to)
    }

    fn may_be_out(&self, home: &Home) -> bool {
        !self.only_door && home.left_by_door()
    }

    pub(crate) fn since(&self, home: &Home) -> u32 {
        if self.only_door { home.door } else { home.moved }
    }

    /// When the silence that began with the last movement is told; nothing where nobody ever moved.
    pub(crate) fn due_us(&self, hours: &Hours, home: &Home) -> Option<i64> {
        let since = self.since(home);
        if since == 0 {
            return None;
        }
        let since_us = tick::to_us(since);
        if self.only_door {
            let habit_us = home.habit.doors_us() / 100 * self.habit_percent;
            let at_us = self.by_day(hours, home, since_us, self.limit_us);
            return Some(at_us.max(since_us + habit_us));
        }
        if self.may_be_out(home) {
            let at_us = self.by_day(hours, home, since_us, self.after_door_us);
            return Some(self.beyond_habit(hours, home, since_us, at_us));
        }
        let asleep = |limit_us| {
            let at_us = self.by_day(hours, home, since_us, limit_us);
            self.beyond_habit(hours, home, since_us, at_us)
        };
        let breath_us = if self.asleep_us > 0 { tick::to_us(home.breath) } else { 0 };
        if breath_us <= since_us {
            let by_night = self.by_night(hours, home, since_us, since_us + self.limit_us);
            return Some(
                by_night.map_or(asleep(self.limit_us), |us| us.min(asleep(self.limit_us))),
            );
        }
        // Who breathes in bed may sleep late; nobody sleeps for as long as that.
        let awake_us = breath_us + self.limit_us;
        let by_day = self.by_day(hours, home, since_us, self.limit_us).max(awake_us);
        let by_day = self.beyond_habit(hours, home, since_us, by_day);
        let by_night = self.by_night(hours, home, since_us, awake_us).unwrap_or(by_day);
        Some(by_day.min(by_night).min(asleep(self.asleep_us)))
    }

    /// When a limit is over, which in a home's first days is longer.
    fn by_day(&self, hours: &Hours, home: &Home, since_us: i64, limit_us: i64) -> i64 {
        let at_us = self.ends_us(hours, since_us, limit_us);
        let known_us = tick::to_us(home.since) + self.known_us;
        if at_us >= known_us {
            return at_us;
        }
        let first_us = self.ends_us(hours, since_us, self.first_week_us);
        at_us.max(first_us.min(known_us))
    }

    /// The first time from this one on at which the silence is longer than is usual; by day, unless the
    /// night counts.
    fn beyond_habit(&self, hours: &Hours, home: &Home, since_us: i64, mut at_us: i64) -> i64 {
        if self.habit_percent == 0 {
            return at_us;
        }
        for _ in 0..HOURS_MAX {
            if !self.at_night {
                at_us = hours.dawn(at_us);
            }
            let usual_us = home.habit.usual_us(hours.hour(at_us));
            let usual_until_us = since_us + usual_us / 100 * self.habit_percent;
            let end_us = hours.hour_end(at_us);
            if usual_until_us < end_us {
                return at_us.max(usual_until_us);
            }
            at_us = end_us;
        }
        at_us
    }

    /// The same in hours of the night of which a habit is known. By day the hours of the day decide: who
    /// sleeps late is not still.
    fn by_night(&self, hours: &Hours, home: &Home, since_us: i64, from_us: i64) -> Option<i64> {
        if self.night_percent == 0 {
            return None;
        }
        let mut at_us = from_us.max(tick::to_us(home.since) + self.known_us);
        for _ in 0..HOURS_MAX {
            let usual_us = home.habit.usual_us(hours.hour(at_us));
            let usual_until_us = since_us + usual_us / 100 * self.night_percent;
            let end_us = hours.hour_end(at_us);
            if usual_us > 0 && hours.is_night(at_us) && usual_until_us < end_us {
                return Some(at_us.max(usual_until_us));
            }
            at_us = end_us;
        }
        None
    }

    /// Why it is told, for who looks after the person.
    pub(crate) fn reason(&self, hours: &Hours, home: &Home, now_us: i64) -> String {
        let since_us = tick::to_us(self.since(home));
        let (what, usual_us, when) = if self.only_door {
            ("door", home.habit.doors_us(), "the longest time between two doors".to_owned())
        } else {
            let hour = hours.hour(now_us);
            let (from, to) = ((hour + 23) % 24, (hour + 2) % 24);
            let when = format!("the longest usual silence between {from} and {to} o'clock");
            ("movement", home.habit.usual_us(hour), when)
        };
        let mut said = format!(
            "no {what} since {} ({} local time), for {}; {when} is {}",
            clock::text(since_us),
            hours.text(since_us),
            span(now_us - since_us),
            if usual_us == 0 { "not known".to_owned() } else { span(usual_us) }
        );
        if self.may_be_out(home) {
            said += "; the last was the door, so that somebody may be out";
        } else if self.asleep_us > 0 && home.breath > home.moved {
            said += "; breath was seen until ";
            said += &hours.text(tick::to_us(home.breath));
        }
        said
    }
}

/// A time span in hours and minutes.
fn span(us: i64) -> String {
    let minutes = us / (HOUR_US / 60);
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}
