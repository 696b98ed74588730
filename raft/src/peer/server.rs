//! The peer port.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::sync::watch;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

use super::channel::{CONNECTION_WINDOW_BYTES, Peers, STREAM_WINDOW_BYTES};
use super::frame::{Kind, open, pack, plain, unpack};
use super::incoming::Incoming;
use super::link::{BallotReply, BallotRequest};
use super::net::{TcpListener, incoming};
use super::proto::Frame;
use super::proto::peer_server::{Peer, PeerServer};
use super::receive::{blob_pieces, blocking};
use super::stream::next_piece;
use crate::batch::Batch;
use crate::blob::{BlobHead, BlobId, Blobs};
use crate::change::{Change, Changes};
use crate::clock::LogClock;
use crate::config::{Config, MESSAGE_MAX_BYTES};
use crate::error::Error;
use crate::log::Pending;
use crate::queue::{Queue, Urgency, check_size};
use crate::snapshot::Name;
use crate::space::Space;
use crate::types::{Core, Snapshot, Types, Vote};
use crate::{handover, read};

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls open on one connection.
const STREAMS_MAX: u32 = 1024;
/// Open calls may end in peace for so long at shutdown.
const DRAIN: Duration = Duration::from_millis(300);

/// What the port answers with.
pub(crate) struct Service {
    pub(crate) core: Core,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<LogClock>,
    pub(crate) space: Arc<Space>,
    pub(crate) queue: Queue,
    pub(crate) blobs: Blobs,
    pub(crate) changes: Changes,
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) pending: Pending,
}

/// Serves until told to stop. Calls for another cluster, group or node are refused.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Service,
    peers: Arc<Peers>,
    mut stop: watch::Receiver<bool>,
) {
    let mut stopping = stop.clone();
    let service = PeerServer::new(service)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let gate = move |request: Request<()>| {
        peers.check(request.metadata())?;
        Ok(request)
    };
    let serving = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(InterceptedService::new(service, gate))
        .serve_with_incoming_shutdown(incoming(listener), async move {
            drop(stopping.wait_for(|stop| *stop).await);
        });
    tokio::select! {
        served = serving => {
            if let Err(e) = served {
                tracing::error!(error = %e, "the peer port has failed");
            }
        }
        // Streams of peers stay open as long as they like, so the end is forced.
        () = async {
            drop(stop.wait_for(|stop| *stop).await);
            tokio::time::sleep(DRAIN).await;
        } => {}
    }
}

type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("the consensus core has stopped: {error}"))
}

async fn first(frames: &mut Streaming<Frame>) -> Result<Frame, Status> {
    next_piece(frames).await?.ok_or_else(|| Status::invalid_argument("an empty stream"))
}

/// Entries that do not follow each other would end the core, so they are refused here.
fn unpack_append(frame: Frame) -> Result<AppendEntriesRequest<Types>, Status> {
    let rpc: AppendEntriesRequest<Types> = unpack(Kind::Append, frame)?;
    let first = rpc.prev_log_id.map_or(0, |id| id.index + 1);
    let gap = (first..).zip(&rpc.entries).find(|(index, entry)| entry.log_id.index != *index);
    match gap {
        Some((index, _)) => Err(Status::invalid_argument(format!("an append lacks entry {index}"))),
        None => Ok(rpc),
    }
}

#[tonic::async_trait]
impl Peer for Service {
    type AppendStreamStream = Frames;
    type GetBlobStream = Frames;

    async fn append(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let rpc = unpack_append(request.into_inner())?;
        let reply = self.core.append_entries(rpc).await.map_err(stopped)?;
        Ok(Response::new(pack(Kind::AppendReply, &reply)?))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Frames>, Status> {
        let frames = request.into_inner();
        // The stream ends at the first thing that cannot be read; the leader starts another.
        let requests = futures::stream::unfold(frames, |mut frames| async move {
            match frames.message().await {
                Ok(Some(frame)) => match unpack_append(frame) {
                    Ok(rpc) => Some((rpc, frames)),
                    Err(status) => {
                        tracing::warn!(%status, "an append cannot be read");
                        None
                    }
                },
                Ok(None) | Err(_) => None,
            }
        });
        let replies = self.core.stream_append(requests).map(|reply| {
            let reply: StreamAppendResult<Types> = reply.map_err(stopped)?;
            pack(Kind::AppendStreamReply, &reply)
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn ballot(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let reply = match unpack(Kind::Ballot, request.into_inner())? {
            BallotRequest::Vote(rpc) => {
                BallotReply::Vote(self.core.vote(rpc).await.map_err(stopped)?)
            }
            BallotRequest::PreVote(rpc) => {
                BallotReply::Vote(self.core.pre_vote(rpc).await.map_err(stopped)?)
            }
            BallotRequest::Transfer(rpc) => {
                // All nodes are told; only the chosen one could not go on.
                let chosen = *rpc.to_node_id() == self.config.node_id;
                if chosen && handover::stalled(&self.pending, &self.config).is_some() {
                    return Err(Status::failed_precondition("the disk under the log hangs here"));
                }
                BallotReply::Transfer(self.core.handle_transfer_leader(rpc).await.map_err(stopped)?)
            }
        };
        Ok(Response::new(pack(Kind::BallotReply, &reply)?))
    }

    async fn snapshot_held(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let (vote, name): (Vote, Name) = unpack(Kind::SnapshotName, request.into_inner())?;
        if self.core.metrics().borrow_watched().vote > vote {
            return Err(Status::aborted("a later leader is known here"));
        }
        let held = self.incoming.held(name).await?;
        Ok(Response::new(pack(Kind::SnapshotHeld, &held)?))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Frame>, Status> {
        let mut frames = request.into_inner();
        let (vote, name, from): (Vote, Name, u64) =
            unpack(Kind::SnapshotFrom, first(&mut frames).await?)?;
        let (partial, nobody_else) = self.incoming.receive(name, from, &mut frames).await?;
        let core = self.core.clone();
        // Goes on when the way is cut now and this call ends: the core counts on the file.
        let installing = tokio::spawn(async move {
            let _nobody_else = nobody_else;
            // If it is installed it has another name by then, else it goes.
            let (file, _leftover) = blocking(move || partial.finish()).await?;
            let snapshot = Snapshot { meta: file.head().meta.clone(), snapshot: file };
            core.install_full_snapshot(vote, snapshot).await.map_err(stopped)
        });
        let reply = installing.await.map_err(|e| Status::internal(e.to_string()))??;
        Ok(Response::new(pack(Kind::SnapshotReply, &reply)?))
    }

    async fn propose(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        if !self.core.is_leader() {
            return Err(Error::NoLeader.into());
        }
        let frame = request.into_inner();
        let (kind, urgency) = if frame.kind == Kind::UrgentCommands as u32 {
            (Kind::UrgentCommands, Urgency::Urgent)
        } else {
            (Kind::Commands, Urgency::Usual)
        };
        let body = open(kind, frame)?;
        let commands = Batch::from_bytes(body).open().map_err(Status::invalid_argument)?.commands;
        check_size(&commands, &self.config)?;
        let done = self.queue.submit(commands, urgency, true).await?;
        Ok(Response::new(pack(Kind::CommandsReply, &done)?))
    }

    async fn read_index(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let () = unpack(Kind::ReadIndex, request.into_inner())?;
        let index = read::confirm(&self.core).await?;
        Ok(Response::new(pack(Kind::ReadIndexReply, &index)?))
    }

    async fn clock(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let () = unpack(Kind::Clock, request.into_inner())?;
        Ok(Response::new(pack(
            Kind::ClockReply,
            &(self.clock.own_us(), self.space.shortage().is_some()),
        )?))
    }

    async fn change(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let change: Change = unpack(Kind::Change, request.into_inner())?;
        if !self.core.is_leader() {
            return Err(Error::NoLeader.into());
        }
        self.changes.run(change, self.config.propose_timeout()).await?;
        Ok(Response::new(pack(Kind::ChangeReply, &())?))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Frame>, Status> {
        let mut frames = request.into_inner();
        let head: BlobHead = unpack(Kind::BlobHead, first(&mut frames).await?)?;
        self.blobs.receive(head, &mut frames).await?;
        Ok(Response::new(pack(Kind::BlobReply, &())?))
    }

    async fn get_blob(&self, request: Request<Frame>) -> Result<Response<Frames>, Status> {
        let id: BlobId = unpack(Kind::BlobWanted, request.into_inner())?;
        let path = self
            .blobs
            .find(&id)
            .ok_or_else(|| Status::not_found("this node does not have the blob"))?;
        let (file, size) = blocking(move || {
            let file = std::fs::File::open(path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        })
        .await?;
        let head = pack(Kind::BlobHead, &BlobHead { id, size })?;
        let pieces = blob_pieces(file).map(|piece| piece.map(|bytes| plain(Kind::Piece, bytes)));
        let frames = futures::stream::once(futures::future::ready(Ok(head))).chain(pieces);
        Ok(Response::new(Box::pin(frames)))
    }
}
