//! Group commit: everything that waits while an entry is on its way becomes the next entry.

use std::sync::Arc;
use std::time::Duration;

use openraft::impls::ProgressResponder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::batch::Batch;
use crate::clock::LogClock;
use crate::config::Config;
use crate::forward::Forward;
use crate::log::Pending;
use crate::queue::{Entry, Miss, Waiting};
use crate::space::Space;
use crate::types::{Core, Types};

/// Appends that may wait for the disk here. The log itself blocks at 1024.
const UNFLUSHED_MAX: usize = 256;
const DISK_POLL: Duration = Duration::from_millis(2);

/// Turns the queue into entries until the queue or the process ends.
pub(crate) struct Proposer {
    pub(crate) core: Core,
    pub(crate) config: Arc<Config>,
    pub(crate) leader: watch::Receiver<Option<u64>>,
    pub(crate) forward: Arc<Forward>,
    pub(crate) space: Arc<Space>,
    pub(crate) clock: Arc<LogClock>,
    pub(crate) pending: Pending,
}

impl Proposer {
    pub(crate) async fn run(self, mut waiting: Waiting) {
        let in_flight = Arc::new(Semaphore::new(self.config.entries_in_flight));
        while let Some(first) = waiting.first().await {
            // While this waits, the queue fills, and the next entry grows.
            let Ok(permit) = in_flight.clone().acquire_owned().await else {
                return;
            };
            self.wait_for_disk().await;
            let entry = waiting.gather(first, &self.config);
            if entry.is_empty() {
                continue;
            }
            let leader = *self.leader.borrow();
            match leader {
                Some(id) if id == self.config.node_id => self.write(entry, permit).await,
                Some(id) => self.send_on(id, entry, permit),
                None => entry.fail(&Miss::NoLeader),
            }
        }
    }

    /// The others commit without this disk; without a limit, what it has not written would block
    /// the core, and a blocked core cannot hand over.
    async fn wait_for_disk(&self) {
        let leads = || *self.leader.borrow() == Some(self.config.node_id);
        while self.pending.count() >= UNFLUSHED_MAX && leads() {
            tokio::time::sleep(DISK_POLL).await;
        }
    }

    /// Hands the entry to the core in the order of the queue, and waits for it elsewhere.
    async fn write(&self, entry: Entry, permit: OwnedSemaphorePermit) {
        if let Some(free_bytes) = self.space.shortage() {
            let reserve_bytes = self.config.disk_reserve_bytes;
            return entry.fail(&Miss::DiskFull { free_bytes, reserve_bytes });
        }
        let batch = Batch::new(self.clock.now().0, entry.commands());
        let (responder, outcome) = ProgressResponder::<Types, _>::complete_only();
        if self.core.write(batch).responder(responder).await.is_err() {
            // If the core has died, its watcher tells the callers.
            return entry.fail(&Miss::NoLeader);
        }
        tokio::spawn(async move {
            let outcome = outcome.await;
            drop(permit);
            match outcome {
                Ok(Ok(response)) => entry.succeed(response.log_id.index, response.data.0),
                // Another leader; what became of the entry is unknown, and a retry is safe.
                Ok(Err(_)) | Err(_) => entry.fail(&Miss::NoLeader),
            }
        });
    }

    fn send_on(&self, leader: u64, entry: Entry, permit: OwnedSemaphorePermit) {
        let (forwarded, own) = entry.split();
        forwarded.fail(&Miss::NoLeader);
        if own.is_empty() {
            return;
        }
        let forward = self.forward.clone();
        tokio::spawn(async move {
            let batch = Batch::new(0, own.commands());
            let outcome = forward.commands(leader, &batch, own.urgency()).await;
            drop(permit);
            match outcome {
                Ok(done) => own.succeed(done.index, done.replies),
                Err(miss) => own.fail(&miss),
            }
        });
    }
}
