//! openraft's log storage on a simulated disk: one ordered writer, flushed in batches.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Weak};

use futures::Stream;
use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, Write};
use super::mutation::{Mutation, breaks};
use crate::config::{APPEND_MAX_BYTES, Config};
use crate::error::Error;
use crate::log::{LogFigures, Pending, from_start};
use crate::types::{Entry, LogId, Payload, Types, Vote};

/// Told when everything up to a number of writes is on disk.
struct Flush {
    writes: u64,
    done: Flushed,
}

enum Flushed {
    Entries(IOFlushed<Types>),
    Waiter(oneshot::Sender<io::Result<()>>),
    Nobody,
}

#[derive(Debug)]
pub(crate) struct LogStore {
    disk: Disk,
    life: u64,
    flushes: mpsc::UnboundedSender<Flush>,
    held: Arc<()>,
}

#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    disk: Disk,
    _held: Arc<()>,
}

#[derive(Debug, Clone)]
pub(crate) struct LogHold(Weak<()>);

impl LogHold {
    pub(crate) fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    #[expect(clippy::unused_self, reason = "the log it stands for has figures")]
    pub(crate) fn figures(&self) -> LogFigures {
        LogFigures::default()
    }

    #[expect(
        clippy::unused_self,
        reason = "as the real log has it; a simulated disk never hangs for long"
    )]
    pub(crate) fn pending(&self) -> Pending {
        Pending::default()
    }
}

impl LogStore {
    #[expect(clippy::unnecessary_wraps, reason = "the log it stands for may be damaged")]
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let disk = config.sim.disk.clone();
        let life = disk.open();
        let (flushes, waiting) = mpsc::unbounded_channel();
        tokio::spawn(flush(disk.clone(), life, waiting));
        Ok(Self { disk, life, flushes, held: Arc::new(()) })
    }

    pub(crate) fn hold(&self) -> LogHold {
        LogHold(Arc::downgrade(&self.held))
    }

    pub(crate) fn purged_index(&self) -> Option<u64> {
        self.disk.read(|image| image.purged.map(|id| id.index))
    }

    fn write(&self, writes: impl IntoIterator<Item = Write>) -> io::Result<u64> {
        self.disk.write(self.life, writes)
    }

    fn flush(&self, writes: u64, done: Flushed) -> io::Result<()> {
        self.flushes
            .send(Flush { writes, done })
            .map_err(|_| io::Error::other("the log writer has stopped"))
    }
}

/// Syncs what has gathered, again and again, until the store is gone.
async fn flush(disk: Disk, life: u64, mut waiting: mpsc::UnboundedReceiver<Flush>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, usize::MAX).await > 0 {
        let writes = batch.iter().map(|flush| flush.writes).max().unwrap_or(0);
        if breaks(Mutation::AckBeforeFlush) {
            batch = batch.into_iter().filter_map(Flush::tell_too_early).collect();
        }
        tokio::time::sleep(disk.delay()).await;
        if disk.sync(life, writes).is_err() {
            return;
        }
        batch.drain(..).for_each(Flush::tell);
    }
}

impl Flush {
    fn tell(self) {
        match self.done {
            Flushed::Entries(callback) => callback.io_completed(Ok(())),
            Flushed::Waiter(waiter) => drop(waiter.send(Ok(()))),
            Flushed::Nobody => {}
        }
    }

    fn tell_too_early(self) -> Option<Self> {
        if matches!(self.done, Flushed::Entries(_)) {
            self.tell();
            return None;
        }
        Some(self)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        Ok(self
            .disk
            .read(|image| LogState { last_purged_log_id: image.purged, last_log_id: image.last() }))
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { disk: self.disk.clone(), _held: self.held.clone() }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let writes = self.write([Write::Vote(*vote)])?;
        if !breaks(Mutation::ForgetVote) {
            let (sender, flushed) = oneshot::channel();
            self.flush(writes, Flushed::Waiter(sender))?;
            flushed.await.map_err(|_| io::Error::other("the log writer has stopped"))??;
        }
        self.disk.voted(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else {
            return Ok(());
        };
        let named = self
            .disk
            .read(|image| image.last() >= Some(committed) && image.committed < Some(committed));
        if named {
            self.write([Write::Commit(committed)])?;
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.disk.read(|image| image.committed))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let writes = self.write(entries.into_iter().map(Write::Append))?;
        self.flush(writes, Flushed::Entries(callback))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        // Founders differ in their first entry only; that much is cut.
        if breaks(Mutation::KeepConflict) && from > 0 {
            return Ok(());
        }
        if self.disk.read(|image| image.last().is_none_or(|id| id.index < from)) {
            return Ok(());
        }
        self.write([Write::Truncate { from }]).map(drop)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let writes = self.write([Write::Purge(upto)])?;
        self.flush(writes, Flushed::Nobody)
    }
}

impl LogReader {
    fn collect(&self, range: impl RangeBounds<u64>, limit_bytes: usize) -> Vec<Entry> {
        let mut size = 0;
        self.disk.read(|image| {
            let within = image.entries.values().filter(|entry| range.contains(&entry.log_id.index));
            within
                .take_while(|entry| {
                    let before = size;
                    if let Payload::Normal(batch) = &entry.payload {
                        size += batch.len();
                    }
                    before < limit_bytes
                })
                .cloned()
                .collect()
        })
    }
}

impl RaftLogReader<Types> for LogReader {
    /// Entries to apply. A hole must not be skipped: this state would differ without a sign.
    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        R: RangeBounds<u64> + Clone + Debug + Send,
    {
        let mut next = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => self.disk.read(|image| image.purged.map_or(0, |id| id.index + 1)),
        };
        let entries = self.collect(range, usize::MAX);
        futures::stream::iter(entries.into_iter().map(move |entry| {
            if entry.log_id.index != next {
                return Err(io::Error::other(format!("the log lacks entry {next}")));
            }
            next += 1;
            Ok(entry)
        }))
    }

    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + Send,
    {
        Ok(self.collect(range, usize::MAX))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.disk.read(|image| image.vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(from_start(self.collect(start..end, APPEND_MAX_BYTES), start))
    }
}
