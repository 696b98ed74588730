//! Deadlines that pass: the alert climbs a level, once for each deadline, at the log's own time.

use super::act_on_alert::due_us;
use super::{State, Transition};
use raft::Position;

/// The highest level there is to climb to.
const LEVEL_MAX: u32 = 3;
/// Once the highest level was told, it is reminded this often.
const REMINDER_US: i64 = 3_600_000_000;

impl State {
    /// Fires every timer that is due at the log's clock; called before each entry's commands.
    pub(crate) fn fire_timers(&mut self, at: Position) {
        let now_us = self.clock_us;
        while let Some(overdue) = self.alerts.overdue(now_us) {
            let mut alert = overdue.clone();
            let missed_us = alert.due_us;
            alert.level = (alert.level + 1).min(LEVEL_MAX);
            if let Some(told) = alert.told_us.get_mut(alert.level as usize - 1)
                && *told == 0
            {
                *told = now_us;
            }
            let next_us = due_us(&self.rules, &alert, alert.work, now_us);
            alert.due_us =
                if alert.level == LEVEL_MAX { next_us.max(now_us + REMINDER_US) } else { next_us };
            alert.note(Transition {
                from: alert.work.as_str().to_owned(),
                to: alert.work.as_str().to_owned(),
                actor: "hearth".to_owned(),
                at_us: now_us,
                reason: format!("the deadline of {missed_us} us passed: level {}", alert.level),
                log_index: at.index,
            });
            self.keep_alert(alert);
        }
    }
}
