//! What people do about an alert: the legal steps of the work axis.

use super::alert::words;
use super::cases::Actor;
use super::casework::{Person, Telling};
use super::{Alert, Refusal, Reply, State, Transition, Work};
use raft::Position;
use serde::{Deserialize, Serialize};

// Stored by its place in this list: new ones go last.
words! { Action {
    Ack "ack", Dispatch "dispatch", Arrive "arrive", Feedback "feedback", Verify "verify",
    Close "close", Reopen "reopen", Silence "silence", Reassign "reassign",
    Depart "depart", Escalate "escalate", Inform "inform", Merge "merge",
} }

/// What a case can be closed as. Other words of an outcome are what was found or done: `handled`.
pub(crate) const CLOSED_AS: [&str; 4] = ["handled", "false_alarm", "test", "duplicate"];
/// How far ahead of the log's clock a step may say it happened: clocks of telephones differ.
const AHEAD_US: i64 = 300_000_000;

/// One step of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseStep {
    pub alert_id: String,
    pub action: Action,
    pub actor: String,
    /// Empty for what the case knows them as.
    pub actor_role: String,
    pub note: String,
    pub outcome: String,
    pub action_id: String,
    /// Who is sent, or has it in hand from now on.
    pub assignee: String,
    /// A photo, a report or its hash.
    pub reference: String,
    /// When it happened, for who could not say so at once; 0 for now.
    pub happened_us: i64,
    /// How long a silence lasts; 0 for the linkage's default.
    pub silence_s: u32,
    /// The alert that this one is a duplicate of.
    pub into: String,
}

impl CaseStep {
    /// A step with nothing said beside it.
    pub fn new(alert_id: &str, action: Action, actor: &str) -> Self {
        Self {
            alert_id: alert_id.to_owned(),
            action,
            actor: actor.to_owned(),
            actor_role: String::new(),
            note: String::new(),
            outcome: String::new(),
            action_id: String::new(),
            assignee: String::new(),
            reference: String::new(),
            happened_us: 0,
            silence_s: 0,
            into: String::new(),
        }
    }
}

/// The state that an action leads to, or why it cannot be done now.
fn step(work: Work, action: Action, outcome: &str) -> Result<Work, &'static str> {
    use Action as A;
    use Work as W;
    match (action, work) {
        (A::Ack, W::New | W::L1Notified) => Ok(W::L1Ack),
        (A::Ack, W::Closed) => Err("it is closed"),
        (A::Ack, _) => Err("it was acknowledged already"),
        (A::Dispatch, W::L1Ack) => Ok(W::Dispatched),
        (A::Dispatch, W::New | W::L1Notified) => Err("acknowledge it first"),
        (A::Dispatch, _) => Err("somebody was sent already"),
        (A::Depart, W::Dispatched) => Ok(W::EnRoute),
        (A::Depart, _) => Err("depart comes after dispatch"),
        (A::Arrive, W::Dispatched | W::EnRoute) => Ok(W::OnSite),
        (A::Arrive, _) => Err("arrive comes after dispatch"),
        (A::Feedback, W::Dispatched | W::EnRoute | W::OnSite) => Ok(W::Feedback),
        // Known by telephone: nobody has to be sent to say so.
        (A::Feedback, W::L1Ack) if CLOSED_AS[1..].contains(&outcome) => Ok(W::Feedback),
        (A::Feedback, _) => Err(
            "feedback comes after dispatch or arrive; of a false_alarm, a test or a duplicate after ack",
        ),
        (A::Verify, W::Feedback) => Ok(W::Verified),
        (A::Verify, _) => Err("verify comes after feedback"),
        (A::Close, W::Feedback | W::Verified) => Ok(W::Closed),
        (A::Close, W::Closed) => Err("it is closed already"),
        (A::Close, _) => Err("an alert is closed only with feedback: give feedback first"),
        (A::Reopen, W::Closed) => Ok(W::New),
        (A::Reopen, _) => Err("only a closed alert can be reopened"),
        (A::Escalate, W::L1Ack) => Ok(W::L1Notified),
        (A::Merge | A::Silence | A::Reassign | A::Escalate | A::Inform, W::Closed) => {
            Err("it is closed")
        }
        (A::Merge, _) => Ok(W::Closed),
        (A::Silence | A::Reassign | A::Escalate | A::Inform, other) => Ok(other),
    }
}

/// What can be done about an alert now.
pub fn possible(alert: &Alert) -> Vec<Action> {
    let words = Action::WORDS.iter().filter_map(|word| Action::parse(word));
    words
        .filter(|action| {
            let outcome = if *action == Action::Feedback { "false_alarm" } else { "" };
            let is_last = alert.turn >= 3 && matches!(action, Action::Escalate | Action::Inform);
            step(alert.work, *action, outcome).is_ok() && !is_last
        })
        .collect()
}

impl State {
    pub(crate) fn step_case(&mut self, at: Position, wanted: &CaseStep) -> Reply {
        let Some(found) = self.alerts.get(&wanted.alert_id) else {
            let said =
                format!("no alert {:?}: list them with `hearth alert list`", wanted.alert_id);
            return Reply::Refused(Refusal::NotFound(said));
        };
        let is_repeat = found.action_ids.contains(&wanted.action_id);
        if !wanted.action_id.is_empty() && is_repeat {
            return Reply::Alert(Box::new(found.clone()));
        }
        let alert = found.clone();
        match self.carry_out_step(at, alert, wanted.action, wanted) {
            Ok(alert) => Reply::Alert(Box::new(alert)),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn carry_out_step(
        &mut self,
        at: Position,
        mut alert: Alert,
        action: Action,
        wanted: &CaseStep,
    ) -> Result<Alert, Refusal> {
        let to = self.allowed(&alert, action, wanted)?;
        let known_as = alert.told.iter().find(|told| told.person == wanted.actor);
        let role = match wanted.actor_role.as_str() {
            "" => known_as.map(|told| told.role.clone()).unwrap_or_default(),
            role => role.to_owned(),
        };
        let actor = Actor { name: &wanted.actor, role: &role };
        alert.remember_action(&wanted.action_id);
        match action {
            Action::Merge => {
                self.merge(at, &mut alert, &wanted.into, (actor, &wanted.note))?;
                self.keep_alert(alert.clone());
                return Ok(alert);
            }
            Action::Reopen => {
                let reason = words_of(action, wanted);
                let id = alert.alert_id.clone();
                self.reopen(at, alert, actor, (1, &reason));
                let open = self.alerts.get(&id).cloned();
                return open.ok_or_else(|| Refusal::NotFound(format!("no alert {id:?}")));
            }
            _ => {}
        }
        let from = alert.work;
        alert.work = to;
        let happened_us = if wanted.happened_us == 0 { self.clock_us } else { wanted.happened_us };
        let mut reason = words_of(action, wanted);
        take_in(&mut alert, action, wanted, (happened_us, self.clock_us));
        if action == Action::Silence {
            alert.silent_until_us =
                self.clock_us + self.casework.linkage.silence_us(wanted.silence_s);
        }
        if matches!(action, Action::Escalate) {
            alert.turn = (alert.turn + 1).min(3);
            alert.escalations += 1;
        }
        if from != to || matches!(action, Action::Silence | Action::Escalate) {
            self.set_due(&mut alert);
        }
        if let Some(told) = self.tell_of_step(at, &mut alert, action, (wanted, &reason)) {
            reason = format!("{reason}; told {told}");
        }
        let line = Transition {
            from: from.as_str().to_owned(),
            event_us: happened_us,
            ..self.said(at, &alert, actor, reason)
        };
        alert.note(line);
        self.keep_alert(alert.clone());
        if to == Work::Closed {
            self.settle_suppressed(at, &alert.alert_id);
        }
        Ok(alert)
    }

    /// The state that a step leads to, if it can be done now.
    fn allowed(&self, alert: &Alert, action: Action, wanted: &CaseStep) -> Result<Work, Refusal> {
        let refuse = |why: &str| {
            let now: Vec<&str> = possible(alert).into_iter().map(Action::as_str).collect();
            Refusal::Precondition(format!(
                "cannot {} alert {} in state {}: {why}; possible now: {}",
                action.as_str(),
                alert.alert_id,
                alert.work.as_str(),
                now.join(", ")
            ))
        };
        let to = step(alert.work, action, &wanted.outcome).map_err(refuse)?;
        if to == Work::Closed
            && action == Action::Close
            && wanted.outcome.is_empty()
            && alert.outcome.is_empty()
        {
            let said =
                "closing needs an outcome: handled, false_alarm, test, duplicate or your own words";
            return Err(Refusal::Precondition(said.to_owned()));
        }
        if action == Action::Reopen
            && let Some(open) = self.alerts.open_at(&alert.kind, alert.place())
        {
            return Err(refuse(&format!("{} is open for the same hazard", open.alert_id)));
        }
        if matches!(action, Action::Escalate | Action::Inform) && alert.turn >= 3 {
            return Err(refuse("the highest level has it already"));
        }
        let latest_us = self.clock_us + AHEAD_US;
        if wanted.happened_us != 0 && !(alert.raised_us..=latest_us).contains(&wanted.happened_us) {
            return Err(Refusal::Invalid(
                "happened_us must lie between the raising of the alert and now".to_owned(),
            ));
        }
        Ok(to)
    }

    /// Tells whom a step concerns.
    fn tell_of_step(
        &mut self,
        at: Position,
        alert: &mut Alert,
        action: Action,
        (wanted, reason): (&CaseStep, &str),
    ) -> Option<String> {
        match action {
            Action::Dispatch | Action::Reassign => {
                let person = wanted.assignee.clone();
                if person.is_empty() || person == wanted.actor {
                    return None;
                }
                let known_as = alert.told.iter().find(|told| told.person == person);
                let (role, level) = known_as.map_or_else(
                    || ("assignee".to_owned(), 2),
                    |told| (told.role.clone(), told.level),
                );
                let what = if action == Action::Dispatch { "dispatched" } else { "reassigned" };
                let said = format!("{person} ({role})");
                let person = Person { key: person, role };
                self.tell_person(at, alert, &person, level, Telling { what, reason });
                Some(said)
            }
            Action::Escalate | Action::Inform => {
                let is_copy = action == Action::Inform;
                let level = if is_copy { alert.turn + 1 } else { alert.turn };
                let what = if is_copy { "informed" } else { "escalated" };
                Some(self.tell_level(at, alert, level, Telling { what, reason }))
            }
            Action::Silence => {
                self.withdraw_notices(at, &alert.alert_id, "silenced");
                None
            }
            Action::Close => {
                self.tell_closed(at, alert, &wanted.actor, reason);
                None
            }
            _ => None,
        }
    }

    /// Whom the news of it has reached hears that it is over; the others need neither.
    fn tell_closed(&mut self, at: Position, alert: &mut Alert, actor: &str, reason: &str) {
        self.withdraw_notices(at, &alert.alert_id, "the alert is closed");
        if !self.casework.linkage.tell_closed {
            return;
        }
        for told in alert.told.clone() {
            let may_hear = self.may_hear(alert, &told.person, &told.role);
            if told.person == actor || told.reached_us == 0 || !may_hear {
                continue;
            }
            let person = Person { key: told.person, role: told.role };
            self.tell_person(at, alert, &person, told.level, Telling { what: "closed", reason });
        }
    }
}

/// The action and what was said with it, for the history.
fn words_of(action: Action, wanted: &CaseStep) -> String {
    let mut said = format!("{}: {}", action.as_str(), wanted.note);
    for (name, value) in
        [("outcome", &wanted.outcome), ("to", &wanted.assignee), ("reference", &wanted.reference)]
    {
        if !value.is_empty() {
            said = format!("{said} [{name} {value}]");
        }
    }
    said.trim_end_matches([' ', ':']).to_owned()
}

/// What a step leaves behind in the alert.
fn take_in(
    alert: &mut Alert,
    action: Action,
    wanted: &CaseStep,
    (happened_us, now_us): (i64, i64),
) {
    // How it was closed does not wipe out what was found.
    let is_category = CLOSED_AS.contains(&wanted.outcome.as_str());
    let found = !alert.outcome.is_empty() && !CLOSED_AS.contains(&alert.outcome.as_str());
    let says_less = wanted.outcome.is_empty() || (is_category && found);
    if !says_less {
        wanted.outcome.clone_into(&mut alert.outcome);
    }
    if !wanted.reference.is_empty() {
        wanted.reference.clone_into(&mut alert.reference);
    }
    if !wanted.assignee.is_empty() {
        wanted.assignee.clone_into(&mut alert.assignee);
    }
    let first = |at: &mut i64| {
        if *at == 0 {
            *at = happened_us;
        }
    };
    match action {
        Action::Ack => {
            first(&mut alert.steps.ack_us);
            if alert.assignee.is_empty() {
                wanted.actor.clone_into(&mut alert.assignee);
            }
        }
        Action::Dispatch => first(&mut alert.steps.dispatch_us),
        Action::Arrive => first(&mut alert.steps.arrive_us),
        Action::Feedback => first(&mut alert.steps.feedback_us),
        Action::Verify => first(&mut alert.steps.verify_us),
        Action::Escalate => alert.assignee.clear(),
        Action::Close => {
            alert.closed_us = now_us;
            alert.silent_until_us = 0;
            let word = [&wanted.outcome, &alert.outcome]
                .into_iter()
                .find(|word| CLOSED_AS.contains(&word.as_str()));
            alert.closed_as = word.map_or_else(|| "handled".to_owned(), Clone::clone);
        }
        _ => {}
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
            (Action::Depart, Work::EnRoute),
            (Action::Arrive, Work::OnSite),
            (Action::Feedback, Work::Feedback),
            (Action::Verify, Work::Verified),
            (Action::Close, Work::Closed),
            (Action::Reopen, Work::New),
        ] {
            let may_close = matches!(work, Work::Feedback | Work::Verified);
            assert_eq!(step(work, Action::Close, "").is_ok(), may_close, "{work:?}");
            work = step(work, action, "").unwrap();
            assert_eq!(work, to);
        }
        assert!(step(Work::L1Notified, Action::Dispatch, "").is_err());
    }

    #[test]
    fn a_false_alarm_by_telephone_sends_nobody() {
        assert_eq!(step(Work::L1Ack, Action::Feedback, "false_alarm"), Ok(Work::Feedback));
        assert!(step(Work::L1Ack, Action::Feedback, "handled").is_err());
        assert!(step(Work::L1Ack, Action::Feedback, "").is_err());
        assert!(step(Work::L1Notified, Action::Feedback, "false_alarm").is_err());
    }

    #[test]
    fn actions_keep_their_places_in_the_log() {
        let places = ["ack", "dispatch", "arrive", "feedback", "verify", "close", "reopen"];
        assert_eq!(Action::WORDS[..7], places);
        assert_eq!(Action::WORDS[7..9], ["silence", "reassign"]);
    }
}
