//! Cases: an alert raised, seen again, cleared; and its row and its history for the warehouse.

use super::act_on_alert::due_us;
use super::alert::EVIDENCE_MAX;
use super::{Alert, Condition, Homes, Severity, State, Transition, Work};
use features::civil;
use features::table::Cell;
use raft::Position;

/// What asks for a case.
#[derive(Clone, Debug)]
pub(crate) struct Raise {
    /// The kind of alert.
    pub(crate) kind: String,
    pub(crate) severity: Severity,
    /// A level that is told at once.
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
    /// The case of an outage that explains this one: then nobody is told.
    pub(crate) suppressed_by: String,
}

impl State {
    /// Makes a case, or adds to the one that is open for the same hazard at the same place. Gives its id.
    pub(crate) fn raise(&mut self, at: Position, raise: Raise) -> String {
        let place = if raise.dwelling.is_empty() { &raise.resident } else { &raise.dwelling };
        if let Some(open) = self.alerts.open_at(&raise.kind, place) {
            let mut alert = Alert::clone(open);
            let id = alert.alert_id.clone();
            alert.condition = Condition::Firing;
            alert.severity = alert.severity.min(raise.severity);
            alert.level = alert.level.max(raise.level);
            alert.evidence.extend(raise.evidence);
            alert.evidence.truncate(EVIDENCE_MAX);
            self.remark(at, alert, raise.reason);
            return id;
        }
        let mut evidence = raise.evidence;
        evidence.truncate(EVIDENCE_MAX);
        let residents = self.homes.residents_of_dwelling(&raise.dwelling);
        let resident = match raise.resident.as_str() {
            "" => residents.first().cloned().unwrap_or_default(),
            resident => resident.to_owned(),
        };
        let now_us = self.clock_us;
        let level = raise.level.clamp(1, 3);
        let mut told_us = [0; 3];
        told_us[0] = now_us;
        // The centre is told beside the family, not after it.
        told_us[level as usize - 1] = now_us;
        self.alerts_total += 1;
        let mut alert = Alert {
            // The index of the entry and a running number: the same on every node, in order of raising.
            alert_id: format!("a{:012}-{}", at.index, self.alerts_total),
            kind: raise.kind,
            severity: raise.severity,
            region: Homes::region_of(&self.rows, &raise.dwelling).unwrap_or_default(),
            dwelling_id: raise.dwelling,
            resident_key: resident,
            condition: Condition::Firing,
            work: Work::L1Notified,
            level,
            raised_us: now_us,
            due_us: 0,
            closed_us: 0,
            told_us,
            evidence,
            model: raise.model,
            version: raise.version,
            decision_id: String::new(),
            outcome: String::new(),
            log_index: at.index,
            transitions: 0,
            history: Vec::new(),
            action_ids: Vec::new(),
        };
        alert.due_us = due_us(&self.rules, &alert, alert.work, now_us);
        let reason = format!("{}: level {level} told", raise.reason);
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
        let id = alert.alert_id.clone();
        self.keep_alert(alert);
        id
    }

    /// A further reading of what an open case is about. No step: nobody is told again.
    pub(crate) fn seen_again(&mut self, at: Position, alert_id: &str, event_id: &str) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        alert.condition = Condition::Firing;
        if alert.evidence.len() < EVIDENCE_MAX {
            alert.evidence.push(event_id.to_owned());
        }
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
    pub(crate) fn correct(
        &mut self,
        at: Position,
        alert_id: &str,
        (condition, _event_us): (Condition, i64),
        why: &str,
    ) {
        let Some(mut alert) = self.alerts.get(alert_id).cloned() else { return };
        alert.condition = condition;
        self.remark(at, alert, format!("corrected: {why}"));
    }

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
