//! Connections for readers: as many as may query at once, with a bounded queue before them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use duckdb::Connection;
use features::table::Cell;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Settings, guard::Verdicts, hold::Hold, open::one_line};
use crate::Error;

/// Rows of `query_log` that wait for the next recording; the oldest are dropped beyond it.
const NOTES_MAX: usize = 4096;
const WAITING_PER_PLACE: usize = 4;

pub(super) struct Pool {
    root: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    notes: Mutex<VecDeque<Vec<Cell>>>,
    pub(super) settings: Settings,
    pub(super) verdicts: Verdicts,
    /// As [`super::Warehouse::recorded_index`].
    pub(super) recorded: Arc<AtomicU64>,
    // Last, so that it is let go after the connections.
    _hold: Arc<Hold>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A connection of the pool and the right to use it. It goes back when dropped.
pub(super) struct Borrowed {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(
        root: Connection,
        settings: Settings,
        recorded: Arc<AtomicU64>,
        hold: Arc<Hold>,
    ) -> Self {
        Self {
            root: Mutex::new(root),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(settings.queries_max.max(1))),
            waiting: AtomicUsize::new(0),
            notes: Mutex::default(),
            settings,
            verdicts: Verdicts::default(),
            recorded,
            _hold: hold,
        }
    }

    /// Waits for a place, as long as the settings say.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let most = self.settings.queries_max * WAITING_PER_PLACE;
        let waiting = Waiting::enter(&self.waiting);
        if waiting.before >= most {
            return Err(Error::TooMuch(format!("{most} queries wait already; try again later")));
        }
        let limit = self.settings.queue_time_max;
        match tokio::time::timeout(limit, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Error::Unavailable("the warehouse is closing".to_owned())),
            Err(_) => Err(Error::TooMuch(format!(
                "{} queries are running and none ended within {} s; try again later",
                self.settings.queries_max,
                limit.as_secs()
            ))),
        }
    }

    /// A connection for the holder of a place. Blocks for a moment where none is idle.
    pub(super) fn borrow(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Result<Borrowed, Error> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(|error| Error::Internal(one_line(&error)))?,
        };
        Ok(Borrowed { connection: Some(connection), pool: Arc::clone(self), _place: place })
    }

    fn connect(&self) -> duckdb::Result<Connection> {
        let connection = self.root.lock().try_clone()?;
        connection.execute_batch("USE hearth.civil")?;
        Ok(connection)
    }

    pub(super) fn note(&self, row: Vec<Cell>) {
        let mut notes = self.notes.lock();
        if notes.len() == NOTES_MAX {
            notes.pop_front();
        }
        notes.push_back(row);
    }

    pub(super) fn take_notes(&self) -> Vec<Vec<Cell>> {
        std::mem::take(&mut *self.notes.lock()).into()
    }
}

impl Borrowed {
    /// The connection; `None` only while it is being dropped.
    pub(super) fn connection(&self) -> Result<&Connection, Error> {
        self.connection.as_ref().ok_or_else(|| Error::Internal("the connection is gone".to_owned()))
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // A transaction that is over already makes this fail, which is as good.
        if let Some(connection) = self.connection.take() {
            drop(connection.execute_batch("ROLLBACK"));
            self.pool.idle.lock().push(connection);
        }
    }
}

/// Counts itself among the waiting for as long as it lives.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
