//! Reads a log that nobody uses, every record against its checksum, and changes nothing.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use raft_log::{Dump, DumpApi as _, RaftLogAction, WALRecord};

use super::codec::LogTypes;
use super::damage::explain;
use crate::error::Error;

/// Entries of a log by index, as far as they were not purged, and how many bytes they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) records: u64,
    /// The last entry.
    pub(crate) last: Option<u64>,
}

/// Reads every chunk. A record that the end of the last chunk cuts off is not damage: it was never
/// acknowledged, and the next start removes it.
pub(crate) fn check(dir: &Path) -> Result<Extent, Error> {
    if !dir.is_dir() {
        return Ok(Extent::default());
    }
    let settings = Arc::new(raft_log::Config::new(dir.display()));
    let dump = Dump::<LogTypes>::new(settings).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock => {
            Error::Refused(format!("{} is in use; stop the node first", dir.display()))
        }
        _ => Error::io(format!("cannot open the log in {}", dir.display()), e),
    })?;
    let mut extent = Extent::default();
    let mut end = None;
    let mut torn = None;
    dump.write_with(|chunk, _, record| {
        if let Some(error) = torn.take() {
            // There is a chunk behind it, so it was not the end of the log.
            return Err(error);
        }
        let (segment, record) = match record {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                torn = Some(error);
                return Ok(());
            }
            record => record?,
        };
        let start = segment.offset;
        if end.is_some_and(|end| end != start) {
            let gap = format!("Gap between chunks: {} -> {chunk}", end.unwrap_or_default());
            return Err(std::io::Error::new(ErrorKind::InvalidData, gap));
        }
        end = Some(segment.offset + segment.size);
        extent.records += 1;
        match record {
            WALRecord::Action(RaftLogAction::Append(key, _)) => extent.last = Some(key.0.index),
            WALRecord::Action(RaftLogAction::TruncateAfter(key)) => {
                extent.last = key.map(|key| key.0.index);
            }
            _ => {}
        }
        Ok(())
    })
    .map_err(|e| explain(dir, e))?;
    Ok(extent)
}
