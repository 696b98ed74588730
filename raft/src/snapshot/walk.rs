//! The parts of a snapshot file, one after the other, each against its checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file::Head;
use super::format::{
    BLOCK_HEAD_BYTES, BLOCK_MAX_BYTES, DIGEST_BYTES, HEAD_MAX_BYTES, MAGIC, PREFIX_BYTES, VERSION,
    checksum, number,
};
use crate::error::damage;

/// A file that is read by position. It may still grow.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

impl Raw {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, path: path.to_owned(), size })
    }

    /// Fills as much of the buffer as the file has from `offset` on.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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

    /// Exactly so many bytes, or none if the file ends before.
    fn bytes(&self, offset: u64, count: usize) -> io::Result<Option<Vec<u8>>> {
        if offset + count as u64 > self.size {
            return Ok(None);
        }
        let mut bytes = vec![0; count];
        let read = self.read_at(&mut bytes, offset)?;
        Ok((read == count).then_some(bytes))
    }

    pub(super) fn damage(&self, offset: u64, what: &str) -> io::Error {
        damage(&self.path, offset, what)
    }

    /// The head and where the blocks begin; nothing if the file ends within it.
    pub(super) fn head(&self) -> io::Result<Option<(Vec<u8>, Head)>> {
        let Some(prefix) = self.bytes(0, PREFIX_BYTES)? else {
            return Ok(None);
        };
        if &prefix[..4] != MAGIC {
            return Err(self.damage(0, "not a snapshot"));
        }
        if prefix[4] != VERSION {
            let what = "written in a version that this program does not read";
            return Err(self.damage(0, what));
        }
        let length = number(&prefix[5..9]) as usize;
        if length > HEAD_MAX_BYTES {
            return Err(self.damage(0, "its head is too long"));
        }
        let Some(bytes) = self.bytes(0, PREFIX_BYTES + length)? else {
            return Ok(None);
        };
        let head = &bytes[PREFIX_BYTES..];
        if checksum(&[&prefix[..9], head]) != number(&prefix[9..]) {
            return Err(self.damage(0, "its head does not match its checksum"));
        }
        let head =
            postcard::from_bytes(head).map_err(|_| self.damage(0, "its head cannot be read"))?;
        Ok(Some((bytes, head)))
    }

    /// The block at an offset, its own head included; nothing if the file ends within it. The last
    /// one is empty.
    pub(super) fn block(&self, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(head) = self.bytes(offset, BLOCK_HEAD_BYTES)? else {
            return Ok(None);
        };
        let length = number(&head[..4]) as usize;
        if length > BLOCK_MAX_BYTES {
            return Err(self.damage(offset, "a block is longer than any can be"));
        }
        let Some(block) = self.bytes(offset, BLOCK_HEAD_BYTES + length)? else {
            return Ok(None);
        };
        if checksum(&[&block[..4], &block[BLOCK_HEAD_BYTES..]]) != number(&block[4..8]) {
            return Err(self.damage(offset, "a block does not match its checksum"));
        }
        Ok(Some(block))
    }
}

/// How far a file has been verified. Goes on where it stopped when the file has grown.
#[derive(Debug)]
pub(super) struct Walk {
    at: u64,
    hash: Sha256,
    head: Option<Head>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    Block,
    Digest,
    Nothing,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self { at: 0, hash: Sha256::new(), head: None, next: Next::Head }
    }

    /// Everything before is verified, and ends with a whole part.
    pub(super) fn verified(&self) -> u64 {
        self.at
    }

    /// Verifies as much as is there.
    pub(super) fn advance(&mut self, raw: &Raw) -> io::Result<()> {
        while self.step(raw)? {}
        Ok(())
    }

    /// The head of a file that is verified to its very end.
    pub(super) fn finish(self, raw: &Raw) -> io::Result<Head> {
        match self.head {
            Some(head) if self.next == Next::Nothing && self.at == raw.size => Ok(head),
            _ if self.next == Next::Nothing => {
                Err(raw.damage(self.at, "there are bytes after its end"))
            }
            _ => Err(raw.damage(self.at, "it ends too early")),
        }
    }

    /// One part; false if the file ends before it does.
    fn step(&mut self, raw: &Raw) -> io::Result<bool> {
        let part = match self.next {
            Next::Head => raw.head()?.map(|(bytes, head)| {
                self.head = Some(head);
                self.next = Next::Block;
                bytes
            }),
            Next::Block => raw.block(self.at)?.inspect(|block| {
                if block.len() == BLOCK_HEAD_BYTES {
                    self.next = Next::Digest;
                }
            }),
            Next::Digest => {
                let digest = raw.bytes(self.at, DIGEST_BYTES)?;
                if let Some(digest) = &digest {
                    if self.hash.clone().finalize().as_slice() != digest {
                        return Err(raw.damage(self.at, "its content does not match its digest"));
                    }
                    self.next = Next::Nothing;
                }
                digest
            }
            Next::Nothing => None,
        };
        let Some(part) = part else {
            return Ok(false);
        };
        self.hash.update(&part);
        self.at += part.len() as u64;
        Ok(true)
    }
}
