//! Cases that nobody is told of, because something larger explains them or people work there: an outage,
//! a silence. They are recorded, seen, and told when that is over and they are not.

use super::cases::{MACHINE, Raise};
use super::{State, Work};
use raft::Position;

impl State {
    /// An outage explains the case: no deadline runs and nobody is told while that lasts. What people
    /// have in hand already stays with them.
    pub(crate) fn suppress(&mut self, at: Position, alert_id: &str, parent_id: &str) {
        let is_waiting = |work| matches!(work, Work::New | Work::L1Notified);
        let open = self.alerts.get(alert_id).filter(|open| is_waiting(open.work));
        let Some(mut alert) = open.filter(|open| open.suppressed_by.is_empty()).cloned() else {
            return;
        };
        parent_id.clone_into(&mut alert.suppressed_by);
        alert.due_us = 0;
        let said = self.said(at, &alert, MACHINE, format!("suppressed: explained by {parent_id}"));
        alert.note(said);
        self.withdraw_notices(at, alert_id, "suppressed");
        self.keep_alert(alert);
    }

    /// What explained the case is over and the case is not.
    pub(crate) fn lift(&mut self, at: Position, alert_id: &str, level: u32) {
        let Some(mut alert) = self.alerts.get(alert_id).filter(|each| each.is_open()).cloned()
        else {
            return;
        };
        if std::mem::take(&mut alert.suppressed_by).is_empty() {
            return;
        }
        let said = self.said(at, &alert, MACHINE, "no longer suppressed".to_owned());
        alert.note(said);
        if matches!(alert.work, Work::New | Work::L1Notified) {
            // Nobody could be quick before it was told.
            alert.opened_us = self.clock_us;
            self.tell_at_once(at, &mut alert, level, "raised");
        } else {
            self.set_due(&mut alert);
        }
        self.keep_alert(alert);
    }

    /// The machine sees the hazard of a case on the word of these devices: told after all, unless they
    /// are silenced.
    pub(crate) fn speak_up(&mut self, at: Position, alert_id: &str, devices: &[String]) {
        let open = self.alerts.get(alert_id).filter(|open| !open.suppressed_by.is_empty());
        let Some(open) = open else { return };
        if self.silence_over(&open.kind, open.place(), devices).is_none() {
            self.lift(at, alert_id, 1);
        }
    }

    /// More of an open case that people know of, seen by what is silenced: it wakes nobody anew.
    pub(crate) fn add_in_silence(
        &mut self,
        at: Position,
        alert_id: &str,
        raise: &Raise,
        silence: &str,
    ) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        alert.condition = super::Condition::Firing;
        alert.add_evidence(raise.evidence.iter().cloned());
        let why = format!("{}: {}; nobody is told: silence {silence}", raise.kind, raise.reason);
        let said = self.said(at, &alert, MACHINE, why);
        alert.note(said);
        self.keep_alert(alert);
    }
}
