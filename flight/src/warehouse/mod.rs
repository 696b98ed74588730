//! The warehouse: a DuckDB file that is a function of the log. Nothing outside this folder names
//! DuckDB.
//!
//! One writer records what the log says, each batch and the index it reaches in one transaction.
//! Readers are pooled, read-only and bounded in memory, threads, number and time.

mod feed_source;
mod guard;
mod held;
mod hold;

mod layout;
pub(crate) mod lexer;
mod live_lists;
mod live_sources;
mod live_tables;
mod open;
mod parquet;
mod pool;
mod query;
mod reader;
mod record;
mod scratch;
mod watch_sources;

pub use guard::Checked;
pub(crate) use guard::SQL_BYTES_MAX;
pub use layout::Relation;
pub(crate) use live_lists::{List, hold};
pub use open::{Settings, WAREHOUSE_FILE, Warehouse};
pub use parquet::{
    ParquetWriter, read_parquet, read_parquet_batches, write_batches, write_parquet,
};
pub use query::Answer;
pub use reader::{Described, Reader};
pub use record::Recording;
pub use scratch::Scratch;
