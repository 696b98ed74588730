//! Reads a backup, or the folder of a stopped node, against everything that is known of it.

use super::Progress;
use super::error::BackupError;
use super::manifest::{Manifest, STATE_FILE};
use crate::config::Config;
use crate::derived::warehouse_settings;
use crate::hex;
use crate::node::raft_config;
use crate::state::{Digest, State};
use flight::{WAREHOUSE_FILE, Warehouse};
use raft::StateFile;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::path::Path;

/// A backup that is whole.
pub(crate) struct Verified {
    pub(crate) manifest: Manifest,
    pub(crate) state: State,
    pub(crate) file: StateFile,
}

/// Every file against its checksums, and the state against what the cluster said of it.
pub(crate) fn backup(dir: &Path, progress: &Progress) -> Result<Verified, BackupError> {
    let manifest = Manifest::read(dir)?;
    let total = manifest.bytes().max(1);
    let mut read = 0;
    for file in &manifest.files {
        progress.say(&format!("reading {}: {} %", file.name, read * 100 / total));
        file.check(dir)?;
        read += file.bytes;
    }
    progress.say("reading the state");
    let path = dir.join(STATE_FILE);
    let file = StateFile::open(&path).map_err(BackupError::of_backup)?;
    let (state, digest) = parse(&file).map_err(BackupError::of_backup)?;
    let wrong = |what: &str| BackupError::damaged(&path, None, what);
    let at = file.position();
    if (state.applied, at.index, at.term) != (manifest.index, manifest.index, manifest.term) {
        return Err(wrong("it is the state of another entry than backup.json says"));
    }
    if hex::encode(&state.hash) != manifest.state_hash {
        return Err(wrong("its chain of entries is not what the cluster said"));
    }
    if hex::encode(&digest) != manifest.state_sha256 {
        return Err(wrong("its SHA-256 is not what the cluster said"));
    }
    for id in state.files() {
        let name = file_name(&id);
        let known = manifest.files.iter().find(|file| file.name == name);
        if known.is_none_or(|file| file.sha256 != hex::encode(&id)) {
            let what = "the state names it and it is not in the backup";
            return Err(BackupError::damaged(&dir.join(name), None, what));
        }
    }
    Ok(Verified { manifest, state, file })
}

/// Where a backup has a content-addressed file.
pub(super) fn file_name(id: &Digest) -> String {
    format!("files/{}", hex::encode(id))
}

/// The state in a file and the SHA-256 of its bytes.
fn parse(file: &StateFile) -> Result<(State, Digest), raft::Error> {
    file.read(|from| {
        let mut hashing = Hashing { from, hash: Sha256::new() };
        let state = State::from_reader(&mut hashing)?;
        Ok((state, hashing.hash.finalize().into()))
    })
}

struct Hashing<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// What a stopped node's folder holds.
#[derive(Debug)]
pub(crate) struct NodeReport {
    pub(crate) snapshot_index: u64,
    pub(crate) state_sha256: Option<Digest>,
    pub(crate) last_index: u64,
    pub(crate) log_records: u64,
    pub(crate) files: usize,
    /// Named by the snapshot and not here: the node fetches them from its peers.
    pub(crate) files_missing: usize,
    pub(crate) recorded_index: u64,
    pub(crate) rows: u64,
}

/// Log, snapshot, files and warehouse of a node that is not running. The warehouse is opened as a
/// start opens it; everything else is only read.
pub(crate) fn node(config: &Config, progress: &Progress) -> Result<NodeReport, BackupError> {
    let own = &config.node;
    super::refuse_unfinished(&own.dir).map_err(BackupError::Refused)?;
    progress.say("reading log, snapshots and files");
    let raft = raft_config(config, own.id);
    let found = raft::inspect(&raft)?;
    let (mut snapshot_index, mut state_sha256, mut files_missing) = (0, None, 0);
    if let Some(file) = &found.state {
        let damaged =
            |what: &str| BackupError::Node { file: file.path().to_owned(), what: what.to_owned() };
        let (state, digest) = parse(file).map_err(|error| damaged(&error.to_string()))?;
        if state.applied > file.position().index {
            return Err(damaged("its state is of a later entry than it says"));
        }
        snapshot_index = file.position().index;
        state_sha256 = Some(digest);
        files_missing = state.files().difference(&found.blobs).count();
    }
    progress.say("reading the warehouse");
    let path = own.dir.join(WAREHOUSE_FILE);
    let (mut recorded_index, mut rows) = (0, 0);
    if path.exists() {
        let warehouse = Warehouse::open_existing(&path, warehouse_settings(config))?;
        recorded_index = warehouse.recorded_index();
        let tables = warehouse
            .read_all()
            .map_err(|error| BackupError::Node { file: path.clone(), what: error.to_string() })?;
        rows = tables.iter().map(|(_, rows)| rows).sum();
    }
    if recorded_index < snapshot_index {
        let what =
            format!("it is recorded up to {recorded_index}, the log begins after {snapshot_index}");
        return Err(BackupError::Node { file: path, what });
    }
    Ok(NodeReport {
        snapshot_index,
        state_sha256,
        last_index: found.last.unwrap_or(snapshot_index).max(snapshot_index),
        log_records: found.records,
        files: found.blobs.len(),
        files_missing,
        recorded_index,
        rows,
    })
}
