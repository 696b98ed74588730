//! Snapshots to one other node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::RPCTypes;
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::channel::{Client, Lane};
use super::frame::{Kind, pack, plain, unpack};
use super::link::{Link, broken};
use super::proto::Frame;
use super::stream::STALL;
use crate::config::SNAPSHOT_PIECE_BYTES;
use crate::snapshot::{Name, SnapshotFile};
use crate::types::{Types, Vote};

/// Sends what the node lacks of a snapshot, and waits until it is installed there.
pub(super) async fn send_snapshot(
    link: &Link,
    vote: Vote,
    file: &SnapshotFile,
    ttl: Duration,
) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
    let client = link.client(Lane::Bulk)?;
    let whole = file.size();
    let pace = Pace::new(link.snapshot_bytes_per_s);
    let progress = Arc::new(AtomicU64::new(0));
    let call = transfer(client, vote, file.clone(), pace, progress.clone());
    tokio::select! {
        reply = timeout(ttl, call) => match reply {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(status)) => Err(broken(&status).into()),
            Err(_) => Err(link.timed_out(RPCTypes::InstallSnapshot, ttl).into()),
        },
        () = stalled(&progress, whole) => {
            link.forget(Lane::Bulk);
            Err(NetworkError::from_string("a snapshot transfer made no progress").into())
        }
    }
}

async fn transfer(
    mut client: Client,
    vote: Vote,
    file: SnapshotFile,
    pace: Pace,
    progress: Arc<AtomicU64>,
) -> Result<SnapshotResponse<Types>, Status> {
    let naming = file.clone();
    let name: Name = crate::blocking::spawn_blocking(move || naming.name())
        .await
        .map_err(|e| Status::internal(e.to_string()))?
        .map_err(|e| Status::internal(e.to_string()))?;
    let asked = client.snapshot_held(pack(Kind::SnapshotName, &(vote, &name))?);
    let held: u64 = unpack(Kind::SnapshotHeld, asked.await?.into_inner())?;
    if held > 0 {
        tracing::info!(held, whole = name.size, "a snapshot transfer goes on");
    }
    let head = pack(Kind::SnapshotFrom, &(vote, &name, held))?;
    let pieces = pieces(file, held, pace, progress);
    let frames = futures::stream::once(futures::future::ready(head)).chain(pieces);
    let reply = client.snapshot(frames).await?.into_inner();
    unpack(Kind::SnapshotReply, reply)
}

/// Keeps a transfer below so many bytes a second.
struct Pace {
    bytes_per_s: u64,
    started: Instant,
    sent: u64,
}

impl Pace {
    fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, started: Instant::now(), sent: 0 }
    }

    async fn wait(&self) {
        if self.bytes_per_s > 0 {
            let due = Duration::from_secs_f64(self.sent as f64 / self.bytes_per_s as f64);
            tokio::time::sleep_until(self.started + due).await;
        }
    }
}

/// Ends when nothing has moved for a while and the file is not yet through. The end of the
/// transfer is not watched: installing takes its time.
async fn stalled(progress: &AtomicU64, whole: u64) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(STALL).await;
        let now = progress.load(Ordering::Relaxed);
        if now == seen && now < whole {
            return;
        }
        seen = now;
    }
}

/// The file in order; ends early if it cannot be read, which the receiver finds by the size.
fn pieces(
    file: SnapshotFile,
    from: u64,
    pace: Pace,
    progress: Arc<AtomicU64>,
) -> impl Stream<Item = Frame> + Send {
    futures::stream::unfold((file, from, pace), move |(file, offset, mut pace)| {
        let progress = progress.clone();
        async move {
            if offset >= file.size() {
                progress.store(offset, Ordering::Relaxed);
                return None;
            }
            pace.wait().await;
            let reading = file.clone();
            let piece = crate::blocking::spawn_blocking(move || {
                let mut piece = vec![0; SNAPSHOT_PIECE_BYTES];
                let read = reading.read_at(&mut piece, offset)?;
                piece.truncate(read);
                Ok::<_, std::io::Error>(piece)
            })
            .await;
            match piece {
                Ok(Ok(piece)) if !piece.is_empty() => {
                    let next = offset + piece.len() as u64;
                    pace.sent += piece.len() as u64;
                    progress.store(next, Ordering::Relaxed);
                    Some((plain(Kind::Piece, Bytes::from(piece)), (file, next, pace)))
                }
                failed => {
                    tracing::error!(file = %file.path().display(), ?failed, "a snapshot cannot be read");
                    None
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pace_is_kept_and_none_is_none() {
        let mut pace = Pace::new(1 << 20);
        let started = Instant::now();
        for _ in 0..4 {
            pace.wait().await;
            pace.sent += 64 << 10;
        }
        // Three pieces of 1/16 s came before the last one.
        assert!(started.elapsed() >= Duration::from_millis(187));
        let mut none = Pace::new(0);
        none.sent = u64::MAX;
        timeout(Duration::from_secs(5), none.wait()).await.unwrap();
    }
}
