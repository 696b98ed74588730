//! Registers: rows of a reference table, written and read by several clients through any node.
//!
//! A register gets about a window's worth of operations and is then left for a fresh one, so that
//! its whole history can be searched at once.

use crate::cluster::Cluster;
use crate::linear::{self, Act, Operation, Verdict};
use crate::load::{ANSWER_WITHIN, Book};
use crate::process::Process;
use features::civil;
use features::table::Cell;
use nodes::client::events_client;
use nodes::proto::hearth::{AppendRequest, Event};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Registers in use at a time.
const SLOTS: u64 = 3;
/// Operations after which a register is left.
const OPERATIONS: usize = 100;
const PAUSE: Duration = Duration::from_millis(30);

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(300);

/// Gives every write a value of its own; 0 is nobody's.
static VALUES: AtomicU64 = AtomicU64::new(1);

/// One client, until the book is closed.
pub(crate) async fn client(cluster: Arc<Cluster>, book: Arc<Book>, number: u64, seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    while !book.is_stopped() {
        let slot = dice.random_range(0..SLOTS);
        let act = if dice.random_bool(0.5) {
            Act::Write(VALUES.fetch_add(1, Ordering::Relaxed))
        } else {
            Act::Read(0)
        };
        let mut pick = || &cluster.nodes[dice.random_range(0..cluster.nodes.len())];
        let (first, second) = (pick(), pick());
        let (key, at) = book.begin(slot, act);
        match act {
            Act::Write(value) => {
                let written = tokio::time::timeout(ANSWER_WITHIN, write(first, &key, value));
                if let Ok(Ok(_)) = written.await {
                    book.end(&key, at, act);
                } else {
                    // It may have been done or not; a few of these are enough for one window.
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
            Act::Read(_) => {
                if let Some(seen) = read(first, second, &key, number).await {
                    book.end(&key, at, Act::Read(seen));
                    book.reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Book {
    /// Begins an operation on the register that a slot has now.
    fn begin(&self, slot: u64, act: Act) -> (String, usize) {
        let mut registers = self.registers.lock();
        let prefix = format!("reg{slot}-");
        let newest =
            registers.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let (count, full) = newest
            .fold((0, true), |(count, _), (_, window)| (count + 1, window.len() >= OPERATIONS));
        let generation = if full { count } else { count - 1 };
        let key = format!("{prefix}{generation:06}");
        let window = registers.entry(key.clone()).or_default();
        window.push(Operation { begun: self.now(), ended: None, act });
        (key, window.len() - 1)
    }

    fn end(&self, key: &str, at: usize, act: Act) {
        let mut registers = self.registers.lock();
        let operation = &mut registers.get_mut(key).unwrap()[at];
        (operation.ended, operation.act) = (Some(self.now()), act);
    }

    /// Searches every register's history; gives the number of windows, and what is wrong.
    pub(crate) fn check_registers(&self) -> (usize, Vec<String>, Vec<String>) {
        let (mut stale, mut others) = (Vec::new(), Vec::new());
        let registers = self.registers.lock();
        for (key, window) in registers.iter() {
            // A read without an answer says nothing.
            let said =
                |each: &&Operation| each.ended.is_some() || matches!(each.act, Act::Write(_));
            let window: Vec<Operation> = window.iter().filter(said).copied().collect();
            let reads = linear::stale_reads(&window);
            stale.extend(reads.iter().map(|read| format!("register {key}: {read:?}")));
            let verdict = linear::check(&window);
            if verdict != Verdict::Linearizable {
                others.push(format!("register {key}: {verdict:?}: {}", linear::text(&window)));
            }
        }
        (registers.len(), stale, others)
    }
}

async fn write(node: &Process, key: &str, value: u64) -> Result<i64, flight::Error> {
    let table = civil::table("grid").unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    let mut put = |name: &str, cell| row[table.position(name).unwrap()] = cell;
    put("grid_id", Cell::text(key));
    put("households", Cell::Int(value as i64));
    put("src_dept", Cell::text("tests"));
    put("as_of", Cell::Time(nodes::clock::now_us()));
    node.flight().ingest_rows("grid", &[row]).await
}

/// A linearizable read: an entry of its own goes through the log first, and the row is read, from
/// any node, once that has what stands before the entry.
async fn read(first: &Process, second: &Process, key: &str, client: u64) -> Option<u64> {
    let event = Event {
        event_id: format!("fence{client}"),
        device_id: "fence".to_owned(),
        kind: "heartbeat".to_owned(),
        event_time_us: nodes::clock::now_us() - 2 * 3_600_000_000,
        value: 1.0,
        source: "fence".to_owned(),
        ..Event::default()
    };
    let request = AppendRequest { events: vec![event], request_id: String::new() };
    let mut events = events_client(first.channel());
    let fence = tokio::time::timeout(ANSWER_WITHIN, events.append(request)).await.ok()?.ok()?;
    let sql = format!("SELECT coalesce(max(households), 0) FROM grid WHERE grid_id = '{key}'");
    let seen = crate::load::number(second, fence.into_inner().log_index, &sql).await?;
    Some(seen as u64)
}
