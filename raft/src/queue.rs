//! Where commands wait to become entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::{COMMAND_MAX_BYTES, Config};
use crate::error::Error;

/// Bytes that may wait.
const QUEUE_MAX_BYTES: usize = 256 << 20;
/// Room that only urgent commands may use, when the rest is full.
const URGENT_RESERVE_BYTES: usize = 64 << 20;

/// What became of the commands of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) index: u64,
    pub(crate) replies: Vec<Bytes>,
}

/// Why the commands of a call were not proposed, or nobody knows.
#[derive(Debug, Clone)]
pub(crate) enum Miss {
    /// There is none, it has changed, or it has died under the commands.
    NoLeader,
    Unreachable(String),
    Overloaded(usize),
    Refused(String),
    DiskFull {
        free_bytes: u64,
        reserve_bytes: u64,
    },
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
        }
    }
}

/// Which commands go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Urgent,
    Usual,
}

/// The commands of one call; they stay together in one entry.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) commands: Vec<Bytes>,
    size: usize,
    pub(crate) urgency: Urgency,
    /// Came from another node: never sent on once more.
    pub(crate) forwarded: bool,
    answer: oneshot::Sender<Result<Done, Miss>>,
}

/// The end that calls use.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    urgent: mpsc::Sender<Group>,
    usual: mpsc::Sender<Group>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> (Self, Waiting) {
        let (urgent, urgent_groups) = mpsc::channel(limit);
        let (usual, usual_groups) = mpsc::channel(limit);
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Self { urgent, usual, bytes: bytes.clone(), limit };
        let waiting = Waiting {
            urgent: urgent_groups,
            usual: usual_groups,
            bytes,
            urgent_left: None,
            usual_left: None,
        };
        (queue, waiting)
    }

    /// Leaves commands to be proposed and waits for what becomes of them.
    pub(crate) async fn submit(
        &self,
        commands: Vec<Bytes>,
        urgency: Urgency,
        forwarded: bool,
    ) -> Result<Done, Error> {
        let (lane, room_bytes) = match urgency {
            Urgency::Urgent => (&self.urgent, QUEUE_MAX_BYTES + URGENT_RESERVE_BYTES),
            Urgency::Usual => (&self.usual, QUEUE_MAX_BYTES),
        };
        let overloaded = || Error::Overloaded { limit: self.limit };
        let slot = lane.try_reserve().map_err(|e| match e {
            mpsc::error::TrySendError::Full(()) => overloaded(),
            mpsc::error::TrySendError::Closed(()) => Error::Stopped,
        })?;
        let size: usize = commands.iter().map(Bytes::len).sum();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > room_bytes {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(overloaded());
        }
        let (answer, done) = oneshot::channel();
        slot.send(Group { commands, size, urgency, forwarded, answer });
        match done.await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::Stopped),
        }
    }
}

/// The end that makes entries.
#[derive(Debug)]
pub(crate) struct Waiting {
    urgent: mpsc::Receiver<Group>,
    usual: mpsc::Receiver<Group>,
    bytes: Arc<AtomicUsize>,
    /// Did not fit into the last entry.
    urgent_left: Option<Group>,
    usual_left: Option<Group>,
}

impl Waiting {
    /// Waits until something waits.
    pub(crate) async fn first(&mut self) -> Option<Group> {
        if let Some(group) = self.next() {
            return Some(group);
        }
        tokio::select! {
            biased;
            group = self.urgent.recv() => group,
            group = self.usual.recv() => group,
        }
    }

    fn next(&mut self) -> Option<Group> {
        self.urgent_left
            .take()
            .or_else(|| self.urgent.try_recv().ok())
            .or_else(|| self.usual_left.take())
            .or_else(|| self.usual.try_recv().ok())
    }

    /// Everything that waits now, urgent commands first, up to the limits of an entry.
    pub(crate) fn gather(&mut self, first: Group, config: &Config) -> Entry {
        let mut size = first.size;
        let mut count = first.commands.len();
        let mut groups = vec![first];
        while size < config.batch_bytes_max && count < config.batch_commands_max {
            let Some(group) = self.next() else {
                break;
            };
            let fits = size + group.size <= config.batch_bytes_max
                && count + group.commands.len() <= config.batch_commands_max;
            if !fits {
                match group.urgency {
                    Urgency::Urgent => self.urgent_left = Some(group),
                    Urgency::Usual => self.usual_left = Some(group),
                }
                break;
            }
            size += group.size;
            count += group.commands.len();
            groups.push(group);
        }
        let taken: usize = groups.iter().map(|group| group.size).sum();
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        // Within an entry, too, what is urgent comes first.
        groups.sort_by_key(|group| group.urgency == Urgency::Usual);
        // Nobody waits for these any more.
        groups.retain(|group| !group.answer.is_closed());
        Entry(groups)
    }
}

/// The groups of one entry, in order.
#[derive(Debug)]
pub(crate) struct Entry(Vec<Group>);

impl Entry {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn commands(&self) -> impl Iterator<Item = &Bytes> + Clone {
        self.0.iter().flat_map(|group| group.commands.iter())
    }

    pub(crate) fn urgency(&self) -> Urgency {
        if self.0.iter().any(|group| group.urgency == Urgency::Urgent) {
            Urgency::Urgent
        } else {
            Urgency::Usual
        }
    }

    /// What came from elsewhere, and what was left here.
    pub(crate) fn split(self) -> (Self, Self) {
        let (forwarded, own) = self.0.into_iter().partition(|group| group.forwarded);
        (Self(forwarded), Self(own))
    }

    pub(crate) fn succeed(self, index: u64, replies: Vec<Bytes>) {
        let mut replies = replies.into_iter();
        for group in self.0 {
            let replies = replies.by_ref().take(group.commands.len()).collect();
            // A caller that has gone away is no error.
            drop(group.answer.send(Ok(Done { index, replies })));
        }
    }

    pub(crate) fn fail(self, miss: &Miss) {
        for group in self.0 {
            drop(group.answer.send(Err(miss.clone())));
        }
    }
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

    type Outcome = oneshot::Receiver<Result<Done, Miss>>;

    fn leave(queue: &Queue, size: usize, urgency: Urgency) -> Outcome {
        let (answer, done) = oneshot::channel();
        let commands = vec![Bytes::from(vec![0; size])];
        let group = Group { commands, size, urgency, forwarded: false, answer };
        queue.bytes.fetch_add(size, Ordering::Relaxed);
        match urgency {
            Urgency::Urgent => queue.urgent.try_send(group).unwrap(),
            Urgency::Usual => queue.usual.try_send(group).unwrap(),
        }
        done
    }

    fn small() -> Config {
        Config { batch_bytes_max: 100, batch_commands_max: 3, ..Config::default() }
    }

    async fn sizes(waiting: &mut Waiting) -> Vec<usize> {
        let first = waiting.first().await.unwrap();
        waiting.gather(first, &small()).0.iter().map(|group| group.size).collect()
    }

    #[tokio::test]
    async fn an_entry_holds_what_waits_up_to_its_limits() {
        let (queue, mut waiting) = Queue::new(16);
        let kept: Vec<_> =
            [10, 10, 10, 10, 95].map(|size| leave(&queue, size, Urgency::Usual)).into();
        assert_eq!(sizes(&mut waiting).await, [10, 10, 10]);
        assert_eq!(sizes(&mut waiting).await, [10]);
        assert_eq!(sizes(&mut waiting).await, [95]);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
        drop(kept);
    }

    #[tokio::test]
    async fn urgent_commands_pass_all_others() {
        let (queue, mut waiting) = Queue::new(16);
        let kept: Vec<_> = [60, 61, 62].map(|size| leave(&queue, size, Urgency::Usual)).into();
        assert_eq!(sizes(&mut waiting).await, [60]);
        // 61 is left over now; it waits once more.
        let urgent = [leave(&queue, 1, Urgency::Urgent), leave(&queue, 2, Urgency::Urgent)];
        assert_eq!(sizes(&mut waiting).await, [1, 2, 61]);
        assert_eq!(sizes(&mut waiting).await, [62]);
        drop((kept, urgent));
    }

    #[tokio::test]
    async fn a_call_that_was_given_up_is_not_proposed() {
        let (queue, mut waiting) = Queue::new(16);
        drop(leave(&queue, 10, Urgency::Usual));
        let kept = leave(&queue, 11, Urgency::Usual);
        assert_eq!(sizes(&mut waiting).await, [11]);
        drop(kept);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_urgent_commands_have_their_own() {
        let (queue, mut waiting) = Queue::new(1);
        let kept = leave(&queue, 1, Urgency::Usual);
        let command = vec![Bytes::new()];
        let refused = queue.submit(command.clone(), Urgency::Usual, false).await.unwrap_err();
        assert!(matches!(refused, Error::Overloaded { limit: 1 }));
        assert!(refused.is_retryable());
        let urgent =
            tokio::spawn(async move { queue.submit(command, Urgency::Urgent, false).await });
        // The usual one may have been first, before the urgent one came.
        let mut served = 0;
        while served < 2 {
            let first = waiting.first().await.unwrap();
            let entry = waiting.gather(first, &small());
            served += entry.0.len();
            let replies = entry.commands().cloned().collect();
            entry.succeed(7, replies);
        }
        assert_eq!(urgent.await.unwrap().unwrap().index, 7);
        drop(kept);
    }

    #[tokio::test]
    async fn replies_go_to_the_calls_they_belong_to() {
        let (queue, mut waiting) = Queue::new(16);
        let mut calls = [1, 1].map(|size| leave(&queue, size, Urgency::Usual));
        let first = waiting.first().await.unwrap();
        let entry = waiting.gather(first, &small());
        entry.succeed(9, vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        for (call, reply) in calls.iter_mut().zip(["a", "b"]) {
            assert_eq!(call.try_recv().unwrap().unwrap().replies, [reply]);
        }
    }
}
