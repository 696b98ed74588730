//! What is committed stands in the log of every later leader.

use std::collections::BTreeMap;

use raft::sim::{DiskEvent, Written};

use super::Law;
use super::log::Log;
use crate::seen::{Ballot, Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct LeaderCompleteness {
    logs: BTreeMap<u64, Log>,
    /// Applied somewhere, so committed.
    committed: BTreeMap<u64, Written>,
    /// Each leader's log when it was elected.
    elected: BTreeMap<Ballot, Log>,
}

fn check(ballot: Ballot, log: &Log, entry: &Written) -> Result<(), String> {
    let earlier = (entry.term, entry.leader) < ballot;
    if !earlier || entry.index <= log.purged {
        return Ok(());
    }
    match log.entries.get(&entry.index) {
        Some(own) if own == entry => Ok(()),
        own => Err(format!(
            "node {} was elected in term {} with {own:?}, committed is {entry:?}",
            ballot.1, ballot.0
        )),
    }
}

impl Law for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader completeness"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match &sight.seen {
            Seen::Disk(event) => {
                let log = self.logs.entry(sight.node).or_default();
                log.follow(event);
                if let DiskEvent::Voted { term, to, granted: true } = *event
                    && to == sight.node
                {
                    for entry in self.committed.values() {
                        check((term, to), log, entry)?;
                    }
                    self.elected.insert((term, to), log.clone());
                }
            }
            Seen::Applied { index, .. } if !self.committed.contains_key(index) => {
                // A log that was purged meanwhile shows the entry no more; another node's will.
                let Some(entry) =
                    self.logs.get(&sight.node).and_then(|log| log.entries.get(index)).copied()
                else {
                    return Ok(());
                };
                for (ballot, log) in &self.elected {
                    check(*ballot, log, &entry)?;
                }
                self.committed.insert(*index, entry);
            }
            _ => {}
        }
        Ok(())
    }
}
