//! Cases: an alert raised, seen again, cleared; and its row and its history for the warehouse.

use super::act_on_alert::due_us;
use super::alert::EVIDENCE_MAX;
use super::conditions::Finding;
use super::{Alert, Condition, State, Transition, Work};
use features::civil;
use features::table::Cell;
use raft::Position;

/// What stands as the model of an alert that a rule raised; its version is that of the rules.
const RULES: &str = "rules";

impl State {
    /// Opens a case for a finding, or adds it to the one that is open for its kind and place.
    pub(super) fn raise(&mut self, at: Position, mut finding: Finding) {
        finding.evidence.truncate(EVIDENCE_MAX);
        finding.level = finding.level.clamp(1, 3);
        if let Some(open) = self.alerts.open_at(&finding.kind, &finding.place) {
            let open = Alert::clone(open);
            return self.join(at, open, &finding);
        }
        let dwelling = finding.dwelling.unwrap_or_default();
        let resident = self.homes.residents_of_dwelling(&dwelling).first().cloned();
        let (now_us, level) = (self.clock_us, finding.level);
        let mut told_us = [0; 3];
        told_us[0] = now_us;
        // The centre is told beside the family, not after it.
        told_us[level as usize - 1] = now_us;
        self.alerts_total += 1;
        let mut alert = Alert {
            // The index of the entry and a running number: the same on every node, in order of raising.
            alert_id: format!("a{:012}-{}", at.index, self.alerts_total),
            kind: finding.kind,
            severity: finding.severity,
            resident_key: if dwelling.is_empty() {
                finding.place.clone()
            } else {
                resident.unwrap_or_default()
            },
            dwelling_id: dwelling,
            place: finding.place,
            region: finding.region,
            condition: Condition::Firing,
            work: Work::L1Notified,
            level,
            raised_us: now_us,
            due_us: 0,
            closed_us: 0,
            told_us,
            evidence: finding.evidence,
            model: RULES.to_owned(),
            version: finding.rules_version.to_string(),
            decision_id: String::new(),
            outcome: String::new(),
            log_index: at.index,
            transitions: 0,
            history: Vec::new(),
            action_ids: Vec::new(),
        };
        alert.due_us = due_us(&self.rules, &alert, alert.work, now_us);
        let reason = format!("{}: level {level} told", finding.reason);
        for (from, to, reason) in [
            ("", Work::New, reason),
            ("new", Work::L1Notified, "family or neighbour told".to_owned()),
        ] {
            alert.note(Transition {
                from: from.to_owned(),
                to: to.as_str().to_owned(),
                actor: "hearth".to_owned(),
                at_us: now_us,
                reason,
                log_index: at.index,
            });
        }
        self.keep_alert(alert);
    }

    /// A finding where a case is open: more evidence, and a worse one raises severity and level.
    fn join(&mut self, at: Position, mut alert: Alert, finding: &Finding) {
        alert.condition = Condition::Firing;
        for id in &finding.evidence {
            if alert.evidence.len() < EVIDENCE_MAX && !alert.evidence.contains(id) {
                alert.evidence.push(id.clone());
            }
        }
        alert.log_index = at.index;
        if finding.severity < alert.severity || finding.level > alert.level {
            alert.severity = alert.severity.min(finding.severity);
            alert.level = alert.level.max(finding.level);
            if let Some(told) = alert.told_us.get_mut(alert.level as usize - 1)
                && *told == 0
            {
                *told = self.clock_us;
            }
            if alert.due_us > 0 {
                let due_us = due_us(&self.rules, &alert, alert.work, self.clock_us);
                alert.due_us = alert.due_us.min(due_us);
            }
            let reason = format!("{}: level {} told", finding.reason, alert.level);
            self.remark(at, alert, reason);
        } else {
            self.keep_alert(alert);
        }
    }

    /// One more event that an open case rests on. False where no case is open.
    pub(super) fn seen_again(&mut self, at: Position, kind: &str, place: &str, id: &str) -> bool {
        let Some(open) = self.alerts.open_at(kind, place) else { return false };
        let mut alert = Alert::clone(open);
        alert.condition = Condition::Firing;
        if alert.evidence.len() < EVIDENCE_MAX && !alert.evidence.iter().any(|each| each == id) {
            alert.evidence.push(id.to_owned());
        }
        alert.log_index = at.index;
        self.keep_alert(alert);
        true
    }

    /// The condition is over, the case is not.
    pub(super) fn clear(&mut self, at: Position, kind: &str, place: &str) {
        let Some(open) = self.alerts.open_at(kind, place) else { return };
        if open.condition == Condition::Cleared {
            return;
        }
        let mut alert = Alert::clone(open);
        alert.condition = Condition::Cleared;
        alert.log_index = at.index;
        self.keep_alert(alert);
    }

    /// What came later shows that the finding was wrong: cleared, with a line that says by which event.
    pub(super) fn correct(&mut self, at: Position, kind: &str, place: &str, reason: String) {
        let Some(open) = self.alerts.open_at(kind, place) else { return };
        let mut alert = Alert::clone(open);
        alert.condition = Condition::Cleared;
        self.remark(at, alert, reason);
    }

    /// Keeps an alert with a line in its history that is no step of work.
    fn remark(&mut self, at: Position, mut alert: Alert, reason: String) {
        let work = alert.work.as_str().to_owned();
        alert.note(Transition {
            from: work.clone(),
            to: work,
            actor: "hearth".to_owned(),
            at_us: self.clock_us,
            reason,
            log_index: at.index,
        });
        self.keep_alert(alert);
    }

    /// Keeps an alert and writes its row and its new transitions down.
    pub(crate) fn keep_alert(&mut self, alert: Alert) {
        let written = self.alerts.get(&alert.alert_id).map_or(0, |old| old.transitions);
        let fresh = (alert.transitions - written) as usize;
        for (at, transition) in
            alert.history.iter().enumerate().skip(alert.history.len().saturating_sub(fresh))
        {
            let seq = alert.transitions as usize - alert.history.len() + at + 1;
            self.append(
                "alert_history",
                vec![
                    Cell::text(&alert.alert_id),
                    Cell::Int(seq as i64),
                    Cell::text(&transition.from),
                    Cell::text(&transition.to),
                    Cell::text(&transition.actor),
                    Cell::Time(transition.at_us),
                    Cell::text(&transition.reason),
                    Cell::Int(transition.log_index as i64),
                ],
            );
        }
        self.upsert_current("alert", alert.to_row());
        self.alerts.put(alert);
    }
}

impl Alert {
    /// The row of the table `alert`.
    pub(crate) fn to_row(&self) -> Vec<Cell> {
        let time = |us: i64| if us == 0 { Cell::Null } else { Cell::Time(us) };
        let text = |value: &str| if value.is_empty() { Cell::Null } else { Cell::text(value) };
        let row = vec![
            Cell::text(&self.alert_id),
            text(&self.dwelling_id),
            text(&self.resident_key),
            text(&self.region),
            Cell::text(&self.kind),
            Cell::text(self.severity.as_str()),
            Cell::Int(i64::from(self.level)),
            Cell::Time(self.raised_us),
            Cell::Texts(self.evidence.clone()),
            text(&self.model),
            text(&self.version),
            Cell::text(self.condition.as_str()),
            Cell::text(self.work.as_str()),
            time(self.told_us[0]),
            time(self.told_us[1]),
            time(self.told_us[2]),
            time(self.due_us),
            time(self.closed_us),
            text(&self.outcome),
            text(&self.decision_id),
            Cell::Int(self.log_index as i64),
        ];
        debug_assert!(civil::table("alert").is_some_and(|table| table.check(&row).is_ok()));
        row
    }
}
