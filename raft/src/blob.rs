//! Files named by their SHA-256, kept beside the log and copied between nodes out of band.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tonic::{Status, Streaming};

use crate::config::{BLOB_MAX_BYTES, PIECE_BYTES};
use crate::durable::{Draft, prepare_folder};
use crate::error::Error;
use crate::peer::{Client, Frame, Kind, meaning, pack, plain, receive_file, unpack};

pub type BlobId = [u8; 32];

/// Moving one blob has to end within this time.
const TRANSFER_TIMEOUT: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlobHead {
    pub(crate) id: BlobId,
    pub(crate) size: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(crate) fn open(dir: PathBuf) -> Result<Self, Error> {
        prepare_folder(&dir)
            .map_err(|e| Error::io(format!("cannot prepare {}", dir.display()), e))?;
        Ok(Self { dir })
    }

    fn place(&self, id: &BlobId) -> PathBuf {
        self.dir.join(hex(id))
    }

    /// Where a blob is, if it is here. A file that has its name is whole.
    pub(crate) fn find(&self, id: &BlobId) -> Option<PathBuf> {
        let path = self.place(id);
        path.is_file().then_some(path)
    }

    /// Whether a blob is here; if so, its age begins anew, so that no sweep takes it meanwhile.
    fn renew(&self, id: &BlobId) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let file = std::fs::File::open(self.place(id));
        file.is_ok_and(|file| futimens(&file, &times).is_ok())
    }

    /// Removes the blobs that are not `named` and came here longer ago than `age`; gives how many.
    pub(crate) async fn sweep(&self, named: BTreeSet<BlobId>, age: Duration) -> Result<u64, Error> {
        let dir = self.dir.clone();
        let swept = crate::blocking::spawn_blocking(move || {
            let named: BTreeSet<String> = named.iter().map(|id| hex(id)).collect();
            let mut removed = 0;
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let is_named = name.to_str().is_none_or(|name| named.contains(name));
                // What is still being written has a longer name than a digest.
                if is_named || name.len() != 2 * size_of::<BlobId>() {
                    continue;
                }
                // A clock that was set back makes a file younger: it stays.
                let lain = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                if lain >= age {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
            Ok::<_, std::io::Error>(removed)
        });
        swept
            .await
            .map_err(|e| Error::Fatal(e.to_string()))?
            .map_err(|e| Error::io("cannot remove a blob that nobody names", e))
    }

    /// Keeps bytes durably and returns their name.
    pub(crate) async fn keep(&self, bytes: Bytes) -> Result<BlobId, Error> {
        if bytes.len() > BLOB_MAX_BYTES {
            return Err(Error::TooLarge {
                what: "a blob",
                size: bytes.len() as u64,
                limit: BLOB_MAX_BYTES as u64,
            });
        }
        let blobs = self.clone();
        let kept = crate::blocking::spawn_blocking(move || {
            let id: BlobId = Sha256::digest(&bytes).into();
            if !blobs.renew(&id) {
                let mut draft = Draft::create(&blobs.dir)?;
                draft.write_all(&bytes)?;
                draft.keep(&blobs.place(&id))?;
            }
            Ok::<_, std::io::Error>(id)
        });
        kept.await
            .map_err(|e| Error::Fatal(e.to_string()))?
            .map_err(|e| Error::io("cannot keep a blob", e))
    }

    /// Takes a blob from a stream of pieces; its content has to match its name.
    pub(crate) async fn receive(
        &self,
        head: BlobHead,
        frames: &mut Streaming<Frame>,
    ) -> Result<PathBuf, Status> {
        if head.size > BLOB_MAX_BYTES as u64 {
            return Err(Status::out_of_range(format!(
                "a blob has {} bytes, the limit is {BLOB_MAX_BYTES}",
                head.size
            )));
        }
        if self.renew(&head.id) {
            return Ok(self.place(&head.id));
        }
        let draft = receive_file(&self.dir, head.size, frames).await?;
        let path = self.place(&head.id);
        let kept = crate::blocking::spawn_blocking(move || {
            let mut hash = Sha256::new();
            std::io::copy(&mut std::fs::File::open(draft.path())?, &mut hash)?;
            if hash.finalize().as_slice() != head.id {
                return Ok(None);
            }
            draft.keep(&path)?;
            Ok::<_, std::io::Error>(Some(path))
        });
        kept.await
            .map_err(|e| Status::internal(e.to_string()))?
            .map_err(|e| Status::internal(format!("cannot keep a blob: {e}")))?
            .ok_or_else(|| Status::data_loss("the content of a blob does not match its name"))
    }
}

/// Copies a blob to one node; returns when it is on that node's disk.
pub(crate) async fn send(mut client: Client, head: BlobHead, bytes: Bytes) -> Result<(), Error> {
    let first = pack(Kind::BlobHead, &head).map_err(|s| meaning(&s, 0))?;
    let pieces = (0..bytes.len()).step_by(PIECE_BYTES).map(move |at| {
        let end = (at + PIECE_BYTES).min(bytes.len());
        plain(Kind::Piece, bytes.slice(at..end))
    });
    let frames = futures::stream::iter(std::iter::once(first).chain(pieces));
    let call = tokio::time::timeout(TRANSFER_TIMEOUT, client.put_blob(frames));
    match call.await {
        Ok(Ok(reply)) => {
            unpack::<()>(Kind::BlobReply, reply.into_inner()).map_err(|s| meaning(&s, 0))
        }
        Ok(Err(status)) => Err(meaning(&status, 0)),
        Err(_) => Err(Error::Unreachable("copying a blob took too long".into())),
    }
}

/// Fetches a blob from one node.
pub(crate) async fn fetch(mut client: Client, id: BlobId, into: &Blobs) -> Result<PathBuf, Error> {
    let wanted = pack(Kind::BlobWanted, &id).map_err(|s| meaning(&s, 0))?;
    let work = async {
        let mut frames = client.get_blob(wanted).await?.into_inner();
        let Some(first) = frames.message().await? else {
            return Err(Status::not_found("an empty answer"));
        };
        let head: BlobHead = unpack(Kind::BlobHead, first)?;
        if head.id != id {
            return Err(Status::data_loss("another blob than asked for"));
        }
        into.receive(head, &mut frames).await
    };
    match tokio::time::timeout(TRANSFER_TIMEOUT, work).await {
        Ok(Ok(path)) => Ok(path),
        Ok(Err(status)) => Err(meaning(&status, 0)),
        Err(_) => Err(Error::Unreachable("fetching a blob took too long".into())),
    }
}

/// Waits for nodes until a majority of every set of voters has succeeded.
pub(crate) async fn until_quorum<F>(
    voters: &[BTreeSet<u64>],
    here: u64,
    mut copies: FuturesUnordered<F>,
) -> Result<(), Error>
where
    F: Future<Output = (u64, Result<(), Error>)>,
{
    let mut have = BTreeSet::from([here]);
    let enough = |have: &BTreeSet<u64>| {
        voters.iter().all(|set| set.intersection(have).count() * 2 > set.len())
    };
    let mut last = None;
    while !enough(&have) {
        match copies.next().await {
            Some((id, Ok(()))) => {
                have.insert(id);
            }
            Some((id, Err(e))) => {
                tracing::warn!(node = id, error = %e, "a blob could not be copied");
                last = Some(e);
            }
            None => {
                return Err(Error::Unreachable(last.map_or_else(
                    || "too few voters have the blob".to_owned(),
                    |e| format!("too few voters have the blob, last: {e}"),
                )));
            }
        }
    }
    Ok(())
}
/// Names a file after its content.
pub(crate) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
