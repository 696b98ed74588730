//! Entries of equal index and leader are equal, and so is everything before them.

use std::collections::BTreeMap;

use raft::sim::{DiskEvent, Written};

use super::Law;
use super::log::Log;
use crate::seen::{Ballot, Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct LogMatching {
    logs: BTreeMap<u64, Log>,
    /// By leadership and index: the entry, and the one before it as far as anybody has shown it.
    entries: BTreeMap<(Ballot, u64), (Written, Option<Written>)>,
}

impl Law for LogMatching {
    fn name(&self) -> &'static str {
        "log matching"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let Seen::Disk(event) = &sight.seen else { return Ok(()) };
        let log = self.logs.entry(sight.node).or_default();
        if let DiskEvent::Appended(entry) = event {
            if log.entries.contains_key(&entry.index) {
                return Err(format!("node {} writes over entry {}", sight.node, entry.index));
            }
            let before = entry.index.checked_sub(1).and_then(|at| log.entries.get(&at).copied());
            let key = ((entry.term, entry.leader), entry.index);
            let (known, known_before) = self.entries.entry(key).or_insert((*entry, before));
            if known != entry {
                return Err(format!("node {} has {entry:?}, another had {known:?}", sight.node));
            }
            match (*known_before, before) {
                (Some(other), Some(own)) if other != own => {
                    return Err(format!(
                        "before {entry:?} node {} has {own:?}, another had {other:?}",
                        sight.node
                    ));
                }
                (None, own) => *known_before = own,
                _ => {}
            }
        }
        log.follow(event);
        Ok(())
    }
}
