//! The numbers of one view about one entity, and where each came from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whether a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Present,
    /// The entity is known, this value of it is not: the default stands in.
    Default,
    /// Found, but older than the feature allows.
    Stale,
    /// The entity itself is unknown.
    NotFound,
    /// Its window begins before its readings were kept, since a view asked for them later: the value
    /// is of those that were, or the default where there was none.
    Partial,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Default => "default",
            Self::Stale => "stale",
            Self::NotFound => "not_found",
            Self::Partial => "partial",
        }
    }
}

/// One row of a view. The lists have one entry a feature, in the order of `names`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureVector {
    pub view: Arc<str>,
    pub fingerprint: Arc<str>,
    pub names: Arc<[String]>,
    pub values: Vec<f32>,
    pub statuses: Vec<Status>,
    /// When the newest thing that the value was made of happened; 0 where that is not known.
    pub event_times_us: Vec<i64>,
    /// The time that the windows and ages were read at.
    pub as_of_us: i64,
}

/// Rows of one view, one behind the other, as a model reads them; of each value where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureRows {
    pub values: Vec<f32>,
    pub statuses: Vec<Status>,
    /// As in [`FeatureVector`].
    pub event_times_us: Vec<i64>,
}

impl FeatureRows {
    /// Room for so many values.
    pub fn with_capacity(values: usize) -> Self {
        Self {
            values: Vec::with_capacity(values),
            statuses: Vec::with_capacity(values),
            event_times_us: Vec::with_capacity(values),
        }
    }

    /// Puts other values behind those that are there.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        self.statuses.extend_from_slice(&other.statuses);
        self.event_times_us.extend_from_slice(&other.event_times_us);
    }

    /// Leaves so many values and drops those behind them.
    pub fn truncate(&mut self, values: usize) {
        self.values.truncate(values);
        self.statuses.truncate(values);
        self.event_times_us.truncate(values);
    }
}

impl FeatureVector {
    /// The event time of the oldest value that was found; nothing where none has a time.
    pub fn oldest_us(&self) -> Option<i64> {
        let found = self.statuses.iter().zip(&self.event_times_us).filter(|(status, at_us)| {
            matches!(status, Status::Present | Status::Stale | Status::Partial) && **at_us != 0
        });
        found.map(|(_, at_us)| *at_us).min()
    }

    /// The names of the features that a default stands in for.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let absent = |status: &Status| matches!(status, Status::Default | Status::NotFound);
        self.names
            .iter()
            .zip(&self.statuses)
            .filter(move |(_, status)| absent(status))
            .map(|(name, _)| name.as_str())
    }

    /// The names of the features whose value is older than it may be, or of too few readings.
    pub fn stale(&self) -> impl Iterator<Item = &str> {
        let stale = self.names.iter().zip(&self.statuses);
        stale
            .filter(|(_, status)| matches!(status, Status::Stale | Status::Partial))
            .map(|(name, _)| name.as_str())
    }

    /// Whether the entity is known at all.
    pub fn is_found(&self) -> bool {
        !self.statuses.contains(&Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_missing_are_told() {
        let vector = FeatureVector {
            view: "v".into(),
            fingerprint: "f".into(),
            names: ["a", "b", "c", "d"].map(String::from).into(),
            values: vec![1.0, 2.0, 0.0, 4.0],
            statuses: vec![Status::Present, Status::Stale, Status::Default, Status::Present],
            event_times_us: vec![30, 20, 10, 0],
            as_of_us: 40,
        };
        assert_eq!(vector.oldest_us(), Some(20));
        assert_eq!(vector.missing().collect::<Vec<_>>(), ["c"]);
        assert_eq!(vector.stale().collect::<Vec<_>>(), ["b"]);
        assert!(vector.is_found());
        let unknown = FeatureVector { statuses: vec![Status::NotFound; 4], ..vector };
        assert_eq!(unknown.oldest_us(), None);
        assert_eq!(unknown.missing().count(), 4);
        assert!(!unknown.is_found());
    }
}
