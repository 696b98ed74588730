//! A leader never cuts its own log.

use std::collections::BTreeSet;

use raft::sim::DiskEvent;

use super::Law;
use crate::seen::{Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct LeaderAppendOnly {
    leading: BTreeSet<u64>,
}

impl Law for LeaderAppendOnly {
    fn name(&self) -> &'static str {
        "leader append-only"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match sight.seen {
            Seen::Disk(DiskEvent::Voted { to, granted, .. }) => {
                if granted && to == sight.node {
                    self.leading.insert(sight.node);
                } else {
                    self.leading.remove(&sight.node);
                }
            }
            Seen::Disk(DiskEvent::Crashed { .. }) => drop(self.leading.remove(&sight.node)),
            Seen::Disk(DiskEvent::Truncated { from }) if self.leading.contains(&sight.node) => {
                return Err(format!("node {} leads and cuts its log from {from}", sight.node));
            }
            _ => {}
        }
        Ok(())
    }
}
