//! The words of the district: events, tables, windows and the features made from them.
//!
//! No IO, clock, async or threads in here, and nothing whose result depends on the order in which
//! events arrive, so replicas that applied the same log hold the same bits.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may stop at once"
    )
)]

pub mod aggregate;
mod ahead;
pub mod builtin;
mod bundle;
mod calendar;
mod cell_ref;
pub mod civil;
pub mod codec;
pub mod column;
mod demands;
pub mod entity;
pub mod event;
mod event_columns;
mod event_ref;
mod exact;
mod expression;
pub mod fixed;
mod interner;
mod key;
pub mod kind;
mod nearest;
mod packed;
mod paged;
pub mod part;
mod plan;
mod reading;
mod roster;
mod row_source;
pub mod series;
pub mod shorthand;
mod statistic;
pub mod store;
pub mod summary;
pub mod table;
mod topic;
mod varint;
pub mod vector;
pub mod view;
mod view_error;
mod view_text;
pub mod window;
mod zones;

pub use aggregate::Aggregate;
pub use cell_ref::{CellRef, Cells};
pub use codec::{CodecError, FrozenStore};
pub use column::{ColumnPath, Transform};
pub use entity::EntityKind;
pub use event::{Event, EventError, Quality, effective_time_us};
pub use event_columns::{EventColumns, EventRow, Texts};
pub use event_ref::EventRef;
pub use expression::{Expression, ExpressionError, Operation, Step};
pub use key::{Key, hash_of};
pub use kind::{Kind, UnknownKind};
pub use paged::Paged;
pub use part::Part;
pub use reading::Asked;
pub use row_source::RowSource;
pub use series::{Landing, Series};
pub use shorthand::{Shorthand, Vocabulary};
pub use store::Store;
pub use summary::{Reading, Summary, Tile};
pub use topic::Topic;
pub use vector::{FeatureRows, FeatureVector, Status};
pub use view::{FeatureDef, FeatureView, RequestValue, Source, ViewError};
pub use window::Window;
