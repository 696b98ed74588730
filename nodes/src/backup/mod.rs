//! Backups: a cluster's state at one log index, the files it names and the history up to there, in a
//! folder that is either whole or recognisably not; and a new cluster from one.
//!
//! ```text
//! backup.json          what the others are, with their checksums; written last
//! state                the state, as a snapshot holds it
//! files/<sha-256>      what the state names by content: model packages
//! history/<table>-00001.parquet   rows of the history tables, by the log index that wrote them
//! ```

mod draft;
mod error;
mod history;
mod manifest;
mod restore;
mod source;
mod sums;
mod take;
mod verify;

pub(crate) use error::BackupError;
pub(crate) use manifest::Manifest;
pub(crate) use restore::{refuse_unfinished, restore};
pub(crate) use source::{CHANNEL_PARTS, send};
pub(crate) use take::take;
pub(crate) use verify::{NodeReport, backup as verify_backup, node as verify_node};

use std::io::{IsTerminal as _, Write as _};

/// Says on a terminal how far a long work is; nothing in a pipe.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal() }
    }

    pub(crate) fn say(&self, what: &str) {
        if self.shown {
            eprint!("\r\x1b[K{what}");
            // A terminal that has gone away hears nothing anyway.
            drop(std::io::stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}
