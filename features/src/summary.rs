//! What is known about the readings of a stretch of time: a form that merges in any order.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::fixed;
use crate::window::HOUR_US;

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

    /// What `aggregate` makes of the window that began at `start_us` (at the newest reading's time, where
    /// it has no beginning) as of a time; nothing where an empty window has none, or where this is not
    /// what the aggregate is made of.
    pub fn value(&self, aggregate: Aggregate, start_us: i64, as_of_us: i64) -> Option<f64> {
        match aggregate {
            Aggregate::Count => Some(self.count as f64),
            Aggregate::Sum => Some(fixed::from_wide_micros(self.sum)),
            Aggregate::RatePerH => {
                let span_us = as_of_us.saturating_sub(start_us);
                (span_us > 0).then(|| self.count as f64 * HOUR_US as f64 / span_us as f64)
            }
            Aggregate::Last => self.last.map(|last| fixed::from_micros(last.value)),
            Aggregate::TimeSinceS => {
                // Whole microseconds first: no rounding before the one division.
                self.last.map(|last| as_of_us.saturating_sub(last.at_us) as f64 / 1e6)
            }
            Aggregate::Mean if self.count > 0 => {
                Some(fixed::from_wide_micros(self.sum) / self.count as f64)
            }
            Aggregate::Min if self.count > 0 => Some(fixed::from_micros(self.min)),
            Aggregate::Max if self.count > 0 => Some(fixed::from_micros(self.max)),
            _ => None,
        }
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
        for aggregate in Aggregate::ALL.iter().copied() {
            let zero = matches!(aggregate, Aggregate::Count | Aggregate::Sum | Aggregate::RatePerH);
            assert_eq!(empty.value(aggregate, 0, 1), zero.then_some(0.0), "{aggregate}");
        }
    }

    #[test]
    fn values_are_what_they_are_called() {
        let window = summary(&[(1_000_000, 1_000_000), (2_000_000, 4_000_000)]);
        let said = |aggregate| window.value(aggregate, 5_500_000 - 2 * HOUR_US, 5_500_000);
        let said: Vec<_> = Aggregate::ALL[..8].iter().map(|each| said(*each).unwrap()).collect();
        assert_eq!(said, [2.0, 5.0, 2.5, 1.0, 4.0, 4.0, 3.5, 1.0]);
    }
}
