//! Starting and ending a node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::adapter::{Adapter, Progress};
use crate::blob::Blobs;
use crate::change::Changes;
use crate::config::Config;
use crate::error::Error;
use crate::forward::{CoreView, Forward};
use crate::handle::{Parts, Raft};
use crate::log::{LogHold, LogStore};
use crate::machine::StateMachine;
use crate::peer::{Incoming, Links, Peers, Service, TcpListener, serve};
use crate::propose::Proposer;
use crate::queue::{Queue, Waiting};
use crate::read::Confirmed;
use crate::snapshot::Folder;
use crate::space::Space;
use crate::types::Core;
use crate::{clock_poll, compaction, handover, identity, space, watch as follow};

/// An append may stay unanswered for so many heartbeats: a disk may be slow for a while.
const APPEND_HEARTBEATS: u64 = 20;
/// The log is free again within this time after a shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// The tasks of a node. Dropping the last handle ends them.
#[derive(Debug)]
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
    hold: LogHold,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // The task that waits for `stop` ends the core.
        self.tasks.get_mut().detach_all();
    }
}

impl Running {
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(crate) async fn stop(&self, core: &Core) -> Result<(), Error> {
        self.stop.send_replace(true);
        core.shutdown().await.map_err(|e| Error::Fatal(e.to_string()))?;
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        drop(tasks);
        let released = async {
            while self.hold.is_held() {
                tokio::time::sleep(RELEASE_POLL).await;
            }
        };
        tokio::time::timeout(RELEASE_TIMEOUT, released).await.map_err(|_| Error::DeadlineExceeded {
            what: "the log is still held",
            waited_ms: RELEASE_TIMEOUT.as_millis() as u64,
        })
    }
}

pub(crate) async fn start(config: Config, machine: Arc<dyn StateMachine>) -> Result<Raft, Error> {
    config.check()?;
    let consensus = Arc::new(config.consensus()?);
    let peers = Arc::new(Peers::new(&config)?);
    let config = Arc::new(config);
    let stored = open(config.clone()).await?;
    let hold = stored.log.hold();
    let incoming = Incoming::new(stored.folder.clone());
    let progress = Arc::new(Progress::new(&config));
    let stop = watch::Sender::new(false);
    let adapter =
        Adapter::new(machine, stored.folder, stored.snapshot, progress.clone(), stop.subscribe());
    let append_timeout = Duration::from_millis(config.heartbeat_ms * APPEND_HEARTBEATS);
    let links = Links::new(peers.clone(), append_timeout, config.snapshot_bytes_per_s);
    // Replays what was committed. Nobody is heard before that, and nothing is said.
    let core = Core::build(config.node_id, consensus, links, stored.log, adapter)
        .await
        .map_err(|e| Error::Fatal(e.to_string()))?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|e| Error::io(format!("cannot listen on {}", config.listen), e))?;
    let local_addr =
        listener.local_addr().map_err(|e| Error::io("cannot read the own address", e))?;
    core.run();
    reported(&core).await?;

    let (leader_sender, leader) = watch::channel(None);
    let (failed_sender, failed) = watch::channel(None);
    let (queue, waiting) = Queue::new(config.propose_queue_max);
    let forward = Arc::new(Forward {
        core: CoreView(core.clone()),
        peers: peers.clone(),
        leader: leader.clone(),
        queue_limit: config.propose_queue_max,
        timeout: config.propose_timeout() / 2,
    });
    let parts = Arc::new(Parts {
        space: Arc::new(Space::new(config.dir.clone(), config.disk_reserve_bytes)),
        changes: Changes::new(core.clone(), progress.clone()),
        blobs: stored.blobs,
        hold: hold.clone(),
        config,
        core: core.clone(),
        progress,
        queue,
        forward,
        peers,
        leader,
        failed,
        local_addr,
        started_over: stored.started_over,
        confirmed: Confirmed::default(),
    });
    let mut tasks = spawn(&parts, listener, waiting, incoming, &stop);
    tasks.spawn(follow::follow(core, leader_sender, failed_sender, stop.subscribe()));
    Ok(Raft { parts, running: Arc::new(Running { stop, tasks: Mutex::new(tasks), hold }) })
}

fn spawn(
    parts: &Parts,
    listener: TcpListener,
    waiting: Waiting,
    incoming: Arc<Incoming>,
    stop: &watch::Sender<bool>,
) -> JoinSet<()> {
    let core = || parts.core.clone();
    let pending = parts.hold.pending();
    let proposer = Proposer {
        core: core(),
        config: parts.config.clone(),
        leader: parts.leader.clone(),
        forward: parts.forward.clone(),
        space: parts.space.clone(),
        clock: parts.progress.clock.clone(),
        pending: pending.clone(),
    };
    let service = Service {
        core: core(),
        config: parts.config.clone(),
        clock: parts.progress.clock.clone(),
        queue: parts.queue.clone(),
        blobs: parts.blobs.clone(),
        changes: parts.changes.clone(),
        incoming,
        pending: pending.clone(),
    };
    let compaction =
        compaction::run(core(), parts.config.clone(), parts.progress.clone(), stop.subscribe());
    let handover = handover::run(core(), parts.config.clone(), pending.clone(), stop.subscribe());
    let mut tasks = JoinSet::new();
    tasks.spawn(handover);
    tasks.spawn(until(stop.subscribe(), proposer.run(waiting)));
    tasks.spawn(serve(listener, service, parts.peers.clone(), stop.subscribe()));
    tasks.spawn(compaction);
    tasks.spawn(clock_poll::run(
        core(),
        parts.peers.clone(),
        parts.progress.clock.clone(),
        stop.subscribe(),
    ));
    tasks.spawn(space::watch(parts.space.clone(), stop.subscribe()));
    tasks.spawn(end_core(core(), stop.subscribe()));
    tasks
}

/// Waits until the core has told what it found in the log, so that nobody sees an empty group.
async fn reported(core: &Core) -> Result<(), Error> {
    let (vote, members) = core
        .with_raft_state(|state| {
            let members = *state.membership_state.effective().log_id();
            (*state.vote_ref(), members)
        })
        .await
        .map_err(|e| Error::Fatal(e.to_string()))?;
    core.wait(Some(REPORT_TIMEOUT))
        .metrics(
            |now| now.vote >= vote && now.membership_config.log_id() >= &members,
            "the first report",
        )
        .await
        .map(drop)
        .map_err(|e| Error::Fatal(e.to_string()))
}

struct Stored {
    log: LogStore,
    folder: Folder,
    snapshot: Option<crate::snapshot::SnapshotFile>,
    blobs: Blobs,
    started_over: bool,
}

async fn open(config: Arc<Config>) -> Result<Stored, Error> {
    let opening = crate::blocking::spawn_blocking(move || {
        let started_over = identity::claim(&config)?;
        let (folder, snapshot) = Folder::open(config.snapshot_dir())?;
        let blobs = Blobs::open(config.blob_dir())?;
        let log = LogStore::open(&config)?;
        let covered = snapshot.as_ref().and_then(|file| file.head().meta.last_log_id);
        if let Some(purged) = log.purged_index()
            && covered.is_none_or(|id| id.index < purged)
        {
            return Err(Error::damaged(
                folder.path(),
                None,
                format!("the log begins after entry {purged} and no snapshot reaches that far"),
            ));
        }
        Ok(Stored { log, folder, snapshot, blobs, started_over })
    });
    opening.await.unwrap_or_else(|e| Err(Error::Fatal(e.to_string())))
}

async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn end_core(core: Core, mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
    if let Err(e) = core.shutdown().await {
        tracing::warn!(error = %e, "the consensus core did not end well");
    }
}
