//! The durable log: entries, vote, and how far the log is committed and purged.

mod codec;
mod damage;
mod pending;
mod reader;
mod store;

pub(crate) use pending::Pending;
pub use store::LogFigures;
pub(crate) use store::{LogHold, LogStore};
