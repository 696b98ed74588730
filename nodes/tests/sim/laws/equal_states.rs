//! At equal index every node has the same state, to the byte.

use std::collections::BTreeMap;

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct EqualStates {
    hashes: BTreeMap<u64, (u64, u64)>,
}

impl Law for EqualStates {
    fn name(&self) -> &'static str {
        "equal states"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let (Seen::Hashed { index, hash } | Seen::Settled { index, hash, .. }) = sight.seen else {
            return Ok(());
        };
        let (known, first) = *self.hashes.entry(index).or_insert((hash, sight.node));
        if known == hash {
            return Ok(());
        }
        Err(format!("nodes {first} and {} have different states at {index}", sight.node))
    }
}
