//! Cases: a hazard becomes one case that somebody must close. Raised, seen again, cleared, corrected,
//! suppressed; what raises them decides elsewhere.

use super::alert::StepTimes;
use super::casework::Telling;
use super::{Alert, Condition, Severity, State, Transition, Work};
use raft::Position;

/// What asks for a case.
#[derive(Clone, Debug)]
pub(crate) struct Raise {
    /// The kind of alert.
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    /// A level that is told at once, beside those of the linkage; 1 for no other.
    pub(crate) level: u32,
    /// Empty where it is not known.
    pub(crate) dwelling: String,
    /// Empty for the first resident of the dwelling. Without a dwelling this is the place, so that an
    /// alarm of a device without a home is not lost: its own id then.
    pub(crate) resident: String,
    pub(crate) evidence: Vec<String>,
    /// Event time of the newest evidence; 0 for now.
    pub(crate) event_us: i64,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) reason: String,
    /// The devices whose word it rests on, as far as that is known.
    pub(crate) devices: Vec<String>,
    /// What explains this one, the case of an outage or a silence: then nobody is told.
    pub(crate) suppressed_by: String,
}

/// What stands as the model of an alert that a rule raised; its version is that of the rules.
pub(crate) const RULES: &str = "rules";

/// Who did something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
}

/// What deadlines and rules do.
pub(crate) const MACHINE: Actor<'_> = Actor { name: "hearth", role: "machine" };

impl State {
    /// Makes a case, or adds to the one that there is: the same hazard at the same place, whether it is
    /// still open, was merged into another, or was closed a moment ago. Gives its id.
    pub(crate) fn raise(&mut self, at: Position, mut raise: Raise) -> String {
        let place = if raise.dwelling.is_empty() { &raise.resident } else { &raise.dwelling };
        let silence = self.silence_over(&raise.kind, place, &raise.devices);
        if let Some(open) = self.open_case(&raise.kind, place) {
            let id = open.alert_id.clone();
            match silence.filter(|_| open.suppressed_by.is_empty()) {
                Some(silence) => self.add_in_silence(at, &id, &raise, &silence),
                None => self.add_to_case(at, &id, &raise),
            }
            return id;
        }
        if let Some(silence) = silence {
            self.count_in_silence(&silence);
            raise.suppressed_by = silence;
            return self.raise_anew(at, raise);
        }
        let reopen_us = i64::from(self.casework.linkage.reopen_within_s) * 1_000_000;
        let closed = self.alerts.closed_last_at(&raise.kind, place).filter(|closed| {
            matches!(closed.closed_as.as_str(), "handled" | "false_alarm")
                && self.clock_us - closed.closed_us < reopen_us
        });
        if let Some(mut alert) = closed.cloned() {
            let id = alert.alert_id.clone();
            alert.add_evidence(raise.evidence);
            let reason = format!("fired again: {}", raise.reason);
            self.reopen(at, alert, MACHINE, (raise.level, &reason));
            return id;
        }
        self.raise_anew(at, raise)
    }

    fn raise_anew(&mut self, at: Position, raise: Raise) -> String {
        let residents = self.homes().residents_of_dwelling(&raise.dwelling);
        let resident = match raise.resident.as_str() {
            "" => residents.first().copied().unwrap_or_default().to_owned(),
            resident => resident.to_owned(),
        };
        let place = if raise.dwelling.is_empty() { &resident } else { &raise.dwelling };
        let now_us = self.clock_us;
        self.alerts_total += 1;
        let mut alert = Alert {
            // The index of the entry and a running number: the same on every node, in order of raising.
            alert_id: format!("a{:012}-{}", at.index, self.alerts_total),
            kind: raise.kind,
            severity: raise.severity,
            region: self.homes().region_of_place(place).unwrap_or_default(),
            dwelling_id: raise.dwelling,
            resident_key: resident,
            condition: Condition::Firing,
            work: Work::New,
            level: 0,
            turn: 1,
            raised_us: now_us,
            opened_us: now_us,
            event_us: if raise.event_us == 0 { now_us } else { raise.event_us },
            due_us: 0,
            closed_us: 0,
            told_us: [0; 3],
            told: Vec::new(),
            steps: StepTimes::default(),
            missed: Vec::new(),
            escalations: 0,
            reopened: 0,
            assignee: String::new(),
            silent_until_us: 0,
            suppressed_by: raise.suppressed_by,
            merged_into: String::new(),
            evidence: Vec::new(),
            model: raise.model,
            version: raise.version,
            decision_id: String::new(),
            outcome: String::new(),
            reference: String::new(),
            closed_as: String::new(),
            log_index: at.index,
            transitions: 0,
            history: Vec::new(),
            action_ids: Vec::new(),
        };
        alert.add_evidence(raise.evidence);
        let by = if alert.model.is_empty() {
            MACHINE.name.to_owned()
        } else {
            format!("{} {}", alert.model, alert.version)
        };
        let made = Transition {
            from: String::new(),
            event_us: alert.event_us,
            ..self.said(at, &alert, Actor { name: &by, role: MACHINE.role }, raise.reason)
        };
        alert.note(made);
        let id = alert.alert_id.clone();
        if alert.suppressed_by.is_empty() {
            self.tell_at_once(at, &mut alert, raise.level, "raised");
        } else {
            let why = format!("nobody is told: explained by {}", alert.suppressed_by);
            let said = self.said(at, &alert, MACHINE, why);
            alert.note(said);
        }
        self.keep_alert(alert);
        id
    }

    /// The levels that hear at once, as a step of its own.
    pub(crate) fn tell_at_once(&mut self, at: Position, alert: &mut Alert, level: u32, what: &str) {
        let from = alert.work;
        alert.work = Work::L1Notified;
        alert.turn = 1;
        self.set_due(alert);
        let reason = alert.history.last().map_or_else(String::new, |last| last.reason.clone());
        let telling = Telling { what, reason: &reason };
        let linkage = std::sync::Arc::clone(&self.casework.linkage);
        let levels = linkage.told_at_once(&alert.kind, alert.severity, level, self.clock_us);
        let said: Vec<String> =
            levels.into_iter().map(|level| self.tell_level(at, alert, level, telling)).collect();
        alert.turn =
            alert.told_us.iter().position(|us| *us > 0).map_or(1, |first| first as u32 + 1);
        self.set_due(alert);
        let step = Transition {
            from: from.as_str().to_owned(),
            ..self.said(at, alert, MACHINE, format!("told {}", said.join("; ")))
        };
        alert.note(step);
    }

    /// A closed case that is open again, with a new round of steps.
    pub(crate) fn reopen(
        &mut self,
        at: Position,
        mut alert: Alert,
        actor: Actor<'_>,
        (level, reason): (u32, &str),
    ) {
        let from = alert.work;
        alert.work = Work::New;
        alert.condition = Condition::Firing;
        alert.opened_us = self.clock_us;
        alert.closed_us = 0;
        alert.closed_as.clear();
        alert.outcome.clear();
        alert.merged_into.clear();
        alert.assignee.clear();
        alert.silent_until_us = 0;
        alert.steps = StepTimes::default();
        alert.told_us = [0; 3];
        alert.level = 0;
        alert.reopened += 1;
        let step = Transition {
            from: from.as_str().to_owned(),
            ..self.said(at, &alert, actor, reason.to_owned())
        };
        alert.note(step);
        self.tell_at_once(at, &mut alert, level, "reopened");
        self.keep_alert(alert);
    }

    /// A further reading of what an open case is about. No step: nobody is told again.
    pub(crate) fn seen_again(&mut self, at: Position, alert_id: &str, event_id: &str) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        alert.condition = Condition::Firing;
        alert.add_evidence([event_id.to_owned()]);
        alert.log_index = at.index;
        self.keep_alert(alert);
    }

    /// What the machine sees has changed; what people have to do has not.
    pub(crate) fn set_condition(&mut self, at: Position, alert_id: &str, condition: Condition) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        if alert.condition == condition {
            return;
        }
        alert.condition = condition;
        alert.log_index = at.index;
        self.keep_alert(alert);
    }

    /// A late or changed event shows that a case stands on other ground than was thought: an audit line.
    /// Whether it is over is for people to say.
    pub(crate) fn correct(
        &mut self,
        at: Position,
        alert_id: &str,
        (condition, event_us): (Condition, i64),
        why: &str,
    ) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        alert.condition = condition;
        let said =
            Transition { event_us, ..self.said(at, &alert, MACHINE, format!("corrected: {why}")) };
        alert.note(said);
        self.keep_alert(alert);
    }

    /// A line of the history that keeps the state of work.
    pub(crate) fn said(
        &self,
        at: Position,
        alert: &Alert,
        actor: Actor<'_>,
        reason: String,
    ) -> Transition {
        Transition {
            from: alert.work.as_str().to_owned(),
            to: alert.work.as_str().to_owned(),
            actor: actor.name.to_owned(),
            actor_role: actor.role.to_owned(),
            event_us: self.clock_us,
            at_us: self.clock_us,
            reason,
            log_index: at.index,
        }
    }

    /// When the next step of an alert is due, now that it has come to where it is.
    pub(crate) fn set_due(&self, alert: &mut Alert) {
        let wait_s = self.casework.linkage.wait_s(&self.rules, alert, self.clock_us);
        alert.due_us = match wait_s {
            _ if !alert.suppressed_by.is_empty() => 0,
            _ if alert.silent_until_us > 0 && alert.is_open() => alert.silent_until_us,
            Some(wait_s) => self.clock_us + i64::from(wait_s) * 1_000_000,
            None => 0,
        };
    }
}
