//! What can go wrong with a backup, and the exit status that it means.

use crate::client::ClientError;
use crate::exit;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("{} is damaged{} ({what}); use another backup", file.display(), at_byte(*offset))]
    Damaged {
        file: PathBuf,
        /// Where the first block begins that is not as it was written.
        offset: Option<u64>,
        what: String,
    },
    #[error("{0}")]
    Refused(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Raft(#[from] raft::Error),
    #[error(transparent)]
    Warehouse(#[from] flight::Error),
    /// Damage of a node's own data, which has another remedy.
    #[error("{} is damaged ({what}); rebuild the node from its peers: hearth serve --config FILE --rebuild", file.display())]
    Node { file: PathBuf, what: String },
}

impl BackupError {
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::Damaged { .. }
            | Self::Node { .. }
            | Self::Raft(raft::Error::Damaged { .. })
            | Self::Warehouse(flight::Error::Damaged { .. }) => exit::DAMAGED,
            Self::Refused(_)
            | Self::Io { .. }
            | Self::Raft(raft::Error::Refused(_) | raft::Error::Io { .. }) => exit::REFUSED,
            Self::Client(error) => error.exit_code(),
            Self::Unavailable(_) | Self::Raft(_) | Self::Warehouse(_) => exit::UNAVAILABLE,
        }
    }

    pub(crate) fn damaged(file: &Path, offset: impl Into<Option<u64>>, what: &str) -> Self {
        Self::Damaged { file: file.to_owned(), offset: offset.into(), what: what.to_owned() }
    }

    /// Damage in a file of a backup, found by raft: it is not the node that has to be rebuilt.
    pub(crate) fn of_backup(error: raft::Error) -> Self {
        match error {
            raft::Error::Damaged { file, offset, what } => Self::Damaged { file, offset, what },
            other => Self::Raft(other),
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn at_byte(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}
