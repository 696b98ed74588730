//! An event that a client was told is in is in, for ever and on every member.

use std::collections::{BTreeMap, BTreeSet};

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct AcknowledgedNeverLost {
    acked: BTreeSet<u64>,
    counted: BTreeMap<u64, u64>,
}

impl Law for AcknowledgedNeverLost {
    fn name(&self) -> &'static str {
        "acknowledged never lost"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match &sight.seen {
            Seen::Counted { index, event } => {
                self.counted.entry(*event).or_insert(*index);
            }
            Seen::Acked { event, index } => {
                if self.counted.get(event).is_none_or(|at| at > index) {
                    return Err(format!("event {event} was acknowledged at {index} by nobody"));
                }
                self.acked.insert(*event);
            }
            Seen::Settled { index, events, .. } => {
                let here: BTreeSet<u64> = events.iter().copied().collect();
                let lost: Vec<_> = self.acked.difference(&here).take(5).collect();
                if !lost.is_empty() {
                    return Err(format!(
                        "node {} at {index} lacks acknowledged events, first {lost:?}",
                        sight.node
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
