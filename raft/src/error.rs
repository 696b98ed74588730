//! What can go wrong, and whether trying again helps.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no leader is known; wait for an election or check that most voters are up")]
    NoLeader,
    #[error("the deadline passed after {waited_ms} ms ({what}); the outcome is unknown, try again")]
    DeadlineExceeded { what: &'static str, waited_ms: u64 },
    #[error("too many commands are waiting (limit {limit}); slow down and try again")]
    Overloaded { limit: usize },
    #[error("the disk has {free_bytes} bytes left, {reserve_bytes} are kept in reserve; free some")]
    DiskFull { free_bytes: u64, reserve_bytes: u64 },
    #[error("{what} has {size} bytes, the limit is {limit}; split it")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    #[error(
        "{} is damaged{} ({what}); rebuild the node from its peers: \
         hearth serve --config FILE --rebuild",
        file.display(),
        at_byte(*offset)
    )]
    Damaged {
        file: PathBuf,
        /// Where the first record or block begins that cannot be trusted.
        offset: Option<u64>,
        what: String,
    },
    #[error("the consensus core has stopped ({0}); restart the process")]
    Fatal(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("a peer could not be reached: {0}")]
    Unreachable(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the node is shutting down")]
    Stopped,
}

impl Error {
    /// True if the same call may succeed later. A command may by then have been applied, so
    /// commands must be idempotent.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NoLeader
                | Self::DeadlineExceeded { .. }
                | Self::Overloaded { .. }
                | Self::Unreachable(_)
        )
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn damaged(
        file: &Path,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
    ) -> Self {
        Self::Damaged { file: file.to_owned(), offset: offset.into(), what: what.into() }
    }

    /// Takes damage out of an `io::Error` again, see `damage`.
    pub(crate) fn from_damage(error: std::io::Error, what: impl Into<String>) -> Self {
        match error.downcast::<Self>() {
            Ok(damaged) => damaged,
            Err(error) => Self::io(what, error),
        }
    }
}

fn at_byte(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

/// Damage found where only an `io::Error` may be returned.
pub(crate) fn damage(file: &Path, offset: u64, what: &str) -> std::io::Error {
    let damaged = Error::damaged(file, offset, what);
    std::io::Error::new(std::io::ErrorKind::InvalidData, damaged)
}
