//! What a simulation shows to the laws, in the order it happened.

use std::sync::Arc;

use parking_lot::Mutex;
use raft::sim::DiskEvent;

/// A vote as openraft orders them: by term, then by the node it is for.
pub(crate) type Ballot = (u64, u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Started,
    /// The core ended by itself, or did not start.
    Died(String),
    Disk(DiskEvent),
    /// The state machine was given an entry.
    Applied {
        index: u64,
        term: u64,
        digest: u64,
    },
    /// The state was replaced by a snapshot that reaches this index.
    Restored {
        index: u64,
    },
    /// The state took an event for a new one.
    Counted {
        index: u64,
        event: u64,
    },
    /// The whole state at an index.
    Hashed {
        index: u64,
        hash: u64,
    },
    Status {
        term: u64,
        last: u64,
        committed: u64,
        applied: u64,
        snapshot: u64,
        purged: u64,
    },
    /// A client was told that its event is in.
    Acked {
        event: u64,
        index: u64,
    },
    /// A client's linearizable read. Everything up to `floor` was acknowledged before it began.
    Read {
        floor: u64,
        index: u64,
    },
    /// Something the schedule did.
    Did(String),
    /// The end: every member with its state.
    Settled {
        index: u64,
        hash: u64,
        events: Vec<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sight {
    pub(crate) at_ms: u64,
    /// 0 is nobody.
    pub(crate) node: u64,
    pub(crate) seen: Seen,
}

/// Where everybody writes what they see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<(u64, Seen)>>>);

impl Journal {
    pub(crate) fn note(&self, node: u64, seen: Seen) {
        self.0.lock().push((node, seen));
    }

    pub(crate) fn take(&self) -> Vec<(u64, Seen)> {
        std::mem::take(&mut self.0.lock())
    }
}
