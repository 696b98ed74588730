//! A folder under a temporary name until it is whole.

use super::error::BackupError;
use super::manifest::{FileEntry, MANIFEST_FILE, STATE_FILE};
use super::sums::{Summing, Sums};
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Behind the name of a backup that is still being written.
pub(super) const UNFINISHED: &str = ".unfinished";

#[derive(Debug)]
pub(super) struct Draft {
    dir: PathBuf,
    out: PathBuf,
    /// Held while somebody writes; a process that dies lets go of it.
    _lock: File,
    kept: bool,
}

impl Draft {
    /// Refuses a name that is taken. What a process that died has left is removed.
    pub(super) fn begin(out: &Path) -> Result<Self, BackupError> {
        match out.read_dir().map(|mut entries| entries.next().is_some()) {
            Ok(false) => {}
            Ok(true) => {
                let said = format!("{} is there already; give another --out", out.display());
                return Err(BackupError::Refused(said));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(BackupError::Io { path: out.to_owned(), source }),
        }
        let Some(name) = out.file_name() else {
            let said = format!("{} is no name for a folder", out.display());
            return Err(BackupError::Refused(said));
        };
        let mut name = OsString::from(name);
        name.push(UNFINISHED);
        let dir = out.with_file_name(name);
        std::fs::create_dir_all(&dir).map_err(BackupError::io(&dir))?;
        let lock = lock(&dir)?;
        let draft = Self { dir, out: out.to_owned(), _lock: lock, kept: false };
        draft.empty().map_err(BackupError::io(&draft.dir))?;
        for folder in ["files", "history"] {
            let folder = draft.dir.join(folder);
            std::fs::create_dir(&folder).map_err(BackupError::io(&folder))?;
        }
        Ok(draft)
    }

    fn empty(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path)?;
            } else {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Forgets the state and the files, which another node is asked for.
    pub(super) fn clear_files(&self) -> Result<(), BackupError> {
        let folder = self.dir.join("files");
        let clear = || {
            std::fs::remove_dir_all(&folder)?;
            std::fs::create_dir(&folder)?;
            match std::fs::remove_file(self.dir.join(STATE_FILE)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        clear().map_err(BackupError::io(&self.dir))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn create(&self, name: String) -> Result<DraftFile, BackupError> {
        let path = self.dir.join(&name);
        let file = File::create_new(&path).map_err(BackupError::io(&path))?;
        Ok(DraftFile { name, path, file, summing: Summing::default() })
    }

    /// Takes in a file that somebody else has written below this folder.
    pub(super) fn adopt(&self, name: String) -> Result<FileEntry, BackupError> {
        let path = self.dir.join(&name);
        let sums = File::open(&path).and_then(|file| {
            file.sync_all()?;
            Sums::of(file)
        });
        Ok(FileEntry::new(name, sums.map_err(BackupError::io(&path))?))
    }

    /// Writes the manifest, makes everything durable and gives the folder its name.
    pub(super) fn keep(mut self, manifest: &str) -> Result<(), BackupError> {
        let mut file = self.create(MANIFEST_FILE.to_owned())?;
        file.write(manifest.as_bytes())?;
        file.finish()?;
        let folder = self.out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let named = || {
            for within in ["files", "history", ""] {
                File::open(self.dir.join(within))?.sync_all()?;
            }
            std::fs::rename(&self.dir, &self.out)?;
            File::open(folder)?.sync_all()
        };
        named().map_err(BackupError::io(&self.out))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // The next one who takes this name removes what cannot be removed now.
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

/// Keeps others away from a file or folder, as long as the answer lives.
pub(super) fn lock(path: &Path) -> Result<File, BackupError> {
    let file = File::open(path).map_err(BackupError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Refused(format!(
            "{} is being written by another process",
            path.display()
        ))),
        Err(TryLockError::Error(source)) => Err(BackupError::Io { path: path.to_owned(), source }),
    }
}

/// One file of a draft.
pub(super) struct DraftFile {
    name: String,
    path: PathBuf,
    file: File,
    summing: Summing,
}

impl DraftFile {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.summing.update(bytes);
        self.file.write_all(bytes).map_err(BackupError::io(&self.path))
    }

    /// What the file holds, once it is on the disk.
    pub(super) fn finish(self) -> Result<FileEntry, BackupError> {
        self.file.sync_all().map_err(BackupError::io(&self.path))?;
        Ok(FileEntry::new(self.name, self.summing.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_either_whole_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("b");
        let draft = Draft::begin(&out).unwrap();
        let second = Draft::begin(&out).unwrap_err();
        assert!(second.to_string().contains("another process"), "{second}");
        let mut file = draft.create("state".to_owned()).unwrap();
        file.write(b"x").unwrap();
        assert_eq!(file.finish().unwrap().bytes, 1);
        drop(draft);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        // As a process that died leaves it.
        let left = dir.path().join("b.unfinished/history");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("old"), b"x").unwrap();
        Draft::begin(&out).unwrap().keep("{}").unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&out).unwrap().map(|each| each.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["backup.json", "files", "history"]);
        assert_eq!(std::fs::read_dir(out.join("history")).unwrap().count(), 0);
        let taken = Draft::begin(&out).unwrap_err();
        assert!(taken.to_string().contains("there already"), "{taken}");
        assert_eq!(taken.exit_code(), crate::exit::REFUSED);
    }
}
