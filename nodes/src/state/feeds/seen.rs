//! Which numbers of a feed have come: stretches without gaps, so that a feed in order costs one.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

/// Sequence numbers that have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// First and last of each stretch.
    stretches: OrdMap<u64, u64>,
}

impl Seen {
    /// Stretches that are told apart. Past it the lowest gap is taken for filled: then a row that
    /// fills it is counted as a duplicate, and is taken all the same.
    pub const STRETCHES_MAX: usize = 16_384;

    pub fn contains(&self, number: u64) -> bool {
        self.stretches.get_prev(&number).is_some_and(|(_, last)| number <= *last)
    }

    /// False where the number has come before.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let (mut first, mut last) = (number, number);
        if let Some(before) = number.checked_sub(1)
            && let Some((start, end)) = self.stretches.get_prev(&before)
            && *end == before
        {
            first = *start;
        }
        if let Some(after) = number.checked_add(1)
            && let Some(end) = self.stretches.get(&after)
        {
            last = *end;
            self.stretches.remove(&after);
        }
        self.stretches.insert(first, last);
        if self.stretches.len() > Self::STRETCHES_MAX {
            self.close_lowest_gap();
        }
        true
    }

    /// Whether one more gap can be told from the others.
    pub fn is_full(&self) -> bool {
        self.stretches.len() >= Self::STRETCHES_MAX
    }

    fn close_lowest_gap(&mut self) {
        let mut lowest = self.stretches.iter();
        if let (Some((first, _)), Some((second, last))) = (lowest.next(), lowest.next()) {
            let (first, second, last) = (*first, *second, *last);
            self.stretches.remove(&second);
            self.stretches.insert(first, last);
        }
    }

    /// Numbers between the first and the last that have not come.
    pub fn missing(&self) -> u64 {
        let mut gaps = 0;
        let mut before = None;
        for (first, last) in &self.stretches {
            if let Some(before) = before {
                gaps += first - before - 1;
            }
            before = Some(*last);
        }
        gaps
    }

    pub fn last(&self) -> u64 {
        self.stretches.get_max().map_or(0, |(_, last)| *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn is_a_set(numbers in prop::collection::vec(0_u64..60, 0..200)) {
            let (mut seen, mut set) = (Seen::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(seen.insert(number), set.insert(number));
            }
            for number in 0..61 {
                prop_assert_eq!(seen.contains(number), set.contains(&number));
            }
            let span = set.last().zip(set.first()).map_or(0, |(last, first)| last - first + 1);
            prop_assert_eq!(seen.missing(), span - set.len() as u64);
            prop_assert_eq!(seen.last(), set.last().copied().unwrap_or(0));
        }
    }

    #[test]
    fn many_gaps_cost_no_more_than_the_limit() {
        let mut seen = Seen::default();
        for number in 0..Seen::STRETCHES_MAX as u64 * 2 {
            assert!(seen.insert(number * 2 + 1));
        }
        assert_eq!(seen.stretches.len(), Seen::STRETCHES_MAX);
        assert!(seen.contains(2), "the lowest gap is taken for filled");
        assert!(!seen.contains(seen.last() - 1));
        assert!(seen.insert(u64::MAX) && seen.insert(0) && !seen.insert(0));
    }
}
