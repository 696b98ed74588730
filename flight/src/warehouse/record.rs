//! The one writer: what the log says, and the index it says it at, in one transaction.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use arrow::array::RecordBatch;
use duckdb::{Connection, params};
use features::{
    EventColumns, civil,
    table::{Cell, Table},
};

use super::{
    layout::{full_name, quoted},
    open::one_line,
    parquet::read_parquet_batches,
};
use crate::{CATALOG, Error, SCHEMA, event_batch::event_batch, rows_to_batch};

/// DuckDB's own chunk. A slice of a larger batch would copy its lists whole, each time.
const CHUNK_ROWS: usize = 2048;

/// Rows of one table.
type Rows = (&'static Table, Vec<Vec<Cell>>);

/// What a stretch of the log did to the tables. Applied in the order of the fields, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The last index of the stretch. A recording that is not beyond the recorded index is skipped.
    pub through: u64,
    /// Tables that are emptied first, as after a snapshot was installed.
    pub replaces: Vec<&'static Table>,
    /// Keys of rows that go. A key that is written again within the stretch belongs to `upserts` only.
    pub deletes: Vec<Rows>,
    /// Rows that take the place of those with their keys; of several with one key the last counts.
    pub upserts: Vec<Rows>,
    /// Rows that are new.
    pub appends: Vec<Rows>,
    /// Rows of `sensor_event` that are new.
    pub events: EventColumns,
}

pub(super) struct Writer {
    connection: Connection,
    recorded: u64,
    next_query_id: i64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("recorded", &self.recorded).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(connection: Connection) -> duckdb::Result<Self> {
        let recorded =
            connection
                .query_row("SELECT recorded_index FROM internal.meta", [], |row| row.get(0))?;
        let next_query_id = connection.query_row(
            "SELECT coalesce(max(query_id), 0) + 1 FROM hearth.civil.query_log",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { connection, recorded, next_query_id })
    }

    pub(super) fn recorded_index(&self) -> u64 {
        self.recorded
    }

    pub(super) fn record(
        &mut self,
        recording: &Recording,
        take_notes: impl FnOnce() -> Vec<Vec<Cell>>,
    ) -> Result<u64, Error> {
        if recording.through <= self.recorded {
            return Ok(self.recorded);
        }
        let through = recording.through;
        self.connection.execute_batch("BEGIN TRANSACTION").map_err(|error| broken(&error))?;
        let done = self
            .apply(recording, take_notes())
            .and_then(|()| self.connection.execute_batch("COMMIT").map_err(|error| broken(&error)));
        if let Err(error) = done {
            // The transaction may be gone already; what counts is the first error.
            drop(self.connection.execute_batch("ROLLBACK"));
            return Err(error);
        }
        self.recorded = through;
        Ok(through)
    }

    fn apply(&mut self, recording: &Recording, notes: Vec<Vec<Cell>>) -> Result<(), Error> {
        for table in &recording.replaces {
            self.run(&format!("DELETE FROM {}", full_name(table)))?;
        }
        for (table, keys) in &recording.deletes {
            self.delete(table, keys)?;
        }
        for (table, rows) in &recording.upserts {
            self.upsert(table, rows)?;
        }
        for (table, rows) in &recording.appends {
            self.append(table, rows)?;
        }
        if let Some(table) = civil::table("sensor_event").filter(|_| !recording.events.is_empty()) {
            let batch = event_batch(table, &recording.events);
            self.append_to(CATALOG, SCHEMA, table.name, std::iter::once(batch))?;
        }
        self.append_notes(notes)?;
        self.connection
            .prepare_cached("UPDATE internal.meta SET recorded_index = ?")
            .and_then(|mut statement| statement.execute(params![recording.through]))
            .map_err(|error| broken(&error))?;
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql).map_err(|error| broken(&error))
    }

    fn append(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Error> {
        self.append_to(CATALOG, SCHEMA, table.name, batches(table, rows))
    }

    fn append_to(
        &self,
        catalog: &str,
        schema: &str,
        name: &str,
        batches: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<(), Error> {
        let mut batches = batches.peekable();
        if batches.peek().is_none() {
            return Ok(());
        }
        let mut appender = self
            .connection
            .appender_to_catalog_and_db(name, catalog, schema)
            .map_err(|error| broken(&error))?;
        for batch in batches {
            appender.append_record_batch(batch?).map_err(|error| broken(&error))?;
        }
        appender.flush().map_err(|error| broken(&error))
    }

    fn upsert(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = last_by_key(table, rows)?;
        let staged = self.stage(table, &rows)?;
        self.run(&format!(
            "DELETE FROM {} AS t USING {staged} AS s WHERE {}",
            full_name(table),
            same_key(table)
        ))?;
        self.run(&format!("INSERT INTO {} SELECT * FROM {staged}", full_name(table)))?;
        self.run(&format!("DROP TABLE {staged}"))
    }

    fn delete(&self, table: &Table, keys: &[Vec<Cell>]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            if key.len() != table.key {
                let (want, got) = (table.key, key.len());
                return Err(Error::Invalid(format!(
                    "a key of {} has {want} cells, not {got}",
                    table.name
                )));
            }
            let mut row = key.clone();
            row.resize(table.columns.len(), Cell::Null);
            rows.push(row);
        }
        let staged = self.stage(table, &rows)?;
        self.run(&format!(
            "DELETE FROM {} AS t USING {staged} AS s WHERE {}",
            full_name(table),
            same_key(table)
        ))?;
        self.run(&format!("DROP TABLE {staged}"))
    }

    /// Puts rows into a temporary table of the same columns, so that a join can find their keys.
    fn stage(&self, table: &Table, rows: &[Vec<Cell>]) -> Result<String, Error> {
        let name = format!("staged_{}", table.name);
        let staged = format!("temp.main.{}", quoted(&name));
        self.run(&format!(
            "CREATE OR REPLACE TEMP TABLE {} AS FROM {} LIMIT 0",
            quoted(&name),
            full_name(table)
        ))?;
        self.append_to("temp", "main", &name, batches(table, rows))?;
        Ok(staged)
    }

    fn append_notes(&mut self, mut notes: Vec<Vec<Cell>>) -> Result<(), Error> {
        let Some(table) = civil::table("query_log") else { return Ok(()) };
        for (id, row) in (self.next_query_id..).zip(&mut notes) {
            if let Some(cell) = row.first_mut() {
                *cell = Cell::Int(id);
            }
        }
        self.next_query_id += notes.len() as i64;
        self.append(table, &notes)
    }

    pub(super) fn load_parquet(&self, table: &Table, path: &Path) -> Result<u64, Error> {
        let mut rows = 0;
        self.run("BEGIN TRANSACTION")?;
        let done = read_parquet_batches(path, |batch| {
            rows += batch.num_rows() as u64;
            self.append_to(CATALOG, SCHEMA, table.name, std::iter::once(Ok(batch)))
        });
        if let Err(error) = done.and_then(|()| self.run("COMMIT")) {
            drop(self.connection.execute_batch("ROLLBACK"));
            return Err(error);
        }
        Ok(rows)
    }

    pub(super) fn read_whole(&self, table: &Table) -> Result<u64, Error> {
        // A hash of the row needs every column of it.
        let sql = format!("SELECT count(*), bit_xor(hash(t)) FROM {} AS t", full_name(table));
        self.connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| Error::Internal(one_line(&error)))
    }

    pub(super) fn checkpoint(&self) -> Result<bool, Error> {
        match self.connection.execute_batch("CHECKPOINT") {
            Ok(()) => Ok(true),
            Err(error) if one_line(&error).contains("Cannot CHECKPOINT") => Ok(false),
            Err(error) => Err(broken(&error)),
        }
    }
}

fn broken(error: &duckdb::Error) -> Error {
    Error::Internal(format!("the warehouse could not be written: {}", one_line(error)))
}

fn same_key(table: &Table) -> String {
    let same = |name: &str| format!("t.{0} = s.{0}", quoted(name));
    table
        .columns
        .iter()
        .take(table.key)
        .map(|each| same(each.name))
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// Rows in batches of the size that DuckDB takes them in.
fn batches(table: &Table, rows: &[Vec<Cell>]) -> impl Iterator<Item = Result<RecordBatch, Error>> {
    rows.chunks(CHUNK_ROWS).map(move |chunk| rows_to_batch(table, chunk))
}

/// One row a key, the last, in the order of their last appearance's key.
fn last_by_key<'a>(table: &Table, rows: &'a [Vec<Cell>]) -> Result<Cow<'a, [Vec<Cell>]>, Error> {
    let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        table.check(row)?;
        places.insert(table.key_of(row)?, at);
    }
    if places.len() == rows.len() {
        return Ok(Cow::Borrowed(rows));
    }
    let kept: BTreeSet<usize> = places.into_values().collect();
    Ok(kept.into_iter().filter_map(|at| rows.get(at).cloned()).collect())
}
