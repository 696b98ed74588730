//! An alert's row and its history for the warehouse.

use super::{Alert, State};
use features::civil;
use features::table::Cell;

impl State {
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
                    text(&transition.actor_role),
                    Cell::Time(transition.event_us),
                ],
            );
        }
        self.upsert_current("alert", alert.to_row());
        self.alerts.put(alert);
    }
}

fn time(us: i64) -> Cell {
    if us == 0 { Cell::Null } else { Cell::Time(us) }
}

fn text(value: &str) -> Cell {
    if value.is_empty() { Cell::Null } else { Cell::text(value) }
}

impl Alert {
    /// The row of the table `alert`.
    pub(crate) fn to_row(&self) -> Vec<Cell> {
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
            Cell::Int(i64::from(self.turn)),
            Cell::Time(self.event_us),
            Cell::Time(self.opened_us),
            time(self.steps.ack_us),
            time(self.steps.dispatch_us),
            time(self.steps.arrive_us),
            time(self.steps.feedback_us),
            time(self.steps.verify_us),
            Cell::Texts(self.missed.clone()),
            Cell::Int(i64::from(self.escalations)),
            Cell::Int(i64::from(self.reopened)),
            text(&self.assignee),
            text(&self.closed_as),
            text(&self.reference),
            text(&self.merged_into),
            text(&self.suppressed_by),
            time(self.silent_until_us),
        ];
        debug_assert!(civil::table("alert").is_some_and(|table| table.check(&row).is_ok()));
        row
    }
}
