//! Notices on their way to people: kept here until they are delivered, dead or of no use any more.

use super::linkage::Delivering;
use crate::state::Severity;
use crate::state::alert::words;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Notices that wait; past this a new one is written down as refused, and nobody gets it.
pub(crate) const WAITING_MAX: usize = 50_000;

words! { NoticeState {
    Waiting "waiting", Failed "failed", Delivered "delivered", Dead "dead",
    Withdrawn "withdrawn", Refused "refused",
} }

/// One person told of one step. All that is sent stands here, so that a repeat is the same message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Alert, number of the step, person: the key that a provider knows a repeat by.
    pub notice_id: String,
    pub alert_id: String,
    /// The number of the transition that told.
    pub step: u32,
    pub level: u32,
    pub person: String,
    pub role: String,
    /// raised, escalated, reminder, dispatched, reassigned, informed, reopened or closed.
    pub what: String,
    pub kind: String,
    pub severity: Severity,
    pub work: String,
    pub resident_key: String,
    pub dwelling_id: String,
    pub region: String,
    pub reason: String,
    pub raised_us: i64,
    pub due_us: i64,
    pub at_us: i64,
    pub attempts: u32,
    /// When it may be tried again.
    pub next_us: i64,
    /// Lines written of it so far.
    pub lines: u32,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Delivered,
    TryAgain,
    Dead,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: OrdMap<String, Arc<Notice>>,
    /// The most urgent first, then by when they may be tried.
    due: OrdSet<(Severity, i64, String)>,
    /// By age.
    since: OrdSet<(i64, String)>,
    pub delivered: u64,
    pub dead: u64,
    pub withdrawn: u64,
    pub refused: u64,
    pub failures: u64,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn get(&self, notice_id: &str) -> Option<&Notice> {
        self.waiting.get(notice_id).map(Arc::as_ref)
    }

    /// Notices that may be tried now, the most urgent first.
    pub fn ready(&self, now_us: i64) -> impl Iterator<Item = &Arc<Notice>> {
        [Severity::Critical, Severity::Major, Severity::Minor].into_iter().flat_map(
            move |severity| {
                self.due
                    .range(
                        (severity, i64::MIN, String::new())
                            ..=(severity, now_us, "\u{10ffff}".to_owned()),
                    )
                    .filter_map(|(_, _, id)| self.waiting.get(id))
            },
        )
    }

    /// The notices of one alert that wait.
    pub fn of_alert<'a>(&'a self, alert_id: &'a str) -> impl Iterator<Item = &'a Notice> {
        self.waiting
            .range(format!("{alert_id}.")..)
            .map(|(_, notice)| notice.as_ref())
            .take_while(move |notice| notice.alert_id == alert_id)
    }

    /// The notices of one person that wait. Looks at all: a withdrawn consent is rare.
    pub(super) fn of_people(&self, people: &BTreeSet<String>) -> impl Iterator<Item = &Notice> {
        self.waiting.values().map(AsRef::as_ref).filter(|notice| people.contains(&notice.person))
    }

    pub fn oldest_us(&self) -> Option<i64> {
        self.since.get_min().map(|(since_us, _)| *since_us)
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    pub(super) fn put(&mut self, notice: Notice) {
        self.take(&notice.notice_id);
        self.due.insert((notice.severity, notice.next_us, notice.notice_id.clone()));
        self.since.insert((notice.at_us, notice.notice_id.clone()));
        self.waiting.insert(notice.notice_id.clone(), Arc::new(notice));
    }

    pub(super) fn take(&mut self, notice_id: &str) -> Option<Notice> {
        let notice = self.waiting.remove(notice_id)?;
        self.due.remove(&(notice.severity, notice.next_us, notice.notice_id.clone()));
        self.since.remove(&(notice.at_us, notice.notice_id.clone()));
        Some(Arc::unwrap_or_clone(notice))
    }

    /// The oldest notice, if it is this old.
    pub(super) fn older_than(&self, at_us: i64) -> Option<&str> {
        self.since.get_min().filter(|(since_us, _)| *since_us <= at_us).map(|(_, id)| id.as_str())
    }

    /// When the oldest notice is given up.
    pub(crate) fn gives_up_us(&self, delivering: &Delivering) -> Option<i64> {
        let (since_us, _) = self.since.get_min()?;
        Some(since_us + i64::from(delivering.give_up_s) * 1_000_000)
    }
}

impl Notice {
    /// After an attempt that failed: when the next one is, or that there is none.
    pub(super) fn fail(&mut self, delivering: &Delivering, now_us: i64) -> Settled {
        self.attempts += 1;
        if self.attempts >= delivering.attempts_max {
            return Settled::Dead;
        }
        let doublings = (self.attempts - 1).min(31);
        let pause_s =
            (u64::from(delivering.pause_s) << doublings).min(u64::from(delivering.pause_max_s));
        self.next_us = now_us + pause_s as i64 * 1_000_000;
        Settled::TryAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(id: &str, severity: Severity, at_us: i64) -> Notice {
        Notice {
            notice_id: format!("{id}.2.wang"),
            alert_id: id.to_owned(),
            step: 2,
            level: 1,
            person: "wang".to_owned(),
            role: "child".to_owned(),
            what: "raised".to_owned(),
            kind: "smoke".to_owned(),
            severity,
            work: "l1_notified".to_owned(),
            resident_key: "r1".to_owned(),
            dwelling_id: "d1".to_owned(),
            region: String::new(),
            reason: String::new(),
            raised_us: at_us,
            due_us: 0,
            at_us,
            attempts: 0,
            next_us: at_us,
            lines: 1,
        }
    }

    #[test]
    fn the_urgent_goes_first_and_a_pause_is_kept() {
        let mut outbox = Outbox::default();
        outbox.put(notice("a1", Severity::Minor, 10));
        outbox.put(notice("a2", Severity::Critical, 30));
        outbox.put(notice("a3", Severity::Critical, 20));
        outbox.put(notice("a10", Severity::Major, 5));
        let ready = |outbox: &Outbox, now_us| {
            outbox.ready(now_us).map(|each| each.alert_id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ready(&outbox, 25), ["a3", "a10", "a1"]);
        assert_eq!(ready(&outbox, 30), ["a3", "a2", "a10", "a1"]);
        assert_eq!(outbox.of_alert("a1").count(), 1, "a10 is another alert");
        let mut failed = outbox.take("a3.2.wang").unwrap();
        assert_eq!(failed.fail(&Delivering::default(), 30), Settled::TryAgain);
        assert_eq!(failed.next_us, 1_000_030);
        outbox.put(failed);
        assert_eq!(ready(&outbox, 30), ["a2", "a10", "a1"]);
        assert_eq!(outbox.older_than(5), Some("a10.2.wang"));
        assert_eq!(outbox.older_than(4), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_then_it_is_dead() {
        let delivering =
            Delivering { attempts_max: 12, pause_s: 1, pause_max_s: 60, give_up_s: 3_600 };
        let mut failing = notice("a1", Severity::Minor, 0);
        let mut pauses = Vec::new();
        while failing.fail(&delivering, 0) == Settled::TryAgain {
            pauses.push(failing.next_us / 1_000_000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
        assert_eq!(failing.attempts, 12);
    }
}
