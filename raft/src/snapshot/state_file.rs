//! A state outside a group: the file of a snapshot, under any name, without a membership.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use openraft::vote::RaftLeaderId as _;

use super::file::{Head, SnapshotFile, write};
use crate::error::Error;
use crate::handle::Raft;
use crate::machine::{Frozen, Position};
use crate::types::{LeaderId, LogId, SnapshotMeta, StoredMembership};

/// Leads nowhere: entries that a group did not write itself are from this node.
const NOBODY: u64 = 0;

/// The place in the log of a group that begins with somebody else's state.
pub(crate) fn origin(at: Position) -> LogId {
    LogId::new(LeaderId::new(at.term, NOBODY), at.index)
}

/// A state in a file, every byte of which was read against its checksums.
#[derive(Debug)]
pub struct StateFile {
    file: SnapshotFile,
}

impl StateFile {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = SnapshotFile::verify(path)
            .map_err(|e| Error::from_damage(e, format!("cannot read {}", path.display())))?;
        Ok(Self { file })
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn position(&self) -> Position {
        let head = self.file.head();
        head.meta.last_log_id.map_or(Position::default(), |id| Position {
            index: id.index,
            term: id.leader_id.term,
            time_us: head.time_us,
        })
    }

    /// Every id that ever was in the membership of the group that the state comes from.
    pub fn ids(&self) -> &BTreeSet<u64> {
        &self.file.head().ids
    }

    /// Hands the state to a reader.
    pub fn read<T>(&self, with: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> Result<T, Error> {
        let mut outcome = None;
        let read = self.file.unpack(|from| {
            outcome = Some(with(from)?);
            Ok(())
        });
        match (read, outcome) {
            (Ok(()), Some(outcome)) => Ok(outcome),
            (Err(error), _) => {
                Err(Error::from_damage(error, format!("cannot read {}", self.path().display())))
            }
            (Ok(()), None) => Err(Error::damaged(self.path(), 0, "it ends too early")),
        }
    }
}

impl Raft {
    /// Writes a state of this group, frozen after the entry `at`, into a file of its own, durably.
    /// Blocks.
    pub fn save_state(&self, path: &Path, at: Position, frozen: Frozen) -> Result<(), Error> {
        let meta = SnapshotMeta {
            last_log_id: Some(origin(at)),
            last_membership: StoredMembership::default(),
        };
        let ids = self.parts.progress.ids.lock().clone();
        let head = Head { meta, time_us: at.time_us, ids };
        let dir = path.parent().unwrap_or(Path::new("."));
        write(dir, &head, frozen)
            .and_then(|draft| draft.keep(path))
            .map_err(|e| Error::io(format!("cannot write {}", path.display()), e))
    }
}
