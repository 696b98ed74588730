//! The alert rules: thresholds, repetition and deadlines, replicated and versioned.
//!
//! The defaults are proposals, not norms: every one is configuration that a district decides.
//! Gas: the lower alarm point of 5 %LEL, three readings in 24 hours make a hidden hazard.
//! Smoke: two readings, so that one puff over a pan pages nobody. SOS, help and fall: at once.

use super::Severity;
use serde::{Deserialize, Serialize};

/// Seconds from one step to the next before the alert climbs a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    pub ack_s: u32,
    pub dispatch_s: u32,
    pub arrive_s: u32,
    pub feedback_s: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// The kind of event that is counted.
    pub kind: String,
    /// The kind of alert that is raised.
    pub alert: String,
    /// A reading counts from this value on, in the event's unit.
    pub threshold: f64,
    /// So many counting readings...
    pub count: u32,
    /// ...within so many seconds of event time make one alert.
    pub within_s: u32,
    pub severity: Severity,
    /// The level that is told first; 3 is the district centre and the emergency services.
    pub level: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub version: u32,
    /// A resident whose features moved is scored again after this time at the earliest.
    pub score_interval_s: u32,
    pub critical: Deadlines,
    pub major: Deadlines,
    pub minor: Deadlines,
    pub alerts: Vec<AlertRule>,
}

impl Rules {
    pub(crate) fn score_interval_us(&self) -> i64 {
        i64::from(self.score_interval_s) * 1_000_000
    }

    pub fn deadlines(&self, severity: Severity) -> Deadlines {
        match severity {
            Severity::Critical => self.critical,
            Severity::Major => self.major,
            Severity::Minor => self.minor,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        let rule =
            |kind: &str, alert: &str, threshold, count, within_s, severity, level| AlertRule {
                kind: kind.to_owned(),
                alert: alert.to_owned(),
                threshold,
                count,
                within_s,
                severity,
                level,
            };
        let critical = Severity::Critical;
        Self {
            version: 1,
            score_interval_s: 60,
            critical: Deadlines { ack_s: 60, dispatch_s: 180, arrive_s: 900, feedback_s: 3_600 },
            major: Deadlines { ack_s: 300, dispatch_s: 900, arrive_s: 1_800, feedback_s: 7_200 },
            minor: Deadlines {
                ack_s: 1_800,
                dispatch_s: 7_200,
                arrive_s: 14_400,
                feedback_s: 86_400,
            },
            alerts: vec![
                rule("gas", "gas_leak", 5.0, 3, 86_400, critical, 3),
                rule("co", "carbon_monoxide", 50.0, 3, 900, critical, 3),
                rule("smoke", "smoke", 1.0, 2, 300, critical, 3),
                rule("sos", "sos", 1.0, 1, 60, critical, 3),
                rule("help", "sos", 1.0, 1, 60, critical, 3),
                rule("fall", "fall", 1.0, 1, 60, Severity::Major, 1),
                rule("water", "water_leak", 2.0, 1, 60, Severity::Minor, 1),
            ],
        }
    }
}
