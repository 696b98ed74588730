//! What is committed stands in the log of every later leader.
//!
//! An entry is committed at the latest by the leader whom the node follows that applies it: leaders
//! after that one must have it. (Leaders before may lack it, whatever term the entry is of.)

use std::collections::BTreeMap;

use raft::sim::{DiskEvent, Written};

use super::Law;
use super::log::Log;
use crate::seen::{Ballot, Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct LeaderCompleteness {
    logs: BTreeMap<u64, Log>,
    votes: BTreeMap<u64, Ballot>,
    /// By index: the entry, and a leader under whom it was committed.
    committed: BTreeMap<u64, (Written, Ballot)>,
    /// Each leader's log when it was elected.
    elected: BTreeMap<Ballot, Log>,
}

fn check(leader: Ballot, log: &Log, entry: &Written, under: Ballot) -> Result<(), String> {
    if leader <= under || entry.index <= log.purged {
        return Ok(());
    }
    match log.entries.get(&entry.index) {
        Some(own) if own == entry => Ok(()),
        own => Err(format!(
            "node {} was elected in term {} with {own:?}, committed under {under:?} is {entry:?}",
            leader.1, leader.0
        )),
    }
}

impl LeaderCompleteness {
    fn follow(&mut self, node: u64, event: &DiskEvent) -> Result<(), String> {
        let log = self.logs.entry(node).or_default();
        log.follow(event);
        match *event {
            DiskEvent::Voted { term, to, granted } => {
                self.votes.insert(node, (term, to));
                if granted && to == node {
                    for (entry, under) in self.committed.values() {
                        check((term, to), log, entry, *under)?;
                    }
                    self.elected.insert((term, to), log.clone());
                }
            }
            DiskEvent::Crashed { vote: Some((term, to, _)), .. } => {
                self.votes.insert(node, (term, to));
            }
            _ => {}
        }
        Ok(())
    }

    fn commit(&mut self, node: u64, index: u64) -> Result<(), String> {
        // A log that was purged meanwhile shows the entry no more; another node's will.
        let entry = self.logs.get(&node).and_then(|log| log.entries.get(&index)).copied();
        let (Some(entry), Some(under)) = (entry, self.votes.get(&node).copied()) else {
            return Ok(());
        };
        if self.committed.get(&index).is_some_and(|(_, known)| *known <= under) {
            return Ok(());
        }
        for (leader, log) in &self.elected {
            check(*leader, log, &entry, under)?;
        }
        self.committed.insert(index, (entry, under));
        Ok(())
    }
}

impl Law for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader completeness"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match &sight.seen {
            Seen::Disk(event) => self.follow(sight.node, event),
            Seen::Applied { index, .. } => self.commit(sight.node, *index),
            _ => Ok(()),
        }
    }
}
