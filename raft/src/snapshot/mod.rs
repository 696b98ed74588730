//! Snapshot files.
//!
//! `"HSNP"`, version u8, head length u32 little endian, head (postcard), body (zstd), SHA-256 of
//! everything before. A file is complete and synced before it gets its name.

mod file;
mod folder;

pub(crate) use file::{Head, SnapshotFile, write};
pub(crate) use folder::Folder;
