//! Looks at a native library before it is mapped.
//!
//! The loader maps a truncated library without complaint and the process then dies of SIGBUS on
//! the first missing page. So the file's own headers are compared with its length, and with a
//! `<library>.sha256` file where one lies beside it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::sha256_hex;

const ELF_HEADER_BYTES: usize = 64;

/// `Err` holds the reason in a few words.
pub(crate) fn check_library(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    if cfg!(target_os = "linux") {
        let mut header = [0; ELF_HEADER_BYTES];
        if file.read_exact(&mut header).is_err() {
            return Err(format!("it has only {} bytes and is no library", metadata.len()));
        }
        check_elf(&header, metadata.len(), &mut file)?;
    }
    check_digest(path)
}

/// 64-bit ELF: the section table stands at the end, the program headers say which bytes are mapped.
fn check_elf(header: &[u8; ELF_HEADER_BYTES], length: u64, file: &mut File) -> Result<(), String> {
    const DYNAMIC: u16 = 3;
    if header.get(..5) != Some(&[0x7f, b'E', b'L', b'F', 2]) || u16_at(header, 16) != DYNAMIC {
        return Err("it is not a 64-bit ELF library".into());
    }
    let cut = || format!("the file is cut short at {length} bytes");
    let sections_end = u64_at(header, 40)
        .saturating_add(u64::from(u16_at(header, 58)) * u64::from(u16_at(header, 60)));
    if sections_end > length {
        return Err(cut());
    }
    let (start, size, count) = (u64_at(header, 32), u16_at(header, 54), u16_at(header, 56));
    if start != ELF_HEADER_BYTES as u64 || usize::from(size) != PROGRAM_HEADER_BYTES {
        return Ok(());
    }
    for _ in 0..count {
        let mut program = [0; PROGRAM_HEADER_BYTES];
        file.read_exact(&mut program).map_err(|_| cut())?;
        if u64_at(&program, 8).saturating_add(u64_at(&program, 32)) > length {
            return Err(cut());
        }
    }
    Ok(())
}

const PROGRAM_HEADER_BYTES: usize = 56;

fn check_digest(path: &Path) -> Result<(), String> {
    let mut beside = path.as_os_str().to_os_string();
    beside.push(".sha256");
    let Ok(text) = fs::read_to_string(PathBuf::from(beside)) else { return Ok(()) };
    let want = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    if sha256_hex(&bytes) == want {
        Ok(())
    } else {
        Err("its SHA-256 is not the pinned one".into())
    }
}

/// A field that lies outside counts as 0.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |raw| u16::from_le_bytes(*raw))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |raw| u64::from_le_bytes(*raw))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        fs::write(&path, bytes).unwrap();
        check_library(&path)
    }

    #[test]
    fn text_and_scraps_are_no_library() {
        assert!(reason(b"").unwrap_err().contains("0 bytes"));
        assert!(reason(&[b'a'; 500]).unwrap_err().contains("not a 64-bit ELF"));
    }

    #[test]
    fn pinned_digest_is_compared() {
        // The test itself is a position-independent executable: a whole, valid ELF file.
        let bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(check_library(&path), Ok(()));
        fs::write(
            directory.path().join("lib.so.sha256"),
            format!("{}  lib.so\n", sha256_hex(&bytes)),
        )
        .unwrap();
        assert_eq!(check_library(&path), Ok(()));
        fs::write(directory.path().join("lib.so.sha256"), "00  lib.so\n").unwrap();
        assert!(check_library(&path).unwrap_err().contains("SHA-256"));
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(check_library(&path).unwrap_err().contains("cut short"));
    }
}
