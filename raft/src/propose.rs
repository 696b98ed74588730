//! Group commit: everything that waits while an entry is on its way becomes the next entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use openraft::impls::ProgressResponder;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::batch::Batch;
use crate::config::{COMMAND_MAX_BYTES, Config};
use crate::error::Error;
use crate::forward::Forward;
use crate::space::Space;
use crate::types::{Core, Types};

/// Bytes that may wait in the queue.
const QUEUE_MAX_BYTES: usize = 256 << 20;

/// What became of the commands of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) index: u64,
    pub(crate) replies: Vec<Bytes>,
}

/// Why the commands of a call were not proposed, or nobody knows.
#[derive(Debug, Clone)]
pub(crate) enum Miss {
    NoLeader,
    Unreachable(String),
    Overloaded(usize),
    Refused(String),
    DiskFull { free_bytes: u64, reserve_bytes: u64 },
    Fatal(String),
}

impl From<Miss> for Error {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::NoLeader => Self::NoLeader,
            Miss::Unreachable(why) => Self::Unreachable(why),
            Miss::Overloaded(limit) => Self::Overloaded { limit },
            Miss::Refused(why) => Self::Refused(why),
            Miss::DiskFull { free_bytes, reserve_bytes } => {
                Self::DiskFull { free_bytes, reserve_bytes }
            }
            Miss::Fatal(why) => Self::Fatal(why),
        }
    }
}

type Answer = oneshot::Sender<Result<Done, Miss>>;

/// The commands of one call; they stay together in one entry.
#[derive(Debug)]
struct Group {
    commands: Vec<Bytes>,
    size: usize,
    /// Came from another node: never sent on once more.
    forwarded: bool,
    answer: Answer,
}

/// Where calls leave their commands.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    groups: mpsc::Sender<Group>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> (Self, Waiting) {
        let (groups, receiver) = mpsc::channel(limit);
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Self { groups, bytes: bytes.clone(), limit };
        (queue, Waiting { groups: receiver, bytes, next: None })
    }

    /// Leaves commands to be proposed and waits for what becomes of them.
    pub(crate) async fn submit(
        &self,
        commands: Vec<Bytes>,
        forwarded: bool,
    ) -> Result<Done, Error> {
        let size: usize = commands.iter().map(Bytes::len).sum();
        let overloaded = || Error::Overloaded { limit: self.limit };
        let slot = self.groups.try_reserve().map_err(|e| match e {
            mpsc::error::TrySendError::Full(()) => overloaded(),
            mpsc::error::TrySendError::Closed(()) => Error::Stopped,
        })?;
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > QUEUE_MAX_BYTES {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(overloaded());
        }
        let (answer, done) = oneshot::channel();
        slot.send(Group { commands, size, forwarded, answer });
        match done.await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::Stopped),
        }
    }
}

/// The other end of the queue.
#[derive(Debug)]
pub(crate) struct Waiting {
    groups: mpsc::Receiver<Group>,
    bytes: Arc<AtomicUsize>,
    /// Did not fit into the last entry.
    next: Option<Group>,
}

impl Waiting {
    async fn first(&mut self) -> Option<Group> {
        match self.next.take() {
            Some(group) => Some(group),
            None => self.groups.recv().await,
        }
    }

    /// Everything that waits now, up to the limits of an entry.
    fn gather(&mut self, first: Group, config: &Config) -> Vec<Group> {
        let mut size = first.size;
        let mut count = first.commands.len();
        let mut entry = vec![first];
        while size < config.batch_bytes_max && count < config.batch_commands_max {
            let Ok(group) = self.groups.try_recv() else {
                break;
            };
            let fits = size + group.size <= config.batch_bytes_max
                && count + group.commands.len() <= config.batch_commands_max;
            if !fits {
                self.next = Some(group);
                break;
            }
            size += group.size;
            count += group.commands.len();
            entry.push(group);
        }
        let taken: usize = entry.iter().map(|group| group.size).sum();
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        // Nobody waits for these any more.
        entry.retain(|group| !group.answer.is_closed());
        entry
    }
}

/// Turns the queue into entries until the queue or the process ends.
pub(crate) struct Proposer {
    pub(crate) core: Core,
    pub(crate) config: Arc<Config>,
    pub(crate) leader: watch::Receiver<Option<u64>>,
    pub(crate) forward: Arc<Forward>,
    pub(crate) space: Arc<Space>,
}

impl Proposer {
    pub(crate) async fn run(self, mut waiting: Waiting) {
        let in_flight = Arc::new(Semaphore::new(self.config.entries_in_flight));
        while let Some(first) = waiting.first().await {
            // While this waits, the queue fills, and the next entry grows.
            let Ok(permit) = in_flight.clone().acquire_owned().await else {
                return;
            };
            let entry = waiting.gather(first, &self.config);
            if entry.is_empty() {
                continue;
            }
            let leader = *self.leader.borrow();
            match leader {
                Some(id) if id == self.config.node_id => self.write(entry, permit).await,
                Some(id) => self.send_on(id, entry, permit),
                None => fail(entry, &Miss::NoLeader),
            }
        }
    }

    /// Hands the entry to the core in the order of the queue, and waits for it elsewhere.
    async fn write(&self, entry: Vec<Group>, permit: tokio::sync::OwnedSemaphorePermit) {
        if let Some(free_bytes) = self.space.shortage() {
            let reserve_bytes = self.config.disk_reserve_bytes;
            return fail(entry, &Miss::DiskFull { free_bytes, reserve_bytes });
        }
        let commands = entry.iter().flat_map(|group| group.commands.iter());
        let batch = Batch::new(now_us(), commands);
        let (responder, outcome) = ProgressResponder::<Types, _>::complete_only();
        if let Err(e) = self.core.write(batch).responder(responder).await {
            return fail(entry, &Miss::Fatal(e.to_string()));
        }
        tokio::spawn(async move {
            let outcome = outcome.await;
            drop(permit);
            match outcome {
                Ok(Ok(response)) => {
                    let index = response.log_id.index;
                    succeed(entry, index, response.data.0);
                }
                // Another leader; what became of the entry is unknown, and a retry is safe.
                Ok(Err(_)) => fail(entry, &Miss::NoLeader),
                Err(_) => fail(entry, &Miss::Fatal("an entry was dropped".into())),
            }
        });
    }

    fn send_on(&self, leader: u64, entry: Vec<Group>, permit: tokio::sync::OwnedSemaphorePermit) {
        let (forwarded, own): (Vec<_>, Vec<_>) = entry.into_iter().partition(|g| g.forwarded);
        fail(forwarded, &Miss::NoLeader);
        if own.is_empty() {
            return;
        }
        let forward = self.forward.clone();
        tokio::spawn(async move {
            let commands = own.iter().flat_map(|group| group.commands.iter());
            let batch = Batch::new(0, commands);
            let outcome = forward.commands(leader, &batch).await;
            drop(permit);
            match outcome {
                Ok(done) => succeed(own, done.index, done.replies),
                Err(miss) => fail(own, &miss),
            }
        });
    }
}

fn succeed(entry: Vec<Group>, index: u64, replies: Vec<Bytes>) {
    let mut replies = replies.into_iter();
    for group in entry {
        let replies: Vec<Bytes> = replies.by_ref().take(group.commands.len()).collect();
        let outcome = if replies.len() == group.commands.len() {
            Ok(Done { index, replies })
        } else {
            Err(Miss::Fatal("an entry has too few replies".into()))
        };
        // A caller that has gone away is no error.
        drop(group.answer.send(outcome));
    }
}

fn fail(entry: Vec<Group>, miss: &Miss) {
    for group in entry {
        drop(group.answer.send(Err(miss.clone())));
    }
}

#[expect(clippy::disallowed_methods, reason = "here the leader stamps the time")]
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Refuses what can never fit into an entry.
pub(crate) fn check_size(commands: &[Bytes], config: &Config) -> Result<(), Error> {
    let size: usize = commands.iter().map(Bytes::len).sum();
    let too_large = |what, size: usize, limit: usize| Error::TooLarge {
        what,
        size: size as u64,
        limit: limit as u64,
    };
    if size > COMMAND_MAX_BYTES {
        return Err(too_large("a proposal", size, COMMAND_MAX_BYTES));
    }
    if commands.len() > config.batch_commands_max {
        return Err(Error::Refused(format!(
            "{} commands at once, the limit is {}; split them",
            commands.len(),
            config.batch_commands_max
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(size: usize) -> (Group, oneshot::Receiver<Result<Done, Miss>>) {
        let (answer, done) = oneshot::channel();
        let group =
            Group { commands: vec![Bytes::from(vec![0; size])], size, forwarded: false, answer };
        (group, done)
    }

    #[tokio::test]
    async fn an_entry_holds_what_waits_up_to_its_limits() {
        let config = Config { batch_bytes_max: 100, batch_commands_max: 3, ..Config::default() };
        let (queue, mut waiting) = Queue::new(16);
        let mut kept = Vec::new();
        for size in [10, 10, 10, 10, 95] {
            let (group, done) = group(size);
            queue.bytes.fetch_add(size, Ordering::Relaxed);
            queue.groups.try_send(group).unwrap();
            kept.push(done);
        }
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let first = waiting.first().await.unwrap();
            let entry = waiting.gather(first, &config);
            sizes.push(entry.iter().map(|g| g.size).collect::<Vec<_>>());
        }
        assert_eq!(sizes, [vec![10, 10, 10], vec![10], vec![95]]);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let (queue, _waiting) = Queue::new(1);
        let (first, _done) = group(1);
        queue.groups.try_send(first).unwrap();
        let refused = queue.submit(vec![Bytes::new()], false).await.unwrap_err();
        assert!(matches!(refused, Error::Overloaded { limit: 1 }));
        assert!(refused.is_retryable());
    }

    #[test]
    fn replies_go_to_the_calls_they_belong_to() {
        let (one, mut first) = group(1);
        let (two, mut second) = group(1);
        succeed(vec![one, two], 9, vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        assert_eq!(first.try_recv().unwrap().unwrap().replies, ["a"]);
        assert_eq!(second.try_recv().unwrap().unwrap().replies, ["b"]);
    }
}
