//! The ledger outside the state: read from the warehouse, checked, and written to files that can be
//! checked without a cluster.

mod apart;
mod check;
mod file;
mod parquet;
mod stored;
mod walk;

pub use check::{Checked, Checker};
pub use file::{ExportFile, FileError, Header, read as read_file};
pub(crate) use stored::{decision_before, entries_of, score_before};
pub(crate) use walk::{head, walk};
