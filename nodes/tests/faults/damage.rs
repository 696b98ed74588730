//! Damage to the files of a node that is down.

use crate::process::Process;
use crate::shim::Scope;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const REBUILD: &str = "--rebuild";
const REFUSES_WITHIN: Duration = Duration::from_secs(30);
/// Writes pile up behind a sync that hangs for so long before the power goes.
const PILE_UP: Duration = Duration::from_millis(300);

/// The files of the log, oldest first.
fn chunks(node: &Process) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(node.data().join("raft/log")).unwrap();
    let mut chunks: Vec<PathBuf> = dir
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    chunks.sort();
    chunks
}

/// Ends the node while its log has bytes that no sync has covered, and takes some of these away: what
/// was acknowledged had been synced.
pub(crate) async fn cut_power(node: &Process) {
    let control = node.control.as_ref().unwrap();
    control.hang(Scope::Log);
    tokio::time::sleep(PILE_UP).await;
    node.kill();
    let Some((inode, synced)) = control.synced() else { return };
    let newest = chunks(node).into_iter().next_back().unwrap();
    let file = OpenOptions::new().write(true).open(&newest).unwrap();
    let found = file.metadata().unwrap();
    if found.ino() != inode || found.len() <= synced {
        println!("    nothing was unsynced");
        return;
    }
    // In the middle of what was not synced: most often in the middle of a record.
    let kept = synced + (found.len() - synced) / 2;
    println!("    log cut at {kept}: {} bytes were there, {synced} of them synced", found.len());
    file.set_len(kept).unwrap();
}

/// True where a node whose files are damaged can be told to begin anew from its peers.
pub(crate) fn can_rebuild() -> bool {
    let help = Command::new(env!("CARGO_BIN_EXE_hearth")).args(["serve", "--help"]).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(REBUILD))
}

/// Flips one bit in the log of a node, sees that the node refuses to start with it, and lets it
/// rebuild itself; from then on it does so without being asked.
pub(crate) async fn rot(node: &Process, dice: &mut ChaCha8Rng) {
    node.kill();
    let chunk = chunks(node).into_iter().next_back().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&chunk).unwrap();
    // Well before the end: a damaged last record could pass for one that was never finished.
    let at = dice.random_range(0..file.metadata().unwrap().len() / 2);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << dice.random_range(0..8);
    file.write_all_at(&byte, at).unwrap();
    if !node.has_word(REBUILD) {
        let before = node.exits().len();
        node.start();
        let begun = Instant::now();
        while node.exits().len() == before && begun.elapsed() < REFUSES_WITHIN {
            tokio::time::sleep(PILE_UP).await;
        }
        node.kill();
        let refused = node.exits().get(before) == Some(&nodes::exit::DAMAGED);
        assert!(refused, "byte {at} of {} is wrong: {}", chunk.display(), node.last_words(3));
        node.add_word(REBUILD);
    }
    node.start();
}
