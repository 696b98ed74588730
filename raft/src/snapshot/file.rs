//! One snapshot file: writing, verifying, reading.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable::Draft;
use crate::error::damage;
use crate::machine::Frozen;
use crate::types::SnapshotMeta;

const MAGIC: &[u8; 4] = b"HSNP";
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 9;
const DIGEST_BYTES: u64 = 32;
/// Membership with all its addresses; far above any real one.
const HEAD_MAX_BYTES: usize = 4 << 20;
/// Fast, and about 3:1 on the kind of state we keep.
const ZSTD_LEVEL: i32 = 1;
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) meta: SnapshotMeta,
    /// Time of the last entry inside.
    pub(crate) time_us: i64,
}

/// A whole snapshot on disk. The open file keeps the bytes readable after a newer snapshot has
/// taken its place.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    raw: Arc<Raw>,
    head: Arc<Head>,
}

#[derive(Debug)]
struct Raw {
    file: File,
    path: PathBuf,
    size: u64,
}

/// Writes a frozen state into a draft, synced.
pub(crate) fn write(dir: &Path, head: &Head, frozen: Frozen) -> io::Result<Draft> {
    let head = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let mut out = Hashing {
        inner: BufWriter::with_capacity(BUFFER_BYTES, Draft::create(dir)?),
        hash: Sha256::new(),
    };
    out.write_all(MAGIC)?;
    out.write_all(&[VERSION])?;
    out.write_all(&(head.len() as u32).to_le_bytes())?;
    out.write_all(&head)?;
    let mut body = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    frozen(&mut body)?;
    let out = body.finish()?;
    let digest = out.hash.finalize();
    let mut inner = out.inner;
    inner.write_all(&digest)?;
    let mut draft = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    draft.sync()?;
    Ok(draft)
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SnapshotFile {
    /// Reads the whole file against its checksum.
    pub(crate) fn verify(path: &Path) -> io::Result<Self> {
        let raw = Raw::open(path)?;
        let head = raw.verify()?;
        Ok(Self { raw: Arc::new(raw), head: Arc::new(head) })
    }

    /// A file this process has just written or verified under another name.
    pub(crate) fn trust(path: &Path, head: Head) -> io::Result<Self> {
        Ok(Self { raw: Arc::new(Raw::open(path)?), head: Arc::new(head) })
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

    /// Fills as much of the buffer as the file has from `offset` on.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.raw.read_at(buffer, offset)
    }

    /// Hands the state inside to `restore`.
    pub(crate) fn unpack(
        &self,
        restore: impl FnOnce(&mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let (_, start) = self.raw.head()?;
        let body = self.raw.section(start, self.raw.size - DIGEST_BYTES);
        let mut body = zstd::Decoder::new(BufReader::with_capacity(BUFFER_BYTES, body))?;
        restore(&mut body)
    }
}

impl Raw {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// Fills as much of the buffer as the file has from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    fn section(&self, from: u64, to: u64) -> Section<'_> {
        Section { of: self, from, to }
    }

    fn verify(&self) -> io::Result<Head> {
        let Some(end) = self.size.checked_sub(DIGEST_BYTES) else {
            return Err(damage(&self.path, "shorter than its checksum"));
        };
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut content = self.section(0, end);
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let mut digest = [0; DIGEST_BYTES as usize];
        self.section(end, self.size).read_exact(&mut digest)?;
        if hash.finalize().as_slice() != digest {
            return Err(damage(&self.path, "its content does not match its checksum"));
        }
        self.head().map(|(head, _)| head)
    }

    /// The head and where the body begins. Only to be trusted after `verify`.
    fn head(&self) -> io::Result<(Head, u64)> {
        let mut content = self.section(0, self.size);
        let mut prefix = [0; PREFIX_BYTES];
        content.read_exact(&mut prefix)?;
        if &prefix[..4] != MAGIC {
            return Err(damage(&self.path, "not a snapshot"));
        }
        if prefix[4] != VERSION {
            return Err(damage(
                &self.path,
                "written by a version this program does not know; update it",
            ));
        }
        let mut length = [0; 4];
        length.copy_from_slice(&prefix[5..]);
        let length = u32::from_le_bytes(length) as usize;
        if length > HEAD_MAX_BYTES {
            return Err(damage(&self.path, "its head is too long"));
        }
        let mut head = vec![0; length];
        content.read_exact(&mut head)?;
        let head = postcard::from_bytes(&head)
            .map_err(|_| damage(&self.path, "its head cannot be read"))?;
        Ok((head, (PREFIX_BYTES + length) as u64))
    }
}

struct Section<'a> {
    of: &'a Raw,
    from: u64,
    to: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.to.saturating_sub(self.from);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.of.read_at(&mut buffer[..want], self.from)?;
        self.from += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(dir: &Path) -> PathBuf {
        let head = Head { meta: SnapshotMeta::default(), time_us: 42 };
        let state: Frozen = Box::new(|to| to.write_all(&vec![7; 100_000]));
        let path = dir.join("snapshot");
        write(dir, &head, state).unwrap().keep(&path).unwrap();
        path
    }

    #[test]
    fn what_is_written_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = SnapshotFile::verify(&snapshot(dir.path())).unwrap();
        assert_eq!(file.head().time_us, 42);
        let mut state = Vec::new();
        file.unpack(|from| from.read_to_end(&mut state).map(drop)).unwrap();
        assert_eq!(state, vec![7; 100_000]);
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = snapshot(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let error = SnapshotFile::verify(&path).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(SnapshotFile::verify(&path).is_err());
        }
    }
}
