//! Applied entries into the warehouse, in batches, each with its index in the same transaction.
//!
//! One thread a node. An entry that was recorded before is skipped, so a restart doubles nothing.
//! After a snapshot from the leader the history in between is copied from a peer over Flight.

use crate::machine::{Machine, Recorded};
use crate::state::{Alert, Change};
use features::civil;
use features::table::{Cell as Value, Mode, Table};
use flight::{Recording, Warehouse};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Rows in one transaction; more wait for the next.
const ROWS_PER_TRANSACTION: usize = 50_000;
/// Entries taken from the queue for one transaction.
const ENTRIES_PER_TRANSACTION: usize = 2_048;
/// Rows after which the warehouse's log is folded into its file, once nothing waits.
const ROWS_PER_CHECKPOINT: usize = 200_000;
/// Entries whose history is copied from a peer at once.
const HISTORY_ENTRIES: u64 = 2_000;
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
    pub(crate) recorded: Arc<AtomicU64>,
    pub(crate) moved: watch::Sender<u64>,
    pub(crate) history: History,
    /// Rows written since the last checkpoint.
    pub(crate) unfolded: Cell<usize>,
}

impl Recorder {
    /// Runs until the queue closes; call on a thread of its own.
    pub(crate) fn run(mut self, machine: &Machine) {
        while let Some(first) = self.queue.blocking_recv() {
            match first {
                Recorded::Entry { index, changes } => {
                    let (recording, restored) = self.gather(index, changes);
                    self.write(&recording);
                    if let Some(index) = restored {
                        self.catch_up(machine, index);
                    }
                }
                Recorded::Restored { index } => self.catch_up(machine, index),
            }
        }
    }

    /// Everything that waits, up to a bound, as one transaction.
    fn gather(&mut self, index: u64, changes: Vec<Change>) -> (Recording, Option<u64>) {
        let already = self.recorded.load(Ordering::Acquire);
        let mut batch = Batch::default();
        batch.take(already, index, changes);
        for _ in 0..ENTRIES_PER_TRANSACTION {
            if batch.rows >= ROWS_PER_TRANSACTION {
                break;
            }
            match self.queue.try_recv() {
                Ok(Recorded::Entry { index, changes }) => batch.take(already, index, changes),
                Ok(Recorded::Restored { index }) => return (batch.into_recording(), Some(index)),
                Err(_) => break,
            }
        }
        (batch.into_recording(), None)
    }

    /// Writes until it is written: a full disk delays the warehouse, it never loses a row.
    fn write(&self, recording: &Recording) {
        let through = recording.through;
        let rows =
            recording.appends.iter().chain(&recording.upserts).map(|(_, rows)| rows.len()).sum();
        if through <= self.recorded.load(Ordering::Acquire) {
            return;
        }
        while let Err(error) = self.warehouse.record(recording.clone()) {
            tracing::error!(through, %error, "the warehouse did not take the rows; trying again");
            std::thread::sleep(RETRY);
        }
        self.recorded.store(through, Ordering::Release);
        self.moved.send_replace(through);
        self.fold(rows);
    }

    /// Folds DuckDB's write-ahead log into its file while nothing waits.
    fn fold(&self, rows: usize) {
        let unfolded = self.unfolded.get() + rows;
        self.unfolded.set(unfolded);
        if unfolded < ROWS_PER_CHECKPOINT || !self.queue.is_empty() {
            return;
        }
        match self.warehouse.checkpoint() {
            Ok(true) => self.unfolded.set(0),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the warehouse's log was not folded"),
        }
    }

    /// The state was replaced by a snapshot taken at `index`: copies the history up to there, a
    /// bounded range of the log at a time, then what is kept current.
    fn catch_up(&self, machine: &Machine, index: u64) {
        loop {
            let already = self.recorded.load(Ordering::Acquire);
            if index <= already {
                return;
            }
            let through = index.min(already + HISTORY_ENTRIES);
            let appends = self.copy_history(already, through);
            let mut recording = Recording { through, appends, ..Recording::default() };
            if through == index {
                add_current(&mut recording, machine);
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
fn add_current(recording: &mut Recording, machine: &Machine) {
    let state = machine.read();
    for table in civil::TABLES {
        let rows: Vec<Vec<Value>> = match (table.mode, table.name) {
            (Mode::Reference, name) => state.rows.scan(name).collect(),
            (Mode::Current, "alert") => state.alerts.iter().map(Alert::to_row).collect(),
            (Mode::Current, "model_version") => state.model_rows(),
            _ => continue,
        };
        recording.replaces.push(table);
        recording.upserts.push((table, rows));
    }
}

/// Rows on their way, by table.
#[derive(Default)]
struct Batch {
    through: u64,
    rows: usize,
    appends: BTreeMap<&'static str, Rows>,
    upserts: BTreeMap<&'static str, Rows>,
}

impl Batch {
    fn take(&mut self, already: u64, index: u64, changes: Vec<Change>) {
        self.through = index;
        if index <= already {
            return;
        }
        self.rows += changes.len();
        for change in changes {
            let (kind, table, row) = match change {
                Change::Append { table, row } => (&mut self.appends, table, row),
                Change::Upsert { table, row } => (&mut self.upserts, table, row),
            };
            kind.entry(table.name).or_insert_with(|| (table, Vec::new())).1.push(row);
        }
    }

    fn into_recording(self) -> Recording {
        Recording {
            through: self.through,
            appends: self.appends.into_values().collect(),
            upserts: self.upserts.into_values().collect(),
            ..Recording::default()
        }
    }
}
