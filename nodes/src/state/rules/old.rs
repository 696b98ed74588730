//! Rules as they stand in logs from before a set was text: by position, so their shape never changes.

use super::{AlertRule, Deadlines, Rules};
use crate::state::Severity;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldRules {
    version: u32,
    score_interval_s: u32,
    critical: Deadlines,
    major: Deadlines,
    minor: Deadlines,
    alerts: Vec<OldRule>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldRule {
    kind: String,
    alert: String,
    threshold: f64,
    count: u32,
    within_s: u32,
    severity: Severity,
    level: u32,
}

impl From<OldRules> for Rules {
    fn from(old: OldRules) -> Self {
        let rule = |rule: OldRule| {
            AlertRule::counting(
                (&rule.kind, &rule.alert),
                rule.threshold,
                (rule.count, rule.within_s),
                (rule.severity, rule.level),
            )
        };
        Self {
            version: old.version,
            score_interval_s: old.score_interval_s,
            critical: old.critical,
            major: old.major,
            minor: old.minor,
            alerts: old.alerts.into_iter().map(rule).collect(),
            ..Self::bare()
        }
    }
}
