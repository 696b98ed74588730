//! Deadlines that pass, at the log's own time: each is told once, by the entry whose time has passed it.

use super::cases::MACHINE;
use super::casework::Telling;
use super::{Alert, State, Transition, Work};
use raft::Position;

/// The highest level there is to climb to.
const LEVEL_MAX: u32 = 3;

/// The step that is waited for in a state of work.
pub fn awaited(work: Work) -> &'static str {
    match work {
        Work::New | Work::L1Notified => "ack",
        Work::L1Ack => "dispatch",
        Work::Dispatched | Work::EnRoute => "arrive",
        Work::OnSite => "feedback",
        Work::Feedback => "verify",
        Work::Verified => "close",
        Work::Closed => "",
    }
}

impl State {
    /// Fires every timer that is due at the log's clock; called before each entry's commands.
    pub(crate) fn fire_timers(&mut self, at: Position) {
        self.end_silences(at);
        while let Some(overdue) = self.alerts.overdue(self.clock_us) {
            let alert = overdue.clone();
            if alert.silent_until_us > 0 {
                self.end_silence(at, alert);
            } else {
                self.miss_deadline(at, alert);
            }
        }
        self.give_notices_up(at);
    }

    /// The next time at which something happens by itself.
    pub fn next_timer_us(&self) -> Option<i64> {
        let notices = self.casework.outbox.gives_up_us(&self.casework.linkage.delivering);
        let seen = self.conditions.next_timer_us();
        let silences = self.casework.silences.next_due_us();
        [self.alerts.next_due_us(), notices, seen, silences].into_iter().flatten().min()
    }

    fn end_silence(&mut self, at: Position, mut alert: Alert) {
        alert.silent_until_us = 0;
        self.set_due(&mut alert);
        let said = self.said(at, &alert, MACHINE, "the silence ended".to_owned());
        alert.note(said);
        self.keep_alert(alert);
    }

    /// The turn goes to the next level; at the last one it is a reminder. An acknowledgement that
    /// nobody was sent after counts no longer.
    fn miss_deadline(&mut self, at: Position, mut alert: Alert) {
        let (from, step) = (alert.work, awaited(alert.work));
        let missed = format!("no {step} by {}", crate::clock::text(alert.due_us));
        alert.miss(step);
        if alert.work == Work::L1Ack {
            alert.work = Work::L1Notified;
            alert.assignee.clear();
        }
        let is_last = alert.turn >= LEVEL_MAX;
        let what = if is_last { "reminder" } else { "escalated" };
        if !is_last {
            alert.turn += 1;
            alert.escalations += 1;
        }
        self.set_due(&mut alert);
        if is_last {
            let reminder_us = i64::from(self.casework.linkage.reminder_s) * 1_000_000;
            alert.due_us = alert.due_us.max(self.clock_us + reminder_us);
        }
        let level = alert.turn;
        let told = self.tell_level(at, &mut alert, level, Telling { what, reason: &missed });
        let line = Transition {
            from: from.as_str().to_owned(),
            ..self.said(at, &alert, MACHINE, format!("{missed}: told {told}"))
        };
        alert.note(line);
        self.keep_alert(alert);
    }
}
