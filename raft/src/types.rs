//! The concrete types openraft works with here.

use openraft::type_config::alias::{
    CommittedLeaderIdOf, EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};

use crate::adapter::Adapter;
use crate::batch::{Batch, Replies};
use crate::member::Member;
use crate::snapshot::SnapshotFile;

#[cfg(feature = "sim")]
use crate::sim::Runtime;
#[cfg(not(feature = "sim"))]
use openraft::impls::TokioRuntime as Runtime;

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Batch,
        R = Replies,
        NodeId = u64,
        Node = Member,
        AsyncRuntime = Runtime,
);

pub(crate) type Core = openraft::Raft<Types, Adapter>;
pub(crate) type Entry = EntryOf<Types>;
pub(crate) type LeaderId = CommittedLeaderIdOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Payload = openraft::EntryPayload<Batch, u64, Member>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(crate) type Snapshot = SnapshotOf<Types, SnapshotFile>;
