//! Has the replicas compared: the leader asks for a check, every node hashes its state at the check's
//! index and reports the digest, and a node that turns out to differ takes itself out of service.

use crate::machine::CheckPoint;
use crate::node::Node;
use crate::state::{Command, Digest};
use raft::Frozen;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Hashing may take up to one part in so many of the time between checks, however large the state is.
const SHARE: u32 = 50;
/// A report is sent again for so long; a later check makes it useless anyway.
const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// On the leader, asks for a check every now and then.
pub(crate) async fn ask(node: Arc<Node>) {
    let every = Duration::from_secs(node.config().raft.check_seconds);
    loop {
        tokio::time::sleep(every.max(node.check_took() * SHARE)).await;
        if !node.raft().is_leader() {
            continue;
        }
        let voters = voters(&node);
        if let Err(error) = node.propose(&Command::CheckState { voters }).await {
            tracing::debug!(%error, "a check of the state was not committed");
        }
    }
}

pub(crate) fn voters(node: &Node) -> BTreeSet<u64> {
    let members = node.raft().status().members;
    members.iter().filter(|member| member.role != raft::Role::Learner).map(|m| m.id).collect()
}

/// Hashes what the machine hands over and reports it.
pub(crate) async fn report(node: Arc<Node>, mut points: mpsc::Receiver<CheckPoint>) {
    while let Some(CheckPoint { index, frozen }) = points.recv().await {
        let begun = Instant::now();
        let digest = match raft::in_background("check", move || digest(frozen)).await {
            Ok(digest) => digest,
            Err(error) => {
                tracing::warn!(index, %error, "the state could not be hashed for a check");
                continue;
            }
        };
        node.check_took_for(begun.elapsed());
        let command = Command::ReportState { node: node.id(), index, digest };
        let begun = Instant::now();
        while let Err(error) = node.propose(&command).await {
            if !error.is_retryable() || begun.elapsed() > REPORT_WITHIN {
                tracing::debug!(index, %error, "the report of a check was not committed");
                break;
            }
        }
    }
}

/// SHA-256 of the bytes that a snapshot of this state would hold.
pub(crate) fn digest(frozen: Frozen) -> io::Result<Digest> {
    let mut hasher = Hasher(Sha256::new());
    frozen(&mut hasher)?;
    Ok(hasher.0.finalize().into())
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the log says that this node has diverged, and takes it out of service.
pub(crate) async fn obey(node: Arc<Node>) {
    let own = node.id();
    let mut diverged = node.machine().watch_diverged();
    let Ok(found) =
        diverged.wait_for(|all| all.contains_key(&own)).await.map(|all| all[&own].clone())
    else {
        return;
    };
    node.quarantine(&format!(
        "its state differed from what most voters hold at log index {}: {} here, {} there",
        found.index,
        crate::hex::encode(&found.held),
        crate::hex::encode(&found.expected)
    ))
    .await;
}
