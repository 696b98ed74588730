//! What people do about an alert: the legal steps of the work axis.

use super::alert::words;
use super::{Refusal, Reply, Rules, State, Transition, Work};
use raft::Position;
use serde::{Deserialize, Serialize};

words! { Action {
    Ack "ack", Dispatch "dispatch", Arrive "arrive", Feedback "feedback", Verify "verify",
    Close "close", Reopen "reopen", Silence "silence", Reassign "reassign",
} }

/// The state that an action leads to, or why it cannot be done now.
fn step(work: Work, action: Action) -> Result<Work, &'static str> {
    use Action as A;
    use Work as W;
    match (action, work) {
        (A::Ack, W::New | W::L1Notified) => Ok(W::L1Ack),
        (A::Ack, _) => Err("it was acknowledged already"),
        (A::Dispatch, W::L1Ack) => Ok(W::Dispatched),
        (A::Dispatch, W::New | W::L1Notified) => Err("acknowledge it first"),
        (A::Dispatch, _) => Err("somebody was sent already"),
        (A::Arrive, W::Dispatched) => Ok(W::OnSite),
        (A::Arrive, _) => Err("arrive comes after dispatch"),
        (A::Feedback, W::Dispatched | W::OnSite) => Ok(W::Feedback),
        (A::Feedback, _) => Err("feedback comes after dispatch or arrive"),
        (A::Verify, W::Feedback) => Ok(W::Verified),
        (A::Verify, _) => Err("verify comes after feedback"),
        (A::Close, W::Feedback | W::Verified) => Ok(W::Closed),
        (A::Close, W::Closed) => Err("it is closed already"),
        (A::Close, _) => Err("an alert is closed only with feedback: give feedback first"),
        (A::Reopen, W::Closed) => Ok(W::New),
        (A::Reopen, _) => Err("only a closed alert can be reopened"),
        (A::Silence | A::Reassign, W::Closed) => Err("it is closed"),
        (A::Silence | A::Reassign, other) => Ok(other),
    }
}

/// When the step after this one is due.
pub(crate) fn due_us(rules: &Rules, alert: &super::Alert, work: Work, now_us: i64) -> i64 {
    let deadlines = rules.deadlines(alert.severity);
    let wait_s = match work {
        Work::New | Work::L1Notified => deadlines.ack_s,
        Work::L1Ack => deadlines.dispatch_s,
        Work::Dispatched => deadlines.arrive_s,
        Work::OnSite => deadlines.feedback_s,
        Work::Feedback | Work::Verified | Work::Closed => return 0,
    };
    // At least a second, so that a rule of 0 cannot fire for ever at one instant.
    now_us + i64::from(wait_s.max(1)) * 1_000_000
}

/// The fields of the command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act<'a> {
    pub(crate) alert_id: &'a str,
    pub(crate) action: Action,
    pub(crate) actor: &'a str,
    pub(crate) note: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) action_id: &'a str,
}

impl State {
    pub(crate) fn act_on_alert(&mut self, at: Position, act: &Act<'_>) -> Reply {
        let Some(found) = self.alerts.get(act.alert_id) else {
            let said = format!("no alert {:?}: list them with `hearth alert list`", act.alert_id);
            return Reply::Refused(Refusal::NotFound(said));
        };
        if !act.action_id.is_empty() && found.action_ids.iter().any(|each| each == act.action_id) {
            return Reply::Alert(Box::new(found.clone()));
        }
        let mut alert = found.clone();
        let to = match step(alert.work, act.action) {
            Ok(to) => to,
            Err(why) => {
                let said = format!(
                    "cannot {} alert {} in state {}: {why}",
                    act.action.as_str(),
                    act.alert_id,
                    alert.work.as_str()
                );
                return Reply::Refused(Refusal::Precondition(said));
            }
        };
        if !act.outcome.is_empty() {
            act.outcome.clone_into(&mut alert.outcome);
        }
        if to == Work::Closed && alert.outcome.is_empty() {
            let said =
                "closing needs an outcome: handled, false_alarm, test, duplicate or your own words";
            return Reply::Refused(Refusal::Precondition(said.to_owned()));
        }
        let now_us = self.clock_us;
        let from = alert.work;
        alert.work = to;
        alert.due_us =
            if act.action == Action::Silence { 0 } else { due_us(&self.rules, &alert, to, now_us) };
        alert.closed_us = if to == Work::Closed { now_us } else { 0 };
        alert.remember_action(act.action_id);
        alert.note(Transition {
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            actor: act.actor.to_owned(),
            at_us: now_us,
            reason: format!("{}: {}", act.action.as_str(), act.note)
                .trim_end_matches([' ', ':'])
                .to_owned(),
            log_index: at.index,
        });
        self.keep_alert(alert.clone());
        Reply::Alert(Box::new(alert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chain_leads_to_closed() {
        let mut work = Work::L1Notified;
        for (action, to) in [
            (Action::Ack, Work::L1Ack),
            (Action::Dispatch, Work::Dispatched),
            (Action::Arrive, Work::OnSite),
            (Action::Feedback, Work::Feedback),
            (Action::Verify, Work::Verified),
            (Action::Close, Work::Closed),
            (Action::Reopen, Work::New),
        ] {
            if action != Action::Close {
                assert!(
                    step(work, Action::Close).is_err()
                        || work == Work::Feedback
                        || work == Work::Verified
                );
            }
            work = step(work, action).unwrap();
            assert_eq!(work, to);
        }
        assert!(step(Work::L1Notified, Action::Dispatch).is_err());
    }
}
