//! Takes in the snapshots of leaders, one at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::frame::{Kind, open};
use super::proto::Frame;
use super::receive::blocking;
use super::stream::next_piece;
use crate::config::SNAPSHOT_MAX_BYTES;
use crate::snapshot::{Folder, Name, Partial};

/// A transfer that was cut ends here within this time once it is told to.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Incoming {
    folder: Folder,
    partial: Arc<Mutex<Option<Partial>>>,
    /// Counts the transfers; one that sees another begin gives way to it.
    turn: watch::Sender<u64>,
}

/// The right to receive.
pub(super) type Turn = OwnedMutexGuard<Option<Partial>>;

impl Incoming {
    pub(crate) fn new(folder: Folder) -> Arc<Self> {
        Arc::new(Self { folder, partial: Arc::default(), turn: watch::Sender::new(0) })
    }

    /// How much of a snapshot is here, verified. Ends a transfer that still waits for its pieces:
    /// its sender has given up, or there is another leader.
    pub(super) async fn held(&self, name: Name) -> Result<u64, Status> {
        if name.size > SNAPSHOT_MAX_BYTES {
            return Err(Status::out_of_range("the snapshot is larger than the limit"));
        }
        self.turn.send_modify(|turn| *turn += 1);
        let mut slot = timeout(TURN_TIMEOUT, self.partial.lock())
            .await
            .map_err(|_| Status::aborted("another snapshot is being installed"))?;
        let known = slot.take().filter(|partial| *partial.name() == name);
        let folder = self.folder.clone();
        let (held, partial) = blocking(move || {
            let mut partial = match known {
                Some(partial) => partial,
                None => folder.receive(name)?,
            };
            let held = partial.held()?;
            Ok((held, partial))
        })
        .await?;
        *slot = Some(partial);
        Ok(held)
    }

    /// Takes the pieces that follow. What has come stays if they end too early. Nobody else
    /// receives while the answer is held.
    pub(super) async fn receive(
        &self,
        name: Name,
        from: u64,
        frames: &mut Streaming<Frame>,
    ) -> Result<(Partial, Turn), Status> {
        let mut turn = self.turn.subscribe();
        let mut slot = self
            .partial
            .clone()
            .try_lock_owned()
            .map_err(|_| Status::aborted("another snapshot is coming in"))?;
        let partial = slot.take().filter(|partial| *partial.name() == name);
        let Some(mut partial) = partial else {
            return Err(Status::aborted("this snapshot was not announced"));
        };
        if partial.held_bytes() != from {
            *slot = Some(partial);
            return Err(Status::aborted("the snapshot goes on at another place"));
        }
        let ended = loop {
            let frame = tokio::select! {
                frame = next_piece(frames) => frame,
                _ = turn.changed() => Err(Status::aborted("another transfer has begun")),
            };
            let piece =
                match frame.and_then(|frame| frame.map(|f| open(Kind::Piece, f)).transpose()) {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                };
            let (back, pushed) = blocking(move || {
                let pushed = partial.push(&piece);
                Ok((partial, pushed))
            })
            .await?;
            partial = back;
            if let Err(error) = pushed {
                break Err(Status::internal(error.to_string()));
            }
        };
        if ended.is_ok() && partial.is_complete() {
            return Ok((partial, slot));
        }
        *slot = Some(partial);
        Err(ended.err().unwrap_or_else(|| Status::aborted("a snapshot ended too early")))
    }
}
