//! One rule at one place: the readings that it looks at, and how far it has come.
//!
//! ```text
//! idle --(the test is fulfilled)--> firing --(beyond clear)--> clearing --(for keep)--> idle
//!                                     ^____________(counts again)___/
//! firing --(a late reading shows that the test never was fulfilled)--> idle, the alert was wrong
//! ```

use super::hours::HOUR_US;
use super::judge::{Seen, fulfilled, run};
use super::plan::{Judge, Test};
use super::room::least_missed;
use crate::state::rules::READINGS_MAX;
use serde::{Deserialize, Serialize};

/// How late a reading may come and still meet the others that it belongs to.
const LATE_US: i64 = 48 * HOUR_US;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    #[default]
    Idle,
    /// The newest reading that it rests on.
    Firing { at_us: i64 },
    /// Beyond the clear value since this event time, and this time of the log.
    Clearing { since_us: i64, came_us: i64 },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// In the order of their times; at most [`READINGS_MAX`].
    readings: Vec<Seen>,
    pub(crate) phase: Phase,
    /// The log time at which it is to be looked at again; 0 for never.
    pub(crate) due_us: i64,
}

/// What a watch says after a reading, or when its time has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    Fire { evidence: Vec<String>, devices: Vec<u32>, event_us: i64 },
    Again,
    Over,
    Wrong,
}

/// A reading on its way into a watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) seen: &'a Seen,
    /// Lies beyond the clear value.
    pub(crate) clears: bool,
}

impl Watch {
    pub(crate) fn is_firing(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Nothing is left that a later reading could meet.
    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Idle && !self.readings.iter().any(|each| each.counts)
    }

    pub(crate) fn see(&mut self, judge: &Judge, look: Look<'_>, now_us: i64) -> Option<Judgement> {
        let with = self.insert(judge, look.seen)?;
        let said = match self.phase {
            Phase::Idle => self.fire(judge, with, now_us),
            Phase::Firing { at_us } => self.while_firing(judge, look, with, at_us),
            Phase::Clearing { since_us, .. } => self.while_clearing(judge, look, since_us),
        };
        self.due_us = self.next_due(judge);
        said
    }

    /// The place of the reading in the list; nothing where it is one that is there already.
    fn insert(&mut self, judge: &Judge, seen: &Seen) -> Option<usize> {
        let same = |each: &Seen| {
            each.counts
                && each.device == seen.device
                && each.part == seen.part
                && (each.at_us - seen.at_us).abs() < judge.debounce_us
        };
        if seen.counts && judge.debounce_us > 0 && self.readings.iter().any(same) {
            return None;
        }
        let oldest_us = seen.at_us.max(self.newest_us()) - horizon_us(judge);
        self.readings.retain(|each| each.at_us >= oldest_us);
        if self.readings.len() >= READINGS_MAX {
            self.readings.remove(least_missed(judge.test, &self.readings));
        }
        let key = (seen.at_us, seen.id.as_str());
        let with = self.readings.partition_point(|each| (each.at_us, each.id.as_str()) < key);
        self.readings.insert(with, seen.clone());
        Some(with)
    }

    fn newest_us(&self) -> i64 {
        self.readings.last().map_or(i64::MIN / 2, |each| each.at_us)
    }

    fn fire(&mut self, judge: &Judge, with: usize, now_us: i64) -> Option<Judgement> {
        let found = fulfilled(judge.test, &self.readings, with)?;
        self.fire_on(judge, &found, now_us)
    }

    fn fire_on(&mut self, judge: &Judge, found: &[usize], now_us: i64) -> Option<Judgement> {
        let newest_us = found.last().and_then(|at| self.readings.get(*at))?.at_us;
        // What is this old counts, and wakes nobody.
        if newest_us < now_us - judge.paging_age_us {
            return None;
        }
        let ids = found.iter().filter_map(|at| self.readings.get(*at));
        let evidence = ids.clone().map(|each| each.id.clone()).collect();
        // Presence says who else is there, not that there is a hazard.
        let mut devices: Vec<u32> =
            ids.filter(|each| judge.is_of_a_kind(each.part)).map(|each| each.device).collect();
        devices.sort_unstable();
        devices.dedup();
        self.phase = Phase::Firing { at_us: newest_us };
        Some(Judgement::Fire { evidence, devices, event_us: newest_us })
    }

    fn while_firing(
        &mut self,
        judge: &Judge,
        look: Look<'_>,
        with: usize,
        at_us: i64,
    ) -> Option<Judgement> {
        let seen = look.seen;
        if seen.counts {
            self.phase = Phase::Firing { at_us: at_us.max(seen.at_us) };
            return Some(Judgement::Again);
        }
        if seen.at_us < at_us {
            return self.was_wrong(judge, with).then(|| {
                self.phase = Phase::Idle;
                Judgement::Wrong
            });
        }
        if !look.clears || !self.all_devices_clear(seen.device) {
            return None;
        }
        if judge.keep_us == 0 {
            self.end();
            return Some(Judgement::Over);
        }
        self.phase = Phase::Clearing { since_us: seen.at_us, came_us: seen.came_us };
        None
    }

    fn while_clearing(
        &mut self,
        judge: &Judge,
        look: Look<'_>,
        since_us: i64,
    ) -> Option<Judgement> {
        let seen = look.seen;
        if seen.counts {
            // A late one from before does not set it alight again.
            if seen.at_us >= since_us {
                self.phase = Phase::Firing { at_us: seen.at_us };
            }
            return Some(Judgement::Again);
        }
        if seen.at_us - since_us < judge.keep_us {
            // Between the threshold and the clear value it did not stay clear.
            if !look.clears && seen.at_us >= since_us {
                self.phase = Phase::Firing { at_us: since_us };
            }
            return None;
        }
        self.end();
        Some(Judgement::Over)
    }

    /// What was counted up to here led to an alert; a next one needs readings of its own.
    fn end(&mut self) {
        self.phase = Phase::Idle;
        self.readings.clear();
    }

    /// No device's newest reading counts, the one that is clear apart.
    fn all_devices_clear(&self, device: u32) -> bool {
        let newest = |other: u32| self.readings.iter().rev().find(|each| each.device == other);
        self.readings.iter().all(|each| {
            each.device == device || newest(each.device).is_none_or(|newest| !newest.counts)
        })
    }

    /// With the late reading in its place, between two that count, no run of readings fulfils the test
    /// any more.
    fn was_wrong(&self, judge: &Judge, with: usize) -> bool {
        let Some(late) = self.readings.get(with) else { return false };
        let depends_on_others = matches!(judge.test, Test::For { .. } | Test::Of { .. });
        let counts = |each: &Seen| each.counts && each.device == late.device;
        depends_on_others
            && self.readings.iter().take(with).any(counts)
            && self.readings.iter().skip(with).any(counts)
            && (0..self.readings.len())
                .all(|at| fulfilled(judge.test, &self.readings, at).is_none())
    }

    /// The log's clock has come to `due_us`.
    pub(crate) fn look_again(&mut self, judge: &Judge, now_us: i64) -> Option<Judgement> {
        let said = match (self.phase, judge.test) {
            (Phase::Clearing { came_us, .. }, _) if now_us >= came_us + judge.keep_us => {
                self.end();
                Some(Judgement::Over)
            }
            (Phase::Idle, Test::For { cap_us, gap_us, .. }) if cap_us > 0 => {
                let found = self.silent_run((cap_us, gap_us), now_us);
                found.and_then(|found| self.fire_on(judge, &found, now_us))
            }
            _ => None,
        };
        if self.phase == Phase::Idle && now_us >= self.expires_us(judge) {
            self.readings.clear();
        }
        self.due_us = self.next_due(judge);
        // A time that has passed without effect is not asked for again.
        if self.due_us != 0 && self.due_us <= now_us {
            self.due_us = if self.phase == Phase::Idle { self.expires_us(judge) } else { 0 };
        }
        said
    }

    /// A run against which nothing has spoken for so long by the log's clock. The first value after a
    /// restart alone says nothing.
    fn silent_run(&self, (cap_us, gap_us): (i64, i64), now_us: i64) -> Option<Vec<usize>> {
        (0..self.readings.len()).rev().find_map(|at| {
            let last = self.readings.get(at)?;
            let is_newest = !self.readings.iter().skip(at + 1).any(|e| e.device == last.device);
            let run = run(&self.readings, at, gap_us);
            let first = self.readings.get(*run.first()?)?;
            let proves = run.len() > 1 || !last.is_first;
            (is_newest && proves && now_us >= first.came_us + cap_us).then_some(run)
        })
    }

    fn expires_us(&self, judge: &Judge) -> i64 {
        let newest = self.readings.iter().map(|each| each.came_us).max();
        newest.map_or(0, |us| us + horizon_us(judge))
    }

    fn next_due(&self, judge: &Judge) -> i64 {
        match (self.phase, judge.test) {
            (Phase::Clearing { came_us, .. }, _) => came_us + judge.keep_us,
            (Phase::Firing { .. }, _) => 0,
            (Phase::Idle, Test::For { cap_us, gap_us, .. }) if cap_us > 0 => {
                let last = self.readings.len().saturating_sub(1);
                let run = run(&self.readings, last, gap_us);
                let first = run.first().and_then(|at| self.readings.get(*at));
                first.map_or_else(|| self.expires_us(judge), |first| first.came_us + cap_us)
            }
            (Phase::Idle, _) => self.expires_us(judge),
        }
    }

    /// Another set is in force: what would not count under it does not, whatever it did before.
    pub(crate) fn hold_against(&mut self, judge: &Judge) {
        for each in &mut self.readings {
            each.counts = each.counts && judge.still_counts(each.part, each.value);
        }
        self.due_us = self.next_due(judge);
    }

    pub(crate) fn rests_on(&self, device: u32) -> bool {
        self.readings.iter().any(|each| each.device == device && each.counts)
    }

    /// Forgets what a device said.
    pub(crate) fn forget_device(&mut self, device: u32) -> bool {
        self.readings.retain(|each| each.device != device);
        let gone = self.is_firing() && !self.readings.iter().any(|each| each.counts);
        if gone {
            self.phase = Phase::Idle;
        }
        gone
    }

    /// The case is closed by people: what counts from now on is the next one's, this reading the first.
    pub(crate) fn begin_anew(&mut self, judge: &Judge, id: &str, now_us: i64) -> Option<Judgement> {
        self.readings.retain(|each| each.id == id);
        self.phase = Phase::Idle;
        let said = self.readings.len().checked_sub(1).and_then(|at| self.fire(judge, at, now_us));
        self.due_us = self.next_due(judge);
        said
    }
}

/// How far back a reading still matters.
fn horizon_us(judge: &Judge) -> i64 {
    let span_us = match judge.test {
        Test::Within { within_us, .. }
        | Test::Slope { within_us, .. }
        | Test::Together { within_us, .. } => within_us,
        Test::For { for_us, cap_us, .. } => for_us.max(cap_us),
        Test::Of { .. } => LATE_US,
    };
    span_us + LATE_US
}
