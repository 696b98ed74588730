//! One snapshot file: writing, verifying, reading.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::{BlockReader, BlockWriter, DIGEST_BYTES};
use super::walk::{Raw, Walk};
use crate::durable::Draft;
use crate::machine::Frozen;
use crate::types::{LogId, SnapshotMeta};

const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) meta: SnapshotMeta,
    /// Time of the last entry inside.
    pub(crate) time_us: i64,
    /// Every id that ever was in a membership.
    pub(crate) ids: BTreeSet<u64>,
}

/// Tells one snapshot file from all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) last_log_id: Option<LogId>,
    pub(crate) size: u64,
    pub(crate) digest: [u8; DIGEST_BYTES],
}

/// A whole snapshot on disk. The open file keeps the bytes readable after a newer snapshot has
/// taken its place.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    raw: Arc<Raw>,
    head: Arc<Head>,
}

/// Writes a frozen state into a draft, synced.
pub(crate) fn write(dir: &Path, head: &Head, frozen: Frozen) -> io::Result<Draft> {
    let head = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let draft = BufWriter::with_capacity(BUFFER_BYTES, Draft::create(dir)?);
    let mut body = BlockWriter::new(draft, &head)?;
    frozen(&mut body)?;
    let mut draft = body.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    draft.sync()?;
    Ok(draft)
}

impl SnapshotFile {
    /// Reads the whole file against its checksums.
    pub(crate) fn verify(path: &Path) -> io::Result<Self> {
        let raw = Raw::open(path)?;
        let mut walk = Walk::new();
        walk.advance(&raw)?;
        let head = walk.finish(&raw)?;
        Ok(Self::new(raw, head))
    }

    /// A file this process has just written or verified under another name.
    pub(crate) fn trust(path: &Path, head: Head) -> io::Result<Self> {
        Ok(Self::new(Raw::open(path)?, head))
    }

    pub(super) fn new(raw: Raw, head: Head) -> Self {
        Self { raw: Arc::new(raw), head: Arc::new(head) }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn path(&self) -> &Path {
        &self.raw.path
    }

    pub(crate) fn size(&self) -> u64 {
        self.raw.size
    }

    pub(crate) fn name(&self) -> io::Result<Name> {
        let mut digest = [0; DIGEST_BYTES];
        let end = self.raw.size.saturating_sub(DIGEST_BYTES as u64);
        if self.raw.read_at(&mut digest, end)? < DIGEST_BYTES {
            return Err(self.raw.damage(end, "it ends too early"));
        }
        Ok(Name { last_log_id: self.head.meta.last_log_id, size: self.raw.size, digest })
    }

    /// Fills as much of the buffer as the file has from `offset` on.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.raw.read_at(buffer, offset)
    }

    /// Hands the state inside to `restore`.
    pub(crate) fn unpack(
        &self,
        restore: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((head, _)) = self.raw.head()? else {
            return Err(self.raw.damage(0, "it ends too early"));
        };
        restore(&mut BlockReader::new(&self.raw, head.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::error::Error;

    const STATE_BYTES: usize = 5 << 20;

    /// Half of it noise, so that blocks differ in length; more than one block.
    fn state() -> Vec<u8> {
        let mut noise = 88_172_645_463_325_252_u64;
        let bytes = (0..STATE_BYTES).map(|at| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            if at % 4096 < 8 { noise as u8 } else { 7 }
        });
        bytes.collect()
    }

    fn snapshot(dir: &Path) -> PathBuf {
        let head = Head { time_us: 42, ..Head::default() };
        let state: Frozen = Box::new(|to| to.write_all(&state()));
        let path = dir.join("snapshot");
        write(dir, &head, state).unwrap().keep(&path).unwrap();
        path
    }

    fn refusal(path: &Path) -> u64 {
        let error = SnapshotFile::verify(path).unwrap_err();
        match Error::from_damage(error, "no damage") {
            Error::Damaged { file, offset, .. } => {
                assert_eq!(file, path);
                offset.unwrap()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_written_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = SnapshotFile::verify(&snapshot(dir.path())).unwrap();
        assert_eq!(file.head().time_us, 42);
        let mut found = Vec::new();
        file.unpack(|from| from.read_to_end(&mut found).map(drop)).unwrap();
        assert!(found == state());
    }

    #[test]
    fn every_flipped_byte_and_every_cut_names_the_file_and_the_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = snapshot(dir.path());
        let whole = std::fs::read(&path).unwrap();
        let mut starts = BTreeSet::new();
        // Every byte near an edge of a block, and some in between.
        let places = (0..whole.len()).filter(|at| at % 997 == 0 || *at < 64);
        let tail = whole.len() - 64..whole.len();
        for at in places.chain(tail) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let offset = refusal(&path);
            assert!(offset <= at as u64, "{offset} for byte {at}");
            starts.insert(offset);
            assert_eq!(starts.last(), Some(&offset), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(refusal(&path), offset, "a cut before byte {at}");
        }
        let parts = 1 + STATE_BYTES.div_ceil(1 << 20) + 2;
        assert_eq!(starts.len(), parts, "head, blocks, end and digest: {starts:?}");
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(refusal(&path), whole.len() as u64);
    }
}
