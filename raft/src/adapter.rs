//! openraft's state machine on ours: positions, the monotonic clock, snapshots.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::batch::Replies;
use crate::clock::LogClock;
use crate::config::Config;
use crate::machine::{Frozen, Position, StateMachine};
use crate::snapshot::{self, Folder, Head, SnapshotFile};
use crate::types::{LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, Types};

/// Entries handed to the machine in one go, by bytes and count; replies go out after each entry.
const GROUP_MAX_BYTES: usize = 4 << 20;
const GROUP_MAX_ENTRIES: usize = 256;
/// How often a finished snapshot asks whether derived stores have caught up with it.
const DURABLE_POLL: Duration = Duration::from_millis(50);

/// What everybody else may see of the applied state.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) applied: watch::Sender<u64>,
    pub(crate) time_us: AtomicI64,
    /// Log since the last snapshot.
    pub(crate) bytes: AtomicU64,
    pub(crate) entries: AtomicU64,
    /// The log's time at that snapshot, or at the first entry. A node that is started again and
    /// again must not put its snapshot off each time.
    since_us: AtomicI64,
    pub(crate) snapshot_failures: AtomicU64,
    pub(crate) clock: Arc<LogClock>,
    /// Every id that ever was in an applied membership. Ids are never used again.
    pub(crate) ids: Mutex<BTreeSet<u64>>,
}

impl Progress {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            applied: watch::Sender::new(0),
            time_us: AtomicI64::new(0),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            since_us: AtomicI64::new(0),
            snapshot_failures: AtomicU64::new(0),
            clock: Arc::new(LogClock::new(config)),
            ids: Mutex::default(),
        }
    }
}

impl Progress {
    pub(crate) fn since_snapshot(&self) -> Duration {
        let passed_us = match self.since_us.load(Ordering::Relaxed) {
            0 => 0,
            since_us => self.clock.now().0 - since_us,
        };
        Duration::from_micros(u64::try_from(passed_us).unwrap_or(0))
    }

    fn snapshot_taken(&self, time_us: i64) {
        self.bytes.store(0, Ordering::Relaxed);
        self.entries.store(0, Ordering::Relaxed);
        self.since_us.store(time_us, Ordering::Relaxed);
    }
}

type Current = Arc<Mutex<Option<SnapshotFile>>>;

pub(crate) struct Adapter {
    machine: Arc<dyn StateMachine>,
    folder: Folder,
    current: Current,
    applied: Option<LogId>,
    membership: StoredMembership,
    time_us: i64,
    progress: Arc<Progress>,
    stop: watch::Receiver<bool>,
}

impl Adapter {
    pub(crate) fn new(
        machine: Arc<dyn StateMachine>,
        folder: Folder,
        current: Option<SnapshotFile>,
        progress: Arc<Progress>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            machine,
            folder,
            current: Arc::new(Mutex::new(current)),
            applied: None,
            membership: StoredMembership::default(),
            time_us: 0,
            progress,
            stop,
        }
    }

    /// Applies a group of entries on a thread that may block.
    async fn apply_group(&mut self, group: Vec<EntryResponder<Types>>) -> io::Result<()> {
        let mut work = Vec::with_capacity(group.len());
        let mut last = self.applied;
        for (entry, responder) in group {
            let id = entry.log_id;
            last = Some(id);
            let opened = match entry.payload {
                Payload::Blank => None,
                Payload::Membership(membership) => {
                    self.progress.ids.lock().extend(membership.nodes().map(|(id, _)| *id));
                    self.membership = StoredMembership::new(Some(id), membership);
                    None
                }
                Payload::Normal(batch) => {
                    self.progress.bytes.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    let opened = batch.open().map_err(|what| {
                        io::Error::new(io::ErrorKind::InvalidData, format!("entry {id}: {what}"))
                    })?;
                    self.time_us = self.time_us.max(opened.time_us);
                    Some((self.time_us, opened.commands))
                }
            };
            self.progress.entries.fetch_add(1, Ordering::Relaxed);
            work.push((id, opened, responder));
        }
        let machine = self.machine.clone();
        let progress = self.progress.clone();
        run_blocking(move || {
            for (id, opened, responder) in work {
                let replies = match opened {
                    None => Replies::default(),
                    Some((time_us, commands)) => {
                        let at = position(id, time_us);
                        progress.time_us.store(time_us, Ordering::Relaxed);
                        if progress.since_us.load(Ordering::Relaxed) == 0 {
                            progress.since_us.store(time_us, Ordering::Relaxed);
                        }
                        progress.clock.entry(time_us);
                        let replies = machine.apply(at, &commands);
                        #[cfg(feature = "sim")]
                        if crate::sim::breaks(crate::sim::Mutation::ApplyTwice) {
                            machine.apply(at, &commands);
                        }
                        if replies.len() != commands.len() {
                            return Err(io::Error::other(format!(
                                "entry {id}: {} commands got {} replies",
                                commands.len(),
                                replies.len()
                            )));
                        }
                        Replies(replies)
                    }
                };
                // Before the reply: who hears of it may read it.
                progress.applied.send_replace(id.index);
                if let Some(responder) = responder {
                    responder.send(replies);
                }
            }
            Ok(())
        })
        .await?;
        self.applied = last;
        Ok(())
    }
}

fn position(id: LogId, time_us: i64) -> Position {
    Position { index: id.index, term: id.leader_id.term, time_us }
}

/// A panic in the machine stops the core instead of leaving a half-applied state in service.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    crate::blocking::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(io::Error::other(format!("the state machine has failed: {e}"))))
}

impl RaftStateMachine<Types> for Adapter {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + Send,
    {
        let mut group = Vec::new();
        let mut size = 0;
        while let Some(item) = entries.next().await {
            let item = item?;
            if let Payload::Normal(batch) = &item.0.payload {
                size += batch.len();
            }
            group.push(item);
            if size >= GROUP_MAX_BYTES || group.len() >= GROUP_MAX_ENTRIES {
                self.apply_group(std::mem::take(&mut group)).await?;
                size = 0;
            }
        }
        if group.is_empty() {
            return Ok(());
        }
        self.apply_group(group).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let machine = self.machine.clone();
        // A panic while freezing is reported by the builder, which may fail.
        let frozen = run_blocking(move || Ok(machine.freeze())).await;
        self.progress.snapshot_taken(self.time_us);
        Builder {
            machine: self.machine.clone(),
            folder: self.folder.clone(),
            current: self.current.clone(),
            head: Head {
                meta: SnapshotMeta {
                    last_log_id: self.applied,
                    last_membership: self.membership.clone(),
                },
                time_us: self.time_us,
                ids: self.progress.ids.lock().clone(),
            },
            frozen: Mutex::new(Some(frozen)),
            progress: self.progress.clone(),
            stop: self.stop.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: SnapshotFile,
    ) -> Result<(), io::Error> {
        let machine = self.machine.clone();
        let folder = self.folder.clone();
        let current = self.current.clone();
        let time_us = file.head().time_us;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.time_us = time_us;
        self.progress.ids.lock().clone_from(&file.head().ids);
        crate::background::in_background("restore", move || {
            // On disk first: once this call returns, the log before it may be purged.
            let file = {
                let mut current = current.lock();
                let file = folder.adopt(&file)?;
                *current = Some(file.clone());
                folder.retain(&file)?;
                file
            };
            #[cfg(feature = "sim")]
            if crate::sim::breaks(crate::sim::Mutation::SkipRestore) {
                return Ok(());
            }
            let at = file
                .head()
                .meta
                .last_log_id
                .map_or(Position::default(), |id| position(id, time_us));
            file.unpack(|from| machine.restore(at, from))
        })
        .await?;
        self.progress.snapshot_taken(time_us);
        self.progress.time_us.store(time_us, Ordering::Relaxed);
        self.progress.applied.send_replace(meta.last_log_id.map_or(0, |id| id.index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let current = self.current.lock();
        Ok(current.as_ref().map(whole))
    }
}

/// Writes one frozen state to disk.
pub(crate) struct Builder {
    machine: Arc<dyn StateMachine>,
    folder: Folder,
    current: Current,
    head: Head,
    /// Behind a lock only because the core wants builders that can be shared.
    frozen: Mutex<Option<io::Result<Frozen>>>,
    progress: Arc<Progress>,
    stop: watch::Receiver<bool>,
}

impl Builder {
    /// The log before a snapshot may be purged, so derived stores must not need it any more.
    async fn wait_durable(&mut self) -> io::Result<()> {
        let index = self.head.meta.last_log_id.map_or(0, |id| id.index);
        while self.machine.durable_index() < index {
            tokio::select! {
                () = tokio::time::sleep(DURABLE_POLL) => {}
                _ = self.stop.wait_for(|stop| *stop) => {
                    return Err(io::Error::other("stopped while a snapshot was waiting"));
                }
            }
        }
        Ok(())
    }

    async fn build(&mut self) -> io::Result<Snapshot> {
        let Some(frozen) = self.frozen.get_mut().take() else {
            return Err(io::Error::other("a snapshot builder works once"));
        };
        let frozen = frozen?;
        let dir = self.folder.path().to_owned();
        let head = self.head.clone();
        let write = move || snapshot::write(&dir, &head, frozen);
        let draft = crate::background::in_background("snapshot", write).await?;
        self.wait_durable().await?;
        let folder = self.folder.clone();
        let head = self.head.clone();
        let current = self.current.clone();
        run_blocking(move || {
            let mut current = current.lock();
            // A newer one may have been installed meanwhile; it must not be replaced.
            if let Some(newer) = current.as_ref()
                && newer.head().meta.last_log_id > head.meta.last_log_id
            {
                return Ok(whole(newer));
            }
            let file = folder.keep(draft, head)?;
            folder.retain(&file)?;
            *current = Some(file.clone());
            Ok(whole(&file))
        })
        .await
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    /// Only a stop is an error: a full disk must not end the core, it may go on without a new
    /// snapshot for a while.
    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let error = match self.build().await {
            Err(error) if !*self.stop.borrow() => error,
            outcome => return outcome,
        };
        tracing::error!(%error, "a snapshot could not be made; the log is kept");
        self.progress.snapshot_failures.fetch_add(1, Ordering::Relaxed);
        if let Some(current) = self.current.lock().as_ref() {
            return Ok(whole(current));
        }
        // Says that nothing is covered; the core looks at the meta data only.
        let nothing = Head::default();
        SnapshotFile::trust(self.folder.path(), nothing).map(|file| whole(&file))
    }
}

fn whole(file: &SnapshotFile) -> Snapshot {
    Snapshot { meta: file.head().meta.clone(), snapshot: file.clone() }
}
