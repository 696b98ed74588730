//! Models that are in memory, the rows they read, and the scores that come out.

mod archive;
mod error;
mod exposition;
mod follow;
mod loaded;
mod models;
mod route;
mod row_rules;
mod rows;
mod runs;
mod scored;
mod sent;
mod shadow;
mod sweep;

pub use archive::Replayed;
pub(crate) use archive::{replay, version_of};
pub use error::ServingError;
pub(crate) use exposition::expose;
pub(crate) use follow::follow_registry;
pub use loaded::Loaded;
pub use models::Serving;
pub use route::Routed;
pub use row_rules::{RowFound, RowRules};
pub(crate) use rows::look_ahead;
pub use rows::{Gaps, Rows};
pub use runs::{Counted, Moments, Runs, Tally};
pub(crate) use scored::contribution;
pub use scored::{Row, Scored, feature_hash};
pub(crate) use sent::Column as SentColumn;
pub use sent::Sent;
pub use shadow::Shadows;
pub(crate) use shadow::{Asked, Beside, compare_shadows, tell_shadows};
pub(crate) use sweep::sweep_packages;
