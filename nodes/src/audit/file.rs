//! An export that can be checked by itself: NDJSON, or Parquet by the file's ending.
//!
//! ```text
//! {"hearth_ledger_export":1,"group":..,"cluster_id":..,"entity":"","exported_us":..}
//! {"seq":1,"previous_hash":"00..","hash":"..","entry":{..}}          hash = SHA-256(previous_hash || SHA-256(entry))
//! {"seq":2,"previous_hash":"..","hash":"..","content_sha256":".."}   an entry that was left out
//! {"from_seq":1,"to_seq":2,"head":"..","sha256":".."}                the last: sha256 of every byte before it
//! ```

use super::parquet::{self, ParquetExport};
use super::{Checked, Checker};
use crate::proto::hearth::LedgerEntry;
use crate::state::ledger::{Hash, Misfit};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

const EXPORT_VERSION: u8 = 1;
/// The longest line that is read: no log entry is as large.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub hearth_ledger_export: u8,
    pub group: String,
    pub cluster_id: String,
    /// Whose entries are whole in it; empty: everybody's.
    pub entity: String,
    pub exported_us: i64,
}

impl Header {
    pub fn new(group: &str, cluster_id: &str, entity: &str, exported_us: i64) -> Self {
        Self {
            hearth_ledger_export: EXPORT_VERSION,
            group: group.to_owned(),
            cluster_id: cluster_id.to_owned(),
            entity: entity.to_owned(),
            exported_us,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let header: Self = serde_json::from_str(text)
            .map_err(|error| format!("it is no export of a ledger: {error}"))?;
        if header.hearth_ledger_export > EXPORT_VERSION {
            return Err(format!(
                "an export of version {}, this program reads {EXPORT_VERSION}: update hearth",
                header.hearth_ledger_export
            ));
        }
        Ok(header)
    }
}

/// The last line: which entries there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    from_seq: u64,
    /// Less than `from_seq` where there is no entry.
    to_seq: u64,
    /// The hash of entry `to_seq`.
    head: String,
    /// Of all bytes before this line; empty in a Parquet file.
    sha256: String,
}

impl Trailer {
    pub(super) fn of(checked: &Checked) -> Self {
        Self {
            from_seq: checked.seq + 1 - checked.entries,
            to_seq: checked.seq,
            head: crate::hex::encode(&checked.head),
            sha256: String::new(),
        }
    }

    /// Whether the entries are those that it promises.
    pub(super) fn check(&self, checker: &Checker) -> Result<(), Misfit> {
        let checked = checker.checked();
        let misfit = |what: String| {
            Err(Misfit { seq: self.from_seq, name: format!("entry {}", self.from_seq), what })
        };
        if checked.entries > 0 && checked.seq + 1 - checked.entries != self.from_seq {
            let first = checked.seq + 1 - checked.entries;
            return misfit(format!("it is missing: the first is entry {first}"));
        }
        if self.to_seq < self.from_seq {
            return if checked.entries == 0 {
                Ok(())
            } else {
                misfit("no such entry is promised".to_owned())
            };
        }
        if checked.entries == 0 {
            return misfit("it is missing: there is no entry at all".to_owned());
        }
        match crate::hex::decode32(&self.head) {
            Some(head) => checker.ends_at(self.to_seq, &head),
            None => misfit("the last line's head is no SHA-256".to_owned()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", file.display())]
    Io { file: PathBuf, source: std::io::Error },
    #[error("{}: {said}", file.display())]
    Damaged { file: PathBuf, said: String },
    #[error("{}: {misfit}", file.display())]
    Misfit { file: PathBuf, misfit: Misfit },
    #[error(transparent)]
    Parquet(#[from] flight::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    seq: u64,
    previous_hash: String,
    hash: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    entry: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_sha256: Option<String>,
}

/// An export that is being written. What goes in is checked on its way; the file appears when it is
/// whole.
#[derive(Debug)]
pub struct ExportFile {
    file: PathBuf,
    checker: Checker,
    to: To,
}

#[derive(Debug)]
enum To {
    Lines { draft: BufWriter<File>, hash: Sha256 },
    Parquet(ParquetExport),
}

impl ExportFile {
    pub fn create(file: &Path, header: &Header) -> Result<Self, FileError> {
        let io = |source| FileError::Io { file: file.to_owned(), source };
        let to = if is_parquet(file) {
            To::Parquet(ParquetExport::create(file, header)?)
        } else {
            let draft = File::create(draft(file)).map_err(io)?;
            To::Lines { draft: BufWriter::new(draft), hash: Sha256::new() }
        };
        let mut export = Self { file: file.to_owned(), checker: Checker::default(), to };
        export.line(&text(header))?;
        Ok(export)
    }

    pub fn push(&mut self, entry: &LedgerEntry) -> Result<(), FileError> {
        let file = self.file.clone();
        self.checker.take(entry).map_err(|misfit| FileError::Misfit { file, misfit })?;
        if let To::Parquet(export) = &mut self.to {
            return export.push(entry);
        }
        let line = entry_line(entry)
            .map_err(|said| FileError::Damaged { file: self.file.clone(), said })?;
        self.line(&line)
    }

    fn line(&mut self, line: &str) -> Result<(), FileError> {
        if let To::Lines { draft, hash } = &mut self.to {
            let line = format!("{line}\n");
            hash.update(line.as_bytes());
            draft
                .write_all(line.as_bytes())
                .map_err(|source| FileError::Io { file: self.file.clone(), source })?;
        }
        Ok(())
    }

    pub fn entries(&self) -> u64 {
        self.checker.checked().entries
    }

    /// Leaves nothing behind.
    pub fn abandon(self) {
        // Where it was not begun there is nothing to remove.
        drop(std::fs::remove_file(draft(&self.file)));
    }

    /// Whether the chain ends where it should.
    pub fn ends_at(&self, seq: u64, hash: &Hash) -> Result<(), FileError> {
        let file = self.file.clone();
        self.checker.ends_at(seq, hash).map_err(|misfit| FileError::Misfit { file, misfit })
    }

    pub fn finish(mut self) -> Result<Checked, FileError> {
        let checked = self.checker.checked();
        let mut trailer = Trailer::of(&checked);
        if let To::Lines { hash, .. } = &self.to {
            trailer.sha256 = crate::hex::encode(&hash.clone().finalize());
        }
        self.line(&text(&trailer))?;
        let io = |source| FileError::Io { file: self.file.clone(), source };
        match self.to {
            To::Parquet(export) => export.finish(&trailer)?,
            To::Lines { draft: to, .. } => {
                let written = to.into_inner().map_err(|error| io(error.into_error()))?;
                written.sync_all().map_err(io)?;
                std::fs::rename(draft(&self.file), &self.file).map_err(io)?;
            }
        }
        Ok(checked)
    }
}

fn draft(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

pub(super) fn is_parquet(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

pub(super) fn text(value: &impl Serialize) -> String {
    // Plain data with text keys: writing it into memory cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn entry_line(entry: &LedgerEntry) -> Result<String, String> {
    let raw = match entry.text.as_str() {
        "" => None,
        text => Some(serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())?),
    };
    Ok(text(&Line {
        seq: entry.seq,
        previous_hash: crate::hex::encode(&entry.previous_hash),
        hash: crate::hex::encode(&entry.hash),
        entry: raw,
        content_sha256: raw.is_none().then(|| crate::hex::encode(&entry.content_sha256)),
    }))
}

/// Checks a file: its chain, its head, and every byte of it.
pub fn read(file: &Path) -> Result<(Header, Checked), FileError> {
    if is_parquet(file) {
        return parquet::read(file);
    }
    let mut reading = Reading::open(file)?;
    let first = reading.line()?.unwrap_or_default();
    let header = Header::parse(&first).map_err(|said| reading.damaged(&said))?;
    let mut checker = Checker::default();
    loop {
        let digest: Hash = reading.hash.clone().finalize().into();
        let Some(line) = reading.line()? else {
            return Err(reading.damaged("it is cut short: its last line is missing"));
        };
        if let Ok(trailer) = serde_json::from_str::<Trailer>(&line) {
            trailer.check(&checker).map_err(|misfit| reading.misfit(misfit))?;
            let sha256 = crate::hex::encode(&digest);
            if text(&Trailer { sha256, ..Trailer::of(&checker.checked()) }) != line {
                return Err(reading.damaged(
                    "the chain in it holds, but its last line names another SHA-256 of the bytes before it: something beside the entries was changed",
                ));
            }
            if reading.line()?.is_some() {
                return Err(reading.damaged("there is something after its last line"));
            }
            return Ok((header, checker.checked()));
        }
        let entry = reading.entry(&line)?;
        checker.take(&entry).map_err(|misfit| reading.misfit(misfit))?;
    }
}

struct Reading<'a> {
    file: &'a Path,
    from: BufReader<File>,
    hash: Sha256,
    lines: u64,
}

impl<'a> Reading<'a> {
    fn open(file: &'a Path) -> Result<Self, FileError> {
        let opened =
            File::open(file).map_err(|source| FileError::Io { file: file.to_owned(), source })?;
        Ok(Self { file, from: BufReader::new(opened), hash: Sha256::new(), lines: 0 })
    }

    fn line(&mut self) -> Result<Option<String>, FileError> {
        let mut bytes = Vec::new();
        (&mut self.from)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| FileError::Io { file: self.file.to_owned(), source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.hash.update(&bytes);
        self.lines += 1;
        if bytes.pop() != Some(b'\n') {
            return Err(self.damaged(&format!("line {} is cut short", self.lines)));
        }
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| self.damaged(&format!("line {} is not UTF-8", self.lines)))
    }

    fn entry(&self, line: &str) -> Result<LedgerEntry, FileError> {
        let damaged = |said: &str| self.damaged(&format!("line {}: {said}", self.lines));
        let read: Line<'_> =
            serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
        let bytes = |hex: &str| {
            let found = crate::hex::decode32(hex).map(|hash| hash.to_vec());
            found.ok_or_else(|| damaged("a hash has 64 hex digits"))
        };
        Ok(LedgerEntry {
            seq: read.seq,
            previous_hash: bytes(&read.previous_hash)?,
            hash: bytes(&read.hash)?,
            text: read.entry.map(|raw| raw.get().to_owned()).unwrap_or_default(),
            content_sha256: match &read.content_sha256 {
                Some(hex) => bytes(hex)?,
                None => Vec::new(),
            },
            ..LedgerEntry::default()
        })
    }

    fn damaged(&self, said: &str) -> FileError {
        FileError::Damaged { file: self.file.to_owned(), said: said.to_owned() }
    }

    fn misfit(&self, misfit: Misfit) -> FileError {
        FileError::Misfit { file: self.file.to_owned(), misfit }
    }
}
