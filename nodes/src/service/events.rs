//! Events in: checked one by one, made durable together.

use super::APPLY_WITHIN;
use super::status::{from_raft, from_refusal, over_limit};
use crate::config::Limits;
use crate::freshness::Since;
use crate::json::event as event_json;
use crate::machine::Machine;
use crate::node::Node;
use crate::proto::hearth::events_server::Events;
use crate::proto::hearth::{AppendRequest, AppendResponse, Event, Rejection};
use crate::state::{DeadLetter, Reply, ingest_bytes};
use features::EventRef;
use futures::stream::{BoxStream, StreamExt as _};
use std::sync::Arc;
use std::time::Instant;
use tonic::{Request, Response, Status, Streaming};

/// Rejected events of one request that become dead letters; their sender is told of all of them.
const LETTERS_PER_REQUEST: usize = 16;
/// Requests of one stream that may be on their way to the log at once; answers keep their order.
const STREAM_IN_FLIGHT: usize = 64;

#[derive(Clone, Debug)]
pub struct EventsService {
    node: Arc<Node>,
}

impl EventsService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Events for EventsService {
    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        append_from(&self.node, request.into_inner(), Door::Grpc).await.map(Response::new)
    }

    type StreamStream = BoxStream<'static, Result<AppendResponse, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let node = Arc::clone(&self.node);
        let answers = request
            .into_inner()
            .map(move |message| {
                let node = Arc::clone(&node);
                async move {
                    // A stream waits for room and reads nothing meanwhile: its sender has to wait.
                    append_from(&node, message.map_err(over_limit)?, Door::Stream).await
                }
            })
            .buffered(STREAM_IN_FLIGHT);
        Ok(Response::new(answers.boxed()))
    }
}

/// Where events come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Grpc,
    /// The same, in a stream that can be kept waiting.
    Stream,
    Http,
}

impl Door {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc | Self::Stream => "grpc",
            Self::Http => "http",
        }
    }
}

/// Checks a batch, proposes what is good of it, and says what became of each event.
pub async fn append(node: &Node, request: AppendRequest) -> Result<AppendResponse, Status> {
    append_from(node, request, Door::Grpc).await
}

pub(crate) async fn append_from(
    node: &Node,
    request: AppendRequest,
    door: Door,
) -> Result<AppendResponse, Status> {
    let begun = Instant::now();
    let Limits { events_per_request, .. } = node.config().limits;
    let AppendRequest { events, request_id } = request;
    if events.len() > events_per_request {
        let said = format!(
            "a request may hold {events_per_request} events, this one has {}: send it in parts",
            events.len()
        );
        return Err(Status::invalid_argument(said));
    }
    let Checked { command, rejected } = check(&events, node.raft().now_us());
    leave_letters(node, door, &events, &rejected);
    drop(events);
    node.metrics().rejected(rejected.len());
    let Some(command) = command else {
        let log_index = node.machine().read().applied;
        return Ok(AppendResponse { log_index, rejected, request_id, ..Default::default() });
    };
    let _room = match door {
        Door::Stream => node.doors().room.wait(command.len()).await,
        Door::Grpc | Door::Http => node.doors().room.take(command.len()),
    }
    .map_err(|full| Status::resource_exhausted(full.to_string()))?;
    let (log_index, reply) =
        node.propose_bytes(command).await.map_err(|error| from_raft(&error))?;
    match reply {
        Reply::Ingested { accepted, duplicates } => {
            count_visible(node, begun, log_index, accepted);
            Ok(AppendResponse { log_index, accepted, duplicates, rejected, request_id })
        }
        Reply::Refused(refusal) => Err(from_refusal(refusal)),
        _ => Err(Status::internal("the log answered something else than an append")),
    }
}

/// Counts how long the events took from this door until they can be read here: now, or, on a node that
/// is not the leader, once it has applied them too.
fn count_visible(node: &Node, begun: Instant, log_index: u64, events: u32) {
    let machine = node.shared_machine();
    let count = move |machine: &Machine| {
        let wait_us = begun.elapsed().as_micros() as u64;
        machine.freshness().waited(Since::Door, wait_us, u64::from(events));
    };
    if machine.applied() >= log_index {
        return count(machine);
    }
    let machine = Arc::clone(machine);
    tokio::spawn(async move {
        let mut applied = machine.watch_applied();
        let reached = applied.wait_for(|applied| *applied >= log_index);
        if let Ok(Ok(_)) = tokio::time::timeout(APPLY_WITHIN, reached).await {
            count(&machine);
        }
    });
}

fn leave_letters(node: &Node, door: Door, events: &[Event], rejected: &[Rejection]) {
    for each in rejected.iter().take(LETTERS_PER_REQUEST) {
        if let Some(event) = events.get(each.position as usize) {
            let text = event_json(event).to_string();
            let letter =
                DeadLetter::new(door.as_str(), &event.source, &each.reason, text.as_bytes());
            node.doors().letters.drop_in(letter);
        }
    }
}

/// What is left of a batch.
struct Checked {
    /// The command for the good events; nothing where there are none.
    command: Option<Vec<u8>>,
    rejected: Vec<Rejection>,
}

/// From the message straight to the bytes of the log.
fn check(messages: &[Event], now_us: i64) -> Checked {
    let mut rejected = Vec::new();
    let mut good = Vec::with_capacity(messages.len());
    for (position, message) in messages.iter().enumerate() {
        let event = EventRef::from(message);
        match event.check(now_us) {
            Ok(_) => good.push(event),
            Err(error) => {
                rejected.push(Rejection { position: position as u32, reason: error.to_string() });
            }
        }
    }
    Checked { command: (!good.is_empty()).then(|| ingest_bytes::encode(&good)), rejected }
}
