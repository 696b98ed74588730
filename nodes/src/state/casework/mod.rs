//! What people do about alerts: deadlines, rosters, who is told, and the notices on their way.

mod consent;
mod duty;
mod hazard_limit;
mod linkage;
mod merge;
mod moment;
mod notices;
mod outbox;
mod rosters;
mod silences;
mod silencing;
mod written;

pub(crate) use duty::Person;
pub use linkage::{Band, Delivering, Linkage, LinkageError, Policy, StepDeadlines};
pub use moment::{Minute, Moment};
pub use notices::Delivery;
pub(crate) use notices::Telling;
pub use outbox::{Notice, NoticeState, Outbox};
pub use rosters::{Absence, Roster, Rosters, Shift};
pub use silences::{PlaceSilence, PlaceSilences, Scope, SilenceMode, SilenceWanted};

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The part of the state that is about people at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Casework {
    pub linkage: Arc<Linkage>,
    pub rosters: Rosters,
    pub outbox: Outbox,
    pub silences: PlaceSilences,
}
