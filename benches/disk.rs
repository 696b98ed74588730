//! What the disk under the logs needs for one flush.

use crate::latency::Taken;
use std::fs::File;
use std::io::{Result, Write as _};
use std::path::Path;
use std::time::Instant;

const FLUSHES: usize = 500;
const BLOCK_BYTES: usize = 4_096;

/// Appends a block and waits until it is on the disk, again and again.
pub(crate) fn flushes(folder: &Path) -> Result<Taken> {
    let mut file = File::create(folder.join("flushes"))?;
    let block = [7; BLOCK_BYTES];
    let mut took = Vec::with_capacity(FLUSHES);
    let whole = Instant::now();
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    Ok(Taken::new(took, whole.elapsed()))
}
