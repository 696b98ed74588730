//! openraft's way to one other node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use super::channel::{Client, Lane, Peers};
use super::frame::{Kind, pack, unpack};
use super::proto::Frame;
use super::send::send_snapshot;
use super::stream::append_stream;
use crate::member::Member;
use crate::snapshot::SnapshotFile;
use crate::types::{Snapshot, Types, Vote};

/// Calls in a row that may run out of time before the connection is made anew.
const TIMEOUTS_MAX: u32 = 5;

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum BallotRequest {
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Transfer(TransferLeaderRequest<Types>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum BallotReply {
    Vote(VoteResponse<Types>),
    Transfer(TransferLeaderResponse<Types>),
}

/// Makes links.
#[derive(Debug)]
pub(crate) struct Links {
    peers: Arc<Peers>,
    /// How long an append may stay without an answer.
    append_timeout: Duration,
    snapshot_bytes_per_s: u64,
}

impl Links {
    pub(crate) fn new(
        peers: Arc<Peers>,
        append_timeout: Duration,
        snapshot_bytes_per_s: u64,
    ) -> Self {
        Self { peers, append_timeout, snapshot_bytes_per_s }
    }

    fn link(&self, target: u64, node: &Member, lane: Lane) -> Link {
        Link {
            peers: self.peers.clone(),
            target,
            address: node.raft.clone(),
            lane,
            append_timeout: self.append_timeout,
            snapshot_bytes_per_s: self.snapshot_bytes_per_s,
            timeouts: AtomicU32::new(0),
        }
    }
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Lane::Pulse)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Member) -> Link {
        self.link(target, node, Lane::Bulk)
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    peers: Arc<Peers>,
    pub(super) target: u64,
    address: String,
    lane: Lane,
    pub(super) append_timeout: Duration,
    pub(super) snapshot_bytes_per_s: u64,
    timeouts: AtomicU32,
}

impl Link {
    pub(super) fn client(&self, lane: Lane) -> Result<Client, Unreachable<Types>> {
        self.peers.client(self.target, &self.address, lane).map_err(|e| Unreachable::new(&e))
    }

    pub(super) fn forget(&self, lane: Lane) {
        self.peers.forget(&self.address, lane);
    }

    pub(super) fn timed_out(&self, action: RPCTypes, timeout: Duration) -> Timeout<Types> {
        Timeout { action, id: self.peers.node_id(), target: self.target, timeout }
    }

    /// One call with a hard end.
    async fn call<F>(
        &self,
        action: RPCTypes,
        lane: Lane,
        ttl: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<Frame, RPCError<Types>>
    where
        F: Future<Output = Result<tonic::Response<Frame>, Status>>,
    {
        let client = self.client(lane)?;
        match tokio::time::timeout(ttl, call(client)).await {
            Ok(Ok(reply)) => {
                self.timeouts.store(0, Ordering::Relaxed);
                Ok(reply.into_inner())
            }
            Ok(Err(status)) => Err(broken(&status)),
            Err(_) => {
                // A peer that hangs without closing the connection is dialled again.
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
                    self.timeouts.store(0, Ordering::Relaxed);
                    self.forget(lane);
                }
                Err(self.timed_out(action, ttl).into())
            }
        }
    }

    async fn ballot(
        &self,
        action: RPCTypes,
        request: BallotRequest,
        ttl: Duration,
    ) -> Result<BallotReply, RPCError<Types>> {
        let frame = pack(Kind::Ballot, &request).map_err(|s| broken(&s))?;
        let reply = self
            .call(action, Lane::Pulse, ttl, |mut client| async move { client.ballot(frame).await })
            .await?;
        unpack(Kind::BallotReply, reply).map_err(|s| broken(&s))
    }
}

/// A refused or broken connection makes openraft wait a little, anything else does not.
pub(super) fn broken(status: &Status) -> RPCError<Types> {
    let text = format!("{}: {}", status.code(), status.message());
    match status.code() {
        Code::Unavailable | Code::FailedPrecondition | Code::Unimplemented | Code::Internal => {
            Unreachable::from_string(text).into()
        }
        _ => NetworkError::from_string(text).into(),
    }
}

fn unexpected() -> RPCError<Types> {
    NetworkError::from_string("the answer does not fit the question").into()
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let frame = pack(Kind::Append, &rpc).map_err(|s| broken(&s))?;
        let reply = self
            .call(RPCTypes::AppendEntries, self.lane, option.hard_ttl(), |mut client| async move {
                client.append(frame).await
            })
            .await?;
        unpack(Kind::AppendReply, reply).map_err(|s| broken(&s))
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        '_,
        Result<BoxStream<'_, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        match self.lane {
            // A heartbeat is a single question.
            Lane::Pulse => stream_append_sequential(self, input, option),
            Lane::Append | Lane::Bulk | Lane::Call => Box::pin(append_stream(self, input)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = BallotRequest::Vote(rpc);
        match self.ballot(RPCTypes::Vote, request, option.hard_ttl()).await? {
            BallotReply::Vote(reply) => Ok(reply),
            BallotReply::Transfer(_) => Err(unexpected()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = BallotRequest::PreVote(rpc);
        match self.ballot(RPCTypes::Vote, request, option.hard_ttl()).await? {
            BallotReply::Vote(reply) => Ok(reply),
            BallotReply::Transfer(_) => Err(unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = send_snapshot(self, vote, &snapshot.snapshot, option.hard_ttl()) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let request = BallotRequest::Transfer(request);
        match self.ballot(RPCTypes::TransferLeader, request, option.hard_ttl()).await? {
            BallotReply::Transfer(reply) => Ok(reply),
            BallotReply::Vote(_) => Err(unexpected()),
        }
    }
}
