//! An event is counted in one entry only, however often it was sent.

use std::collections::BTreeMap;

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct ExactlyOnce {
    counted: BTreeMap<u64, u64>,
}

impl Law for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let Seen::Counted { index, event } = sight.seen else { return Ok(()) };
        let first = *self.counted.entry(event).or_insert(index);
        if first == index {
            Ok(())
        } else {
            Err(format!("node {} counted event {event} at {index}, it is at {first}", sight.node))
        }
    }
}
