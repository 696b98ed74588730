//! The rule set: what raises an alert, replicated and versioned. docs/alerts.md names each default's
//! source.

mod check;
mod defaults;
mod old;
mod push;
mod set;

pub(crate) use check::READINGS_MAX;
pub use old::OldRules;
pub use push::{RuleHistory, RulePush, RuleVersion};
pub(crate) use set::PRESENCE;
pub use set::{
    AlertRule, BedExit, Deadlines, DeviceAlerts, DeviceClass, FlappingRule, Grade, HoursOfDay,
    InactivityRule, Maintenance, NightMeasure, NightRule, Outage, Part, Rules, TogetherRule, When,
};
