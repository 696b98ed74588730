//! Reads entries in bounded pieces.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures::Stream;
use openraft::RaftLogReader;

use super::codec::Key;
use super::store::Shared;
use crate::config::APPEND_MAX_BYTES;
use crate::types::{Entry, Payload, Types, Vote};

/// The newest entries are in memory and are read on the spot.
const RECENT_ENTRIES: u64 = 64;

#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    log: Shared,
}

impl LogReader {
    pub(super) fn new(log: Shared) -> Self {
        Self { log }
    }

    /// Entries from `start`, at least one, until `limit_bytes` is passed.
    async fn read(&self, start: u64, end: u64, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        if start.saturating_add(RECENT_ENTRIES) >= self.next_index() {
            return self.collect(start, end, limit_bytes);
        }
        // Older entries may have to come from the disk.
        let reader = self.clone();
        crate::blocking::spawn_blocking(move || reader.collect(start, end, limit_bytes))
            .await
            .map_err(io::Error::other)?
    }

    fn collect(&self, start: u64, end: u64, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut size = 0;
        let mut entries = Vec::new();
        let (first, next) = {
            let log = self.log.read();
            let state = log.log_state();
            (next_of(state.purged()), next_of(state.last()))
        };
        for index in start.max(first)..end.min(next) {
            // Locked for one entry at a time: a slow disk must not hold up appends.
            let record = self.log.read().read(index, index + 1).next();
            let (key, body) = match record {
                Some(record) => record?,
                // A log may begin above 0 without anything purged.
                None if entries.is_empty() => continue,
                // Truncated meanwhile.
                None => break,
            };
            if let Payload::Normal(batch) = &body.0 {
                size += batch.len();
            }
            entries.push(Entry { log_id: key.0, payload: body.0 });
            if size >= limit_bytes {
                break;
            }
        }
        Ok(entries)
    }

    fn next_index(&self) -> u64 {
        next_of(self.log.read().log_state().last())
    }

    fn ends(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at + 1,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.next_index(),
        };
        // An empty or reversed range reads nothing.
        (start.min(end), end)
    }
}

/// Purged meanwhile: entries that begin later would leave a hole in the log of a follower. Without
/// any, the core sends a heartbeat, and then a snapshot.
pub(crate) fn from_start(entries: Vec<Entry>, start: u64) -> Vec<Entry> {
    let begins_there = entries.first().is_some_and(|first| first.log_id.index == start);
    if begins_there { entries } else { Vec::new() }
}

fn next_of(key: Option<&Key>) -> u64 {
    key.map_or(0, |key| key.0.index + 1)
}

impl RaftLogReader<Types> for LogReader {
    /// Entries to apply; memory is bounded however long the range is.
    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        R: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (start, end) = self.ends(&range);
        let pieces =
            futures::stream::try_unfold((self.clone(), start), move |(reader, at)| async move {
                if at >= end {
                    return Ok::<_, io::Error>(None);
                }
                let entries = reader.read(at, end, APPEND_MAX_BYTES).await?;
                let (first, next) = match (entries.first(), entries.last()) {
                    (Some(first), Some(last)) => (first.log_id.index, last.log_id.index + 1),
                    _ => (reader.next_index(), at),
                };
                // Skipping entries would make this state differ from the others without a sign.
                if first > at || next - first != entries.len() as u64 {
                    return Err(io::Error::other(format!("the log lacks entry {at}")));
                }
                if entries.is_empty() {
                    return Ok(None);
                }
                let piece = futures::stream::iter(entries.into_iter().map(Ok));
                Ok(Some((piece, (reader, next))))
            });
        Box::pin(futures::TryStreamExt::try_flatten(pieces))
    }

    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (start, end) = self.ends(&range);
        self.read(start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.read().log_state().vote().map(|ballot| ballot.0))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let entries = self.read(start, end, APPEND_MAX_BYTES).await?;
        Ok(from_start(entries, start))
    }
}
