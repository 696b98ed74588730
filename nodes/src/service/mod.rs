//! The gRPC services. Thin: they check, ask the node, and answer; `status` alone makes statuses.

mod alerts;
mod casework;
mod cluster;
mod convert;
mod deadline;
pub(crate) mod decisions;
mod events;
mod family_feed;
pub(crate) mod feast;
pub mod inference;
mod model_message;
mod models;
pub(crate) mod reading;
mod rules;
mod scores;
mod silences;
pub(crate) mod status;
mod views;

pub use alerts::AlertsService;
pub(crate) use alerts::act;
pub use cluster::ClusterService;
pub(crate) use cluster::{diverged_members, member_message, status as cluster_status};
pub use convert::alert_message;
pub(crate) use events::{Door, append_from};
pub use events::{EventsService, append};
pub use feast::FeastService;
pub use models::ModelsService;
pub(crate) use reading::reach_level;
pub use rules::RulesService;
pub use scores::ScoresService;
pub(crate) use silences::list as silences_of;
pub(crate) use status::from_raft;
pub use views::ViewsService;

/// How long a call waits for this node to apply what it proposed elsewhere.
const APPLY_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
