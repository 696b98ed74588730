//! A node's votes never go back: what it has answered it remembers, also across crashes.

use std::collections::BTreeMap;

use raft::sim::DiskEvent;

use super::Law;
use crate::seen::{Seen, Sight};

/// Term, node, and whether that node is known to lead: openraft's order of votes.
type Vote = (u64, u64, bool);

#[derive(Debug, Default)]
pub(super) struct VoteDurability {
    answered: BTreeMap<u64, Vote>,
}

impl Law for VoteDurability {
    fn name(&self) -> &'static str {
        "vote durability"
    }

    fn judge(&mut self, sight: &Sight) -> Result<(), String> {
        let now = match sight.seen {
            Seen::Disk(DiskEvent::Voted { term, to, granted }) => Some((term, to, granted)),
            Seen::Disk(DiskEvent::Crashed { vote, .. }) => vote,
            _ => return Ok(()),
        };
        let answered = self.answered.get(&sight.node).copied();
        if now < answered {
            return Err(format!(
                "node {} had answered {answered:?} and now votes {now:?}",
                sight.node
            ));
        }
        if let Some(now) = now {
            self.answered.insert(sight.node, now);
        }
        Ok(())
    }
}
