//! Models that are in memory, the rows they read, and the scores that come out.

mod error;
mod follow;
mod loaded;
mod models;
mod route;
mod scored;
mod shadow;

pub use error::ServingError;
pub(crate) use follow::follow_registry;
pub use loaded::{Loaded, Runs};
pub use models::Serving;
pub use route::Routed;
pub use scored::{Row, Scored};
pub(crate) use shadow::{Answered, compare_shadows, tell_shadows};
pub use shadow::Shadows;
