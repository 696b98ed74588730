//! Duplicates: the same hazard at one dwelling is one case, whichever sensor says so and whoever sees it.

use super::notices::Telling;
use crate::state::alert::EVIDENCE_MAX;
use crate::state::cases::{Actor, MACHINE, Raise};
use crate::state::{Alert, Condition, Refusal, Severity, State, Transition, Work};
use raft::Position;

/// What comes to an open case from elsewhere.
struct Addition<'a> {
    kind: &'a str,
    severity: Severity,
    level: u32,
    evidence: &'a [String],
}

impl State {
    /// The open case that a hazard of this kind at this place belongs to.
    pub(crate) fn open_case(&self, kind: &str, place: &str) -> Option<&Alert> {
        if let Some(open) = self.alerts.open_at(kind, place) {
            return Some(open);
        }
        let merged = self
            .alerts
            .closed_last_at(kind, place)
            .and_then(|closed| self.alerts.get(&closed.merged_into).filter(|into| into.is_open()));
        merged.or_else(|| {
            let mut kinds = self.casework.linkage.same_hazard_as(kind);
            kinds.find_map(|other| self.alerts.open_at(other, place))
        })
    }

    /// The same hazard again, by another sensor or rule.
    pub(crate) fn add_to_case(&mut self, at: Position, alert_id: &str, raise: &Raise) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        let addition = Addition {
            kind: &raise.kind,
            severity: raise.severity,
            level: raise.level,
            evidence: &raise.evidence,
        };
        alert.condition = Condition::Firing;
        let is_news = alert.kind != raise.kind && alert.evidence.len() < EVIDENCE_MAX;
        let is_worse = raise.severity < alert.severity || raise.level > alert.level;
        if !is_news && !is_worse {
            alert.add_evidence(raise.evidence.iter().cloned());
            alert.log_index = at.index;
            return self.keep_alert(alert);
        }
        let reason = format!("{}: {}", raise.kind, raise.reason);
        self.absorb(at, &mut alert, &addition, (MACHINE, &reason));
        self.keep_alert(alert);
    }

    /// Evidence and urgency of what was added; whom it makes a difference to is told.
    fn absorb(
        &mut self,
        at: Position,
        alert: &mut Alert,
        addition: &Addition<'_>,
        (actor, reason): (Actor<'_>, &str),
    ) {
        alert.add_evidence(addition.evidence.iter().cloned());
        if addition.severity < alert.severity {
            // The graver deadlines count from now, unless the old ones come sooner.
            alert.severity = addition.severity;
            let before_us = alert.due_us;
            self.set_due(alert);
            if before_us > 0 {
                alert.due_us = alert.due_us.min(before_us);
            }
        }
        let linkage = std::sync::Arc::clone(&self.casework.linkage);
        let wanted =
            linkage.told_at_once(addition.kind, alert.severity, addition.level, self.clock_us);
        let mut said = reason.to_owned();
        if alert.suppressed_by.is_empty() {
            for level in wanted {
                if alert.told_us.get(level as usize - 1).is_some_and(|us| *us == 0) {
                    let telling = Telling { what: "raised", reason };
                    said = format!("{said}; told {}", self.tell_level(at, alert, level, telling));
                }
            }
        }
        let line = self.said(at, alert, actor, said);
        alert.note(line);
        alert.log_index = at.index;
    }

    /// Closes an open case as a duplicate of another open one. `merged` has not been kept yet.
    pub(crate) fn merge(
        &mut self,
        at: Position,
        merged: &mut Alert,
        into: &str,
        (actor, note): (Actor<'_>, &str),
    ) -> Result<(), Refusal> {
        if into == merged.alert_id {
            let said = "an alert cannot be merged into itself".to_owned();
            return Err(Refusal::Precondition(said));
        }
        let Some(mut target) = self.alerts.get(into).cloned() else {
            let said = format!("no alert {into:?} to merge into: name one with `into`");
            return Err(Refusal::NotFound(said));
        };
        if !target.is_open() {
            let said = format!("alert {into} is closed: merge into an open one");
            return Err(Refusal::Precondition(said));
        }
        let reason = format!("merge: {} is a duplicate of this; {note}", merged.alert_id);
        let addition = Addition {
            kind: &merged.kind.clone(),
            severity: merged.severity,
            level: 1,
            evidence: &merged.evidence.clone(),
        };
        let reason = reason.trim_end_matches([' ', ';']);
        self.absorb(at, &mut target, &addition, (actor, reason));
        self.keep_alert(target);
        self.close_as_duplicate(at, merged, into, (actor, note));
        Ok(())
    }

    /// `merged` has not been kept yet.
    fn close_as_duplicate(
        &mut self,
        at: Position,
        merged: &mut Alert,
        into: &str,
        (actor, note): (Actor<'_>, &str),
    ) {
        let from = merged.work;
        merged.work = Work::Closed;
        merged.closed_us = self.clock_us;
        merged.due_us = 0;
        merged.silent_until_us = 0;
        "duplicate".clone_into(&mut merged.closed_as);
        "duplicate".clone_into(&mut merged.outcome);
        into.clone_into(&mut merged.merged_into);
        let reason = format!("merge: into {into}; {note}");
        let reason = reason.trim_end_matches([' ', ';']).to_owned();
        let step =
            Transition { from: from.as_str().to_owned(), ..self.said(at, merged, actor, reason) };
        merged.note(step);
        self.withdraw_notices(at, &merged.alert_id, "merged");
    }

    /// The case of an outage is closed: what it explained and is over goes with it, what still fires
    /// is told now.
    pub(crate) fn settle_suppressed(&mut self, at: Position, parent_id: &str) {
        let explained: Vec<Alert> = self.alerts.explained_by(parent_id).cloned().collect();
        for mut alert in explained {
            if alert.condition == Condition::Cleared {
                let note = "over with the outage";
                self.close_as_duplicate(at, &mut alert, parent_id, (MACHINE, note));
                self.keep_alert(alert);
            } else {
                self.lift(at, &alert.alert_id, 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Action, CaseStep, Command};

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn raise(place: &str, parent: &str) -> Raise {
        Raise {
            kind: "offline".to_owned(),
            severity: Severity::Major,
            level: 1,
            dwelling: String::new(),
            resident: place.to_owned(),
            evidence: vec![format!("e-{place}")],
            event_us: 0,
            model: String::new(),
            version: String::new(),
            reason: "no heartbeat".to_owned(),
            devices: Vec::new(),
            suppressed_by: parent.to_owned(),
        }
    }

    #[test]
    fn what_an_outage_explains_tells_nobody_until_the_outage_is_over() {
        let mut state = State::new();
        let at = |index| Position { index, term: 1, time_us: NOW_US };
        state.apply(at(1), &[Command::Tick.encode()]).unwrap();
        let parent = state.raise(at(2), raise("building:b1", ""));
        let told = state.casework.outbox.len();
        let over = state.raise(at(2), raise("d1", &parent));
        let firing = state.raise(at(2), raise("d2", &parent));
        let late = state.raise(at(2), raise("d3", ""));
        assert_eq!(state.casework.outbox.len(), told + 1);
        state.suppress(at(3), &late, &parent);
        assert_eq!(state.casework.outbox.len(), told, "what was not sent yet is withdrawn");
        state.set_condition(at(3), &over, Condition::Cleared);
        state.correct(at(3), &firing, (Condition::Firing, NOW_US - 1), "a late heartbeat");
        let day = Position { time_us: NOW_US + 86_000_000_000, ..at(4) };
        state.apply(day, &[Command::Tick.encode()]).unwrap();
        for id in [&over, &firing, &late] {
            let alert = state.alerts.get(id).unwrap();
            assert_eq!((alert.due_us, alert.told.len() <= 1, alert.turn), (0, true, 1), "{id}");
        }
        let actions = [Action::Ack, Action::Dispatch, Action::Feedback, Action::Close];
        for (index, action) in (5..).zip(actions) {
            let step = CaseStep {
                outcome: "handled".to_owned(),
                ..CaseStep::new(&parent, action, "electrician")
            };
            let step = Command::StepCase(Box::new(step));
            let later = Position { time_us: NOW_US + 86_000_000_000, ..at(index) };
            state.apply(later, &[step.encode()]).unwrap();
        }
        let alert = |id: &str| state.alerts.get(id).unwrap();
        assert_eq!(alert(&parent).work, Work::Closed);
        assert_eq!(
            (alert(&over).work, alert(&over).merged_into.as_str()),
            (Work::Closed, parent.as_str())
        );
        for id in [&firing, &late] {
            assert_eq!((alert(id).suppressed_by.as_str(), alert(id).work), ("", Work::L1Notified));
            assert!(alert(id).due_us > state.clock_us);
        }
        let lines = &alert(&firing).history;
        let corrected = lines.iter().find(|line| line.reason.starts_with("corrected")).unwrap();
        assert_eq!((corrected.event_us, corrected.at_us), (NOW_US - 1, NOW_US));
    }
}
