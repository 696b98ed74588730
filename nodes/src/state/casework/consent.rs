//! A consent that is withdrawn holds at once: also for what was on its way already.

use crate::state::{Alert, State};
use raft::Position;

/// What people are to a case without anybody's consent.
const OFFICIAL: [&str; 5] = ["volunteer", "grid_worker", "centre", "fallback", "assignee"];

impl State {
    /// Whether a person may hear of a case as what they are to it.
    pub(crate) fn may_hear(&self, alert: &Alert, person: &str, role: &str) -> bool {
        if OFFICIAL.contains(&role) {
            return true;
        }
        let residents = self.homes().residents_of_dwelling(&alert.dwelling_id);
        let consenting = self.rows.residents_of_relative(person);
        consenting
            .iter()
            .any(|each| residents.contains(&each.as_str()) || *each == alert.resident_key)
    }

    /// Takes notices back that wait for those whose consent the entry's rows do not give.
    pub(crate) fn settle_consents(&mut self, at: Position) {
        let people = std::mem::take(&mut self.withdrawn_consents);
        if people.is_empty() {
            return;
        }
        let of_people = self.casework.outbox.of_people(&people);
        let may_not = of_people.filter(|notice| {
            let alert = self.alerts.get(&notice.alert_id);
            alert.is_some_and(|alert| !self.may_hear(alert, &notice.person, &notice.role))
        });
        let ids: Vec<String> = may_not.map(|notice| notice.notice_id.clone()).collect();
        for id in ids {
            self.withdraw_notice(at, &id, "consent was withdrawn");
        }
    }
}
