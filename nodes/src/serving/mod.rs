//! Models that are in memory, the rows they read, and the scores that come out.

mod archive;
mod error;
mod follow;
mod loaded;
mod models;
mod scored;

pub use archive::Replayed;
pub(crate) use archive::version_of;
pub use error::ServingError;
pub(crate) use follow::follow_registry;
pub use loaded::{Loaded, Runs};
pub use models::Serving;
pub use scored::{Row, Scored};
