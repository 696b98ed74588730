//! The durable log: entries, vote, and how far the log is committed and purged.

mod codec;
mod damage;
mod reader;
mod store;

pub use store::LogFigures;
pub(crate) use store::{LogHold, LogStore};
