//! Snapshot files.
//!
//! `"HSNP"`, version u8, head length u32, CRC-32 u32 of all this and the head, head (postcard);
//! blocks, each of them length u32, CRC-32 u32 of the length and the bytes, bytes (zstd of up to
//! 1 MiB of state); an empty block; SHA-256 of everything before. Numbers are little endian. A file
//! is complete and synced before it gets its name.

mod file;
mod folder;
mod format;
mod partial;
mod state_file;
mod walk;

pub(crate) use file::{Head, Name, SnapshotFile, write};
pub(crate) use folder::Folder;
pub(crate) use folder::paths;
pub(crate) use partial::Partial;
pub use state_file::StateFile;
pub(crate) use state_file::origin;
