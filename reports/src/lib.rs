#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "a test may fail loudly"
    )
)]

mod answer;
mod binding;
mod calendar;
mod catalogue;
mod chart;
mod csv;
mod error;
mod html;
mod markdown;
mod rendered;
mod report;
mod source;
mod svg;
mod words;
mod xlsx;

pub use answer::{Answer, Kind, Value};
pub use binding::Binding;
pub use catalogue::{catalogue, find};
pub use error::Error;
pub use rendered::{Output, ROWS_MAX, Rendered};
pub use report::{Chart, ChartKind, Column, Format, Parameter, ParameterKind, Report};
pub use words::{Language, Words};
