//! Dead letters on their way into the log: few at a time, so that nobody can fill it with rubbish.

use crate::node::Node;
use crate::state::{Command, DeadLetter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Letters that wait; past it one is counted and lost.
const WAITING_MAX: usize = 1_024;
/// Letters in one entry of the log ...
const LETTERS_PER_COMMAND: usize = 256;
/// ... and entries are so far apart.
const PAUSE: Duration = Duration::from_millis(250);

/// Where the doors leave what they could not take. Its sender has been told already.
#[derive(Debug)]
pub(crate) struct Letterbox {
    slot: mpsc::Sender<DeadLetter>,
    lost: AtomicU64,
}

impl Letterbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<DeadLetter>) {
        let (slot, inside) = mpsc::channel(WAITING_MAX);
        (Self { slot, lost: AtomicU64::new(0) }, inside)
    }

    /// Never waits.
    pub(crate) fn drop_in(&self, letter: DeadLetter) {
        if self.slot.try_send(letter).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Letters for which there was no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Empties the box for as long as the node runs.
pub(crate) async fn empty(node: Arc<Node>, mut inside: mpsc::Receiver<DeadLetter>) {
    let mut letters = Vec::new();
    while inside.recv_many(&mut letters, LETTERS_PER_COMMAND).await > 0 {
        let command = Command::RecordDeadLetters(std::mem::take(&mut letters));
        while let Err(error) = node.propose(&command).await {
            tracing::debug!(%error, "dead letters were not committed");
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_loses_and_says_so() {
        let (slot, mut inside) = Letterbox::new();
        for at in 0..=WAITING_MAX {
            slot.drop_in(DeadLetter::new("http", "", "bad", at.to_string().as_bytes()));
        }
        assert_eq!(slot.lost(), 1);
        assert_eq!(inside.try_recv().unwrap().payload, "0");
        slot.drop_in(DeadLetter::new("http", "", "bad", b""));
        assert_eq!(slot.lost(), 1);
    }
}
