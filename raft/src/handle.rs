//! The handle everybody uses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::adapter::Progress;
use crate::blob::{self, BlobHead, BlobId, Blobs};
use crate::change::{Change, Changes};
use crate::config::Config;
use crate::error::Error;
use crate::forward::Forward;
use crate::log::LogHold;
use crate::machine::StateMachine;
use crate::member::{Member, Status};
use crate::peer::{Lane, Peers};
use crate::queue::{Done, Queue, Urgency, check_size};
use crate::read::Confirmed;
use crate::running::Running;
use crate::space::Space;
use crate::types::Core;
use crate::{running, status};

/// Pause before asking again while there is no leader.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Index of the entry the command is in.
    pub index: u64,
    pub reply: Bytes,
}

/// One node of one group. Clones are the same node.
#[derive(Clone)]
pub struct Raft {
    pub(crate) parts: Arc<Parts>,
    pub(crate) running: Arc<Running>,
}

pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) core: Core,
    pub(crate) progress: Arc<Progress>,
    pub(crate) queue: Queue,
    pub(crate) forward: Arc<Forward>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) blobs: Blobs,
    pub(crate) leader: watch::Receiver<Option<u64>>,
    pub(crate) failed: watch::Receiver<Option<String>>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) hold: LogHold,
    pub(crate) changes: Changes,
    pub(crate) space: Arc<Space>,
    pub(crate) confirmed: Confirmed,
    /// The node has a new id because its first folder was lost.
    pub(crate) started_over: bool,
}

impl std::fmt::Debug for Raft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Raft(node {}, {})", self.parts.config.node_id, self.parts.config.group)
    }
}

impl Raft {
    /// Opens the log, restores the last snapshot, replays what was committed, and serves the peer
    /// port. A node that has been in a group goes on in it.
    pub async fn start(config: Config, machine: Arc<dyn StateMachine>) -> Result<Self, Error> {
        running::start(config, machine).await
    }

    /// Founds the group. Every founder may call this with the same members; a node that is in a
    /// group already does nothing, and so does one that was started over: its group is there.
    pub async fn bootstrap(&self, members: BTreeMap<u64, Member>) -> Result<(), Error> {
        if self.parts.started_over {
            return Ok(());
        }
        match self.parts.core.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(e)) => Err(Error::Refused(e.to_string())),
            Err(RaftError::Fatal(e)) => Err(Error::Fatal(e.to_string())),
        }
    }

    /// The address of the peer port, also if any free port was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.parts.local_addr
    }

    /// Proposes a command, here or at the leader, and waits until it is applied. It may be applied
    /// more than once if leaders change meanwhile, so commands must be idempotent.
    pub async fn propose(&self, command: Bytes) -> Result<Applied, Error> {
        let timeout = self.parts.config.propose_timeout();
        self.propose_within(command, timeout).await
    }

    pub async fn propose_within(
        &self,
        command: Bytes,
        timeout: Duration,
    ) -> Result<Applied, Error> {
        self.propose_one(command, Urgency::Usual, timeout).await
    }

    /// Proposes a command that passes everything that waits.
    pub async fn propose_urgent(
        &self,
        command: Bytes,
        timeout: Duration,
    ) -> Result<Applied, Error> {
        self.propose_one(command, Urgency::Urgent, timeout).await
    }

    /// Proposes commands that stay together in one entry, in this order. Returns its index and one
    /// reply a command.
    pub async fn propose_many(
        &self,
        commands: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<(u64, Vec<Bytes>), Error> {
        let done = self.propose_as(commands, Urgency::Usual, timeout).await?;
        Ok((done.index, done.replies))
    }

    async fn propose_one(
        &self,
        command: Bytes,
        urgency: Urgency,
        timeout: Duration,
    ) -> Result<Applied, Error> {
        let mut done = self.propose_as(vec![command], urgency, timeout).await?;
        match done.replies.pop() {
            Some(reply) => Ok(Applied { index: done.index, reply }),
            None => Err(Error::Fatal("a command got no reply".into())),
        }
    }

    async fn propose_as(
        &self,
        commands: Vec<Bytes>,
        urgency: Urgency,
        timeout: Duration,
    ) -> Result<Done, Error> {
        check_size(&commands, &self.parts.config)?;
        self.insist("a proposal", timeout, || {
            self.parts.queue.submit(commands.clone(), urgency, false)
        })
        .await
    }

    /// Waits until an index is applied here; returns what is applied by then.
    pub async fn wait_applied(&self, index: u64, timeout: Duration) -> Result<u64, Error> {
        let started = Instant::now();
        let mut applied = self.parts.progress.applied.subscribe();
        let mut failed = self.parts.failed.clone();
        tokio::select! {
            reached = tokio::time::timeout(timeout, applied.wait_for(|now| *now >= index)) => match reached {
                Ok(Ok(now)) => Ok(*now),
                Ok(Err(_)) => Err(Error::Stopped),
                Err(_) => Err(Error::DeadlineExceeded {
                    what: "an index is not applied yet",
                    waited_ms: started.elapsed().as_millis() as u64,
                }),
            },
            why = dead(&mut failed) => Err(Error::Fatal(why)),
        }
    }

    /// The group's time in microseconds since 1970: this node's clock, unless the others outvote it.
    pub fn now_us(&self) -> i64 {
        self.parts.progress.clock.now().0
    }

    /// The id this node has in the group.
    pub fn id(&self) -> u64 {
        self.parts.config.node_id
    }

    pub fn status(&self) -> Status {
        status::of(&self.parts)
    }

    pub fn is_leader(&self) -> bool {
        *self.parts.leader.borrow() == Some(self.parts.config.node_id)
    }

    /// The leader this node knows of. It may have died already.
    pub fn leadership(&self) -> watch::Receiver<Option<u64>> {
        self.parts.leader.clone()
    }

    pub fn member(&self, id: u64) -> Option<Member> {
        let metrics = self.parts.core.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_node(&id).cloned()
    }

    /// Adds a node that receives the log and does not vote. Ids are never used twice.
    pub async fn add_learner(&self, id: u64, member: Member) -> Result<(), Error> {
        self.change(Change::AddLearner(id, member)).await
    }

    /// Makes a learner a voter.
    pub async fn promote(&self, id: u64) -> Result<(), Error> {
        self.change(Change::Promote(id)).await
    }

    /// Makes a voter a learner.
    pub async fn demote(&self, id: u64) -> Result<(), Error> {
        self.change(Change::Demote(id)).await
    }

    /// Puts `new`, a learner that has caught up, in the place of the voter `old`, which leaves the
    /// group for good. Works while `old` is lost.
    pub async fn replace(&self, old: u64, new: u64) -> Result<(), Error> {
        self.change(Change::Replace { old, new }).await
    }

    pub async fn remove(&self, id: u64) -> Result<(), Error> {
        self.change(Change::Remove(id)).await
    }

    /// Hands leadership to another voter, and returns when it has it.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), Error> {
        self.change(Change::Transfer(to)).await
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let timeout = self.parts.config.propose_timeout();
        self.insist("a change of membership", timeout, || async {
            let leader = *self.parts.leader.borrow();
            match leader {
                None => Err(Error::NoLeader),
                Some(id) if id == self.parts.config.node_id => {
                    self.parts.changes.run(change.clone(), timeout).await
                }
                Some(id) => self.parts.forward.change(id, &change).await,
            }
        })
        .await
    }

    /// Asks for a snapshot now; it is made in the background.
    pub async fn snapshot_now(&self) -> Result<(), Error> {
        let trigger = self.parts.core.trigger();
        trigger.snapshot().await.map_err(|e| Error::Fatal(e.to_string()))
    }

    /// Returns only when the core has died, with the reason. The process should then exit, so that
    /// it is started anew.
    pub async fn failed(&self) -> String {
        dead(&mut self.parts.failed.clone()).await
    }

    /// Ends everything. The folder may be opened again afterwards.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.running.stop(&self.parts.core).await
    }

    /// Keeps a file here and at its peers; returns its SHA-256 once a majority of the voters has
    /// it on disk. The other nodes go on receiving it.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<BlobId, Error> {
        let size = bytes.len() as u64;
        let id = self.parts.blobs.keep(bytes.clone()).await?;
        let head = BlobHead { id, size };
        let (voters, others) = self.others();
        let copies = others
            .into_iter()
            .map(|(node, member)| {
                let client = self.parts.peers.client(node, &member.raft, Lane::Bulk);
                let bytes = bytes.clone();
                let copy = tokio::spawn(async move { blob::send(client?, head, bytes).await });
                async move {
                    let copied = copy.await.unwrap_or_else(|e| Err(Error::Fatal(e.to_string())));
                    (node, copied)
                }
            })
            .collect();
        blob::until_quorum(&voters, self.parts.config.node_id, copies).await?;
        Ok(id)
    }

    /// Where a blob is, if it is here.
    pub fn blob_path(&self, sha256: &BlobId) -> Option<PathBuf> {
        self.parts.blobs.find(sha256)
    }

    /// Finds a blob here or fetches it from a peer.
    pub async fn fetch_blob(&self, sha256: &BlobId) -> Result<PathBuf, Error> {
        if let Some(path) = self.blob_path(sha256) {
            return Ok(path);
        }
        let mut last = Error::Unreachable("there is no peer to ask for the blob".into());
        for (node, member) in self.others().1 {
            let client = self.parts.peers.client(node, &member.raft, Lane::Bulk)?;
            match blob::fetch(client, *sha256, &self.parts.blobs).await {
                Ok(path) => return Ok(path),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Removes the files here that are not `named` and were brought longer ago than `age`; gives how
    /// many. What a command that is still on its way names has to be younger.
    pub async fn sweep_blobs(
        &self,
        named: std::collections::BTreeSet<BlobId>,
        age: Duration,
    ) -> Result<u64, Error> {
        self.parts.blobs.sweep(named, age).await
    }

    /// The sets of voters (two while the membership changes), and all nodes but this one.
    fn others(&self) -> (Vec<std::collections::BTreeSet<u64>>, BTreeMap<u64, Member>) {
        let metrics = self.parts.core.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let others = membership
            .nodes()
            .filter(|(id, _)| **id != self.parts.config.node_id)
            .map(|(id, member)| (*id, member.clone()))
            .collect();
        (membership.get_joint_config().clone(), others)
    }

    /// Tries again until the deadline while there is no leader to ask.
    pub(crate) async fn insist<T, F>(
        &self,
        what: &'static str,
        timeout: Duration,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let mut leader = self.parts.leader.clone();
        let mut failed = self.parts.failed.clone();
        let trying = async {
            loop {
                leader.mark_unchanged();
                match attempt().await {
                    Err(Error::NoLeader | Error::Unreachable(_)) => {}
                    outcome => return outcome,
                }
                tokio::select! {
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                    _ = leader.changed() => {}
                }
                if self.running.is_stopping() {
                    return Err(Error::Stopped);
                }
            }
        };
        tokio::select! {
            outcome = tokio::time::timeout(timeout, trying) => outcome.unwrap_or_else(|_| {
                Err(Error::DeadlineExceeded {
                    what,
                    waited_ms: started.elapsed().as_millis() as u64,
                })
            }),
            why = dead(&mut failed) => Err(Error::Fatal(why)),
        }
    }
}

/// Returns when the core has died, else never.
async fn dead(failed: &mut watch::Receiver<Option<String>>) -> String {
    let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
    match why {
        Some(why) => why,
        None => std::future::pending().await,
    }
}
