//! A snapshot that is on its way to this node. It stays when the way is cut, and the next transfer
//! of the same snapshot goes on from what is verified.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::file::{Name, SnapshotFile};
use super::format::DIGEST_BYTES;
use super::walk::{Raw, Walk};
use crate::blob::hex;
use crate::durable::{SYNC_EVERY_BYTES, sync_part};
use crate::types::LogId;

const ENDING: &str = "part";
/// Bytes of the digest in the name of a file.
const SHORT_DIGEST_BYTES: usize = 8;

#[derive(Debug)]
pub(crate) struct Partial {
    name: Name,
    raw: Raw,
    walk: Walk,
    unsynced_bytes: usize,
}

impl Partial {
    /// Takes up what is there of this snapshot, or begins it; what is there of others goes.
    pub(super) fn open(dir: &Path, name: Name) -> io::Result<Self> {
        let path = dir.join(file_name(&name));
        for other in list(dir)? {
            if other != path {
                fs::remove_file(other)?;
            }
        }
        let file =
            File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { name, raw: Raw { file, path, size }, walk: Walk::new(), unsynced_bytes: 0 })
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Verifies what has come, forgets what is damaged or cut off, and says where to go on.
    pub(crate) fn held(&mut self) -> io::Result<u64> {
        if let Err(error) = self.walk.advance(&self.raw) {
            if error.kind() != io::ErrorKind::InvalidData {
                return Err(error);
            }
            tracing::warn!(%error, "a snapshot came in damaged; this part is fetched again");
            if self.walk.verified() + DIGEST_BYTES as u64 >= self.name.size {
                // Every block fits its checksum and yet the whole is wrong.
                self.walk = Walk::new();
            }
        }
        let held = self.walk.verified().min(self.name.size);
        self.raw.file.set_len(held)?;
        self.raw.size = held;
        Ok(held)
    }

    /// Adds what comes next. Refuses more than the snapshot has.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.raw.size + bytes.len() as u64;
        if end > self.name.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a snapshot is longer than the {} bytes it said", self.name.size),
            ));
        }
        self.raw.file.write_all_at(bytes, self.raw.size)?;
        self.raw.size = end;
        self.unsynced_bytes += bytes.len();
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes = 0;
            sync_part(&self.raw.file)?;
        }
        Ok(())
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.raw.size
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.raw.size == self.name.size
    }

    /// The whole snapshot, verified and synced. The file goes again with the answer's guard,
    /// unless it was given another name.
    pub(crate) fn finish(mut self) -> io::Result<(SnapshotFile, Leftover)> {
        self.walk.advance(&self.raw)?;
        let head = self.walk.finish(&self.raw)?;
        self.raw.file.sync_all()?;
        let file = SnapshotFile::new(Raw::open(&self.raw.path)?, head);
        let leftover = Leftover(self.raw.path.clone());
        if file.name()? != self.name {
            return Err(self.raw.damage(0, "another snapshot than it was said to be"));
        }
        Ok((file, leftover))
    }
}

/// Removes a received file that was not taken over.
#[derive(Debug)]
pub(crate) struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // Usually it has another name by now.
        drop(fs::remove_file(&self.0));
    }
}

/// Removes all that is not newer than the current snapshot, and all but the newest.
pub(super) fn tidy(dir: &Path, current: Option<LogId>) -> io::Result<()> {
    let mut newest: Option<PathBuf> = None;
    for path in list(dir)? {
        let index = path.file_name().and_then(|name| index_of(name.to_str()?));
        let stale = current.is_some_and(|id| index.is_none_or(|index| index <= id.index));
        let gone = if stale { Some(path) } else { newest.replace(path) };
        if let Some(path) = gone {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Begins with the index, so names sort by it.
fn file_name(name: &Name) -> String {
    let index = name.last_log_id.map_or(0, |id| id.index);
    format!("{index:020}-{}.{ENDING}", hex(&name.digest[..SHORT_DIGEST_BYTES]))
}

fn index_of(file_name: &str) -> Option<u64> {
    file_name.split('-').next()?.parse().ok()
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    super::folder::list(dir, ENDING)
}

#[cfg(test)]
mod tests {
    use super::super::file::{Head, write};
    use super::*;

    /// A snapshot of three blocks that do not compress.
    fn snapshot(dir: &Path, seed: u64) -> SnapshotFile {
        let head = Head::default();
        let mut noise = seed;
        let state: Vec<u8> = (0..3 << 20)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .collect();
        let draft = write(dir, &head, Box::new(move |to| to.write_all(&state))).unwrap();
        let path = dir.join(format!("{seed}.snapshot"));
        draft.keep(&path).unwrap();
        SnapshotFile::verify(&path).unwrap()
    }

    fn bytes(file: &SnapshotFile) -> Vec<u8> {
        fs::read(file.path()).unwrap()
    }

    #[test]
    fn a_transfer_goes_on_from_the_last_whole_block_in_this_run_and_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let from = snapshot(dir.path(), 5);
        let whole = bytes(&from);
        let mut partial = Partial::open(dir.path(), from.name().unwrap()).unwrap();
        assert_eq!(partial.held().unwrap(), 0);
        partial.push(&whole[..2_500_000]).unwrap();
        let held = partial.held().unwrap();
        assert!((2 << 20..2_500_000).contains(&(held as usize)), "{held}");
        partial.push(&whole[held as usize..2_600_000]).unwrap();
        drop(partial);

        let mut partial = Partial::open(dir.path(), from.name().unwrap()).unwrap();
        assert_eq!(partial.held().unwrap(), held);
        partial.push(&whole[held as usize..]).unwrap();
        assert!(partial.is_complete());
        let (file, leftover) = partial.finish().unwrap();
        assert_eq!(bytes(&file), whole);
        let mut state = Vec::new();
        file.unpack(|from| from.read_to_end(&mut state).map(drop)).unwrap();
        assert_eq!(state.len(), 3 << 20);
        drop(leftover);
        assert!(list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_byte_that_arrives_wrong_costs_one_block() {
        let dir = tempfile::tempdir().unwrap();
        let from = snapshot(dir.path(), 5);
        let mut whole = bytes(&from);
        whole[2_000_000] ^= 1;
        let mut partial = Partial::open(dir.path(), from.name().unwrap()).unwrap();
        partial.push(&whole).unwrap();
        let held = partial.held().unwrap();
        assert!((1 << 20..2_000_000).contains(&(held as usize)), "{held}");
        whole[2_000_000] ^= 1;
        partial.push(&whole[held as usize..]).unwrap();
        partial.finish().unwrap();
    }

    #[test]
    fn another_snapshot_starts_anew_and_too_much_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (snapshot(dir.path(), 5), snapshot(dir.path(), 6));
        let mut partial = Partial::open(dir.path(), one.name().unwrap()).unwrap();
        partial.push(&bytes(&one)[..2_500_000]).unwrap();
        let mut partial = Partial::open(dir.path(), other.name().unwrap()).unwrap();
        assert_eq!(partial.held().unwrap(), 0);
        assert_eq!(list(dir.path()).unwrap().len(), 1);
        partial.push(&bytes(&other)).unwrap();
        assert_eq!(partial.push(b"x").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_stale_goes() {
        let dir = tempfile::tempdir().unwrap();
        let part = |index: u64| dir.path().join(format!("{index:020}-0011223344556677.{ENDING}"));
        for index in [3, 7, 9] {
            fs::write(part(index), b"x").unwrap();
        }
        fs::write(dir.path().join("noise.part"), b"x").unwrap();
        let id = |index| {
            use openraft::vote::RaftLeaderId as _;
            LogId::new(crate::types::LeaderId::new(1, 1), index)
        };
        tidy(dir.path(), Some(id(5))).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [part(9)]);
        tidy(dir.path(), Some(id(9))).unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
    }
}
