//! Replicates opaque commands between processes.
//!
//! A command is acknowledged when a majority has it on disk and this group's state machine has
//! applied it. The owner of the state implements [`StateMachine`]; everything else goes through
//! [`Raft`].

mod adapter;
mod background;
mod batch;
mod blob;
mod blocking;
mod change;
mod clock;
mod clock_poll;
mod compaction;
mod config;
mod durable;
mod error;
mod forward;
mod founding;
mod handle;
mod handover;
mod identity;
mod inspect;
mod log;
mod machine;
mod member;
mod peer;
mod propose;
mod queue;
mod read;
mod running;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
mod space;
mod status;
#[cfg(test)]
mod suite;
mod types;
mod wall;
mod watch;

pub use background::{give_way, in_background};
pub use blob::BlobId;
pub use config::{BLOB_MAX_BYTES, COMMAND_MAX_BYTES, Config, MESSAGE_MAX_BYTES};
pub use error::Error;
pub use founding::{Origin, found};
pub use handle::{Applied, Raft};
pub use identity::{place_aside, resolve_id, start_over};
pub use inspect::{Inspected, inspect};
pub use log::LogFigures;
pub use machine::{Frozen, Position, StateMachine};
pub use member::{Member, MemberStatus, Role, Status};
pub use read::ReadLevel;
pub use snapshot::StateFile;
