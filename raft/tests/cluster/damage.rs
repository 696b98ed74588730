//! Damaged files are found at start, and named.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft::{Config, Error};

use crate::nodes::{eventually, settings, start};

/// A node that has written a log, and a snapshot if wanted, and stopped.
async fn written(dir: &tempfile::TempDir, snapshot: bool) -> Config {
    let mut config = settings(dir, 1);
    config.keep_entries = 5;
    let node = start(config).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    for serial in 0..200 {
        let command = Bytes::from(format!("a/{serial:0100}"));
        node.raft.propose(command).await.unwrap();
    }
    if snapshot {
        node.raft.snapshot_now().await.unwrap();
        eventually("a snapshot", || node.raft.status().snapshot_index > 0).await;
    }
    node.raft.shutdown().await.unwrap();
    node.config
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x04;
    std::fs::write(path, bytes).unwrap();
}

/// The file and the byte that a start is refused for.
async fn refusal(config: &Config) -> (PathBuf, u64) {
    match start(config.clone()).await {
        Err(Error::Damaged { file, offset, what }) => {
            (file, offset.unwrap_or_else(|| panic!("no offset: {what}")))
        }
        Err(other) => panic!("expected damage, got: {other}"),
        Ok(_) => panic!("started from a damaged file"),
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = written(&dir, true).await;
    let path = files(&config.dir.join("snapshots"), "snapshot").pop().unwrap();
    let middle = std::fs::metadata(&path).unwrap().len() as usize / 2;
    flip(&path, middle);
    let (file, offset) = refusal(&config).await;
    assert_eq!(file, path);
    assert!(offset <= middle as u64, "{offset} for byte {middle}");
    flip(&path, middle);
    start(config).await.unwrap().raft.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_log_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = written(&dir, false).await;
    let chunks = files(&config.dir.join("log"), "wal");
    assert!(chunks.len() > 1, "more than one chunk");
    for path in [&chunks[0], chunks.last().unwrap()] {
        let size = std::fs::metadata(path).unwrap().len() as usize;
        for part in [3, 5, 7] {
            let at = size * part / 10;
            flip(path, at);
            let (file, offset) = refusal(&config).await;
            assert_eq!(&file, path, "byte {at} of {size}");
            // A record here has less than 200 bytes.
            assert!((at as u64 - 200..=at as u64).contains(&offset), "{offset} for byte {at}");
            flip(path, at);
        }
    }
    start(config).await.unwrap().raft.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_early_end_within_the_log_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = written(&dir, false).await;
    let path = files(&config.dir.join("log"), "wal").remove(0);
    let whole = std::fs::read(&path).unwrap();
    let cut = whole.len() - 20;
    std::fs::write(&path, &whole[..cut]).unwrap();
    let (file, offset) = refusal(&config).await;
    assert_eq!(file, path);
    assert!((cut as u64 - 200..=cut as u64).contains(&offset), "{offset} for a cut at {cut}");
}

#[tokio::test]
async fn a_torn_end_of_the_log_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let config = written(&dir, false).await;
    let last = files(&config.dir.join("log"), "wal").pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    // Half a record more, as after a power cut within a write.
    let torn = [&bytes[..], &bytes[bytes.len() - 40..bytes.len() - 20]].concat();
    std::fs::write(&last, torn).unwrap();
    match start(config.clone()).await {
        Ok(node) => {
            node.raft.linearize().await.unwrap();
            assert_eq!(node.machine.sum("a"), 200);
            node.raft.shutdown().await.unwrap();
        }
        // What follows may also look like damage; then it must be said, not guessed.
        Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
    }
}

#[tokio::test]
async fn a_folder_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = written(&dir, false).await;
    config.node_id = 2;
    assert!(matches!(start(config).await, Err(Error::Refused(_))));
}
