//! The seam between raft and the state: entries in, replies out, changes on to the recorder.

use crate::backlog::Backlog;
use crate::clock;
use crate::freshness::{Freshness, Since};
use crate::state::{Change, Digest, Divergence, State};
use bytes::Bytes;
use features::{Quality, effective_time_us};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use raft::{Frozen, Position, StateMachine};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// Entries on their way to the warehouse; when it is full, apply waits.
pub(crate) const RECORD_QUEUE_ENTRIES: usize = 4_096;

/// What the recorder has to write.
#[derive(Debug)]
pub(crate) enum Recorded {
    Entry {
        index: u64,
        changes: Vec<Change>,
        /// What the backlog counts the changes as.
        bytes: usize,
    },
    /// The state was replaced by a snapshot: history in between has to come from a peer.
    Restored { index: u64 },
}

/// The whole state after one entry, for a backup.
pub(crate) struct StateCopy {
    pub(crate) at: Position,
    /// The chain over every entry.
    pub(crate) hash: Digest,
    /// What the state names by content.
    pub(crate) files: BTreeSet<Digest>,
    pub(crate) frozen: Frozen,
}

/// The state as every node has it at this index, to be hashed.
pub(crate) struct CheckPoint {
    pub(crate) index: u64,
    pub(crate) frozen: Frozen,
}

impl std::fmt::Debug for StateCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateCopy({:?})", self.at)
    }
}

#[derive(Debug)]
pub struct Machine {
    state: RwLock<State>,
    queue: mpsc::Sender<Recorded>,
    /// One check at a time: while the last state is still being hashed, a check is left out.
    checks: mpsc::Sender<CheckPoint>,
    /// Those who want a copy of the state at the next check.
    copies: Mutex<Vec<oneshot::Sender<StateCopy>>>,
    diverged: watch::Sender<BTreeMap<u64, Divergence>>,
    backlog: Arc<Backlog>,
    recorded: Arc<AtomicU64>,
    durable: Arc<AtomicU64>,
    applied: watch::Sender<u64>,
    freshness: Arc<Freshness>,
    /// Entries from before are read again, not late.
    started_us: i64,
}

impl Machine {
    /// `recorded` is what readers see, `durable` what is on the disk of the warehouse.
    pub(crate) fn new(
        queue: mpsc::Sender<Recorded>,
        backlog: Arc<Backlog>,
        checks: mpsc::Sender<CheckPoint>,
        recorded: Arc<AtomicU64>,
        durable: Arc<AtomicU64>,
        freshness: Arc<Freshness>,
    ) -> Self {
        Self {
            state: RwLock::new(State::new()),
            queue,
            backlog,
            checks,
            copies: Mutex::default(),
            diverged: watch::Sender::default(),
            recorded,
            durable,
            applied: watch::Sender::new(0),
            freshness,
            started_us: clock::now_us(),
        }
    }

    /// How long events take until they can be read here.
    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Counts the events of an entry that can be read from now on.
    fn count_visible(&self, at: Position, waits: Vec<(u64, u64)>, now_us: i64) {
        if at.time_us < self.started_us || waits.is_empty() {
            return;
        }
        let since_stamp_us = now_us.saturating_sub(at.time_us).max(0) as u64;
        self.freshness.waited(Since::Log, since_stamp_us, waits.len() as u64);
        self.freshness.all_waited(Since::Event, waits);
    }

    /// The state as it is now; hold it for as short as can be, apply waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// What is applied, without the state's lock.
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// The applied index, as it moves.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Which nodes the log calls diverged.
    pub(crate) fn watch_diverged(&self) -> watch::Receiver<BTreeMap<u64, Divergence>> {
        self.diverged.subscribe()
    }

    /// Changes the state past the log, as a broken memory would.
    #[cfg(test)]
    pub(crate) fn tamper(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write());
    }

    fn tell_diverged(&self) {
        let state = self.state.read();
        self.diverged.send_if_modified(|told| {
            let news = told != state.checks.diverged();
            if news {
                told.clone_from(state.checks.diverged());
            }
            news
        });
    }

    pub fn recorded_index(&self) -> u64 {
        self.recorded.load(Ordering::Acquire)
    }

    /// A reader waits until this entry is recorded.
    pub(crate) fn want_recorded(&self, index: u64) {
        self.backlog.want(index);
    }

    /// A copy of the state as it will be after the next entry that asks for a check: there most
    /// voters say what it has to be.
    pub(crate) fn copy_at_next_check(&self) -> oneshot::Receiver<StateCopy> {
        let (copy, copied) = oneshot::channel();
        let mut copies = self.copies.lock();
        copies.retain(|waiting| !waiting.is_closed());
        copies.push(copy);
        copied
    }

    fn hand_out_copies(&self, at: Position) {
        for waiting in self.copies.lock().drain(..) {
            let (hash, files) = {
                let state = self.state.read();
                (state.hash, state.files())
            };
            // Who has gone away in the meantime needs none.
            drop(waiting.send(StateCopy { at, hash, files, frozen: self.freeze() }));
        }
    }

    fn hand_on(&self, recorded: Recorded) {
        match &recorded {
            Recorded::Entry { index, bytes, .. } => self.backlog.admit(*index, *bytes),
            Recorded::Restored { index } => self.backlog.admit(*index, 0),
        }
        // A closed queue means that the node is on its way down.
        if self.queue.blocking_send(recorded).is_err() {
            tracing::debug!("the recorder has stopped");
        }
    }
}

impl StateMachine for Machine {
    fn apply(&self, at: Position, commands: &[Bytes]) -> Vec<Bytes> {
        let (replies, changes, check_due) = {
            let mut state = self.state.write();
            match state.apply(at, commands) {
                Ok(replies) => (replies, state.take_changes(), state.take_check_due()),
                Err(error) => {
                    // Going on would make this node differ from the others for ever.
                    tracing::error!(index = at.index, %error, "this node cannot apply the log and stops");
                    std::process::exit(crate::exit::DAMAGED);
                }
            }
        };
        let now_us = clock::now_us();
        let waits = waits(&changes, now_us);
        let bytes = changes.iter().map(Change::bytes).sum();
        self.hand_on(Recorded::Entry { index: at.index, changes, bytes });
        self.tell_diverged();
        if check_due {
            self.hand_out_copies(at);
        }
        if check_due && let Ok(place) = self.checks.try_reserve() {
            place.send(CheckPoint { index: at.index, frozen: self.freeze() });
        }
        self.applied.send_replace(at.index);
        self.count_visible(at, waits, now_us);
        replies.into_iter().map(Bytes::from).collect()
    }

    fn freeze(&self) -> Frozen {
        let frozen = self.state.read().freeze();
        Box::new(move |to| frozen.write(to))
    }

    fn restore(&self, at: Position, from: &mut dyn Read) -> Result<()> {
        let state = State::from_reader(from)?;
        let before = std::mem::replace(&mut *self.state.write(), state);
        // Outside of the lock: letting a whole state go takes a while.
        drop(before);
        self.hand_on(Recorded::Restored { index: at.index });
        self.tell_diverged();
        self.applied.send_replace(at.index);
        Ok(())
    }

    fn durable_index(&self) -> u64 {
        self.backlog.want_durable();
        self.durable.load(Ordering::Acquire)
    }
}

/// How long ago each event of an entry happened. What is not of its own time says nothing: a clock that
/// runs ahead has none here, and a backfill is late by days on purpose.
fn waits(changes: &[Change], now_us: i64) -> Vec<(u64, u64)> {
    let events = changes.iter().filter_map(|change| match change {
        Change::Events(events) => Some(events),
        _ => None,
    });
    let times = events.flat_map(|events| events.event_time_us.iter().zip(&events.received_us));
    let is_own = |(at_us, received_us): &(&i64, &i64)| {
        effective_time_us(**at_us, **received_us).1 == Quality::Good
    };
    times
        .filter(is_own)
        .map(|(at_us, _)| (now_us.saturating_sub(*at_us).max(0) as u64, 1))
        .collect()
}
