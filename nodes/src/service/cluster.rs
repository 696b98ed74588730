//! The cluster as its operator sees it.

use super::status::from_raft;
use crate::freshness::{Freshness, Since};
use crate::node::Node;
use crate::proto::hearth::cluster_server::Cluster;
use crate::proto::hearth::{
    BackupPart, BackupRequest, ChangeMembershipRequest, Divergence, Member, SnapshotRequest,
    StatusRequest, StatusResponse, TransferLeadershipRequest, Visible,
};
use crate::state;
use crate::{backup, config};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// How long one who asks for a snapshot waits for it.
const SNAPSHOT_WITHIN: Duration = Duration::from_mins(10);

#[derive(Clone, Debug)]
pub struct ClusterService {
    node: Arc<Node>,
}

impl ClusterService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

/// What this node knows of the cluster.
pub(crate) fn status(node: &Node) -> StatusResponse {
    let status = node.raft().status();
    let state = node.machine().read();
    let (checked_index, checked_hash) = state.checks.agreed().unwrap_or_default();
    let diverged = diverged_members(&status, state.checks.diverged());
    StatusResponse {
        cluster_id: node.config().node.cluster_id.clone(),
        node_id: status.node_id,
        leader_id: status.leader_id.unwrap_or(0),
        term: status.term,
        last_log_index: status.last_log_index,
        committed_index: status.committed,
        applied_index: status.applied,
        snapshot_index: status.snapshot_index,
        recorded_index: node.machine().recorded_index(),
        scored_index: state.scores.scored_index,
        state_hash: state.hash.to_vec(),
        state_hash_index: state.applied,
        members: status.members.iter().map(member_message).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        group: node.config().node.group.clone(),
        next_node_id: status.next_id,
        checked_index,
        checked_hash: checked_hash.to_vec(),
        diverged: diverged
            .map(|(id, found)| Divergence { id, log_index: found.index, found_us: found.found_us })
            .collect(),
        quarantined: node.quarantined().unwrap_or_default().to_owned(),
        ledger_seq: state.ledger.head().0,
        ledger_head: state.ledger.head().1.to_vec(),
        visible: visible(node.machine().freshness()),
    }
}

fn visible(freshness: &Freshness) -> Vec<Visible> {
    let told = Since::ALL.into_iter().map(|from| {
        let newest = freshness.newest(from);
        Visible {
            from: from.as_str().to_owned(),
            events: newest.events,
            p50_us: newest.p50_us,
            p99_us: newest.p99_us,
            longest_us: newest.longest_us,
            within_goal: freshness.within_goal(from).unwrap_or(0.0),
            goal_us: freshness.goal_us(),
        }
    });
    told.collect()
}

/// Those who have diverged and still belong to the cluster.
pub(crate) fn diverged_members<'a>(
    status: &raft::Status,
    diverged: &'a BTreeMap<u64, state::Divergence>,
) -> impl Iterator<Item = (u64, &'a state::Divergence)> {
    let members: BTreeSet<u64> = status.members.iter().map(|member| member.id).collect();
    diverged.iter().filter(move |(id, _)| members.contains(id)).map(|(id, found)| (*id, found))
}

pub(crate) fn member_message(member: &raft::MemberStatus) -> Member {
    let address = |name: &str| member.member.meta.get(name).cloned().unwrap_or_default();
    Member {
        id: member.id,
        role: member.role.as_str().to_owned(),
        grpc: address("grpc"),
        flight: address("flight"),
        raft: member.member.raft.clone(),
        http: address("http"),
        matched_index: member.matched_index.unwrap_or(0),
    }
}

fn raft_member(member: Member) -> raft::Member {
    let Member { id, grpc, flight, raft, http, .. } = member;
    config::Member { id, grpc, flight, raft, http }.to_raft()
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    type BackupStream = ReceiverStream<Result<BackupPart, Status>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status(&self.node)))
    }

    async fn change_membership(
        &self,
        request: Request<ChangeMembershipRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let ChangeMembershipRequest { action, member, replaces } = request.into_inner();
        let Some(member) = member.filter(|member| member.id != 0) else {
            return Err(Status::invalid_argument("say which member: member.id is 0"));
        };
        let raft = self.node.raft();
        match action.as_str() {
            "add_learner" if member.raft.is_empty() => {
                return Err(Status::invalid_argument(
                    "a learner needs its raft address: member.raft is empty",
                ));
            }
            "add_learner" => raft.add_learner(member.id, raft_member(member)).await,
            "promote" => raft.promote(member.id).await,
            "demote" => raft.demote(member.id).await,
            "remove" => raft.remove(member.id).await,
            "replace" if replaces == 0 => {
                return Err(Status::invalid_argument("say whose place it takes: replaces is 0"));
            }
            "replace" => raft.replace(replaces, member.id).await,
            other => {
                let said = format!(
                    "unknown action {other:?}: add_learner, promote, demote, remove or replace"
                );
                return Err(Status::invalid_argument(said));
            }
        }
        .map_err(|error| from_raft(&error))?;
        Ok(Response::new(status(&self.node)))
    }

    async fn transfer_leadership(
        &self,
        request: Request<TransferLeadershipRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.node
            .raft()
            .transfer_leader(request.into_inner().to)
            .await
            .map_err(|error| from_raft(&error))?;
        Ok(Response::new(status(&self.node)))
    }
    async fn snapshot(
        &self,
        _: Request<SnapshotRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let written = self.node.raft().snapshot_within(SNAPSHOT_WITHIN).await;
        written.map_err(|error| from_raft(&error))?;
        Ok(Response::new(status(&self.node)))
    }

    async fn backup(
        &self,
        _: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let Ok(place) = Arc::clone(self.node.backups()).try_acquire_owned() else {
            return Err(Status::resource_exhausted(
                "a backup is being taken from this node already (limit 1); ask another node, or later",
            ));
        };
        let (to, parts) = mpsc::channel(backup::CHANNEL_PARTS);
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            let _place = place;
            let outcome = tokio::select! {
                outcome = backup::send(&node, &to) => outcome,
                () = to.closed() => return,
            };
            if let Err(status) = outcome {
                // Who has gone away need not know.
                drop(to.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(parts)))
    }
}
