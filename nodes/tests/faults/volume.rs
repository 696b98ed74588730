//! A small file system for each node, where this machine allows mounting one, so that a disk can
//! really fill up.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BYTES: u64 = 1 << 30;
const BLOCK_BYTES: u64 = 4_096;
/// Folders of runs are called so, followed by the id of the process.
pub(crate) const FOLDER: &str = "hearth-faults-";

/// Unmounted when dropped; its image goes with the folder of the run.
#[derive(Debug)]
pub(crate) struct Volume {
    at: PathBuf,
}

impl Volume {
    /// Mounts an empty file system at a folder.
    pub(crate) fn mount(image: &Path, at: &Path) -> Result<Self, String> {
        let file = File::create(image).map_err(|error| error.to_string())?;
        file.set_len(BYTES).map_err(|error| error.to_string())?;
        // Nothing is kept back for root: this may be root.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image.display().to_string()])?;
        let (image, folder) = (image.display().to_string(), at.display().to_string());
        run("mount", &["-o", "loop", &image, &folder])?;
        Ok(Self { at: at.to_owned() })
    }

    /// Leaves only so much space.
    pub(crate) fn squeeze(&self, leave_bytes: u64) {
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let mut options = OpenOptions::new();
        let ballast =
            options.write(true).create(true).truncate(false).open(self.ballast()).unwrap();
        // The file system needs some for itself: smaller pieces until not even a block is left.
        let (mut length, mut piece) = (0, free.saturating_sub(leave_bytes));
        while length + leave_bytes < free && piece >= BLOCK_BYTES {
            let mode = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&ballast, mode, length, piece) {
                Ok(()) => length += piece,
                Err(_) => piece /= 2,
            }
        }
    }

    pub(crate) fn release(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.release();
        // Lazily: what still looks at a file of a dead process must not keep the run from ending.
        let _ = run("umount", &["-l", &self.at.display().to_string()]);
    }
}

/// Unmounts what runs that are dead have left.
pub(crate) fn sweep() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for at in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        let Some((_, rest)) = at.split_once(FOLDER) else { continue };
        let owner: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if !owner.is_empty() && !Path::new(&format!("/proc/{owner}")).exists() {
            let _ = run("umount", &["-l", at]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
