//! How a snapshot file is laid out, see the head of this module's folder.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::walk::Raw;

pub(super) const MAGIC: &[u8; 4] = b"HSNP";
/// Version 1 had no checksums of blocks; no released program has written it.
pub(super) const VERSION: u8 = 2;
/// Magic, version, length of the head, checksum of these and the head.
pub(super) const PREFIX_BYTES: usize = 4 + 1 + 4 + 4;
/// Length, checksum of the length and the bytes.
pub(super) const BLOCK_HEAD_BYTES: usize = 4 + 4;
/// State in one block, before it is compressed.
const BLOCK_BYTES: usize = 1 << 20;
/// A block that cannot be compressed grows a little.
pub(super) const BLOCK_MAX_BYTES: usize = BLOCK_BYTES + (BLOCK_BYTES >> 6);
/// Membership with all its addresses, and ids; far above any real one.
pub(super) const HEAD_MAX_BYTES: usize = 4 << 20;
pub(super) const DIGEST_BYTES: usize = 32;
/// Fast, and about 3:1 on the kind of state we keep.
const ZSTD_LEVEL: i32 = 1;

pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

/// The first four bytes as a number.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Compresses what is written into blocks.
pub(super) struct BlockWriter<W> {
    to: W,
    hash: Sha256,
    block: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl<W: Write> BlockWriter<W> {
    /// Writes the head first.
    pub(super) fn new(to: W, head: &[u8]) -> io::Result<Self> {
        let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        let mut writer =
            Self { to, hash: Sha256::new(), block: Vec::with_capacity(BLOCK_BYTES), zstd };
        let mut prefix = MAGIC.to_vec();
        prefix.push(VERSION);
        prefix.extend((head.len() as u32).to_le_bytes());
        let crc = checksum(&[&prefix, head]);
        writer.put(&prefix)?;
        writer.put(&crc.to_le_bytes())?;
        writer.put(head)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }

    fn put_block(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = (bytes.len() as u32).to_le_bytes();
        let crc = checksum(&[&length, bytes]);
        self.put(&length)?;
        self.put(&crc.to_le_bytes())?;
        self.put(bytes)
    }

    fn close_block(&mut self) -> io::Result<()> {
        let compressed = self.zstd.compress(&self.block)?;
        self.block.clear();
        self.put_block(&compressed)
    }

    /// Writes the end and the digest.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.put_block(&[])?;
        let digest = self.hash.finalize();
        self.to.write_all(&digest)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.close_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was written into the blocks that begin at an offset.
pub(super) struct BlockReader<'a> {
    raw: &'a Raw,
    offset: u64,
    block: Vec<u8>,
    taken: usize,
    over: bool,
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(raw: &'a Raw, offset: u64) -> Self {
        Self { raw, offset, block: Vec::new(), taken: 0, over: false }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let Some(block) = self.raw.block(self.offset)? else {
            return Err(self.raw.damage(self.offset, "it ends too early"));
        };
        let bytes = &block[BLOCK_HEAD_BYTES..];
        self.over = bytes.is_empty();
        self.taken = 0;
        self.block = if self.over {
            Vec::new()
        } else {
            zstd::bulk::decompress(bytes, BLOCK_BYTES)
                .map_err(|_| self.raw.damage(self.offset, "a block cannot be decompressed"))?
        };
        self.offset += block.len() as u64;
        Ok(())
    }
}

impl Read for BlockReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && !self.over {
            self.next_block()?;
        }
        let count = buffer.len().min(self.block.len() - self.taken);
        buffer[..count].copy_from_slice(&self.block[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
