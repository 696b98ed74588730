//! Why a view is refused: one line that says what to write instead.

use crate::aggregate::{Aggregate, UnknownAggregate};
use crate::column::PathError;
use crate::entity::{EntityKind, UnknownEntity};
use crate::expression::ExpressionError;
use crate::kind::UnknownKind;
use crate::view::{FEATURES_MAX, NAME_BYTES_MAX, REQUEST_VALUES_MAX, VIEW_TEXT_BYTES_MAX};
use crate::window::{UnknownWindow, Window};

/// Why a view was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ViewError {
    #[error("the text of the view is no TOML of a view: {0}")]
    Text(String),
    #[error("the text of the view has {got} bytes: it may have {VIEW_TEXT_BYTES_MAX}")]
    Long { got: usize },
    #[error(
        "{0:?} is no name: begin with a-z, go on with a-z, 0-9 and _, at most {NAME_BYTES_MAX} bytes"
    )]
    Name(String),
    #[error("view {view}: {got} features: it may have 1 to {FEATURES_MAX}")]
    Count { view: String, got: usize },
    #[error("version 0 stands for no view: versions begin at 1")]
    Version,
    #[error("utc_offset_h is {0}: give whole hours from -12 to 14")]
    Offset(i8),
    #[error(
        "request value {0:?} is named twice, or its default is no finite number: give each once"
    )]
    Request(String),
    #[error("{0} request values: a view may have {REQUEST_VALUES_MAX}")]
    Requests(usize),
    #[error(transparent)]
    Entity(#[from] UnknownEntity),
    #[error("feature {feature}: {why}")]
    Feature { feature: String, why: FeatureError },
}

/// What is wrong with one feature.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FeatureError {
    #[error("the name is taken by an earlier feature of the view: choose another")]
    Twice,
    #[error("it needs either kind and aggregate, or column and transform, or expression")]
    Source,
    #[error("aggregate {0} needs a window: 5m, 15m, 1h, 6h, 1d, 7d, 28d, 90d or 365d")]
    NoWindow(Aggregate),
    #[error(
        "aggregate {0} is not for a window of {1}: hour_share takes 1d or more, hour_mean and hour_z take 7d, 28d or 90d"
    )]
    WindowOf(Aggregate, Window),
    #[error("hour_share needs hour = 0 to 23, in the view's time; no other aggregate has an hour")]
    Hour,
    #[error("a {0} has no readings of its own: windows are for device, dwelling and resident")]
    NoReadings(EntityKind),
    #[error("default is not a finite number: give one")]
    Default,
    #[error("ttl_us is {0}: give a positive number of microseconds, or leave it out")]
    Ttl(i64),
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error(transparent)]
    Aggregate(#[from] UnknownAggregate),
    #[error(transparent)]
    Window(#[from] UnknownWindow),
    #[error(transparent)]
    Column(#[from] PathError),
    #[error(transparent)]
    Expression(#[from] ExpressionError),
}
