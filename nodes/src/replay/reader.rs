//! A file read line by line as events; a bad line is reported by its number and left out.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use features::event::Event;
use flate2::bufread::MultiGzDecoder;

use super::block::Spot;
use super::mapping::Mapping;

/// The longest line that is read.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line that made no event, and why.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Counted from 1, over everything in the file.
    pub line: u64,
    pub reason: String,
}

/// The events of a file, in the order of its lines.
pub struct Reader {
    input: Box<dyn BufRead + Send>,
    file: String,
    mapping: Mapping,
    line: u64,
    text: Vec<u8>,
    ready: VecDeque<Event>,
    opened: bool,
    ended: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("file", &self.file)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// What was found where a line should be.
enum Found {
    Line,
    TooLong,
    End,
}

impl Reader {
    /// Opens a file; one whose name ends in `.gz` is unpacked while it is read.
    pub fn open(path: &Path, mapping: &Mapping) -> io::Result<Self> {
        let file = BufReader::with_capacity(LINE_BYTES_MAX, File::open(path)?);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        Ok(match name.strip_suffix(".gz") {
            Some(plain) => Self::new(BufReader::new(MultiGzDecoder::new(file)), plain, mapping),
            None => Self::new(file, &name, mapping),
        })
    }

    /// Reads from anything; `file` is the name that stands in the ids of events without one.
    pub fn new(input: impl BufRead + Send + 'static, file: &str, mapping: &Mapping) -> Self {
        Self {
            input: Box::new(input),
            file: file.to_owned(),
            mapping: mapping.clone(),
            line: 0,
            text: Vec::new(),
            ready: VecDeque::new(),
            opened: false,
            ended: false,
        }
    }

    /// Lines read so far.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Skips what comes before the rows and reads the header's names.
    fn start(&mut self) -> Result<(), LineError> {
        self.opened = true;
        for _ in 0..self.mapping.skip_lines {
            self.read_line()?;
        }
        while self.mapping.header {
            match self.read_line()? {
                Found::End => return Err(self.refuse("the file ends before its header")),
                Found::TooLong => return Err(self.refuse_length()),
                Found::Line => {}
            }
            let header = self.text()?;
            if self.mapping.is_remark(&header) {
                continue;
            }
            let mapping = self.mapping.clone().with_header(&header);
            self.mapping = mapping.map_err(|reason| self.refuse(&reason))?;
            break;
        }
        Ok(())
    }

    /// Reads lines until one makes events or is bad; the end of the file is `false`.
    fn advance(&mut self) -> Result<bool, LineError> {
        loop {
            match self.read_line()? {
                Found::End => return Ok(false),
                Found::TooLong => return Err(self.refuse_length()),
                Found::Line => {}
            }
            let text = self.text()?;
            if self.mapping.is_remark(&text) {
                continue;
            }
            let spot = Spot { file: &self.file, line: self.line, text: &text, received_us: 0 };
            let events = self.mapping.events(spot).map_err(|reason| self.refuse(&reason))?;
            if !events.is_empty() {
                self.ready.extend(events);
                return Ok(true);
            }
        }
    }

    fn read_line(&mut self) -> Result<Found, LineError> {
        self.text.clear();
        self.line += 1;
        // One byte more than the longest line with its end, to tell a longer one from it.
        let limit = LINE_BYTES_MAX as u64 + 3;
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.text);
        let read = read.map_err(|error| self.fail(&error))?;
        if read == 0 {
            return Ok(Found::End);
        }
        let ended = self.text.pop_if(|byte| *byte == b'\n').is_some();
        self.text.pop_if(|byte| ended && *byte == b'\r');
        if self.text.len() <= LINE_BYTES_MAX {
            return Ok(Found::Line);
        }
        if !ended {
            self.skip_rest()?;
        }
        Ok(Found::TooLong)
    }

    fn skip_rest(&mut self) -> Result<(), LineError> {
        loop {
            let held = match self.input.fill_buf() {
                Ok(held) => held,
                Err(error) => return Err(self.fail(&error)),
            };
            let end = held.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(held.len(), |at| at + 1);
            let done = end.is_some() || used == 0;
            self.input.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    fn text(&self) -> Result<String, LineError> {
        String::from_utf8(self.text.clone()).map_err(|_| self.refuse("the line is not UTF-8"))
    }

    fn refuse(&self, reason: &str) -> LineError {
        LineError { line: self.line, reason: reason.to_owned() }
    }

    fn refuse_length(&self) -> LineError {
        self.refuse(&format!("a line may have {LINE_BYTES_MAX} bytes"))
    }

    /// Nothing can be read after a failed read.
    fn fail(&mut self, error: &io::Error) -> LineError {
        self.ended = true;
        self.refuse(&format!("the file cannot be read on: {error}"))
    }
}

impl Iterator for Reader {
    type Item = Result<Event, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.ready.pop_front() {
            return Some(Ok(event));
        }
        if self.ended {
            return None;
        }
        if !self.opened
            && let Err(error) = self.start()
        {
            self.ended = true;
            return Some(Err(error));
        }
        match self.advance() {
            Ok(true) => self.ready.pop_front().map(Ok),
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAPPING: &str = r##"
        format = "delimited"
        comment = "#"
        header = true
        source = "homes"
        [[event]]
        device_id = { template = "d-{home}" }
        kind = { column = "sensor", map = { M = "motion", D = "door" } }
        event_time = { column = "at", format = "unix_s" }
        [[event]]
        when = { column = "lasted", is_not = "" }
        device_id = { template = "d-{home}" }
        kind = "contact"
        event_time = { column = "at", format = "unix_s", plus_s = { column = "lasted" } }
        value = { column = "lasted", scale = 1000 }
        unit = "ms"
        attributes = { room = { column = "room" } }
    "##;

    fn read(text: &str) -> Vec<Result<Event, LineError>> {
        let mapping = Mapping::parse(MAPPING).unwrap();
        Reader::new(io::Cursor::new(text.to_owned()), "homes.csv", &mapping).collect()
    }

    #[test]
    fn a_row_makes_its_events_and_a_bad_line_its_report() {
        let text = "# a remark\nat,home,sensor,lasted,room\n100,7,M,,\r\n\n200,8,D,2.5,hall\nx,9,D,,\n300,9,Q,,\n400,9,M,,";
        let found = read(text);
        let lines: Vec<_> =
            found.iter().map(|each| each.as_ref().map_err(|bad| bad.line)).collect();
        assert_eq!(lines.len(), 6);
        let first = lines[0].unwrap();
        assert_eq!((first.event_id.as_str(), first.event_time_us), ("homes.csv:3.1", 100_000_000));
        assert_eq!((first.kind.as_str(), first.value, first.seq), ("motion", 1.0, 0));
        let end = lines[2].unwrap();
        assert_eq!((end.event_id.as_str(), end.event_time_us), ("homes.csv:5.2", 202_500_000));
        assert_eq!((end.value, end.attributes["room"].as_str()), (2_500.0, "hall"));
        assert_eq!((lines[3], lines[4]), (Err(6), Err(7)));
        assert!(found[3].as_ref().unwrap_err().to_string().contains("event_time"));
        assert_eq!(lines[5].unwrap().device_id, "d-9");
        assert_eq!(read(text), found);
    }

    #[test]
    fn a_missing_column_ends_the_reading() {
        let found = read("at,home\n1,2\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].as_ref().unwrap_err().reason.contains("no column \"sensor\""));
        assert!(read("")[0].is_err());
    }

    #[test]
    fn a_line_past_the_limit_is_reported_and_skipped() {
        let head = "at,home,sensor,lasted,room\n";
        let fits = format!("1,{},M,,", "h".repeat(LINE_BYTES_MAX - 6));
        assert_eq!(fits.len(), LINE_BYTES_MAX);
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let found = read(&format!("{head}{fits}\r\n{fits}y\n{long}\n2,7,M,,\n{long}"));
        let lines: Vec<_> =
            found.iter().map(|each| each.as_ref().map_err(|bad| bad.line)).collect();
        assert!(lines[0].is_ok() && lines[3].is_ok());
        assert_eq!((lines[1], lines[2], lines[4]), (Err(3), Err(4), Err(6)));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn json_lines_and_an_own_or_a_content_id() {
        let base = r#"
            format = "ndjson"
            source = "feed"
            event = { device_id = { pointer = "/dev" }, kind = "gas", event_time = { pointer = "/at", format = "rfc3339" }, value = { pointer = "/reading/0" }, seq = { pointer = "/n" }, event_id = ID }
        "#;
        let text = "{\"dev\":\"g\",\"at\":\"2026-01-01T08:00:00+08:00\",\"reading\":[7.5],\"n\":3}\n{\"dev\":1}\nno\n";
        let read = |id: &str| {
            let mapping = Mapping::parse(&base.replace("ID", id)).unwrap();
            Reader::new(io::Cursor::new(text), "feed.json", &mapping).collect::<Vec<_>>()
        };
        let own = read("{ template = \"{/dev}-{/n}\" }");
        let event = own[0].as_ref().unwrap();
        assert_eq!((event.event_id.as_str(), event.value, event.seq), ("g-3", 7.5, 3));
        assert_eq!(event.event_time_us, 1_767_225_600_000_000);
        assert!(own[1].as_ref().unwrap_err().reason.contains("nothing there"));
        assert!(own[2].as_ref().unwrap_err().reason.contains("not JSON"));
        let hashed = read("\"content\"");
        assert_eq!(hashed[0].as_ref().unwrap().event_id.len(), 24);
        assert_eq!(hashed, read("\"content\""));
    }

    #[test]
    fn a_packed_file_gives_what_the_plain_one_gives_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let text = "at,home,sensor,lasted,room\n1,7,M,,\n2,7,D,3,hall\n";
        let mapping = Mapping::parse(MAPPING).unwrap();
        let plain = folder.path().join("homes.csv");
        std::fs::write(&plain, text).unwrap();
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        let packed_bytes = packer.finish().unwrap();
        let packed = folder.path().join("homes.csv.gz");
        std::fs::write(&packed, &packed_bytes).unwrap();
        let read = |path: &Path| Reader::open(path, &mapping).unwrap().collect::<Vec<_>>();
        assert_eq!(read(&plain), read(&packed));
        assert_eq!(read(&plain).len(), 3);
        std::fs::write(&packed, &packed_bytes[..packed_bytes.len() - 12]).unwrap();
        assert!(
            read(&packed).last().unwrap().as_ref().unwrap_err().reason.contains("cannot be read")
        );
    }

    #[test]
    fn a_file_that_is_not_utf8_is_told_by_its_line() {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let bytes: &[u8] = b"at,home,sensor,lasted,room\n1,\xff,M,,\n2,7,M,,\n";
        let found: Vec<_> = Reader::new(bytes, "x", &mapping).collect();
        assert_eq!(found[0].as_ref().unwrap_err().line, 2);
        assert!(found[1].is_ok());
    }
}
