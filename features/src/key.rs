//! A key with its hash: what is looked for in several places is hashed once.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    bytes: &'a [u8],
    hash: u64,
}

impl<'a> Key<'a> {
    pub fn of(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let bytes = bytes.as_ref();
        Self { bytes, hash: hash_of(bytes) }
    }

    /// A key of which the hash is known.
    pub(crate) fn hashed(bytes: &'a [u8], hash: u64) -> Self {
        Self { bytes, hash }
    }

    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub fn hash(self) -> u64 {
        self.hash
    }
}

/// The same on every node and in every run: whatever is made of it may be compared.
pub fn hash_of(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}
