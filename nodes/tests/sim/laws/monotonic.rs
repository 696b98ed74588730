//! While a node runs, what it has applied, committed and purged only grows; its term never goes
//! back, also across crashes.

use std::collections::BTreeMap;

use raft::sim::DiskEvent;

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
struct Reached {
    term: u64,
    /// By the state machine; it begins anew after a crash.
    index: u64,
    committed: u64,
    applied: u64,
    snapshot: u64,
    purged: u64,
}

#[derive(Debug, Default)]
pub(super) struct Monotonic {
    nodes: BTreeMap<u64, Reached>,
}

fn grow(what: &str, from: &mut u64, to: u64) -> Result<(), String> {
    if to < *from {
        return Err(format!("{what} went from {from} back to {to}"));
    }
    *from = to;
    Ok(())
}

impl Law for Monotonic {
    fn name(&self) -> &'static str {
        "monotonic"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let node = self.nodes.entry(sight.node).or_default();
        match sight.seen {
            Seen::Disk(DiskEvent::Crashed { .. }) => {
                *node = Reached { term: node.term, ..Reached::default() };
                Ok(())
            }
            Seen::Applied { index, .. } if index == node.index => {
                Err(format!("node {} applied entry {index} twice", sight.node))
            }
            Seen::Applied { index, .. } | Seen::Restored { index } => {
                grow("the state", &mut node.index, index)
            }
            Seen::Status { term, committed, applied, snapshot, purged, .. } => {
                grow("the term", &mut node.term, term)?;
                grow("committed", &mut node.committed, committed)?;
                grow("applied", &mut node.applied, applied)?;
                grow("the snapshot", &mut node.snapshot, snapshot)?;
                grow("purged", &mut node.purged, purged)
            }
            _ => Ok(()),
        }
        .map_err(|what| format!("node {}: {what}", sight.node))
    }
}
