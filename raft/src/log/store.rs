//! openraft's log storage on raft-log.
//!
//! Everything goes through one ordered writer, so a vote and an append can never change places.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use parking_lot::{Mutex, RwLock};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;
use tokio::sync::oneshot;

use super::codec::{Ballot, Body, Flushed, Key, LogTypes};
use super::damage::explain;
use super::pending::Pending;
use super::reader::LogReader;
use crate::config::Config;
use crate::error::Error;
use crate::types::{Entry, LogId, Types, Vote};

pub(super) type Shared = Arc<RwLock<Held>>;

/// The log and a token that goes after it: once the token is gone, the folder is free again. The
/// count of `Shared` alone would be 0 while the log is still being closed.
#[derive(Debug)]
pub(super) struct Held {
    log: RaftLog<LogTypes>,
    token: Arc<()>,
}

impl Deref for Held {
    type Target = RaftLog<LogTypes>;

    fn deref(&self) -> &Self::Target {
        &self.log
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.log
    }
}

/// Records in a log chunk; a chunk is closed by records or bytes, whatever comes first.
const CHUNK_MAX_RECORDS: usize = 1 << 20;
/// Bytes waiting to be written before an append blocks.
const FLUSH_QUEUE_MAX_BYTES: usize = 64 << 20;
/// A log that is busy longer than this gives no new figures.
const FIGURES_TIMEOUT: Duration = Duration::from_millis(20);
const READ_BUFFER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct LogStore {
    log: Shared,
    pending: Pending,
}

/// Tells whether the log is still held by somebody.
#[derive(Debug, Clone)]
pub(crate) struct LogHold {
    log: Weak<RwLock<Held>>,
    token: Weak<()>,
    pending: Pending,
    last: Arc<Mutex<LogFigures>>,
}

impl LogHold {
    pub(crate) fn is_held(&self) -> bool {
        self.token.strong_count() > 0
    }

    pub(crate) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// While the log is busy with a disk that hangs, these are the last ones known, except for how
    /// long it has been.
    pub(crate) fn figures(&self) -> LogFigures {
        if let Some(log) = self.log.upgrade()
            && let Some(log) = log.try_read_for(FIGURES_TIMEOUT)
        {
            *self.last.lock() = figures(&log);
        }
        let waited = self.pending.oldest().map_or(Duration::ZERO, |(waited, _)| waited);
        LogFigures { flush_pending_ms: waited.as_millis() as u64, ..*self.last.lock() }
    }
}

fn figures(log: &Held) -> LogFigures {
    let flushes = log.stat().flush_metrics;
    LogFigures {
        flush_pending_ms: 0,
        bytes: log.on_disk_size(),
        flushes: flushes.sync_batch_count,
        flush_p50_us: flushes.sync_percentiles.p50_us,
        flush_p99_us: flushes.sync_percentiles.p99_us,
        flush_max_us: flushes.sync_max_us,
    }
}

/// How the disk under the log does, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFigures {
    pub bytes: u64,
    pub flushes: u64,
    pub flush_p50_us: u64,
    pub flush_p99_us: u64,
    pub flush_max_us: u64,
    /// How long the oldest append or vote has waited for the disk.
    pub flush_pending_ms: u64,
}

impl LogStore {
    /// Opens or creates the log. A torn tail is cut; any other damage is refused.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let dir = config.log_dir();
        std::fs::create_dir_all(&dir)
            .map_err(|e| Error::io(format!("cannot create {}", dir.display()), e))?;
        let mut settings = raft_log::Config::new(dir.display());
        settings.wal.chunk_max_records = Some(CHUNK_MAX_RECORDS);
        settings.wal.chunk_max_size = Some(config.log_chunk_bytes);
        settings.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
        settings.wal.flush_queue_max_bytes = Some(FLUSH_QUEUE_MAX_BYTES);
        // Commands are gathered before they reach the log, waiting again would only add delay.
        settings.wal.flush_batch_wait = Some(Duration::ZERO);
        settings.log_cache_capacity = Some(config.log_cache_bytes);
        let log = RaftLog::open(Arc::new(settings)).map_err(|e| explain(&dir, e))?;
        let held = Held { log, token: Arc::new(()) };
        Ok(Self { log: Arc::new(RwLock::new(held)), pending: Pending::default() })
    }

    pub(crate) fn hold(&self) -> LogHold {
        let token = Arc::downgrade(&self.log.read().token);
        LogHold {
            log: Arc::downgrade(&self.log),
            token,
            pending: self.pending.clone(),
            last: Arc::default(),
        }
    }
}

impl LogStore {
    /// The last index that is no longer in the log.
    pub(crate) fn purged_index(&self) -> Option<u64> {
        self.log.read().log_state().purged().map(|key| key.0.index)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let log = self.log.read();
        let state = log.log_state();
        Ok(LogState {
            last_purged_log_id: state.purged().map(|k| k.0),
            last_log_id: state.last().map(|k| k.0),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(self.log.clone())
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (sender, flushed) = oneshot::channel();
        let ticket = self.pending.begin(0);
        {
            let mut log = self.log.write();
            log.save_vote(Ballot(*vote))?;
            log.flush(true, Some(Flushed::Waiter(sender, ticket)))?;
        }
        flushed.await.map_err(|_| io::Error::other("the log writer has stopped"))?
    }

    /// Not synced on its own: it only saves replaying, and the entries it names are on disk.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed.map(Key) else {
            return Ok(());
        };
        let mut log = self.log.write();
        let state = log.log_state();
        // A snapshot may commit more than the log holds; the log refuses to name what it lacks.
        if state.last() < Some(&committed) || state.committed() >= Some(&committed) {
            return Ok(());
        }
        log.commit(committed)?;
        log.flush(false, None)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.read().log_state().committed().map(|k| k.0))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut entries = entries.into_iter().peekable();
        // Begins here: the log may block before it comes to the disk.
        let ticket = self.pending.begin(entries.peek().map_or(0, |entry| entry.log_id.index));
        let records = entries.map(|entry| (Key(entry.log_id), Body(entry.payload)));
        let mut log = self.log.write();
        log.append(records)?;
        log.flush(true, Some(Flushed::Entries(callback, ticket)))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let first_gone = last.map_or(0, |id| id.index + 1);
        let mut log = self.log.write();
        let next = log.log_state().last().map_or(0, |key| key.0.index + 1);
        if first_gone >= next {
            return Ok(());
        }
        log.truncate(first_gone).map(drop)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut log = self.log.write();
        log.purge(Key(upto))?;
        // Chunk files are removed after this flush; nobody has to wait for it.
        log.flush(true, None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use bytes::Bytes;
    use openraft::RaftLogReader as _;
    use openraft::storage::RaftLogStorageExt as _;
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::batch::Batch;
    use crate::types::{LeaderId, Payload};

    const ENTRIES: u64 = 12;
    /// The checkpoint that every chunk begins with, the vote, the entries.
    const RECORDS: usize = 2 + ENTRIES as usize;

    fn config(dir: &Path) -> Config {
        Config { dir: dir.to_owned(), ..Config::default() }
    }

    /// One chunk with a vote and entries, closed.
    async fn write(config: &Config) -> PathBuf {
        let mut log = LogStore::open(config).unwrap();
        log.save_vote(&Vote::new_committed(1, 1)).await.unwrap();
        let entries = (0..ENTRIES).map(|index| {
            let command = Bytes::from(format!("command {index}"));
            Entry {
                log_id: LogId::new(LeaderId::new(1, 1), index),
                payload: Payload::Normal(Batch::new(index as i64, [command].iter())),
            }
        });
        log.blocking_append(entries).await.unwrap();
        let chunks = fs::read_dir(config.log_dir()).unwrap().map(|e| e.unwrap().path());
        chunks.filter(|path| path.extension().is_some_and(|e| e == "wal")).max().unwrap()
    }

    #[tokio::test]
    async fn no_flipped_bit_passes_for_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let chunk = write(&config).await;
        let whole = fs::read(&chunk).unwrap();
        let mut starts = std::collections::BTreeSet::new();
        for at in 0..whole.len() {
            for bit in [0x01, 0x04, 0x80] {
                let mut flipped = whole.clone();
                flipped[at] ^= bit;
                fs::write(&chunk, &flipped).unwrap();
                match LogStore::open(&config) {
                    Err(Error::Damaged { file, offset, .. }) => {
                        assert_eq!(file, chunk);
                        let offset = offset.unwrap();
                        assert!(offset <= at as u64, "byte {at} is said to be after {offset}");
                        starts.insert(offset);
                        // Not the beginning of an earlier record.
                        assert_eq!(starts.last(), Some(&offset), "byte {at}");
                    }
                    Err(other) => panic!("byte {at}: {other}"),
                    Ok(_) => panic!("byte {at} ^ {bit:#x} of {} was not noticed", whole.len()),
                }
            }
        }
        assert_eq!(starts.len(), RECORDS, "every record is told apart: {starts:?}");
        fs::write(&chunk, &whole).unwrap();
        let mut reader = LogStore::open(&config).unwrap().get_log_reader().await;
        assert_eq!(reader.try_get_log_entries(..).await.unwrap().len() as u64, ENTRIES);
    }

    #[tokio::test]
    async fn what_was_purged_is_not_skipped_for_a_follower() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        write(&config).await;
        let mut log = LogStore::open(&config).unwrap();
        log.purge(LogId::new(LeaderId::new(1, 1), 4)).await.unwrap();
        let mut reader = log.get_log_reader().await;
        assert!(reader.limited_get_log_entries(3, 9).await.unwrap().is_empty());
        let entries = reader.limited_get_log_entries(5, 9).await.unwrap();
        assert_eq!(entries.first().unwrap().log_id.index, 5);
    }

    #[tokio::test]
    async fn a_torn_end_loses_the_torn_entry_only() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let chunk = write(&config).await;
        let whole = fs::read(&chunk).unwrap();
        fs::write(&chunk, &whole[..whole.len() - 3]).unwrap();
        let mut log = LogStore::open(&config).unwrap();
        let last = log.get_log_state().await.unwrap().last_log_id.unwrap();
        assert_eq!(last.index, ENTRIES - 2);
        assert!(log.get_log_reader().await.read_vote().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn nothing_is_read_with_a_hole_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        write(&config).await;
        let mut log = LogStore::open(&config).unwrap();
        log.purge(LogId::new(LeaderId::new(1, 1), 5)).await.unwrap();
        let mut reader = log.get_log_reader().await;
        let kept = reader.limited_get_log_entries(6, ENTRIES).await.unwrap();
        assert_eq!(kept.len() as u64, ENTRIES - 6);
        assert!(reader.limited_get_log_entries(3, ENTRIES).await.unwrap().is_empty());
    }
}
