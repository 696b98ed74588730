//! What the log's own errors mean: which chunk, at which byte.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

const ENDING: &str = "wal";

/// Damage is told apart from a disk that does not work.
pub(super) fn explain(dir: &Path, error: io::Error) -> Error {
    let what = error.to_string();
    let place = match error.kind() {
        io::ErrorKind::InvalidData => place_in(dir, &what),
        // Only the last chunk may end within a record; that is cut and no error.
        io::ErrorKind::UnexpectedEof if what.contains(CHUNK) => place_in(dir, &what),
        _ => return Error::io(format!("cannot open the log in {}", dir.display()), error),
    };
    match place {
        Some((file, offset)) => Error::damaged(&file, offset, what),
        None => Error::damaged(dir, None, what),
    }
}

const CHUNK: &str = "ChunkId(";

/// The errors of the log name a chunk as `ChunkId(<digits>)`, a record in it as `at offset
/// <number>`, and chunks that do not follow each other as `Gap between chunks: <digits>`, the end
/// of the one before the gap.
fn place_in(dir: &Path, text: &str) -> Option<(PathBuf, Option<u64>)> {
    if let Some(end) = number_after(text, "Gap between chunks: ") {
        let (start, file) = chunk_before(dir, end)?;
        return Some((file, Some(end - start)));
    }
    let (_, rest) = text.split_once(CHUNK)?;
    let (digits, _) = rest.split_once(')')?;
    Some((dir.join(format!("r-{digits}.{ENDING}")), number_after(text, "at offset ")))
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '_')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// The chunk that ends at a position of the log: the last one that begins before it.
fn chunk_before(dir: &Path, end: u64) -> Option<(u64, PathBuf)> {
    let mut chunks = Vec::new();
    for entry in std::fs::read_dir(dir).ok()? {
        let path = entry.ok()?.path();
        if path.extension().is_some_and(|e| e == ENDING)
            && let Some(start) =
                path.file_name().and_then(|name| number_after(name.to_str()?, "r-"))
            && start < end
        {
            chunks.push((start, path));
        }
    }
    chunks.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_names_the_chunk_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let chunk = |start| dir.path().join(format!("r-00_000_000_000_000_000_{start}.wal"));
        for start in ["000", "400", "900"] {
            std::fs::write(chunk(start), b"").unwrap();
        }
        let text = "Gap between chunks: 00_000_000_000_000_000_700 -> 00_000_000_000_000_000_900";
        let error = explain(dir.path(), io::Error::new(io::ErrorKind::InvalidData, text));
        let Error::Damaged { file, offset, .. } = error else { panic!("{error}") };
        assert_eq!((file, offset), (chunk("400"), Some(300)));
    }
}
