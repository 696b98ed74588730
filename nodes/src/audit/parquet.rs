//! An export as Parquet: a row an entry, before them one of kind
//! `header`, after them one of kind `end`. The columns beside the
//! text are for those who read it with SQL; they are checked against the text.

use super::file::{FileError, Header, Trailer, text};
use super::{Checked, Checker};
use crate::proto::hearth::LedgerEntry;
use crate::state::Entry;
use crate::state::ledger::{What, ZERO};
use features::table::{Cell, Column, ColumnType, Mode, Table};
use flight::{ParquetWriter, batch_to_rows, read_parquet_batches, rows_to_batch, table_schema};
use std::path::Path;

const CHUNK_ROWS: usize = 1_024;
/// Kinds of the first and the last row.
const HEADER: &str = "header";
const END: &str = "end";

const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind }
}

static TABLE: Table = Table {
    name: "ledger_export",
    mode: Mode::History,
    key: 1,
    columns: &[
        column("seq", ColumnType::Int),
        column("kind", ColumnType::Text),
        column("decision_id", ColumnType::Text),
        column("entity", ColumnType::Text),
        column("model", ColumnType::Text),
        column("version", ColumnType::Text),
        column("score", ColumnType::Real),
        column("at", ColumnType::Time),
        column("text", ColumnType::Text),
        column("content_sha256", ColumnType::Text),
        column("previous_hash", ColumnType::Text),
        column("hash", ColumnType::Text),
    ],
};

#[derive(Debug)]
pub(super) struct ParquetExport {
    writer: ParquetWriter,
    waiting: Vec<Vec<Cell>>,
}

impl ParquetExport {
    pub(super) fn create(file: &Path, header: &Header) -> Result<Self, FileError> {
        let writer = ParquetWriter::new(file, &table_schema(&TABLE))?;
        Ok(Self { writer, waiting: vec![frame(HEADER, text(header))] })
    }

    pub(super) fn push(&mut self, entry: &LedgerEntry) -> Result<(), FileError> {
        self.waiting.push(row(entry));
        if self.waiting.len() >= CHUNK_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let rows = std::mem::take(&mut self.waiting);
        Ok(self.writer.append(rows_to_batch(&TABLE, &rows)?)?)
    }

    pub(super) fn finish(mut self, trailer: &Trailer) -> Result<(), FileError> {
        self.waiting.push(frame(END, text(trailer)));
        self.flush()?;
        Ok(self.writer.finish()?)
    }
}

/// A row that is no entry.
fn frame(kind: &str, text: String) -> Vec<Cell> {
    let mut row = vec![Cell::Null; TABLE.columns.len()];
    (row[1], row[8]) = (Cell::text(kind), Cell::Text(text));
    row
}

fn row(of: &LedgerEntry) -> Vec<Cell> {
    let hex = |bytes: &[u8]| Cell::Text(crate::hex::encode(bytes));
    let mut row = vec![Cell::Int(of.seq as i64), Cell::text("left out")];
    row.resize(8, Cell::Null);
    if let Ok(entry) = Entry::parse(&of.text, ZERO, ZERO) {
        row = described(&entry);
    }
    row.extend([
        if of.text.is_empty() { Cell::Null } else { Cell::text(&of.text) },
        hex(&of.content_sha256),
        hex(&of.previous_hash),
        hex(&of.hash),
    ]);
    row
}

/// The columns that say what stands in the text.
fn described(entry: &Entry) -> Vec<Cell> {
    let (model, version, score) = match &entry.what {
        What::Decision(of) => {
            (Cell::text(&of.model), Cell::text(&of.version), Cell::Real(of.score))
        }
        What::Outcome(of) => (Cell::text(&of.model), Cell::text(&of.version), Cell::Real(of.score)),
        What::Review(_) => (Cell::Null, Cell::Null, Cell::Null),
    };
    vec![
        Cell::Int(entry.seq as i64),
        Cell::text(entry.kind()),
        Cell::text(entry.decision_id()),
        Cell::text(entry.entity()),
        model,
        version,
        score,
        Cell::Time(entry.at_us),
    ]
}

pub(super) fn read(file: &Path) -> Result<(Header, Checked), FileError> {
    let damaged = |said: String| FileError::Damaged { file: file.to_owned(), said };
    let mut reading = Reading::default();
    let mut failed: Option<Wrong> = None;
    read_parquet_batches(file, |batch| {
        for row in batch_to_rows(&TABLE, &batch)? {
            if failed.is_none() {
                failed = reading.take(&row).err();
            }
        }
        Ok(())
    })
    .map_err(|error| damaged(error.to_string()))?;
    match failed {
        Some(Wrong::Misfit(misfit)) => {
            return Err(FileError::Misfit { file: file.to_owned(), misfit });
        }
        Some(Wrong::Said(said)) => return Err(damaged(said)),
        None => {}
    }
    match (reading.header, reading.is_ended) {
        (Some(header), true) => Ok((header, reading.checker.checked())),
        (None, _) => Err(damaged("it is no export of a ledger".to_owned())),
        (_, false) => Err(damaged("it is cut short: its last row is missing".to_owned())),
    }
}

enum Wrong {
    Misfit(crate::state::ledger::Misfit),
    Said(String),
}

#[derive(Default)]
struct Reading {
    header: Option<Header>,
    checker: Checker,
    is_ended: bool,
}

impl Reading {
    fn take(&mut self, row: &[Cell]) -> Result<(), Wrong> {
        let said = |said: &str| Err(Wrong::Said(said.to_owned()));
        let text = row[8].as_text().unwrap_or_default();
        if self.is_ended {
            return said("there is something after its last row");
        }
        if self.header.is_none() {
            self.header = Some(Header::parse(text).map_err(Wrong::Said)?);
            return Ok(());
        }
        if row[1].as_text() != Some(END) {
            return take(&mut self.checker, row);
        }
        self.is_ended = true;
        match serde_json::from_str::<Trailer>(text) {
            Ok(trailer) => trailer.check(&self.checker).map_err(Wrong::Misfit),
            Err(_) => said("its last row cannot be read"),
        }
    }
}

fn take(checker: &mut Checker, row: &[Cell]) -> Result<(), Wrong> {
    let Cell::Int(seq) = row[0] else {
        return Err(Wrong::Said("a row has no number".to_owned()));
    };
    let hash =
        |at: usize| row[at].as_text().and_then(crate::hex::decode32).map(|hash| hash.to_vec());
    let entry = LedgerEntry {
        seq: seq.unsigned_abs(),
        text: row[8].as_text().unwrap_or_default().to_owned(),
        content_sha256: hash(9).unwrap_or_default(),
        previous_hash: hash(10).unwrap_or_default(),
        hash: hash(11).unwrap_or_default(),
        ..LedgerEntry::default()
    };
    checker.take(&entry).map_err(Wrong::Misfit)?;
    if let Ok(parsed) = Entry::parse(&entry.text, ZERO, ZERO)
        && described(&parsed) != row[..8]
    {
        let said = format!("{}: a column beside its text says something else", parsed.name());
        return Err(Wrong::Said(said));
    }
    Ok(())
}
