//! A node's log, as its disk has told it.

use std::collections::BTreeMap;

use raft::sim::{DiskEvent, Written};

#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) entries: BTreeMap<u64, Written>,
    pub(super) purged: u64,
}

impl Log {
    pub(super) fn follow(&mut self, event: &DiskEvent) {
        match event {
            DiskEvent::Appended(entry) => drop(self.entries.insert(entry.index, *entry)),
            DiskEvent::Truncated { from } => drop(self.entries.split_off(from)),
            DiskEvent::Purged { upto } => {
                self.entries = self.entries.split_off(&(upto + 1));
                self.purged = self.purged.max(*upto);
            }
            DiskEvent::Crashed { purged, log, .. } => {
                self.entries = log.iter().map(|entry| (entry.index, *entry)).collect();
                self.purged = *purged;
            }
            DiskEvent::Voted { .. } => {}
        }
    }
}
