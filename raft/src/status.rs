//! What a node knows about itself and its group.

use std::sync::atomic::Ordering;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use crate::handle::Parts;
use crate::member::{MemberStatus, Role, Status};

pub(crate) fn of(parts: &Parts) -> Status {
    // Not while the metrics are borrowed: to borrow them twice blocks the core for ever.
    let next_id = parts.changes.next_id();
    let metrics = parts.core.metrics();
    let now = metrics.borrow_watched();
    let own = match now.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    };
    let membership = now.membership_config.membership();
    let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
    let members = membership
        .nodes()
        .map(|(id, member)| {
            let role = if *id == now.id {
                own
            } else if now.current_leader == Some(*id) {
                Role::Leader
            } else if voters.contains(id) {
                Role::Follower
            } else {
                Role::Learner
            };
            let matched = now.replication.as_ref().and_then(|all| all.get(id));
            MemberStatus {
                id: *id,
                role,
                member: member.clone(),
                matched_index: matched.map(|id| id.map_or(0, |id| id.index)),
            }
        })
        .collect();
    Status {
        node_id: now.id,
        role: own,
        // A follower goes on believing in a leader that has died until another one is chosen.
        leader_id: now
            .current_leader
            .filter(|id| *id == now.id || parts.progress.clock.has_heard(*id)),
        term: now.current_term,
        last_log_index: now.last_log_index.unwrap_or(0),
        committed: now.local_committed.map_or(0, |id| id.index),
        applied: *parts.progress.applied.borrow(),
        snapshot_index: now.snapshot.map_or(0, |id| id.index),
        purged: now.purged.map_or(0, |id| id.index),
        applied_time_us: parts.progress.time_us.load(Ordering::Relaxed),
        clock_off_us: parts.progress.clock.now().1,
        log: parts.hold.figures(),
        disk_free_bytes: parts.space.free_bytes(),
        snapshot_failures: parts.progress.snapshot_failures.load(Ordering::Relaxed),
        next_id,
        members,
    }
}
