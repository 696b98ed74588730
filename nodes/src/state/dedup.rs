//! Which events were counted already, by a 128-bit hash of (source, event id).
//!
//! The memory is bounded: the newest [`Dedup::HORIZON_EVENTS`] accepted events are remembered. A sender
//! that repeats an event after that many others is counted again; the horizon is stated in README.md.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u128>", into = "Vec<u128>")]
pub struct Dedup {
    seen: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Dedup {
    /// At most this many event keys are remembered (32 bytes each and the set's slack).
    pub const HORIZON_EVENTS: usize = 4_000_000;

    /// True the first time; false for a repeat within the horizon.
    pub fn admit(&mut self, source: &str, event_id: &str) -> bool {
        let key = fingerprint(source, event_id);
        if !self.seen.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > Self::HORIZON_EVENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

fn fingerprint(source: &str, event_id: &str) -> u128 {
    let mut hash = Sha256::new();
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    hash.update((source.len() as u64).to_le_bytes());
    hash.update(source);
    hash.update(event_id);
    let digest = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(first)
}

impl From<Vec<u128>> for Dedup {
    fn from(order: Vec<u128>) -> Self {
        Self { seen: order.iter().copied().collect(), order: order.into() }
    }
}

impl From<Dedup> for Vec<u128> {
    fn from(dedup: Dedup) -> Self {
        dedup.order.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_seen_and_the_pair_is_the_key() {
        let mut dedup = Dedup::default();
        assert!(dedup.admit("a", "bc"));
        assert!(!dedup.admit("a", "bc"));
        assert!(dedup.admit("ab", "c"));
        let again = Dedup::from(Vec::from(dedup.clone()));
        assert_eq!(again, dedup);
    }
}
