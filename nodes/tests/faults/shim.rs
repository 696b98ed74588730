//! The shim between a node and its disk and clock, and the control file that steers it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk_shim.c");
/// Number of words in the control file, as in the shim.
const WORDS: u64 = 10;

/// What a fault of the disk hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything = 0,
    /// Everything below `raft/`.
    Log = 1,
    /// The warehouse and the rest.
    Others = 2,
}

/// Words of the control file; the order is the shim's.
#[derive(Clone, Copy, Debug)]
enum Word {
    Hang = 0,
    FailSyncs = 1,
    Full = 2,
    ClockUs = 3,
    Scope = 4,
    Hung = 5,
    Failed = 6,
    Refused = 7,
    SyncedFile = 8,
    Synced = 9,
}

/// Compiles the shim; none where there is no C compiler or no LD_PRELOAD.
pub(crate) fn compile(into: &Path) -> Option<PathBuf> {
    let library = into.join("disk_shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
    let output = compiler.arg(&library).arg(SOURCE).arg("-ldl").output().ok()?;
    if !output.status.success() {
        println!("the shim does not compile: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(library)
}

/// The control file of one node.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    file: File,
}

impl Control {
    pub(crate) fn create(path: PathBuf) -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(WORDS * 8).unwrap();
        Self { path, file }
    }

    fn set(&self, word: Word, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
    }

    fn get(&self, word: Word) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word as u64 * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Every sync from now on hangs until [`Self::heal`].
    pub(crate) fn hang(&self, scope: Scope) {
        self.set(Word::Scope, scope as i64);
        self.set(Word::Hang, 1);
    }

    /// The next sync fails with EIO.
    pub(crate) fn fail_one_sync(&self, scope: Scope) {
        self.set(Word::Scope, scope as i64);
        self.set(Word::FailSyncs, 1);
    }

    /// Every write is refused with ENOSPC until [`Self::heal`].
    pub(crate) fn fill(&self, scope: Scope) {
        self.set(Word::Scope, scope as i64);
        self.set(Word::Full, 1);
    }

    pub(crate) fn shift_clock(&self, us: i64) {
        self.set(Word::ClockUs, us);
    }

    pub(crate) fn heal(&self) {
        for word in [Word::Hang, Word::FailSyncs, Word::Full, Word::ClockUs] {
            self.set(word, 0);
        }
    }

    /// Syncs hung, syncs failed and writes refused, ever.
    pub(crate) fn hits(&self) -> i64 {
        [Word::Hung, Word::Failed, Word::Refused].map(|word| self.get(word)).iter().sum()
    }

    /// Inode and length of the log's file as its last sync found it.
    pub(crate) fn synced(&self) -> Option<(u64, u64)> {
        let inode = self.get(Word::SyncedFile) as u64;
        (inode > 0).then(|| (inode, self.get(Word::Synced) as u64))
    }
}
