//! The replicated state: a function of the log and of nothing else.
//!
//! `apply` is one exhaustive match; each command has its own file. What a command changes in tables
//! leaves as [`Change`]s, which the recorder writes to the warehouse.

mod act_on_alert;
mod alert;
mod alert_rows;
mod apply;
mod by_slot;
mod cases;
mod casework;
mod checks;
mod command;
mod conditions;
pub mod dead_letters;
mod dedup;
pub mod feature_views;
pub mod feeds;
pub(crate) mod ingest_bytes;
mod ingest_events;
pub mod ledger;
mod lookahead;
mod model_changes;
mod model_rows;
mod newest_scores;
mod once;
mod parts;
mod places;
mod recent;
mod record_scores;
mod register_history;
mod registers;
pub(crate) mod rules;
mod snapshot;
mod suppressed;
mod timers;
mod upsert_rows;
pub mod watched;

pub use act_on_alert::{Action, CaseStep, possible};
pub use alert::{Alert, Alerts, Condition, Severity, StepTimes, Told, Transition, Work};
pub use apply::{Change, State};
pub(crate) use cases::RULES;
pub use casework::{
    Absence, Band, Casework, Delivering, Delivery, Linkage, LinkageError, Minute, Moment, Notice,
    NoticeState, Outbox, PlaceSilence, PlaceSilences, Policy, Roster, Rosters, Scope, Shift,
    SilenceMode, SilenceWanted, StepDeadlines,
};
pub use checks::{Checks, Digest, Divergence};
pub use command::{Command, Refusal, Reply};
pub use conditions::{Comparison, Conditions, Found, Trial};
pub use dead_letters::{DeadLetter, DeadLetters};
pub use dedup::Dedup;
pub use feature_views::{KnownView, ViewRecord, Views};
pub use feeds::{Fed, FeedRow, FeedSpec, Feeds, Tombstones};
pub use ledger::{DecisionRecord, Entry, Ledger, ObservedRecord, ReviewRecord, Written};
pub use model_changes::{ModelAction, ModelPush, ModelRecord, ModelReport, ModelStep};
pub use newest_scores::NewestScore;
pub use once::Once;
pub(crate) use places::Places;
pub use recent::Recent;
pub use record_scores::{ScoreAlert, ScoreRecord, Scores};
pub use registers::{FrozenRows, Homes, Rows};
pub use rules::{
    AlertRule, BedExit, Deadlines, DeviceAlerts, DeviceClass, FlappingRule, Grade, HoursOfDay,
    InactivityRule, Maintenance, NightMeasure, NightRule, OldRules, Outage, Part, RuleHistory,
    RulePush, RuleVersion, Rules, TogetherRule, When,
};
pub use snapshot::FrozenState;
pub use timers::awaited;
pub use watched::{WatchDelta, Watched};
