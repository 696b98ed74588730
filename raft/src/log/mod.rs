//! The durable log: entries, vote, and how far the log is committed and purged.

// Beside a simulated log the real one is only tested.
mod check;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod codec;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod damage;
mod pending;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod reader;
#[cfg_attr(feature = "sim", allow(dead_code))]
mod store;

#[cfg(feature = "sim")]
pub(crate) use crate::sim::{LogHold, LogStore};
pub(crate) use check::check;
pub(crate) use pending::Pending;
#[cfg(feature = "sim")]
pub(crate) use reader::from_start;
pub use store::LogFigures;
#[cfg(not(feature = "sim"))]
pub(crate) use store::{LogHold, LogStore};
