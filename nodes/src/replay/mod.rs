//! Somebody else's sensor file, read as events by a mapping file.
//!
//! ```text
//! FILE or FILE.gz --lines--> row (cells or JSON) --mapping--> events, bad lines by number
//! ```
//! The format of a mapping file is `docs/replay-mapping.md`.

mod block;
mod builtin;
mod clock;
mod condition;
mod keys;
mod mapping;
mod place;
mod reader;
mod row;
mod topic;

pub(crate) use block::{content_id, minute};
pub use builtin::{BUILTIN, builtin};
pub use mapping::{Mapping, MappingError};
pub use reader::{LINE_BYTES_MAX, LineError, Reader};
pub(crate) use row::cells;

#[cfg(test)]
mod real_files;
