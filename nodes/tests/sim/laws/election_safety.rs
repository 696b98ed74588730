//! A leadership (term and node) belongs to that node, which takes it up once, also across crashes;
//! nobody else makes entries in its name.

use std::collections::BTreeSet;

use raft::sim::DiskEvent;

use super::Law;
use crate::seen::{Ballot, Seen, Sight};

#[derive(Debug, Default)]
pub(super) struct ElectionSafety {
    candidates: BTreeSet<Ballot>,
    leaders: BTreeSet<Ballot>,
    written: BTreeSet<Ballot>,
}

impl Law for ElectionSafety {
    fn name(&self) -> &'static str {
        "election safety"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        match sight.seen {
            Seen::Disk(DiskEvent::Voted { term, to, granted }) if to == sight.node => {
                self.candidates.insert((term, to));
                if granted && !self.leaders.insert((term, to)) {
                    return Err(format!("node {to} leads term {term} a second time"));
                }
            }
            Seen::Disk(DiskEvent::Voted { term, to, .. }) => {
                if !self.candidates.contains(&(term, to)) {
                    return Err(format!("node {to} got a vote in term {term} and has not stood"));
                }
            }
            Seen::Disk(DiskEvent::Appended(entry)) => {
                let ballot = (entry.term, entry.leader);
                // The group is founded by an entry that no leader has made.
                if entry.index > 0 && self.written.insert(ballot) && entry.leader != sight.node {
                    return Err(format!(
                        "node {} made entry {} in the name of node {}",
                        sight.node, entry.index, entry.leader
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
