//! What the owner of the state has to provide.

use std::io::{Read, Result, Write};

use bytes::Bytes;

/// Where a command stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Log index of the entry.
    pub index: u64,
    /// Term in which the entry was written.
    pub term: u64,
    /// The leader's clock when it made the entry, in microseconds since 1970. Never smaller than
    /// in any entry before, across leaders, restarts and snapshots.
    pub time_us: i64,
}

/// Writes a frozen state; runs off the apply path.
pub type Frozen = Box<dyn FnOnce(&mut dyn Write) -> Result<()> + Send>;

/// A deterministic state. Calls of `apply`, `freeze` and `restore` never overlap, and never run on
/// a thread of the async runtime, so they may take their time.
pub trait StateMachine: Send + Sync + 'static {
    /// Applies every command of one log entry, in order, and returns one reply a command. The
    /// outcome may depend on the state, the position and the bytes, and on nothing else.
    fn apply(&self, at: Position, commands: &[Bytes]) -> Vec<Bytes>;

    /// Freezes the state as it is now.
    fn freeze(&self) -> Frozen;

    /// Replaces the whole state by a frozen one.
    fn restore(&self, at: Position, from: &mut dyn Read) -> Result<()>;

    /// No snapshot is declared beyond this index: entries after it may still be needed to fill
    /// stores that are derived from the log.
    fn durable_index(&self) -> u64 {
        u64::MAX
    }
}
