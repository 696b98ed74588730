//! Who is in the group, and how each of them stands.

use std::collections::BTreeMap;
use std::fmt;

use crate::log::LogFigures;
use serde::{Deserialize, Serialize};

/// A node as the others know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` of the peer port.
    pub raft: String,
    /// Whatever the caller wants to be known about the node: its other addresses, its zone.
    pub meta: BTreeMap<String, String>,
}

impl Member {
    pub fn new(raft: impl Into<String>) -> Self {
        Self { raft: raft.into(), meta: BTreeMap::new() }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raft)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    Learner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: u64,
    pub role: Role,
    pub member: Member,
    /// Last index known to be on that node's disk; known on the leader only.
    pub matched_index: Option<u64>,
}

/// A node's view of itself and its group. Indexes start at 1; 0 means none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub node_id: u64,
    pub role: Role,
    /// Who leads, if it has been heard of in the last seconds.
    pub leader_id: Option<u64>,
    pub term: u64,
    pub last_log_index: u64,
    pub committed: u64,
    pub applied: u64,
    pub snapshot_index: u64,
    pub purged: u64,
    /// Time of the last applied entry, in microseconds.
    pub applied_time_us: i64,
    /// How far the group's time is ahead of this node's clock; 0 while the clock is good enough.
    pub clock_off_us: i64,
    pub log: LogFigures,
    pub disk_free_bytes: u64,
    /// Snapshots that could not be made since the start.
    pub snapshot_failures: u64,
    /// One above the highest id that ever was in the group, as far as this node has applied.
    pub next_id: u64,
    pub members: Vec<MemberStatus>,
}
