//! The lines of a file that somebody else wrote: bounded, numbered, and over at the first error of the
//! file itself.

use super::output::Failure;
use crate::replay::LineError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

pub(crate) struct TextLines {
    input: Box<dyn BufRead + Send>,
    line: u64,
    has_ended: bool,
}

impl TextLines {
    /// A file, unpacked while it is read where its name ends in `.gz`.
    pub(crate) fn open(file: &Path) -> Result<Self, Failure> {
        let open = File::open(file)
            .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
        let is_packed = file.extension().is_some_and(|extension| extension == "gz");
        let plain: Box<dyn Read + Send> =
            if is_packed { Box::new(MultiGzDecoder::new(open)) } else { Box::new(open) };
        Ok(Self { input: Box::new(BufReader::new(plain)), line: 0, has_ended: false })
    }

    fn read(&mut self) -> std::io::Result<Option<Result<String, String>>> {
        let mut bytes = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 2;
        let mut read = (&mut self.input).take(limit).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        let has_end = bytes.pop_if(|byte| *byte == b'\n').is_some();
        if !has_end && bytes.len() > LINE_BYTES_MAX {
            while read > 0 && bytes.last() != Some(&b'\n') {
                bytes.clear();
                read = (&mut self.input).take(limit).read_until(b'\n', &mut bytes)?;
            }
            return Ok(Some(Err(format!("the line has more than {LINE_BYTES_MAX} bytes"))));
        }
        bytes.pop_if(|byte| *byte == b'\r');
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) if self.line == 1 => Ok(text.trim_start_matches('\u{feff}').to_owned()),
            Ok(text) => Ok(text),
            Err(_) => Err("the line is not UTF-8".to_owned()),
        }))
    }
}

impl Iterator for TextLines {
    type Item = Result<(u64, String), LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        self.line += 1;
        let line = self.line;
        match self.read() {
            Ok(None) => {
                self.has_ended = true;
                None
            }
            Ok(Some(Ok(text))) => Some(Ok((line, text))),
            Ok(Some(Err(reason))) => Some(Err(LineError { line, reason })),
            // A damaged file gives the same error for ever.
            Err(error) => {
                self.has_ended = true;
                let reason = format!("{error}; nothing behind it was read");
                Some(Err(LineError { line, reason }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn read(name: &str, bytes: &[u8]) -> Vec<Result<(u64, String), LineError>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        TextLines::open(&file).unwrap().take(20).collect()
    }

    #[test]
    fn marks_ends_and_bad_lines_are_told_apart() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("\u{feff}a\r\n\n{long}\nb\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(b"\xff\n\nc");
        let lines = read("a.txt", &bytes);
        let said: Vec<String> = lines
            .iter()
            .map(|line| match line {
                Ok((line, text)) => format!("{line} {text}"),
                Err(error) => error.to_string(),
            })
            .collect();
        let long = "line 3: the line has more than 1048576 bytes";
        assert_eq!(said, ["1 a", "2 ", long, "4 b", "line 5: the line is not UTF-8", "6 ", "7 c"]);
    }

    #[test]
    fn a_packed_file_that_was_cut_off_ends() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&b"a line\n".repeat(1_000)).unwrap();
        let packed = packer.finish().unwrap();
        let lines = read("a.gz", &packed[..packed.len() / 2]);
        let errors: Vec<_> = lines.iter().filter_map(|line| line.as_ref().err()).collect();
        assert!(errors.len() <= 1, "{errors:?}");
        let lines = read("a.gz", b"no gzip at all");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].as_ref().unwrap_err().reason.contains("nothing behind it"), "{lines:?}");
    }
}
