//! Cases: an alert raised, seen again, cleared; and its row and its history for the warehouse.

use super::act_on_alert::due_us;
use super::alert::EVIDENCE_MAX;
use super::{Alert, AlertRule, Condition, Homes, State, Transition, Work};
use features::civil;
use features::table::Cell;
use raft::Position;

impl State {
    pub(super) fn raise(
        &mut self,
        at: Position,
        rule: &AlertRule,
        place: &str,
        dwelling: Option<&str>,
        mut evidence: Vec<String>,
    ) {
        evidence.truncate(EVIDENCE_MAX);
        let resident = self.homes.residents_of_dwelling(place).first().cloned().unwrap_or_default();
        let now_us = self.clock_us;
        let level = rule.level.clamp(1, 3);
        let mut told_us = [0; 3];
        told_us[0] = now_us;
        // The centre is told beside the family, not after it.
        told_us[level as usize - 1] = now_us;
        self.alerts_total += 1;
        let mut alert = Alert {
            // The index of the entry and a running number: the same on every node, in order of raising.
            alert_id: format!("a{:012}-{}", at.index, self.alerts_total),
            kind: rule.alert.clone(),
            severity: rule.severity,
            dwelling_id: dwelling.unwrap_or_default().to_owned(),
            resident_key: if dwelling.is_some() { resident } else { place.to_owned() },
            region: Homes::region_of(&self.rows, place).unwrap_or_default(),
            condition: Condition::Firing,
            work: Work::L1Notified,
            level,
            raised_us: now_us,
            due_us: 0,
            closed_us: 0,
            told_us,
            evidence,
            model: String::new(),
            version: String::new(),
            decision_id: String::new(),
            outcome: String::new(),
            log_index: at.index,
            transitions: 0,
            history: Vec::new(),
            action_ids: Vec::new(),
        };
        alert.due_us = due_us(&self.rules, &alert, alert.work, now_us);
        let reason = format!(
            "{} readings of {} at or over {} within {} s: level {level} told",
            rule.count, rule.kind, rule.threshold, rule.within_s
        );
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

    /// A reading under the threshold: the condition is over, the case is not.
    pub(super) fn clear(&mut self, at: Position, mut alert: Alert) {
        alert.condition = Condition::Cleared;
        alert.log_index = at.index;
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
