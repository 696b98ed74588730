//! The disk under one node's log. It outlives the node, and knows what has been synced.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::types::{Entry, LogId, Payload, Vote};

/// How long a flush takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    pub least_ms: u64,
    pub most_ms: u64,
    /// One flush in so many takes `slow_ms`; 0 is none.
    pub slow_one_in: u64,
    pub slow_ms: u64,
}

/// One entry of the log as a law sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Written {
    pub index: u64,
    pub term: u64,
    pub leader: u64,
    /// Of everything in the entry.
    pub digest: u32,
}

/// What has happened to the log, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DiskEvent {
    Appended(Written),
    /// Everything from this index on was cut, because a leader overruled it.
    Truncated {
        from: u64,
    },
    Purged {
        upto: u64,
    },
    /// A vote was answered: `granted` once its holder is known to lead.
    Voted {
        term: u64,
        to: u64,
        granted: bool,
    },
    /// The node has died; this is what it finds again of its log and its vote.
    Crashed {
        purged: u64,
        log: Vec<Written>,
        vote: Option<(u64, u64, bool)>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Write {
    Append(Entry),
    Truncate { from: u64 },
    Purge(LogId),
    Vote(Vote),
    Commit(LogId),
}

/// A log as its writes have made it.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
}

impl Image {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(entry) => drop(self.entries.insert(entry.log_id.index, entry.clone())),
            Write::Truncate { from } => drop(self.entries.split_off(from)),
            Write::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = self.purged.max(Some(*upto));
            }
            Write::Vote(vote) => self.vote = Some(*vote),
            Write::Commit(upto) => self.committed = Some(*upto),
        }
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }
}

#[derive(Debug, Default)]
struct Inner {
    synced: Image,
    current: Image,
    /// Written and not synced; the first is number `synced_writes`.
    pending: VecDeque<Write>,
    synced_writes: u64,
    /// Counts crashes: who opened the disk before one can no longer write to it.
    life: u64,
    speed: Speed,
    random: u64,
    events: Vec<DiskEvent>,
}

#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub fn new(seed: u64, speed: Speed) -> Self {
        Self(Arc::new(Mutex::new(Inner { speed, random: seed, ..Inner::default() })))
    }

    pub fn set_speed(&self, speed: Speed) {
        self.0.lock().speed = speed;
    }

    /// What has happened since the last call.
    pub fn take_events(&self) -> Vec<DiskEvent> {
        std::mem::take(&mut self.0.lock().events)
    }

    /// The node has lost its power. Writes that were not synced are lost, but the first of them may
    /// have reached the disk.
    pub fn crash(&self) {
        let mut inner = self.0.lock();
        inner.life += 1;
        let kept = if inner.draw() % 2 == 0 {
            0
        } else {
            inner.draw() as usize % (inner.pending.len() + 1)
        };
        let survive = inner.synced_writes + kept as u64;
        inner.sync(survive);
        inner.pending.clear();
        inner.current = inner.synced.clone();
        let log = inner.current.entries.values().map(written).collect();
        let vote = inner.current.vote.map(told);
        let purged = inner.current.purged.map_or(0, |id| id.index);
        inner.events.push(DiskEvent::Crashed { purged, log, vote });
    }

    pub(super) fn open(&self) -> u64 {
        self.0.lock().life
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Image) -> T) -> T {
        read(&self.0.lock().current)
    }

    /// Writes, and returns the number of writes until here.
    pub(super) fn write(
        &self,
        life: u64,
        writes: impl IntoIterator<Item = Write>,
    ) -> io::Result<u64> {
        let mut inner = self.0.lock();
        if inner.life != life {
            return Err(io::Error::other("the node that opened this disk has died"));
        }
        for write in writes {
            inner.current.write(&write);
            inner.note(&write);
            inner.pending.push_back(write);
        }
        Ok(inner.synced_writes + inner.pending.len() as u64)
    }

    /// The vote that was written last may now be answered.
    pub(super) fn voted(&self, vote: Vote) {
        let (term, to, granted) = told(vote);
        self.0.lock().events.push(DiskEvent::Voted { term, to, granted });
    }

    pub(super) fn sync(&self, life: u64, writes: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        if inner.life != life {
            return Err(io::Error::other("the node that opened this disk has died"));
        }
        inner.sync(writes);
        Ok(())
    }

    /// How long the next flush takes.
    pub(super) fn delay(&self) -> Duration {
        let mut inner = self.0.lock();
        let speed = inner.speed;
        let range = speed.most_ms.saturating_sub(speed.least_ms) + 1;
        let mut ms = speed.least_ms + inner.draw() % range;
        if speed.slow_one_in > 0 && inner.draw() % speed.slow_one_in == 0 {
            ms = speed.slow_ms;
        }
        Duration::from_millis(ms)
    }
}

impl Inner {
    fn sync(&mut self, writes: u64) {
        while self.synced_writes < writes
            && let Some(write) = self.pending.pop_front()
        {
            self.synced.write(&write);
            self.synced_writes += 1;
        }
    }

    fn note(&mut self, write: &Write) {
        let event = match write {
            Write::Append(entry) => DiskEvent::Appended(written(entry)),
            Write::Truncate { from } => DiskEvent::Truncated { from: *from },
            Write::Purge(upto) => DiskEvent::Purged { upto: upto.index },
            // A vote counts once it is answered.
            Write::Vote(_) | Write::Commit(_) => return,
        };
        self.events.push(event);
    }

    /// splitmix64
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn told(vote: Vote) -> (u64, u64, bool) {
    (vote.leader_id.term, vote.leader_id.node_id, vote.committed)
}

fn written(entry: &Entry) -> Written {
    let id = entry.log_id;
    let mut digest = crc32fast::Hasher::new();
    match &entry.payload {
        Payload::Blank => digest.update(b"blank"),
        Payload::Normal(batch) => digest.update(batch.as_bytes()),
        Payload::Membership(membership) => {
            // A membership that cannot be written has no digest of its own.
            digest.update(&postcard::to_stdvec(membership).unwrap_or_default());
        }
    }
    Written {
        index: id.index,
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        digest: digest.finalize(),
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId as _;

    use super::*;
    use crate::types::LeaderId;

    fn blank(index: u64) -> Write {
        let log_id = LogId::new(LeaderId::new(1, 1), index);
        Write::Append(Entry { log_id, payload: Payload::Blank })
    }

    #[test]
    fn a_crash_loses_only_what_was_not_synced() {
        let mut lost = 0;
        for seed in 0..32 {
            let disk = Disk::new(seed, Speed::default());
            let synced = disk.write(disk.open(), (0..5).map(blank)).unwrap();
            disk.sync(disk.open(), synced).unwrap();
            disk.write(disk.open(), (5..9).map(blank)).unwrap();
            let before = disk.open();
            disk.crash();
            let left = disk.read(|image| image.entries.len());
            assert!((5..=9).contains(&left), "{left} entries");
            lost += 9 - left;
            assert!(disk.write(before, [blank(9)]).is_err(), "the dead do not write");
        }
        assert!(lost > 0);
    }
}
