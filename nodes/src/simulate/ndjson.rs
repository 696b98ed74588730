//! A district as lines of JSON: one object a row or event, and a list of the files' SHA-256.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use features::event::Event;
use features::table::{Cell, Table};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::sink::Sink;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Why a district was not written.
#[derive(Debug, thiserror::Error)]
pub enum NdjsonError {
    #[error("cannot write {path}: {source}; free the place or give another folder")]
    Write { path: String, source: io::Error },
}

/// Writes `tables/NAME.ndjson`, `truth/NAME.ndjson`, `events/day-0001.ndjson` and `SHA256SUMS`.
#[derive(Debug)]
pub struct NdjsonSink {
    folder: PathBuf,
    open: Option<(String, Hashing)>,
    sums: BTreeMap<String, String>,
}

impl NdjsonSink {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: None, sums: BTreeMap::new() }
    }

    /// Ends the last file and writes the list of hashes, which is returned: path and SHA-256 in hex.
    pub fn finish(mut self) -> Result<BTreeMap<String, String>, NdjsonError> {
        self.close()?;
        let list: String =
            self.sums.iter().map(|(path, sum)| sum.clone() + "  " + path + "\n").collect();
        let path = self.folder.join("SHA256SUMS");
        fs::write(&path, list).map_err(|error| refuse(&path, error))?;
        Ok(self.sums)
    }

    fn close(&mut self) -> Result<(), NdjsonError> {
        if let Some((name, file)) = self.open.take() {
            let sum = file.finish().map_err(|error| refuse(&self.folder.join(&name), error))?;
            self.sums.insert(name, sum);
        }
        Ok(())
    }

    /// The file of that name, opened anew when another one was open.
    fn file(&mut self, name: &str) -> Result<&mut Hashing, NdjsonError> {
        if self.open.as_ref().is_none_or(|open| open.0 != name) {
            self.close()?;
            let path = self.folder.join(name);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            let file =
                made.and_then(|()| File::create(&path)).map_err(|error| refuse(&path, error))?;
            let hashing = Hashing { file: BufWriter::new(file), hash: Sha256::new() };
            return Ok(&mut self.open.insert((name.to_owned(), hashing)).1);
        }
        match &mut self.open {
            Some(open) => Ok(&mut open.1),
            None => Err(refuse(&self.folder.join(name), io::Error::other("no file is open"))),
        }
    }

    fn rows(&mut self, name: &str, table: &Table, rows: &[Vec<Cell>]) -> Result<(), NdjsonError> {
        let path = self.folder.join(name);
        let file = self.file(name)?;
        for row in rows {
            let cells = table.columns.iter().zip(row);
            let object: Map<String, Value> =
                cells.map(|(column, cell)| (column.name.to_owned(), value(cell))).collect();
            write_line(file, &object).map_err(|error| refuse(&path, error))?;
        }
        Ok(())
    }
}

impl Sink for NdjsonSink {
    type Error = NdjsonError;

    fn table(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> Result<(), NdjsonError> {
        self.rows(&format!("tables/{}.ndjson", table.name), table, rows)
    }

    fn truth(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> Result<(), NdjsonError> {
        self.rows(&format!("truth/{}.ndjson", table.name), table, rows)
    }

    fn events(
        &mut self,
        day: u32,
        events: &mut dyn Iterator<Item = Event>,
    ) -> Result<(), NdjsonError> {
        let name = format!("events/day-{day:04}.ndjson");
        let path = self.folder.join(&name);
        let file = self.file(&name)?;
        for event in events {
            write_event(file, &event).map_err(|error| refuse(&path, error))?;
        }
        Ok(())
    }
}

/// Writes an event as one line, with the field names of the wire message.
pub fn write_event(out: &mut impl Write, event: &Event) -> io::Result<()> {
    write_line(out, event)
}

fn write_line(out: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn refuse(path: &Path, source: io::Error) -> NdjsonError {
    NdjsonError::Write { path: path.display().to_string(), source }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(truth) => Value::from(*truth),
        Cell::Int(number) | Cell::Time(number) => Value::from(*number),
        Cell::Real(number) => Value::from(*number),
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Date(day) => Value::from(*day),
        Cell::Texts(texts) => Value::from(texts.clone()),
        Cell::Ints(numbers) => Value::from(numbers.clone()),
        Cell::Reasons(reasons) => {
            reasons.iter().map(|each| serde_json::json!([each.0, each.1, each.2])).collect()
        }
    }
}

/// A file that knows the hash of what was written to it.
#[derive(Debug)]
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashing {
    fn finish(mut self) -> io::Result<String> {
        self.file.flush()?;
        let mut hex = String::with_capacity(64);
        for byte in self.hash.finalize() {
            hex.extend([byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)])));
        }
        Ok(hex)
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
