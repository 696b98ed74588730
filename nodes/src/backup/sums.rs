//! Checksums of a file: of all of it, and of its blocks, so that damage has a place.

use sha2::{Digest as _, Sha256};
use std::io::Read;

pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// What a file has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    /// CRC-32 of each MiB.
    pub(super) blocks: Vec<u32>,
}

/// Counts and hashes what passes.
#[derive(Default)]
pub(super) struct Summing {
    bytes: u64,
    sha256: Sha256,
    crc: crc32fast::Hasher,
    in_block: usize,
    blocks: Vec<u32>,
}

impl Summing {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.in_block));
            self.crc.update(now);
            self.in_block += now.len();
            if self.in_block == BLOCK_BYTES {
                self.close_block();
            }
            bytes = rest;
        }
    }

    fn close_block(&mut self) {
        self.blocks.push(std::mem::take(&mut self.crc).finalize());
        self.in_block = 0;
    }

    pub(super) fn finish(mut self) -> Sums {
        if self.in_block > 0 {
            self.close_block();
        }
        Sums { bytes: self.bytes, sha256: self.sha256.finalize().into(), blocks: self.blocks }
    }
}

impl Sums {
    pub(super) fn of(mut from: impl Read) -> std::io::Result<Self> {
        let mut summing = Summing::default();
        let mut buffer = vec![0; BLOCK_BYTES];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(summing.finish()),
                read => summing.update(&buffer[..read]),
            }
        }
    }

    /// Where another file begins to differ, and how; nothing if it is the same.
    pub(super) fn difference(&self, found: &Self) -> Option<(u64, String)> {
        if self == found {
            return None;
        }
        let same = self.blocks.iter().zip(&found.blocks).take_while(|(a, b)| a == b).count();
        let block = (same * BLOCK_BYTES) as u64;
        if self.bytes == found.bytes {
            return Some((block, "it does not match its checksum".to_owned()));
        }
        let said = format!("it has {} bytes and had {}", found.bytes, self.bytes);
        Some((block.min(found.bytes), said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_a_place() {
        let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 17).map(|at| (at % 251) as u8).collect();
        let whole = Sums::of(&bytes[..]).unwrap();
        let mut summing = Summing::default();
        bytes.chunks(70_001).for_each(|chunk| summing.update(chunk));
        assert_eq!(summing.finish(), whole, "however it comes");
        assert_eq!((whole.bytes, whole.blocks.len()), (bytes.len() as u64, 4));
        for (at, block) in
            [(0, 0), (BLOCK_BYTES - 1, 0), (2 * BLOCK_BYTES, 2), (bytes.len() - 1, 3)]
        {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            let found = Sums::of(&flipped[..]).unwrap();
            let (offset, said) = whole.difference(&found).unwrap();
            assert_eq!(offset, block * BLOCK_BYTES as u64, "{said}");
        }
        let cut = Sums::of(&bytes[..BLOCK_BYTES + 5]).unwrap();
        let (offset, said) = whole.difference(&cut).unwrap();
        assert!(offset == BLOCK_BYTES as u64 && said.contains("bytes"), "{offset} {said}");
        assert_eq!(whole.difference(&whole.clone()), None);
    }
}
