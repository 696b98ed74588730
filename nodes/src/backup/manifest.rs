//! `backup.json`: what a backup is, and every file of it with its checksums, its own included.

use super::error::BackupError;
use super::sums::Sums;
use crate::config::Member;
use crate::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::{Component, Path};

pub(super) const MANIFEST_FILE: &str = "backup.json";
pub(super) const STATE_FILE: &str = "state";
/// A program refuses a backup whose format is larger than its own.
pub(super) const FORMAT: u32 = 1;
/// A terabyte of history has a manifest of about 12 MiB.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Version of the program that wrote it.
    pub(crate) program: String,
    pub(crate) cluster: String,
    pub(crate) group: String,
    /// The node that gave the state.
    pub(crate) node: u64,
    /// The log's time of the entry at `index`, UTC.
    pub(crate) time: String,
    /// Everything up to this entry of the log is in it, and nothing after.
    pub(crate) index: u64,
    pub(crate) term: u64,
    /// The chain over every entry, as `hearth status` shows it.
    pub(crate) state_hash: String,
    /// SHA-256 of the whole state.
    pub(crate) state_sha256: String,
    /// Most voters held a state of this SHA-256 at this index.
    pub(crate) agreed: bool,
    pub(crate) members: Vec<Member>,
    pub(crate) files: Vec<FileEntry>,
    /// Of this text with these digits left out.
    sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    /// Below the backup's folder.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// The history table whose rows it holds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) table: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) rows: u64,
    pub(crate) crc32_by_mib: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// All that a program of any version can read.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl FileEntry {
    pub(super) fn new(name: String, sums: Sums) -> Self {
        Self {
            name,
            bytes: sums.bytes,
            sha256: hex::encode(&sums.sha256),
            table: String::new(),
            rows: 0,
            crc32_by_mib: sums.blocks,
        }
    }

    /// Reads the file against its checksums.
    pub(super) fn check(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(&self.name);
        let file = std::fs::File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BackupError::damaged(&path, None, "it is not there"),
            _ => BackupError::Io { path: path.clone(), source: error },
        })?;
        let found = Sums::of(file).map_err(BackupError::io(&path))?;
        let Some(sha256) = hex::decode32(&self.sha256) else {
            return Err(BackupError::damaged(&dir.join(MANIFEST_FILE), None, "no SHA-256"));
        };
        let wanted = Sums { bytes: self.bytes, sha256, blocks: self.crc32_by_mib.clone() };
        match wanted.difference(&found) {
            None => Ok(()),
            Some((offset, said)) => Err(BackupError::damaged(&path, offset, &said)),
        }
    }
}

impl Manifest {
    /// The text of the file, with the checksum of itself.
    pub(super) fn seal(mut self) -> Result<(Self, String), BackupError> {
        self.sha256.clear();
        self.sha256 = hex::encode(&Sha256::digest(self.text()?));
        let text = self.text()?;
        Ok((self, text))
    }

    fn text(&self) -> Result<String, BackupError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| BackupError::Refused(error.to_string()))
    }

    /// Reads and checks a backup's manifest; its files are not looked at.
    pub(crate) fn read(dir: &Path) -> Result<Self, BackupError> {
        let file = dir.join(MANIFEST_FILE);
        let size = match file.metadata() {
            Ok(facts) => facts.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(BackupError::Refused(format!(
                    "{} has no {MANIFEST_FILE}: it is no whole backup",
                    dir.display()
                )));
            }
            Err(source) => return Err(BackupError::Io { path: file, source }),
        };
        if size > MANIFEST_BYTES_MAX {
            let said = format!("it has {size} bytes, the limit is {MANIFEST_BYTES_MAX}");
            return Err(BackupError::damaged(&file, None, &said));
        }
        let bytes = std::fs::read(&file).map_err(BackupError::io(&file))?;
        Self::parse(&file, &bytes)
    }

    fn parse(file: &Path, bytes: &[u8]) -> Result<Self, BackupError> {
        let known: Result<Self, _> = serde_json::from_slice(bytes);
        match (&known, serde_json::from_slice::<Format>(bytes)) {
            (Ok(known), _) if known.format <= FORMAT => {}
            (_, Ok(Format { format })) if format > FORMAT => {
                return Err(BackupError::Refused(format!(
                    "{} has format {format}, this program knows up to {FORMAT}; use a newer program",
                    file.display()
                )));
            }
            _ => {}
        }
        let manifest =
            known.map_err(|error| BackupError::damaged(file, None, &error.to_string()))?;
        let (_, text) = manifest.clone().seal()?;
        // Byte by byte: white space that changed is a byte that changed.
        if let Some(at) = first_difference(text.as_bytes(), bytes) {
            return Err(BackupError::damaged(file, at as u64, "it does not match its checksum"));
        }
        if !manifest.files.iter().all(|entry| is_below(&entry.name)) {
            return Err(BackupError::damaged(file, None, "it names a file outside of its folder"));
        }
        Ok(manifest)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// A manifest that says everything but its own checksum.
    pub(super) fn of(head: crate::proto::hearth::BackupHead, files: Vec<FileEntry>) -> Self {
        Self {
            format: FORMAT,
            program: head.version,
            cluster: head.cluster_id,
            group: head.group,
            node: head.node_id,
            time: crate::clock::text(head.time_us),
            index: head.log_index,
            term: head.term,
            state_hash: hex::encode(&head.state_hash),
            state_sha256: hex::encode(&head.state_sha256),
            agreed: head.agreed,
            members: head.members.into_iter().map(member).collect(),
            files,
            sha256: String::new(),
        }
    }
}

fn member(member: crate::proto::hearth::Member) -> Member {
    let crate::proto::hearth::Member { id, grpc, flight, raft, http, .. } = member;
    Member { id, grpc, flight, raft, http }
}

/// Whether a path stays in the folder that it begins in.
fn is_below(path: &str) -> bool {
    let is_name = |part| matches!(part, Component::Normal(_));
    !path.is_empty() && Path::new(path).components().all(is_name)
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (at < a.len() || at < b.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::hearth::BackupHead;

    fn manifest() -> (Manifest, String) {
        let head = BackupHead {
            cluster_id: "c".to_owned(),
            group: "main".to_owned(),
            log_index: 12,
            state_hash: vec![1; 32],
            state_sha256: vec![2; 32],
            agreed: true,
            members: vec![crate::proto::hearth::Member { id: 3, ..Default::default() }],
            ..BackupHead::default()
        };
        let entry = FileEntry::new("history/a.parquet".to_owned(), Sums::of(&b"abc"[..]).unwrap());
        Manifest::of(head, vec![FileEntry { rows: 7, table: "a".to_owned(), ..entry }])
            .seal()
            .unwrap()
    }

    fn parse(text: &[u8]) -> Result<Manifest, BackupError> {
        Manifest::parse(Path::new(MANIFEST_FILE), text)
    }

    #[test]
    fn what_is_written_comes_back() {
        let (manifest, text) = manifest();
        assert_eq!(parse(text.as_bytes()).unwrap(), manifest);
        assert_eq!((manifest.rows(), manifest.bytes()), (7, 3));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let (_, text) = manifest();
        for at in 0..text.len() {
            for bit in [1, 4, 0x20] {
                let mut flipped = text.clone().into_bytes();
                flipped[at] ^= bit;
                let error = parse(&flipped).unwrap_err();
                // The number of the format is the one byte that may say something else.
                let newer = error.to_string().contains("newer program");
                assert!(newer || error.exit_code() == crate::exit::DAMAGED, "byte {at}: {error}");
            }
            assert!(parse(&text.as_bytes()[..at]).is_err(), "cut before byte {at}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let newer = br#"{"format": 2, "something": "new"}"#;
        let error = parse(newer).unwrap_err();
        assert_eq!(error.exit_code(), crate::exit::REFUSED);
        assert!(error.to_string().contains("newer program"), "{error}");
        assert_eq!(parse(b"{}").unwrap_err().exit_code(), crate::exit::DAMAGED);
    }

    #[test]
    fn no_file_outside_of_the_folder_is_named() {
        for name in ["../state", "/etc/passwd", "a/../../b", ""] {
            let (mut manifest, _) = manifest();
            name.clone_into(&mut manifest.files[0].name);
            let (_, text) = manifest.seal().unwrap();
            assert!(parse(text.as_bytes()).is_err(), "{name}");
        }
    }
}
