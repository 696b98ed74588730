//! Department feeds: what each may write, how far it has come, and which row of two is the newer one.

mod ingest_rows;
mod seen;
mod spec;
mod status;
mod tombstones;
mod version;

pub(crate) use ingest_rows::NO_WAY_BACK;
pub use ingest_rows::{Fed, FeedRow};
pub use seen::Seen;
pub use spec::FeedSpec;
pub use status::{Feed, FeedStatus, Feeds};
pub use tombstones::Tombstones;
pub(crate) use version::{Merged, Stamp, Version, Write, is_taken_back, merge, sign, stands};
