//! The seam between raft and the state: entries in, replies out, changes on to the recorder.

use crate::backlog::Backlog;
use crate::state::{Change, State};
use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard};
use raft::{Frozen, Position, StateMachine};
use std::io::{Read, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};

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

#[derive(Debug)]
pub struct Machine {
    state: RwLock<State>,
    queue: mpsc::Sender<Recorded>,
    backlog: Arc<Backlog>,
    recorded: Arc<AtomicU64>,
    durable: Arc<AtomicU64>,
    applied: watch::Sender<u64>,
}

impl Machine {
    /// `recorded` is what readers see, `durable` what is on the disk of the warehouse.
    pub(crate) fn new(
        queue: mpsc::Sender<Recorded>,
        backlog: Arc<Backlog>,
        recorded: Arc<AtomicU64>,
        durable: Arc<AtomicU64>,
    ) -> Self {
        let state = RwLock::new(State::new());
        Self { state, queue, backlog, recorded, durable, applied: watch::Sender::new(0) }
    }

    /// The state as it is now; hold it for as short as can be, apply waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The applied index, as it moves.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub fn recorded_index(&self) -> u64 {
        self.recorded.load(Ordering::Acquire)
    }

    /// A reader waits until this entry is recorded.
    pub(crate) fn want_recorded(&self, index: u64) {
        self.backlog.want(index);
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
        let (replies, changes) = {
            let mut state = self.state.write();
            match state.apply(at, commands) {
                Ok(replies) => (replies, state.take_changes()),
                Err(error) => {
                    // Going on would make this node differ from the others for ever.
                    tracing::error!(index = at.index, %error, "this node cannot apply the log and stops");
                    std::process::exit(crate::exit::DAMAGED);
                }
            }
        };
        let bytes = changes.iter().map(Change::bytes).sum();
        self.hand_on(Recorded::Entry { index: at.index, changes, bytes });
        self.applied.send_replace(at.index);
        replies.into_iter().map(Bytes::from).collect()
    }

    fn freeze(&self) -> Frozen {
        let frozen = self.state.read().freeze();
        Box::new(move |to| frozen.write(to))
    }

    fn restore(&self, at: Position, from: &mut dyn Read) -> Result<()> {
        let state = State::from_reader(from)?;
        *self.state.write() = state;
        self.hand_on(Recorded::Restored { index: at.index });
        self.applied.send_replace(at.index);
        Ok(())
    }

    fn durable_index(&self) -> u64 {
        self.backlog.want_durable();
        self.durable.load(Ordering::Acquire)
    }
}
