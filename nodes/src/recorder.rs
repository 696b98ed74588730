//! Applied entries into the warehouse, in batches, each with its index in the same transaction.
//!
//! One thread a node. An entry that was recorded before is skipped, so a restart doubles nothing.
//! After a snapshot from the leader the history in between is copied from a peer over Flight.

use crate::backlog::Backlog;
use crate::machine::{Machine, Recorded};
use crate::state::{Alert, Change, State};
use features::table::{Cell as Value, Mode, Table};
use features::{EventColumns, civil};
use flight::{Recording, Warehouse};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Rows in one transaction; more wait for the next.
const ROWS_PER_TRANSACTION: usize = 50_000;
/// Entries taken from the queue for one transaction.
const ENTRIES_PER_TRANSACTION: usize = 2_048;
/// Bytes of the warehouse's log after which it is folded into the file, once little comes in: folding a
/// row takes longer than writing it, and a start reads every byte of it.
const UNFOLDED_BYTES: u64 = 16 << 20;
/// Bytes after which it is folded in any case.
const UNFOLDED_BYTES_MAX: u64 = 512 << 20;
/// Little is at most so many rows in a transaction.
const QUIET_ROWS: usize = 500;
/// Entries whose history is copied from a peer at once.
const HISTORY_ENTRIES: u64 = 2_000;
/// Between the beginnings of two transactions, as long as nobody waits for the second.
const GATHER: Duration = Duration::from_millis(100);
/// Entries without rows cost no transaction of their own, but after this time their index is written.
const INDEX_ALONE: Duration = Duration::from_secs(5);
/// Pause before a transaction that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Rows of one table.
type Rows = (&'static Table, Vec<Vec<Value>>);
/// Copies the history of `after < log index <= through` from a peer.
pub(crate) type History = Box<dyn Fn(u64, u64) -> Result<Vec<Rows>, String> + Send>;

/// The recorder's side of the node.
pub(crate) struct Recorder {
    pub(crate) warehouse: Arc<Warehouse>,
    pub(crate) queue: mpsc::Receiver<Recorded>,
    pub(crate) backlog: Arc<Backlog>,
    /// Up to where all rows are in the warehouse.
    pub(crate) recorded: Arc<AtomicU64>,
    /// Up to where the warehouse itself says so, after a crash too.
    pub(crate) durable: Arc<AtomicU64>,
    pub(crate) moved: watch::Sender<u64>,
    pub(crate) history: History,
    /// When the last transaction began.
    pub(crate) written: Instant,
}

impl Recorder {
    /// Runs until the queue closes, which the machine does when it goes; call on a thread of its own.
    pub(crate) fn run(mut self, machine: &Weak<Machine>) {
        while let Some(first) = self.queue.blocking_recv() {
            match first {
                Recorded::Entry { index, changes, bytes } => {
                    let recorded = self.recorded.load(Ordering::Acquire);
                    self.backlog.gather(recorded, self.written + GATHER);
                    let mut batch = Batch::default();
                    batch.take(recorded, index, changes, bytes);
                    let restored = self.fill(&mut batch, recorded);
                    let bytes = batch.bytes;
                    self.keep(&batch.into_recording());
                    self.backlog.release(bytes);
                    if let Some(index) = restored {
                        self.catch_up(machine, index);
                    }
                }
                Recorded::Restored { index } => self.catch_up(machine, index),
            }
        }
        self.backlog.close();
    }

    /// Everything that waits, up to a bound, into one transaction.
    fn fill(&mut self, batch: &mut Batch, recorded: u64) -> Option<u64> {
        for _ in 0..ENTRIES_PER_TRANSACTION {
            if batch.rows >= ROWS_PER_TRANSACTION {
                break;
            }
            match self.queue.try_recv() {
                Ok(Recorded::Entry { index, changes, bytes }) => {
                    batch.take(recorded, index, changes, bytes);
                }
                Ok(Recorded::Restored { index }) => return Some(index),
                Err(_) => break,
            }
        }
        None
    }

    /// Writes what has rows. What has none only moves the index that readers see, for a while: after
    /// a crash those entries are applied again and again say nothing.
    fn keep(&mut self, recording: &Recording) {
        let is_durable_wanted = self.backlog.take_durable_wanted();
        if rows_in(recording) == 0 && !is_durable_wanted && self.written.elapsed() < INDEX_ALONE {
            self.warehouse.pass_over(recording.through);
            self.show(recording.through);
            return;
        }
        self.written = Instant::now();
        self.write(recording);
    }

    /// Writes until it is written: a full disk delays the warehouse, it never loses a row.
    fn write(&self, recording: &Recording) {
        let through = recording.through;
        if through <= self.durable.load(Ordering::Acquire) {
            return;
        }
        while let Err(error) = self.warehouse.record(recording) {
            if error.needs_restart() {
                tracing::error!(through, %error, "the warehouse has given up; the process ends so that it is started again");
                std::process::exit(crate::exit::CORE_DIED);
            }
            tracing::error!(through, %error, "the warehouse did not take the rows; trying again");
            std::thread::sleep(RETRY);
        }
        self.durable.store(through, Ordering::Release);
        self.show(through);
        self.fold(rows_in(recording));
    }

    fn show(&self, through: u64) {
        if through > self.recorded.fetch_max(through, Ordering::AcqRel) {
            self.moved.send_replace(through);
        }
    }

    /// Folds DuckDB's write-ahead log into its file while little comes in.
    fn fold(&self, rows: usize) {
        let is_quiet = rows <= QUIET_ROWS && self.queue.is_empty();
        let bytes_max = if is_quiet { UNFOLDED_BYTES } else { UNFOLDED_BYTES_MAX };
        // What an earlier process left counts, too: one that is killed again and again folds all the same.
        if self.warehouse.unfolded_bytes() >= bytes_max
            && let Err(error) = self.warehouse.checkpoint()
        {
            tracing::warn!(%error, "the warehouse's log was not folded");
        }
    }

    /// The state was replaced by a snapshot taken at `index`: copies the history up to there, a
    /// bounded range of the log at a time, then what is kept current.
    fn catch_up(&self, machine: &Weak<Machine>, index: u64) {
        loop {
            let already = self.recorded.load(Ordering::Acquire);
            if index <= already {
                return;
            }
            let through = index.min(already + HISTORY_ENTRIES);
            let appends = self.copy_history(already, through);
            let mut recording = Recording { through, appends, ..Recording::default() };
            if through == index {
                let Some(machine) = machine.upgrade() else { return };
                add_current(&mut recording, &machine.read());
            }
            self.write(&recording);
        }
    }

    fn copy_history(&self, after: u64, through: u64) -> Vec<Rows> {
        loop {
            match (self.history)(after, through) {
                Ok(tables) => return tables,
                Err(error) => {
                    tracing::warn!(after, through, %error, "history is not here yet; asking again");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }
}

/// Every table that is kept current, from the state itself. The state may have moved on since the
/// snapshot; the entries that moved it are recorded next and say the same again.
pub(crate) fn add_current(recording: &mut Recording, state: &State) {
    for table in civil::TABLES {
        let rows: Vec<Vec<Value>> = match (table.mode, table.name) {
            (Mode::Reference, name) => state.rows.scan(name).collect(),
            (Mode::Current, "alert") => state.alerts.iter().map(Alert::to_row).collect(),
            (Mode::Current, "dead_letter") => state.dead_letters.rows().collect(),
            (Mode::Current, "model_version") => state.model_rows(),
            (Mode::Current, "model_validation") => state.validation_rows(),
            (Mode::Current, "model_shadow") => state.shadow_rows(),
            (Mode::Current, "feature_view") => state.view_rows(),
            _ => continue,
        };
        // Of closed alerts the state has the newest only; what the warehouse knows beside them stays.
        if table.name != "alert" {
            recording.replaces.push(table);
        }
        recording.upserts.push((table, rows));
    }
}

/// Keys that went, each behind so many upserts of its table.
type Gone = Vec<(usize, Vec<Value>)>;

/// Rows on their way, by table.
#[derive(Default)]
struct Batch {
    through: u64,
    rows: usize,
    bytes: usize,
    appends: BTreeMap<&'static str, Rows>,
    upserts: BTreeMap<&'static str, Rows>,
    deletes: BTreeMap<&'static str, (&'static Table, Gone)>,
    events: EventColumns,
}

impl Batch {
    fn take(&mut self, recorded: u64, index: u64, changes: Vec<Change>, bytes: usize) {
        self.through = index;
        self.bytes += bytes;
        if index <= recorded {
            return;
        }
        for change in changes {
            let (kind, table, row) = match change {
                Change::Append { table, row } => (&mut self.appends, table, row),
                Change::Upsert { table, row } => (&mut self.upserts, table, row),
                Change::Delete { table, key } => {
                    let before = self.upserts.get(table.name).map_or(0, |(_, rows)| rows.len());
                    let gone = self.deletes.entry(table.name).or_insert((table, Vec::new()));
                    gone.1.push((before, key));
                    self.rows += 1;
                    continue;
                }
                Change::Events(events) => {
                    self.rows += events.len();
                    if self.events.is_empty() {
                        self.events = *events;
                    } else {
                        self.events.absorb(&events);
                    }
                    continue;
                }
            };
            self.rows += 1;
            kind.entry(table.name).or_insert_with(|| (table, Vec::new())).1.push(row);
        }
    }

    fn into_recording(mut self) -> Recording {
        let deletes = std::mem::take(&mut self.deletes);
        let deletes = deletes.into_values().map(|(table, gone)| {
            let upserts = self.upserts.get_mut(table.name).map(|(_, rows)| rows);
            (table, let_go(table, gone, upserts))
        });
        Recording {
            deletes: deletes.collect(),
            through: self.through,
            appends: self.appends.into_values().collect(),
            upserts: self.upserts.into_values().collect(),
            events: self.events,
            ..Recording::default()
        }
    }
}

/// Takes out what was written of a key before it went; gives the keys that went.
fn let_go(
    table: &Table,
    gone: Vec<(usize, Vec<Value>)>,
    upserts: Option<&mut Vec<Vec<Value>>>,
) -> Vec<Vec<Value>> {
    // The last time that each went.
    let last: BTreeMap<Vec<u8>, usize> =
        gone.iter().filter_map(|(before, key)| Some((table.key_of(key).ok()?, *before))).collect();
    if let Some(rows) = upserts {
        let mut at = 0;
        rows.retain(|row| {
            let went = table.key_of(row).ok().and_then(|key| last.get(&key));
            at += 1;
            went.is_none_or(|before| at > *before)
        });
    }
    gone.into_iter().map(|(_, key)| key).collect()
}

fn rows_in(recording: &Recording) -> usize {
    let tables = recording.appends.iter().chain(&recording.upserts).chain(&recording.deletes);
    tables.map(|(_, rows)| rows.len()).sum::<usize>() + recording.events.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_within_a_transaction_is_written_only_if_it_came_back() {
        let table = civil::table("grid").unwrap();
        let row = |key: &str, households: i64| {
            let mut row = vec![Value::Null; table.columns.len()];
            (row[0], row[3]) = (Value::text(key), Value::Int(households));
            row
        };
        let put = |key: &str, households| Change::Upsert { table, row: row(key, households) };
        let go = |key: &str| Change::Delete { table, key: vec![Value::text(key)] };
        let mut batch = Batch::default();
        batch.take(0, 1, vec![put("a", 1), put("b", 1), go("a"), go("c")], 0);
        batch.take(0, 2, vec![put("a", 2), go("b"), put("d", 1)], 0);
        let recording = batch.into_recording();
        assert_eq!(rows_in(&recording), 5);
        assert_eq!(recording.upserts[0].1, [row("a", 2), row("d", 1)]);
        let gone = ["a", "c", "b"].map(|key| vec![Value::text(key)]);
        assert_eq!(recording.deletes[0].1, gone);
    }
}
