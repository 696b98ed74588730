//! Reads the folder of a node that is not running against all of its checksums.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::blob::{BlobId, hex};
use crate::config::Config;
use crate::error::Error;
use crate::identity;
use crate::log;
use crate::snapshot::{StateFile, paths};

/// What a folder holds.
#[derive(Debug)]
pub struct Inspected {
    /// The newest snapshot.
    pub state: Option<StateFile>,
    /// Records of the log, votes and marks included.
    pub records: u64,
    /// The last entry of the log.
    pub last: Option<u64>,
    pub blobs: BTreeSet<BlobId>,
}

/// Reads everything and changes nothing. Blocks.
pub fn inspect(config: &Config) -> Result<Inspected, Error> {
    identity::check(config)?;
    let trouble = |dir: &Path| {
        let what = format!("cannot read {}", dir.display());
        move |e| Error::io(what, e)
    };
    let extent = log::check(&config.log_dir())?;
    let mut state = None;
    let folder = config.snapshot_dir();
    if folder.is_dir() {
        for path in paths(&folder).map_err(trouble(&folder))? {
            state = Some(StateFile::open(&path)?);
        }
    }
    let mut blobs = BTreeSet::new();
    let folder = config.blob_dir();
    if folder.is_dir() {
        for entry in std::fs::read_dir(&folder).map_err(trouble(&folder))? {
            let path = entry.map_err(trouble(&folder))?.path();
            // What is still on its way here has an ending.
            if path.extension().is_none() {
                blobs.insert(blob(&path)?);
            }
        }
    }
    Ok(Inspected { state, records: extent.records, last: extent.last, blobs })
}

fn blob(path: &Path) -> Result<BlobId, Error> {
    let mut hash = Sha256::new();
    std::fs::File::open(path)
        .and_then(|mut file| std::io::copy(&mut file, &mut hash))
        .map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
    let id: BlobId = hash.finalize().into();
    let name = hex(&id);
    if path.file_name().is_none_or(|found| found != name.as_str()) {
        return Err(Error::damaged(path, None, "its content does not match its name"));
    }
    Ok(id)
}
