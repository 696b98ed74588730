//! Files that are either wholly there, on disk, or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ending of a file that is still being written; removed at start.
const UNFINISHED: &str = "tmp";
/// A large file goes to the disk in parts of this size while it is written, so that the log's own
/// fsync never waits behind all of it.
pub(crate) const SYNC_EVERY_BYTES: usize = 2 << 20;
/// The longest rest after such a part.
const REST_MAX: Duration = Duration::from_millis(100);

/// A file under a temporary name, until it is kept.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    path: PathBuf,
    unsynced_bytes: usize,
    kept: bool,
}

impl Draft {
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("{}-{}.{UNFINISHED}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(name);
        let file = File::options().create_new(true).read(true).write(true).open(&path)?;
        Ok(Self { file, path, unsynced_bytes: 0, kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the content; the name stays temporary.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        sync_all(&self.file)
    }

    /// Gives the synced file its name, and makes the name durable.
    pub(crate) fn keep(mut self, path: &Path) -> io::Result<()> {
        self.sync()?;
        fs::rename(&self.path, path)?;
        self.kept = true;
        sync_folder_of(path)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes = 0;
            sync_part(&self.file)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // The next start removes what cannot be removed now.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// A simulated crash ends no process, so what is written stays written.
fn sync_all(file: &File) -> io::Result<()> {
    if cfg!(feature = "sim") { Ok(()) } else { file.sync_all() }
}

/// Syncs a part of a large file, and leaves the disk to others for as long as that took.
pub(crate) fn sync_part(file: &File) -> io::Result<()> {
    if cfg!(feature = "sim") {
        return Ok(());
    }
    let begun = Instant::now();
    file.sync_data()?;
    std::thread::sleep(begun.elapsed().min(REST_MAX));
    Ok(())
}

pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => sync_all(&File::open(dir)?),
        None => Ok(()),
    }
}

/// Creates a folder and removes what an earlier run left unfinished in it.
pub(crate) fn prepare_folder(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_leaves_nothing_unless_kept() {
        let dir = tempfile::tempdir().unwrap();
        drop(Draft::create(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let mut draft = Draft::create(dir.path()).unwrap();
        draft.write_all(b"x").unwrap();
        let kept = dir.path().join("kept");
        draft.keep(&kept).unwrap();
        assert_eq!(fs::read(kept).unwrap(), b"x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_start_removes_unfinished_files_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1-1.tmp"), b"x").unwrap();
        fs::write(dir.path().join("data"), b"x").unwrap();
        prepare_folder(dir.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["data"]);
    }
}
