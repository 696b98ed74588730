//! Nobody applies another entry at an index.

use std::collections::BTreeMap;

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct StateMachineSafety {
    /// Term and digest by index.
    applied: BTreeMap<u64, (u64, u64)>,
}

impl Law for StateMachineSafety {
    fn name(&self) -> &'static str {
        "state machine safety"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let Seen::Applied { index, term, digest } = sight.seen else { return Ok(()) };
        let known = *self.applied.entry(index).or_insert((term, digest));
        if known == (term, digest) {
            Ok(())
        } else {
            Err(format!("node {} applied another entry {index} than others", sight.node))
        }
    }
}
