//! Room for what is on its way into the log: bounded in bytes, over all doors of a node.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const BLOCK_BYTES: usize = 1 << 10;
const BLOCKS_PER_MIB: usize = 1 << 10;

#[derive(Debug)]
pub(crate) struct Room {
    blocks: Arc<Semaphore>,
    all: usize,
}

/// Held until the log has answered.
#[derive(Debug)]
pub(crate) struct Taken {
    _blocks: OwnedSemaphorePermit,
}

#[derive(Debug, thiserror::Error)]
#[error("{mib} MiB are on their way into the log, which is the limit: slow down and send it again")]
pub(crate) struct Full {
    mib: usize,
}

impl Room {
    pub(crate) fn new(mib: usize) -> Self {
        let all = mib.saturating_mul(BLOCKS_PER_MIB).min(Semaphore::MAX_PERMITS);
        Self { blocks: Arc::new(Semaphore::new(all)), all }
    }

    fn blocks_for(&self, bytes: usize) -> u32 {
        // What is larger than all of it goes in alone.
        bytes.div_ceil(BLOCK_BYTES).clamp(1, self.all) as u32
    }

    /// For a sender that can be told to come again.
    pub(crate) fn take(&self, bytes: usize) -> Result<Taken, Full> {
        let taken = Arc::clone(&self.blocks).try_acquire_many_owned(self.blocks_for(bytes));
        taken.map(|blocks| Taken { _blocks: blocks }).map_err(|_| self.full())
    }

    /// For a sender that can be kept waiting.
    pub(crate) async fn wait(&self, bytes: usize) -> Result<Taken, Full> {
        let taken = Arc::clone(&self.blocks).acquire_many_owned(self.blocks_for(bytes)).await;
        taken.map(|blocks| Taken { _blocks: blocks }).map_err(|_| self.full())
    }

    fn full(&self) -> Full {
        Full { mib: self.all / BLOCKS_PER_MIB }
    }

    /// Bytes taken, for the figures.
    pub(crate) fn taken_bytes(&self) -> usize {
        (self.all - self.blocks.available_permits()) * BLOCK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_room_refuses_some_and_keeps_others_waiting() {
        let room = Arc::new(Room::new(1));
        let first = room.take(1 << 20).unwrap();
        assert!(room.take(1).unwrap_err().to_string().contains("1 MiB"));
        assert_eq!(room.taken_bytes(), 1 << 20);
        let waiting = {
            let room = Arc::clone(&room);
            tokio::spawn(async move { room.wait(5 << 20).await.map(drop).is_ok() })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap());
        assert_eq!(room.taken_bytes(), 0);
    }
}
