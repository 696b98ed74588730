//! The trace files: JSON that is whole after every trace, and never more than a stated size.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Traces that wait for the disk; past it they are left out, so that no request ever waits.
const WAITING_MAX: usize = 1_024;
/// A file that has grown to this is kept once more under its name with `.before`.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Numbered files of one name; the oldest goes.
const NUMBERED_MAX: u64 = 8;
/// Names in one run of a node.
const NAMES_MAX: usize = 16;
const END: &[u8] = b"\n]\n";

/// One trace, on its way to its file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: String,
    /// Traces in one numbered file; 0: all in one file without a number.
    pub(super) every: u64,
    pub(super) items: Vec<Value>,
}

/// Writes on a thread of its own, which begins with the first trace.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    entries: OnceLock<Option<SyncSender<Entry>>>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, entries: OnceLock::new() }
    }

    pub(super) fn write(&self, entry: Entry) {
        let entries = self.entries.get_or_init(|| start(self.folder.clone()));
        if let Some(entries) = entries
            && entries.try_send(entry).is_err()
        {
            tracing::debug!("a trace was left out: {WAITING_MAX} wait for the disk");
        }
    }
}

fn start(folder: PathBuf) -> Option<SyncSender<Entry>> {
    let (sender, entries) = sync_channel(WAITING_MAX);
    let thread = std::thread::Builder::new().name("traces".to_owned());
    match thread.spawn(move || drain(&folder, &entries)) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "traces are not written");
            None
        }
    }
}

fn drain(folder: &Path, entries: &Receiver<Entry>) {
    let mut files = BTreeMap::new();
    let mut said = false;
    for entry in entries {
        let outcome = append(folder, &mut files, &entry);
        if let Err(error) = &outcome
            && !said
        {
            tracing::error!(%error, file = entry.file, "a trace is not written");
        }
        said = outcome.is_err();
    }
}

/// A file that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    /// Where [`END`] begins.
    end: u64,
    traces: u64,
    number: u64,
    every: u64,
}

impl Open {
    fn begin(path: &Path, number: u64, every: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(b"[", 0)?;
        file.write_all_at(END, 1)?;
        Ok(Self { file, end: 1, traces: 0, number, every })
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut bytes = Vec::new();
        for item in &entry.items {
            bytes.extend_from_slice(if self.end + bytes.len() as u64 == 1 {
                b"\n"
            } else {
                b",\n"
            });
            serde_json::to_writer(&mut bytes, item)?;
        }
        let added = bytes.len() as u64;
        bytes.extend_from_slice(END);
        self.file.write_all_at(&bytes, self.end)?;
        self.end += added;
        self.traces += 1;
        Ok(())
    }
}

fn append(folder: &Path, files: &mut BTreeMap<String, Open>, entry: &Entry) -> io::Result<()> {
    let Entry { file: name, every, .. } = entry;
    let now = files.get(name);
    let full = now.is_some_and(|open| {
        open.every != *every
            || open.end >= FILE_BYTES_MAX
            || (open.every > 0 && open.traces >= open.every)
    });
    if now.is_none() || full {
        if now.is_none() && files.len() == NAMES_MAX {
            return Err(io::Error::other(format!("traces went to {NAMES_MAX} names, the most")));
        }
        let number = now.map_or(0, |open| open.number + 1);
        fs::create_dir_all(folder)?;
        let path = if *every == 0 {
            let path = folder.join(name);
            if full && path.exists() {
                fs::rename(&path, folder.join(format!("{name}.before")))?;
            }
            path
        } else {
            if let Some(oldest) = number.checked_sub(NUMBERED_MAX) {
                // It may be of another frequency and so not be there.
                let _ = fs::remove_file(folder.join(format!("{name}.{oldest}")));
            }
            folder.join(format!("{name}.{number}"))
        };
        files.insert(name.clone(), Open::begin(&path, number, *every)?);
    }
    match files.get_mut(name) {
        Some(open) => open.append(entry),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(every: u64, id: u64, padding: usize) -> Entry {
        let items = vec![json!({ "id": id }), json!({ "id": id, "p": "x".repeat(padding) })];
        Entry { file: "t.json".to_owned(), every, items }
    }

    fn ids(path: &Path) -> Vec<u64> {
        let items: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        items.iter().step_by(2).map(|item| item["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn a_file_is_whole_after_every_trace() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = BTreeMap::new();
        for id in 0..5 {
            append(folder.path(), &mut files, &entry(0, id, 3)).unwrap();
            assert_eq!(ids(&folder.path().join("t.json")), (0..=id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn numbered_files_hold_so_many_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = BTreeMap::new();
        for id in 0..25 {
            append(folder.path(), &mut files, &entry(2, id, 3)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count() as u64, NUMBERED_MAX);
        assert!(!folder.path().join("t.json.4").exists());
        assert_eq!(ids(&folder.path().join("t.json.5")), [10, 11]);
        assert_eq!(ids(&folder.path().join("t.json.12")), [24]);
    }

    #[test]
    fn all_files_together_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = BTreeMap::new();
        for id in 0..40 {
            append(folder.path(), &mut files, &entry(0, id, 1 << 20)).unwrap();
        }
        let all =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap());
        let bytes: u64 = all.map(|file| file.len()).sum();
        assert!(bytes < 2 * FILE_BYTES_MAX + (2 << 20), "{bytes}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
