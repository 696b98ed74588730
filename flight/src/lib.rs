#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may stop at once"
    )
)]

mod cast;
mod client;
mod error;
mod event_batch;
mod history;
mod live;
mod online;
mod point_in_time;
mod portrait;
mod rows;
mod server;
mod warehouse;

pub use client::{Answered, Client};
pub use error::Error;
pub use history::export_history;
pub use live::{
    CalibrationRow, DriftRow, FeatureRow, FeedRow, GroupRow, Indicator, LastEvent, Live, NodeRow,
    Portrait,
};
pub use online::{
    CLOCK_KEY, Online, OnlineRow, VIEW_KEY, online_batch, online_rows, online_schema, status_code,
};
pub use point_in_time::{Give, Question, features_sql};
pub use portrait::{portrait_batch, portrait_schema};
pub use rows::{batch_to_rows, nearest, rows_to_batch, table_schema};
pub use server::{
    CONNECTION_WINDOW_BYTES, Front, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES, incoming,
    server_builder, service,
};
pub use warehouse::{
    Answer, Checked, Described, ParquetWriter, Reader, Recording, Relation, Scratch, Settings,
    WAREHOUSE_FILE, Warehouse, read_parquet, read_parquet_batches, write_batches, write_parquet,
};

/// The key of every result's schema metadata that says which log index was read.
pub const LOG_INDEX_KEY: &str = "hearth.log_index";
/// The header by which a caller demands that an index has been recorded before the answer.
pub const MIN_LOG_INDEX_HEADER: &str = "hearth-min-log-index";
/// The header that says how fresh a read has to be: `linearizable`, `local`, `index=N`, `within=2s`.
pub const READ_HEADER: &str = "hearth-read";
/// The catalog that analysts see.
pub const CATALOG: &str = "hearth";
/// The schema that analysts see.
pub const SCHEMA: &str = "civil";
