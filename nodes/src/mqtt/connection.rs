//! One connection to one broker: reads while there is room, and acknowledges what is in the log.

use super::config::Mqtt;
use super::figures::{Figure, add};
use super::intake::{Intake, commit};
use super::tls::{TlsError, secure};
use super::wire::{Message, Opening, Packet, Wire, WireError};
use crate::node::Node;
use crate::service::reach_level;
use bytes::BytesMut;
use futures::stream::{FuturesOrdered, StreamExt as _};
use raft::ReadLevel;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// What a broker may take to accept, to answer an opening and to take bytes.
const WITHIN: Duration = Duration::from_secs(10);
/// Between two connections: doubled with each that did not come to a subscription.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Bytes of messages in hand; past it nothing more is read.
const HELD_BYTES_MAX: usize = 16 << 20;
/// Batches on their way into the log.
const BATCHES_IN_FLIGHT: usize = 4;
/// Messages and bytes in one batch.
const MESSAGES_PER_BATCH: usize = 2_000;
const BYTES_PER_BATCH: usize = 1 << 20;
/// Taken from the socket at once.
const READ_BYTES: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Config(String),
    #[error("the broker cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("the broker did not answer within {} s", WITHIN.as_secs())]
    Silent,
    #[error("the broker refused the connection: {0}")]
    Refused(String),
    #[error("the broker did not grant the topics {0} with quality of service 1")]
    NotGranted(String),
    #[error("the broker ended the connection: {0}")]
    Closed(String),
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("this node no longer leads")]
    NotLeader,
}

/// A task for each broker.
pub(crate) fn start(node: &Arc<Node>) -> Vec<JoinHandle<()>> {
    let brokers = node.config().mqtt.iter().cloned().enumerate();
    brokers.map(|(at, broker)| tokio::spawn(run(Arc::clone(node), broker, at))).collect()
}

/// Connects again and again while this node leads.
async fn run(node: Arc<Node>, broker: Mqtt, at: usize) {
    let Some(figure) = node.doors().mqtt.of(at).cloned() else { return };
    let mut leadership = node.raft().leadership();
    let mut pause = PAUSE_MIN;
    loop {
        while !node.raft().is_leader() {
            if leadership.changed().await.is_err() {
                return;
            }
        }
        // A leader that was cut off does not know it yet; it would take the session from its successor.
        if reach_level(&node, ReadLevel::Linearizable).await.is_err() || !node.raft().is_leader() {
            tokio::time::sleep(PAUSE_MIN).await;
            continue;
        }
        let before = figure.connections.load(Ordering::Relaxed);
        // Of its own, so that a packet nobody thought of ends a connection and not the intake.
        let session = tokio::spawn(session(Arc::clone(&node), broker.clone(), Arc::clone(&figure)));
        let guard = AbortOnDrop(session.abort_handle());
        let end = session.await;
        drop(guard);
        figure.connected.store(0, Ordering::Relaxed);
        figure.held.store(0, Ordering::Relaxed);
        figure.held_bytes.store(0, Ordering::Relaxed);
        match end {
            Ok(Err(End::NotLeader)) => {
                tracing::info!(broker = broker.name, "another node takes from the broker");
                continue;
            }
            Ok(Err(end)) => tracing::warn!(broker = broker.name, %end, "connecting again"),
            Ok(Ok(())) => {}
            Err(error) => tracing::error!(broker = broker.name, %error, "connecting again"),
        }
        let came_far = figure.connections.load(Ordering::Relaxed) > before;
        pause = if came_far { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// From the opening to the end of one connection.
async fn session(node: Arc<Node>, broker: Mqtt, figure: Arc<Figure>) -> Result<(), End> {
    let intake = Arc::new(Intake::new(Arc::clone(&node), &broker, figure).map_err(End::Config)?);
    let login = broker.read_credentials().map_err(End::Config)?;
    let stream = timeout(WITHIN, TcpStream::connect(&broker.address)).await;
    let stream = stream.map_err(|_| End::Silent)?.map_err(End::Unreachable)?;
    stream.set_nodelay(true).map_err(End::Unreachable)?;
    let (reader, writer): (Reads, Writes) = match &broker.tls {
        None => {
            let (reader, writer) = stream.into_split();
            (Box::new(reader), Box::new(writer))
        }
        Some(tls) => {
            let secured = timeout(WITHIN, secure(tls, &broker.address, stream)).await;
            let (reader, writer) = tokio::io::split(secured.map_err(|_| End::Silent)??);
            (Box::new(reader), Box::new(writer))
        }
    };
    let mut connection = Connection {
        reader,
        writer,
        wire: Wire::new(broker.version, broker.message_bytes),
        buffer: BytesMut::with_capacity(READ_BYTES),
    };
    let opening = connection.wire.connect(Opening {
        client_id: broker.client_id(),
        login,
        keep_alive_s: broker.keep_alive_s,
        session_expiry_s: broker.session_expiry_s,
        in_flight: broker.in_flight,
        message_bytes: broker.message_bytes,
    })?;
    connection.write(&opening).await?;
    match timeout(WITHIN, connection.packet()).await.map_err(|_| End::Silent)?? {
        Packet::Connected => {}
        Packet::Refused(why) | Packet::Closed(why) => return Err(End::Refused(why)),
        other => return Err(End::Refused(format!("it sent {other:?} first"))),
    }
    let subscription = connection.wire.subscribe(&broker.topics)?;
    connection.write(&subscription).await?;
    let end = take_in(&mut connection, &node, &broker, &intake).await;
    if matches!(end, Err(End::NotLeader)) {
        // Without a word the broker would wait for the keep-alive to run out.
        drop(connection.write(Wire::DISCONNECT).await);
    }
    end
}

type Reads = Box<dyn AsyncRead + Send + Unpin>;
type Writes = Box<dyn AsyncWrite + Send + Unpin>;

struct Connection {
    reader: Reads,
    writer: Writes,
    wire: Wire,
    buffer: BytesMut,
}

impl Connection {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let written = timeout(WITHIN, self.writer.write_all(bytes)).await;
        written.map_err(|_| End::Silent)?.map_err(End::Broken)?;
        let flushed = timeout(WITHIN, self.writer.flush()).await;
        flushed.map_err(|_| End::Silent)?.map_err(End::Broken)
    }

    /// Takes more bytes from the socket; may be dropped while it waits.
    async fn read(&mut self) -> Result<(), End> {
        self.buffer.reserve(READ_BYTES);
        match self.reader.read_buf(&mut self.buffer).await {
            Ok(0) => Err(End::Closed("it closed".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(End::Broken(error)),
        }
    }

    async fn packet(&mut self) -> Result<Packet, End> {
        loop {
            if let Some(packet) = self.wire.next(&mut self.buffer)? {
                return Ok(packet);
            }
            self.read().await?;
        }
    }
}

/// Messages that were read and are on no way yet.
#[derive(Default)]
struct Gathered {
    messages: std::collections::VecDeque<Message>,
}

impl Gathered {
    /// The next batch, in the order of arrival.
    fn take(&mut self) -> Vec<Message> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.messages.front() {
            bytes += next.payload.len();
            let is_full = batch.len() >= MESSAGES_PER_BATCH || bytes > BYTES_PER_BATCH;
            if is_full && !batch.is_empty() {
                break;
            }
            batch.extend(self.messages.pop_front());
        }
        batch
    }
}

/// What a message takes in memory, about.
fn weight(message: &Message) -> usize {
    message.payload.len() + message.topic.len() + size_of::<Message>()
}

/// Reads messages, has them committed in batches, and acknowledges them in their order.
async fn take_in(
    connection: &mut Connection,
    node: &Node,
    broker: &Mqtt,
    intake: &Arc<Intake>,
) -> Result<(), End> {
    let figure = intake.figure();
    let mut leadership = node.raft().leadership();
    let mut commits = FuturesOrdered::new();
    let mut gathered = Gathered::default();
    let (mut held, mut held_bytes) = (0_usize, 0_usize);
    let half = Duration::from_secs(u64::from(broker.keep_alive_s)) / 2;
    let mut ping = tokio::time::interval_at(Instant::now() + half, half);
    let mut heard = Instant::now();
    loop {
        if !node.raft().is_leader() {
            return Err(End::NotLeader);
        }
        while commits.len() < BATCHES_IN_FLIGHT && !gathered.messages.is_empty() {
            commits.push_back(commit(Arc::clone(intake), gathered.take()));
        }
        figure.held.store(held as u64, Ordering::Relaxed);
        figure.held_bytes.store(held_bytes as u64, Ordering::Relaxed);
        let has_room = held < usize::from(broker.in_flight) && held_bytes < HELD_BYTES_MAX;
        tokio::select! {
            Some(batch) = commits.next(), if !commits.is_empty() => {
                held -= batch.len();
                held_bytes -= batch.iter().map(weight).sum::<usize>();
                acknowledge(connection, figure, &batch).await?;
            }
            read = connection.read(), if has_room => {
                read?;
                heard = Instant::now();
                while let Some(packet) = connection.wire.next(&mut connection.buffer)? {
                    match packet {
                        Packet::Message(message) => {
                            add(&figure.messages, 1);
                            held += 1;
                            held_bytes += weight(&message);
                            gathered.messages.push_back(message);
                        }
                        Packet::Subscribed(granted) => subscribed(figure, broker, &granted)?,
                        Packet::Closed(why) | Packet::Refused(why) => return Err(End::Closed(why)),
                        Packet::Connected | Packet::Other => {}
                    }
                }
            }
            _ = ping.tick() => {
                if has_room && heard.elapsed() > half * 4 {
                    return Err(End::Silent);
                }
                connection.write(Wire::PING).await?;
            }
            changed = leadership.changed() => {
                if changed.is_err() {
                    return Err(End::NotLeader);
                }
            }
        }
    }
}

fn subscribed(figure: &Figure, broker: &Mqtt, granted: &[bool]) -> Result<(), End> {
    let pairs = broker.topics.iter().zip(granted.iter().chain(std::iter::repeat(&false)));
    let refused: Vec<&str> =
        pairs.filter(|(_, granted)| !**granted).map(|(topic, _)| topic.as_str()).collect();
    if !refused.is_empty() {
        return Err(End::NotGranted(refused.join(", ")));
    }
    add(&figure.connections, 1);
    figure.connected.store(1, Ordering::Relaxed);
    tracing::info!(broker = broker.name, address = broker.address, "taking events from the broker");
    Ok(())
}

async fn acknowledge(
    connection: &mut Connection,
    figure: &Figure,
    batch: &[Message],
) -> Result<(), End> {
    let ids: Vec<u16> = batch.iter().filter_map(|message| message.id).collect();
    let mut bytes = BytesMut::with_capacity(4 * ids.len());
    Wire::acknowledge(&ids, &mut bytes);
    connection.write(&bytes).await?;
    add(&figure.acknowledged, ids.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn batches_are_bounded_and_keep_their_order() {
        let message = |topic: String, bytes: usize| Message {
            topic,
            payload: Bytes::from(vec![0; bytes]),
            id: Some(1),
            over: None,
            attributes: Vec::new(),
        };
        let mut gathered = Gathered::default();
        gathered.messages.push_back(message("large".to_owned(), 3 * BYTES_PER_BATCH));
        for at in 0..MESSAGES_PER_BATCH + 5 {
            gathered.messages.push_back(message(at.to_string(), 8));
        }
        assert_eq!(gathered.take().len(), 1, "one that is too large goes alone");
        let first = gathered.take();
        assert_eq!((first.len(), first[0].topic.as_str()), (MESSAGES_PER_BATCH, "0"));
        assert_eq!(gathered.take().len(), 5);
        assert!(gathered.take().is_empty());
    }
}
