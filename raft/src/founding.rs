//! A group that begins with the state of another one.
//!
//! Every founder gets the same state at the same place of the log, and the same members, as if all
//! of them had compacted their logs up to there. The first election is in the term after.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use openraft::Membership;
use openraft::storage::RaftLogStorage as _;
use tokio::time::Instant;

use crate::blob::Blobs;
use crate::config::Config;
use crate::error::Error;
use crate::identity;
use crate::log::LogStore;
use crate::machine::{Frozen, Position};
use crate::member::Member;
use crate::snapshot::{self, Folder, Head};
use crate::types::{SnapshotMeta, StoredMembership, Vote};

/// The log that was just written is free again within this time.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// What a group begins with.
pub struct Origin {
    pub at: Position,
    pub state: Frozen,
    /// Ids that a node which joins later must not have.
    pub ids: BTreeSet<u64>,
    /// Files that the state names by their SHA-256.
    pub blobs: Vec<PathBuf>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({:?})", self.at)
    }
}

/// Makes the folder of one founder; it must be empty or not there. Every founder has to be made
/// from the same origin with the same members.
pub async fn found(
    config: &Config,
    members: BTreeMap<u64, Member>,
    origin: Origin,
) -> Result<(), Error> {
    config.check()?;
    let Origin { at, state, mut ids, blobs } = origin;
    if !members.contains_key(&config.node_id) {
        let own = config.node_id;
        return Err(Error::Refused(format!("node {own} is not one of the members")));
    }
    let dir = config.dir.display();
    if std::fs::read_dir(&config.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::Refused(format!("{dir} is not empty; a group begins in a new folder")));
    }
    identity::claim(config)?;
    let files = Blobs::open(config.blob_dir())?;
    for path in blobs {
        let bytes = std::fs::read(&path)
            .map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
        files.keep(Bytes::from(bytes)).await?;
    }
    ids.extend(members.keys());
    let voters: BTreeSet<u64> = members.keys().copied().collect();
    let membership = Membership::new(vec![voters], members)
        .map_err(|e| Error::Refused(format!("the members cannot be a group: {e}")))?;
    let id = snapshot::origin(at);
    let meta = SnapshotMeta {
        last_log_id: Some(id),
        last_membership: StoredMembership::new(Some(id), membership),
    };
    let head = Head { meta, time_us: at.time_us, ids };
    let folder = config.snapshot_dir();
    let written = crate::blocking::spawn_blocking(move || {
        let (folder, _) = Folder::open(folder)?;
        snapshot::write(folder.path(), &head, state)
            .and_then(|draft| folder.keep(draft, head))
            .map_err(|e| Error::io("cannot write the first snapshot", e))
    });
    written.await.map_err(|e| Error::Fatal(e.to_string()))??;
    begin_log(config, at).await.map_err(|e| Error::io(format!("cannot write the log in {dir}"), e))
}

/// The log begins after the state. The vote keeps every election in a later term than the entries
/// that the state comes from: a group never has an entry with an older term after a newer one.
async fn begin_log(config: &Config, at: Position) -> std::io::Result<()> {
    let id = snapshot::origin(at);
    let mut log = LogStore::open(config).map_err(std::io::Error::other)?;
    log.purge(id).await?;
    log.save_vote(&Vote::new(id.leader_id.term, id.leader_id.node_id)).await?;
    let hold = log.hold();
    drop(log);
    let begun = Instant::now();
    while hold.is_held() && begun.elapsed() < RELEASE_TIMEOUT {
        tokio::time::sleep(RELEASE_POLL).await;
    }
    Ok(())
}
