//! The folder with the one current snapshot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{Head, Name, SnapshotFile};
use super::partial::{self, Partial};
use crate::durable::{Draft, prepare_folder, sync_folder_of};
use crate::error::Error;
use crate::types::SnapshotMeta;

const ENDING: &str = "snapshot";

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Opens the folder and verifies the current snapshot, if there is one.
    pub(crate) fn open(dir: PathBuf) -> Result<(Self, Option<SnapshotFile>), Error> {
        let broken = |e| Error::io(format!("cannot read the snapshots in {}", dir.display()), e);
        prepare_folder(&dir).map_err(broken)?;
        let newest = list(&dir, ENDING).map_err(broken)?.pop();
        let current = match newest {
            None => None,
            Some(path) => Some(SnapshotFile::verify(&path).map_err(|e| {
                Error::from_damage(e, format!("cannot read the snapshot {}", path.display()))
            })?),
        };
        let covered = current.as_ref().and_then(|file| file.head().meta.last_log_id);
        partial::tidy(&dir, covered).map_err(broken)?;
        Ok((Self { dir }, current))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Names a finished draft after what it holds.
    pub(crate) fn keep(&self, draft: Draft, head: Head) -> io::Result<SnapshotFile> {
        let path = self.place(&head.meta);
        draft.keep(&path)?;
        SnapshotFile::trust(&path, head)
    }

    /// Takes over a file that was received under a temporary name.
    pub(crate) fn adopt(&self, file: &SnapshotFile) -> io::Result<SnapshotFile> {
        let path = self.place(&file.head().meta);
        if file.path() == path {
            return Ok(file.clone());
        }
        fs::rename(file.path(), &path)?;
        sync_folder_of(&path)?;
        SnapshotFile::trust(&path, file.head().clone())
    }

    /// Removes all snapshots but this one, and older ones that are on their way here.
    pub(crate) fn retain(&self, current: &SnapshotFile) -> io::Result<()> {
        for path in list(&self.dir, ENDING)? {
            if path != current.path() {
                fs::remove_file(path)?;
            }
        }
        partial::tidy(&self.dir, current.head().meta.last_log_id)
    }

    /// A snapshot that comes in; goes on with what came earlier.
    pub(crate) fn receive(&self, name: Name) -> io::Result<Partial> {
        Partial::open(&self.dir, name)
    }

    /// Names sort by index, then by term.
    fn place(&self, meta: &SnapshotMeta) -> PathBuf {
        let (index, term, node) = meta
            .last_log_id
            .map_or((0, 0, 0), |id| (id.index, id.leader_id.term, id.leader_id.node_id));
        self.dir.join(format!("{index:020}-{term:020}-{node:020}.{ENDING}"))
    }
}

/// The snapshots in a folder, the newest last.
pub(crate) fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    list(dir, ENDING)
}

/// The files with an ending, sorted by name.
pub(super) fn list(dir: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == ending) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
