//! A package: the files of one version of a model, as a folder or as one run of bytes.
//!
//! Bytes: `HPKG`, a version byte, the number of files (u8), and for each file, by name: the length
//! of its name (u8), the name, its length (u64 LE), its SHA-256, its content; at the end the SHA-256
//! of all before. The same files always give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::{DIGEST_BYTES, sha256, sha256_hex};
use crate::manifest::{Format, Manifest, check_name};
use crate::{Background, Error, Golden};

pub const PACKAGE_FILES_MAX: usize = 16;
pub const PACKAGE_BYTES_MAX: usize = 200 * 1024 * 1024;

pub(crate) const MANIFEST: &str = "manifest.toml";
const GOLDEN: &str = "golden.csv";
/// What people read before they approve a model.
pub const CARD: &str = "card.md";
const BACKGROUND: &str = "background.csv";
/// Written beside the files of a stored package; never a file of the package itself.
pub(crate) const SUMS: &str = "SHA256SUMS";
const MAGIC: &[u8; 4] = b"HPKG";
const BYTES_VERSION: u8 = 1;

/// The two digests by which a version is known, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of the model file alone: what decisions and metadata name.
    pub model: String,
    /// Of the list of all files and their digests: what was approved.
    pub package: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Package {
    /// Checks names, limits, the manifest and that the model file is there.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        if files.len() > PACKAGE_FILES_MAX {
            return Err(Error::Limit(format!(
                "package: {} files; at most {PACKAGE_FILES_MAX} are taken",
                files.len()
            )));
        }
        let total: usize = files.values().map(Vec::len).sum();
        if total > PACKAGE_BYTES_MAX {
            return Err(Error::Limit(format!(
                "package: {total} bytes; at most {PACKAGE_BYTES_MAX} are taken"
            )));
        }
        for name in files.keys() {
            check_file_name(name)?;
        }
        let text = files
            .get(MANIFEST)
            .ok_or_else(|| refuse("manifest.toml is missing; add one beside the model file"))?;
        let text = std::str::from_utf8(text).map_err(|_| refuse("manifest.toml is not UTF-8"))?;
        let manifest = Manifest::parse(text)?;
        let wanted = manifest.format.file();
        if !files.contains_key(wanted) {
            return Err(refuse(&format!(
                "{wanted} is missing, which manifest.toml's format asks for"
            )));
        }
        Ok(Self { manifest, files })
    }

    /// A model file that was pushed alone, with a manifest that keeps its own names.
    pub fn from_bare_onnx(name: &str, version: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let manifest = Manifest::bare(name, version, Format::Onnx)?;
        let text = manifest.to_toml()?.into_bytes();
        Self::from_files(BTreeMap::from([
            (MANIFEST.into(), text),
            (Format::Onnx.file().into(), bytes),
        ]))
    }

    /// The plain files of a folder. Sub-folders, links and names that start with a dot stay out.
    pub fn read_dir(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut files = BTreeMap::new();
        let mut total = 0;
        for entry in fs::read_dir(path).map_err(|error| Error::io(path, &error))? {
            let entry = entry.map_err(|error| Error::io(path, &error))?;
            let kind = entry.file_type().map_err(|error| Error::io(&entry.path(), &error))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(refuse("a file's name is not UTF-8"));
            };
            if !kind.is_file() || name.starts_with('.') || name == SUMS {
                continue;
            }
            let size = entry.metadata().map_err(|error| Error::io(&entry.path(), &error))?.len();
            total += size;
            if total > PACKAGE_BYTES_MAX as u64 || files.len() == PACKAGE_FILES_MAX {
                return Err(Error::Limit(format!(
                    "{}: at most {PACKAGE_FILES_MAX} files and {PACKAGE_BYTES_MAX} bytes are taken",
                    path.display()
                )));
            }
            files.insert(
                name,
                fs::read(entry.path()).map_err(|error| Error::io(&entry.path(), &error))?,
            );
        }
        Self::from_files(files)
    }

    /// Writes the files into an existing or new folder.
    pub fn write_dir(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|error| Error::io(path, &error))?;
        for (name, bytes) in &self.files {
            write_durably(&path.join(name), bytes)?;
        }
        Ok(())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let content: usize = self.files.values().map(|bytes| bytes.len() + 128).sum();
        let mut all = Vec::with_capacity(content + 64);
        all.extend_from_slice(MAGIC);
        all.push(BYTES_VERSION);
        all.push(self.files.len() as u8);
        for (name, bytes) in &self.files {
            all.push(name.len() as u8);
            all.extend_from_slice(name.as_bytes());
            all.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            all.extend_from_slice(&sha256(bytes));
            all.extend_from_slice(bytes);
        }
        let digest = sha256(&all);
        all.extend_from_slice(&digest);
        all
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| refuse("the bytes are no package"))?;
        if rest.first() != Some(&BYTES_VERSION) {
            return Err(refuse(&format!(
                "version {:?} of the package is not known; update hearth",
                rest.first()
            )));
        }
        let cut = || refuse("the bytes are cut short; send the package again");
        let (content, digest) = rest.split_last_chunk::<DIGEST_BYTES>().ok_or_else(cut)?;
        let all = bytes.get(..bytes.len() - DIGEST_BYTES).ok_or_else(cut)?;
        let (count, mut rest) = content.get(1..).and_then(<[u8]>::split_first).ok_or_else(cut)?;
        let mut files = BTreeMap::new();
        let mut last = String::new();
        for _ in 0..*count {
            let (name, bytes) = read_file(&mut rest).ok_or_else(cut)??;
            if name <= last {
                return Err(refuse(&format!("file `{name}` is repeated or out of order")));
            }
            last.clone_from(&name);
            files.insert(name, bytes);
        }
        if !rest.is_empty() {
            return Err(refuse("there are bytes after the last file"));
        }
        if sha256(all) != *digest {
            return Err(refuse("damaged: its SHA-256 does not fit its content; send it again"));
        }
        Self::from_files(files)
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    pub fn model_bytes(&self) -> &[u8] {
        self.files.get(self.manifest.format.file()).map_or(&[], Vec::as_slice)
    }

    pub fn model_sha256(&self) -> String {
        sha256_hex(self.model_bytes())
    }

    pub fn digests(&self) -> Digests {
        Digests { model: self.model_sha256(), package: sha256_hex(self.sums().as_bytes()) }
    }

    /// What people need to judge the model by and the package does not have.
    pub fn lacks(&self) -> Vec<&'static str> {
        let mut lacks = Vec::new();
        if self.manifest.intended_use.trim().is_empty() {
            lacks.push("intended_use");
        }
        if self.files.get(CARD).is_none_or(Vec::is_empty) {
            lacks.push(CARD);
        }
        lacks
    }

    /// The golden rows, where the package has some.
    pub fn golden(&self) -> Result<Option<Golden>, Error> {
        let Some(bytes) = self.files.get(GOLDEN) else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("golden.csv is not UTF-8"))?;
        Golden::parse(text, &self.manifest.features).map(Some)
    }

    /// The rows that scores are explained against, where the package has some of its own.
    pub fn background(&self) -> Result<Option<Background>, Error> {
        let Some(bytes) = self.files.get(BACKGROUND) else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("background.csv is not UTF-8"))?;
        Background::parse(text, &self.manifest.features).map(Some)
    }

    /// In the form of sha256sum, so that a stored package can be checked by hand.
    pub(crate) fn sums(&self) -> String {
        let line =
            |(name, bytes): (&String, &Vec<u8>)| [&sha256_hex(bytes), "  ", name, "\n"].concat();
        self.files.iter().map(line).collect()
    }
}

/// Outer `None`: cut short.
fn read_file(rest: &mut &[u8]) -> Option<Result<(String, Vec<u8>), Error>> {
    let (length, tail) = rest.split_first()?;
    let (name, tail) = tail.split_at_checked(usize::from(*length))?;
    let (length, tail) = tail.split_first_chunk::<8>()?;
    let (digest, tail) = tail.split_first_chunk::<DIGEST_BYTES>()?;
    let (bytes, tail) =
        tail.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = tail;
    let Ok(name) = String::from_utf8(name.to_vec()) else {
        return Some(Err(refuse("a file's name is not UTF-8")));
    };
    if sha256(bytes) != *digest {
        return Some(Err(refuse(&format!(
            "file `{}` is damaged; send the package again",
            name.escape_debug()
        ))));
    }
    Some(Ok((name, bytes.to_vec())))
}

fn check_file_name(name: &str) -> Result<(), Error> {
    if name == SUMS || check_name("a file", name).is_err() {
        return Err(refuse(&format!(
            "file name `{}` is not taken; use up to 64 of a-z A-Z 0-9 _ - . without a leading dot",
            name.escape_debug()
        )));
    }
    Ok(())
}

fn refuse(reason: &str) -> Error {
    Error::Package(reason.to_owned())
}

pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io(path, &error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package() -> Package {
        let mut files = Package::from_bare_onnx("m", "1", vec![1, 2, 3]).unwrap().files;
        files.insert("card.md".into(), b"# m".to_vec());
        Package::from_files(files).unwrap()
    }

    #[test]
    fn bytes_and_folder_round_trip() {
        let package = package();
        assert_eq!(Package::from_bytes(&package.to_bytes()), Ok(package.clone()));
        let directory = tempfile::tempdir().unwrap();
        package.write_dir(directory.path()).unwrap();
        fs::create_dir(directory.path().join("__pycache__")).unwrap();
        fs::write(directory.path().join(".hidden"), "x").unwrap();
        let read = Package::read_dir(directory.path()).unwrap();
        assert_eq!(read.to_bytes(), package.to_bytes());
        assert_eq!(read.digests(), package.digests());
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let bytes = package().to_bytes();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Package::from_bytes(&flipped).is_err(), "byte {at} flipped");
            assert!(Package::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(Package::from_bytes(&longer).is_err());
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["../x", "a/b", "..", ".x", "", "a\\b", "a\nb", SUMS] {
            let mut files = package().files;
            files.insert(name.into(), Vec::new());
            assert!(matches!(Package::from_files(files), Err(Error::Package(_))), "{name}");
        }
    }

    #[test]
    fn limits_and_missing_files_are_named() {
        let mut files = package().files;
        for at in 0..PACKAGE_FILES_MAX {
            files.insert(format!("f{at}"), Vec::new());
        }
        assert!(matches!(Package::from_files(files), Err(Error::Limit(_))));
        let mut files = package().files;
        files.remove("model.onnx");
        assert!(
            Package::from_files(files).unwrap_err().to_string().contains("model.onnx is missing")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let framed = [MAGIC.as_slice(), &[BYTES_VERSION], &bytes].concat();
            prop_assert!(Package::from_bytes(&framed).is_err());
        }
    }
}
