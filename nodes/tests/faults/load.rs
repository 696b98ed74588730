//! The senders: events with unique ids through any node, sent again until they are acknowledged.

use crate::cluster::Cluster;
use crate::linear::Operation;
use crate::oracle::{Answer, Appends, Attempt, Wrong};
use crate::process::Process;
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use nodes::client::events_client;
use nodes::proto::hearth::{AppendRequest, Event};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EVENTS_PER_BATCH: usize = 4;
/// A sender gives one node so long.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(25);
/// Old enough for a node whose clock is an hour late.
const AGE_US: i64 = 2 * 3_600_000_000;
/// Every so many batches one reading is of gas, so that alerts have something to do.
const GAS_EVERY: usize = 8;
/// Readings of gas before another device has them.
const GAS_READINGS: usize = 6;

/// Everything that was asked and answered, by all clients.
#[derive(Debug)]
pub(crate) struct Book {
    base: Instant,
    pub(crate) appends: Mutex<Appends>,
    /// Operations on each register.
    pub(crate) registers: Mutex<BTreeMap<String, Vec<Operation>>>,
    /// What reads saw that they should not have.
    pub(crate) wrong: Mutex<Wrong>,
    /// Reads that were checked.
    pub(crate) reads: AtomicU64,
    /// The round that runs.
    pub(crate) round: AtomicU64,
    stop: AtomicBool,
}

impl Book {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            appends: Mutex::default(),
            registers: Mutex::default(),
            wrong: Mutex::default(),
            reads: AtomicU64::new(0),
            round: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        })
    }

    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.base.elapsed().as_micros() as u64
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A new batch of this many events in the round that runs.
    fn batch(&self, events: usize) -> (usize, Vec<Event>) {
        let round = self.round.load(Ordering::Relaxed);
        let mut appends = self.appends.lock();
        let number = appends.batches.len();
        let ids = (0..events).map(|at| format!("e{number}-{at}")).collect();
        let events = (0..events).map(|at| event(round, number, at)).collect();
        appends.batches.push((round, ids));
        (number, events)
    }

    /// Sends a batch to one node, once, and writes down what came of it. A try that is dropped
    /// before its answer counts as one without.
    async fn try_once(&self, node: &Process, number: usize, events: &[Event]) -> Option<Answer> {
        let at = {
            let mut appends = self.appends.lock();
            let begun = self.now();
            let attempt = Attempt { batch: number, begun, ended: u64::MAX, answer: None };
            appends.attempts.push(attempt);
            appends.attempts.len() - 1
        };
        let request = AppendRequest { events: events.to_vec(), request_id: String::new() };
        let mut client = events_client(node.channel());
        let answer = tokio::time::timeout(ANSWER_WITHIN, client.append(request)).await;
        let answer = answer.ok()?.ok()?.into_inner();
        let answer = Answer {
            log_index: answer.log_index,
            accepted: u64::from(answer.accepted),
            duplicates: u64::from(answer.duplicates),
        };
        let mut appends = self.appends.lock();
        let ended = self.now();
        let attempt = &mut appends.attempts[at];
        (attempt.ended, attempt.answer) = (ended, Some(answer));
        Some(answer)
    }

    /// One event of its own through one node: true once it is acknowledged.
    pub(crate) async fn probe(&self, node: &Process) -> bool {
        let (number, events) = self.batch(1);
        self.try_once(node, number, &events).await.is_some()
    }
}

fn event(round: u64, batch: usize, at: usize) -> Event {
    let is_gas = at == 0 && batch.is_multiple_of(GAS_EVERY);
    let (kind, value) = if is_gas { ("gas", 9.0) } else { ("motion", 1.0) };
    Event {
        event_id: format!("e{batch}-{at}"),
        device_id: format!("{kind}{}", batch / (GAS_EVERY * GAS_READINGS) % 16),
        kind: kind.to_owned(),
        event_time_us: nodes::clock::now_us() - AGE_US,
        value,
        source: source(round),
        ..Event::default()
    }
}

/// Events of a round have a source of their own, so that each round can be counted by itself.
pub(crate) fn source(round: u64) -> String {
    format!("round{round}")
}

/// One sender, until the book is closed and its last batch is acknowledged. Some batches are sent
/// once more though they were; some are looked for by a read.
pub(crate) async fn send(cluster: Arc<Cluster>, book: Arc<Book>, seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    while !book.is_stopped() {
        let (number, events) = book.batch(EVENTS_PER_BATCH);
        let times = if dice.random_ratio(1, 8) { 2 } else { 1 };
        for _ in 0..times {
            let mut tries = 0;
            let answer = loop {
                let node = &cluster.nodes[dice.random_range(0..cluster.nodes.len())];
                if let Some(answer) = book.try_once(node, number, &events).await {
                    break Some(answer);
                }
                tries += 1;
                if book.is_stopped() && tries > 20 {
                    break None;
                }
                tokio::time::sleep(PAUSE).await;
            };
            if let Some(answer) = answer
                && dice.random_ratio(1, 8)
            {
                let node = &cluster.nodes[dice.random_range(0..cluster.nodes.len())];
                look(node, &book, &events, answer.log_index).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was acknowledged at an index is there, once each, for whoever reads at that index.
async fn look(node: &Process, book: &Book, events: &[Event], index: u64) {
    let ids: Vec<String> = events.iter().map(|event| format!("'{}'", event.event_id)).collect();
    let (source, ids) = (&events[0].source, ids.join(","));
    let sql = format!(
        "SELECT count(*) FROM sensor_event WHERE source = '{source}' AND event_id IN ({ids})"
    );
    let Some(seen) = number(node, index, &sql).await else { return };
    book.reads.fetch_add(1, Ordering::Relaxed);
    let wanted = events.len() as i64;
    let said = format!("node {} at index {index}: {seen} of {wanted} events {ids}", node.id);
    match seen.cmp(&wanted) {
        std::cmp::Ordering::Less => book.wrong.lock().stale.push(said),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => book.wrong.lock().others.push(said),
    }
}

/// The one number of a query's answer at or after an index; none without an answer in time, or of
/// an empty or null one.
pub(crate) async fn number(node: &Process, index: u64, sql: &str) -> Option<i64> {
    let mut client = node.flight();
    client.wait_for(index);
    let answered = tokio::time::timeout(ANSWER_WITHIN, client.query(sql)).await.ok()?.ok()?;
    let batch = answered.batches.into_iter().find(|batch| batch.num_rows() > 0)?;
    Some(batch.column(0).as_primitive::<Int64Type>().value(0))
}
