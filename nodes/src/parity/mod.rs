//! Online values against what DuckDB makes of the recorded events: copied from a node as of one log
//! index into a file of our own, recomputed there a part of the entities at a time, compared by bits.

mod compare;
mod copy;
mod part;

use compare::compare;
use copy::copy;
use flight::{Client, Error, Scratch};
use std::path::PathBuf;

pub(crate) use compare::Difference;
pub(crate) use part::Part;

/// What may be used.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// An empty folder.
    pub(crate) folder: PathBuf,
    pub(crate) memory_bytes: u64,
    pub(crate) threads: usize,
    /// Entities that are recomputed at once.
    pub(crate) entities: u64,
    /// Which entities are verified.
    pub(crate) part: Part,
}

/// What was compared, and where it differs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) log_index: u64,
    pub(crate) clock_us: i64,
    pub(crate) views: usize,
    /// Of all views together.
    pub(crate) entities: u64,
    pub(crate) values: u64,
    /// Values that say themselves that they are of fewer readings than there were; not compared.
    pub(crate) partial: u64,
    pub(crate) events: u64,
    pub(crate) registers: u64,
    pub(crate) differing: u64,
    pub(crate) first: Vec<Difference>,
}

/// Verifies one view of a node, or all of them where none is named.
pub(crate) async fn verify(
    client: &mut Client,
    view: &str,
    limits: &Limits,
) -> Result<Outcome, Error> {
    let scratch = Scratch::new(&limits.folder, limits.memory_bytes, limits.threads)?;
    let copied = copy(client, view, limits.part, &scratch).await?;
    // Nobody else is served by this process.
    tokio::task::block_in_place(|| compare(&scratch, &copied, limits))
}
