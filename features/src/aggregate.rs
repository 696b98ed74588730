//! What is known about the readings of a stretch of time: a form that merges in any order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fixed;

/// One value at one time. Of two the later counts, and of two at the same time the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reading {
    pub at_us: i64,
    /// Millionths.
    pub value: i64,
}

/// The readings of one stretch of time. Merging is commutative and associative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Minutes since 1970.
    pub start_min: i64,
    pub count: u32,
    /// Millionths, as are `min` and `max`.
    pub sum: i128,
    pub min: i64,
    pub max: i64,
}

impl Tile {
    pub fn of_one(start_min: i64, value: i64) -> Self {
        Self { start_min, count: 1, sum: i128::from(value), min: value, max: value }
    }

    /// Takes `other`'s readings in; the earlier start stays.
    pub fn merge(&mut self, other: &Self) {
        self.start_min = self.start_min.min(other.start_min);
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    /// Millionths, as are `min` and `max`; both are 0 where `count` is.
    pub sum: i128,
    pub min: i64,
    pub max: i64,
    /// The newest reading in the window, by event time.
    pub last: Option<Reading>,
}

impl Summary {
    /// Takes `other`'s readings in: commutative and associative, the empty summary changes nothing.
    pub fn merge(&mut self, other: &Self) {
        if other.count > 0 {
            let empty = self.count == 0;
            self.min = if empty { other.min } else { self.min.min(other.min) };
            self.max = if empty { other.max } else { self.max.max(other.max) };
            self.count = self.count.saturating_add(other.count);
            self.sum += other.sum;
        }
        self.last = self.last.max(other.last);
    }

    pub(crate) fn add_tile(&mut self, tile: &Tile) {
        let count = u64::from(tile.count);
        self.merge(&Self { count, sum: tile.sum, min: tile.min, max: tile.max, last: None });
    }

    /// Takes one reading in.
    pub fn add(&mut self, reading: Reading) {
        let Reading { value, .. } = reading;
        self.merge(&Self {
            count: 1,
            sum: i128::from(value),
            min: value,
            max: value,
            last: Some(reading),
        });
    }

    /// What `aggregate` makes of the window as of a time; nothing where an empty window has none.
    pub fn value(&self, aggregate: Aggregate, as_of_us: i64) -> Option<f64> {
        match aggregate {
            Aggregate::Count => Some(self.count as f64),
            Aggregate::Sum => Some(fixed::from_wide_micros(self.sum)),
            Aggregate::Last => self.last.map(|last| fixed::from_micros(last.value)),
            Aggregate::TimeSinceS => {
                // Whole microseconds first: no rounding before the one division.
                self.last.map(|last| as_of_us.saturating_sub(last.at_us) as f64 / 1e6)
            }
            _ if self.count == 0 => None,
            Aggregate::Mean => Some(fixed::from_wide_micros(self.sum) / self.count as f64),
            Aggregate::Min => Some(fixed::from_micros(self.min)),
            Aggregate::Max => Some(fixed::from_micros(self.max)),
        }
    }
}

/// What a feature makes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    Last,
    /// Seconds since the newest reading.
    TimeSinceS,
}

impl Aggregate {
    pub const ALL: [Self; 7] =
        [Self::Count, Self::Sum, Self::Mean, Self::Min, Self::Max, Self::Last, Self::TimeSinceS];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
            Self::TimeSinceS => "time_since_s",
        }
    }

    /// Whether it is also known over a series' whole life, without a window.
    pub const fn is_lifelong(self) -> bool {
        matches!(self, Self::Count | Self::Last | Self::TimeSinceS)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that names no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("aggregate {0:?} is unknown: it is count, sum, mean, min, max, last or time_since_s")]
pub struct UnknownAggregate(pub String);

impl FromStr for Aggregate {
    type Err = UnknownAggregate;

    fn from_str(text: &str) -> Result<Self, UnknownAggregate> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownAggregate(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(readings: &[(i64, i64)]) -> Summary {
        let mut all = Summary::default();
        for (at_us, value) in readings {
            all.add(Reading { at_us: *at_us, value: *value });
        }
        all
    }

    #[test]
    fn order_and_grouping_do_not_matter() {
        let all = [(3, 5), (1, -7), (3, 9), (2, 0)];
        let mut parts = summary(&all[2..]);
        parts.merge(&Summary::default());
        parts.merge(&summary(&all[..2]));
        assert_eq!(parts, summary(&all));
        assert_eq!(parts.last, Some(Reading { at_us: 3, value: 9 }));
        assert_eq!((parts.min, parts.max, parts.sum, parts.count), (-7, 9, 7, 4));
    }

    #[test]
    fn an_empty_window_has_a_count_and_a_sum_only() {
        let empty = Summary::default();
        assert_eq!(empty.value(Aggregate::Count, 0), Some(0.0));
        assert_eq!(empty.value(Aggregate::Sum, 0), Some(0.0));
        for aggregate in &Aggregate::ALL[2..] {
            assert_eq!(empty.value(*aggregate, 0), None, "{aggregate}");
        }
    }

    #[test]
    fn values_are_what_they_are_called() {
        let window = summary(&[(1_000_000, 1_000_000), (2_000_000, 4_000_000)]);
        let said: Vec<_> =
            Aggregate::ALL.iter().map(|each| window.value(*each, 5_500_000).unwrap()).collect();
        assert_eq!(said, [2.0, 5.0, 2.5, 1.0, 4.0, 4.0, 3.5]);
    }

    #[test]
    fn names_lead_back() {
        for aggregate in Aggregate::ALL {
            assert_eq!(aggregate.as_str().parse(), Ok(aggregate));
        }
        assert!("avg".parse::<Aggregate>().is_err());
    }
}
