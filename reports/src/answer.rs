//! What came back for a report's SQL, in words that no database owns.

/// What a column of an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Real,
    Text,
    /// UTC, microseconds since 1970.
    Time,
    /// Days since 1970-01-01.
    Date,
    List,
}

/// One cell, and one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    Time(i64),
    Date(i32),
    List(Vec<Value>),
}

impl Value {
    /// The cell as a finite number, where it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Real(value) => value.is_finite().then_some(*value),
            _ => None,
        }
    }
}

/// The rows of one report, and the state of the log that they show.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub columns: Vec<(String, Kind)>,
    pub rows: Vec<Vec<Value>>,
    pub log_index: u64,
    /// When it was asked: UTC, microseconds since 1970.
    pub asked_us: i64,
}
