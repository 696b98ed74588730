//! The node's side of a backup: the state as it was after one entry of the log, and its files.
//!
//! The entry is one at which the replicas compare their states, so that most voters say what the
//! state has to be. Freezing it takes no time that anybody waits for; the copy is written to a file,
//! compressed, and sent from there at a bounded pace.

use crate::checker::voters;
use crate::machine::StateCopy;
use crate::node::Node;
use crate::proto::hearth::backup_part::Part;
use crate::proto::hearth::{BackupFile, BackupHead, BackupPart};
use crate::service::{from_raft, member_message, reach_level};
use crate::state::{Command, Digest};
use raft::ReadLevel;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

pub(crate) type Parts = mpsc::Sender<Result<BackupPart, Status>>;

/// Pieces on their way to the client.
pub(crate) const CHANNEL_PARTS: usize = 4;
const PIECE_BYTES: usize = 1 << 20;
/// How long the copy waits for the entry that it belongs to.
const COPY_WITHIN: Duration = Duration::from_secs(10);
const COPY_TRIES: usize = 3;
/// How long the warehouse may be behind.
const RECORDED_WITHIN: Duration = Duration::from_mins(2);
/// How long the voters' word is waited for. Without it the backup says that it has none.
const AGREED_WITHIN: Duration = Duration::from_secs(20);
/// Within the node's folder, while a copy is being written.
const COPY_FOLDER: &str = "backup";

/// Sends everything but the history.
pub(crate) async fn send(node: &Arc<Node>, to: &Parts) -> Result<(), Status> {
    let folder = node.config().node.dir.join(COPY_FOLDER);
    // A node that died in the middle has left its copy.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).map_err(|error| broken(&folder, &error))?;
    let path = folder.join("state");
    let copied = copy(node, &path).await;
    // An open file stays readable.
    let opened = File::open(&path);
    drop(std::fs::remove_dir_all(&folder));
    let (mut head, files) = copied?;
    let state = opened.map_err(|error| broken(&path, &error))?;
    wait_recorded(node, head.log_index).await?;
    head.agreed = agreed(node, &head).await?;
    let mut sending = Sending::new(to, node.config().raft.snapshot_mib_per_s << 20);
    sending.part(Part::Head(head)).await?;
    sending.file(&path, state, Vec::new()).await?;
    for id in files {
        let path = node.raft().fetch_blob(&id).await.map_err(|error| from_raft(&error))?;
        let file = File::open(&path).map_err(|error| broken(&path, &error))?;
        sending.file(&path, file, id.to_vec()).await?;
    }
    Ok(())
}

/// Writes the state to a file; says what it is, and which files it names.
async fn copy(node: &Arc<Node>, path: &Path) -> Result<(BackupHead, Vec<Digest>), Status> {
    let StateCopy { at, hash, files, frozen } = freeze(node).await?;
    let (raft, file) = (node.raft().clone(), path.to_owned());
    let written = tokio::task::spawn_blocking(move || {
        let (digest, hashed) = std::sync::mpsc::channel();
        let hashing: raft::Frozen = Box::new(move |to| {
            let mut hashing = Hashing { to, hash: Sha256::new() };
            frozen(&mut hashing)?;
            // The other end waits below.
            let _ = digest.send(hashing.hash.finalize());
            Ok(())
        });
        raft.save_state(&file, at, hashing)?;
        hashed.recv().map_err(|_| raft::Error::Fatal("a state without an end".to_owned()))
    });
    let digest = written
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error| from_raft(&error))?;
    let config = node.config();
    let status = node.raft().status();
    let own = status.members.iter().find(|member| member.id == status.node_id);
    let flight = own.and_then(|member| member.member.meta.get("flight").cloned());
    let head = BackupHead {
        cluster_id: config.node.cluster_id.clone(),
        group: config.node.group.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node_id: node.id(),
        log_index: at.index,
        term: at.term,
        time_us: at.time_us,
        state_hash: hash.to_vec(),
        state_sha256: digest.to_vec(),
        agreed: false,
        files: 1 + files.len() as u32,
        members: status.members.iter().map(member_message).collect(),
        flight: flight.unwrap_or_default(),
    };
    Ok((head, files.into_iter().collect()))
}

/// The state at an entry that comes after everything that was acknowledged when this began.
async fn freeze(node: &Arc<Node>) -> Result<StateCopy, Status> {
    reach_level(node, ReadLevel::Linearizable).await.map_err(|error| from_raft(&error))?;
    for _ in 0..COPY_TRIES {
        let copied = node.machine().copy_at_next_check();
        let check = Command::CheckState { voters: voters(node) };
        node.propose(&check).await.map_err(|error| from_raft(&error))?;
        // A snapshot of the leader may pass the entry by.
        if let Ok(Ok(copy)) = tokio::time::timeout(COPY_WITHIN, copied).await {
            return Ok(copy);
        }
    }
    Err(Status::unavailable("this node does not keep up with the log; ask another"))
}

/// The history up to the state is read from the warehouse next.
async fn wait_recorded(node: &Node, index: u64) -> Result<(), Status> {
    node.machine().want_recorded(index);
    let mut recorded = node.watch_recorded();
    let reached = recorded.wait_for(|now| *now >= index);
    match tokio::time::timeout(RECORDED_WITHIN, reached).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Status::unavailable("the warehouse of this node is far behind; ask another")),
    }
}

/// Whether most voters held this very state.
async fn agreed(node: &Node, head: &BackupHead) -> Result<bool, Status> {
    let mut applied = node.machine().watch_applied();
    let word = async {
        loop {
            let agreed = node.machine().read().checks.agreed();
            match agreed {
                Some((index, digest)) if index == head.log_index => return Some(digest),
                // A later check has come out; that of this state is forgotten.
                Some((index, _)) if index > head.log_index => return None,
                _ => applied.changed().await.ok()?,
            }
        }
    };
    match tokio::time::timeout(AGREED_WITHIN, word).await {
        Ok(Some(digest)) if digest[..] == head.state_sha256[..] => Ok(true),
        Ok(Some(_)) => Err(Status::data_loss(
            "this node's state is not what most voters hold; take the backup from another node",
        )),
        _ => Ok(false),
    }
}

fn broken(path: &Path, error: &std::io::Error) -> Status {
    Status::internal(format!("{}: {error}", path.display()))
}

/// Hashes what it passes on.
struct Hashing<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Files in pieces, at a pace that leaves the disk to those who write.
struct Sending<'a> {
    to: &'a Parts,
    /// 0 for as fast as it goes.
    bytes_per_s: u64,
}

impl<'a> Sending<'a> {
    fn new(to: &'a Parts, bytes_per_s: u64) -> Self {
        Self { to, bytes_per_s }
    }

    async fn part(&self, part: Part) -> Result<(), Status> {
        let sent = self.to.send(Ok(BackupPart { part: Some(part) })).await;
        sent.map_err(|_| Status::cancelled("the client has gone away"))
    }

    async fn file(&mut self, path: &Path, file: File, sha256: Vec<u8>) -> Result<(), Status> {
        let facts = file.metadata().map_err(|error| broken(path, &error))?;
        self.part(Part::File(BackupFile { bytes: facts.len(), sha256 })).await?;
        let mut file = Some(file);
        while let Some(open) = file.take() {
            let begun = tokio::time::Instant::now();
            let place: PathBuf = path.to_owned();
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let mut open = open;
                let read = (&mut open).take(PIECE_BYTES as u64).read_to_end(&mut piece);
                read.map(|_| (open, piece)).map_err(|error| broken(&place, &error))
            });
            let (open, piece) =
                read.await.map_err(|error| Status::internal(error.to_string()))??;
            if piece.is_empty() {
                return Ok(());
            }
            let bytes = piece.len() as u64;
            self.part(Part::Piece(piece)).await?;
            if let Some(micros) = (bytes * 1_000_000).checked_div(self.bytes_per_s) {
                tokio::time::sleep_until(begun + Duration::from_micros(micros)).await;
            }
            file = Some(open);
        }
        Ok(())
    }
}
