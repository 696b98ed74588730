//! Parquet files, by a private DuckDB with one thread and fixed options: the same rows give the
//! same bytes.

use std::path::{Path, PathBuf};

use arrow::{array::RecordBatch, datatypes::Schema};
use duckdb::{Config, Connection};
use features::table::{Cell, Table};

use super::{
    layout::{quoted, sql_type_of},
    open::one_line,
};
use crate::{Error, batch_to_rows, rows_to_batch, table_schema};

const CHUNK_ROWS: usize = 2048;
const MEMORY: &str = "1GB";
const OPTIONS: &str = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880";

/// Writes one file, batch by batch. The file appears when [`Self::finish`] is called, whole.
#[derive(Debug)]
pub struct ParquetWriter {
    path: PathBuf,
    connection: Connection,
}

impl ParquetWriter {
    pub fn new(path: &Path, schema: &Schema) -> Result<Self, Error> {
        let folder =
            path.parent().filter(|each| !each.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let connection = private(folder)?;
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                Ok(format!("{} {}", quoted(field.name()), sql_type_of(field.data_type())?))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let sql = format!("CREATE TABLE rows ({})", columns.join(", "));
        connection.execute_batch(&sql).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Appends a batch whose columns are the schema's. One with lists should have at most 2,048 rows.
    pub fn append(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let mut appender =
            self.connection.appender("rows").map_err(|error| unwritten(&self.path, &error))?;
        appender.append_record_batch(batch).map_err(|error| unwritten(&self.path, &error))?;
        appender.flush().map_err(|error| unwritten(&self.path, &error))
    }

    pub fn finish(self) -> Result<(), Error> {
        let part = self.path.with_extension("part");
        let sql = format!("COPY rows TO {} ({OPTIONS})", text(&part));
        self.connection.execute_batch(&sql).map_err(|error| unwritten(&self.path, &error))?;
        std::fs::rename(&part, &self.path).map_err(|error| {
            Error::Internal(format!("{} cannot be written: {error}", self.path.display()))
        })
    }
}

/// Writes a table's rows.
pub fn write_parquet(path: &Path, table: &Table, rows: &[Vec<Cell>]) -> Result<(), Error> {
    let mut writer = ParquetWriter::new(path, &table_schema(table))?;
    for chunk in rows.chunks(CHUNK_ROWS) {
        writer.append(rows_to_batch(table, chunk)?)?;
    }
    writer.finish()
}

/// Writes batches that share a schema.
pub fn write_batches(
    path: &Path,
    schema: &Schema,
    batches: impl IntoIterator<Item = RecordBatch>,
) -> Result<(), Error> {
    let mut writer = ParquetWriter::new(path, schema)?;
    for batch in batches {
        writer.append(batch)?;
    }
    writer.finish()
}

/// Reads a table's rows; columns are found by name, as in an ingest.
pub fn read_parquet(path: &Path, table: &Table) -> Result<Vec<Vec<Cell>>, Error> {
    let mut rows = Vec::new();
    read_parquet_batches(path, |batch| {
        rows.append(&mut batch_to_rows(table, &batch)?);
        Ok(())
    })?;
    Ok(rows)
}

/// Reads a file batch by batch, at most 2,048 rows each.
pub fn read_parquet_batches(
    path: &Path,
    mut each: impl FnMut(RecordBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    if !path.exists() {
        return Err(Error::NotFound(format!("there is no file {}", path.display())));
    }
    let connection = private(path.parent().unwrap_or(Path::new(".")))?;
    let sql = format!("SELECT * FROM read_parquet({})", text(path));
    let damaged = |error: duckdb::Error| unreadable(path, &error);
    let mut statement = connection.prepare(&sql).map_err(damaged)?;
    drop(statement.stream_arrow([]).map_err(damaged)?);
    while let Some(chunk) = statement.step().map_err(damaged)? {
        each(RecordBatch::from(&chunk))?;
    }
    Ok(())
}

fn private(spill: &Path) -> Result<Connection, Error> {
    let internal = |error: duckdb::Error| Error::Internal(one_line(&error));
    let config = Config::default()
        .enable_autoload_extension(false)
        .and_then(|config| config.threads(1))
        .and_then(|config| config.max_memory(MEMORY))
        .and_then(|config| config.with("temp_directory", spill.join(".spill").to_string_lossy()))
        .map_err(internal)?;
    Connection::open_in_memory_with_flags(config).map_err(internal)
}

fn text(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "''"))
}

fn unwritten(path: &Path, error: &duckdb::Error) -> Error {
    Error::Internal(format!("{} cannot be written: {}", path.display(), one_line(error)))
}

fn unreadable(path: &Path, error: &duckdb::Error) -> Error {
    Error::Invalid(format!(
        "{} is not a readable Parquet file: {}",
        path.display(),
        one_line(error)
    ))
}

#[cfg(test)]
mod tests {
    use features::civil;

    use super::*;

    #[test]
    fn the_same_rows_give_the_same_bytes_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let table = civil::table("assessment").unwrap();
        let row = |at: i64| {
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = Cell::text(format!("a{at}"));
            row[3] = Cell::Ints(vec![at, -at]);
            row[7] = Cell::Date(at as i32);
            row[10] = Cell::Time(at * 1_000_001);
            row
        };
        let rows: Vec<_> = (0..5000).map(row).collect();
        let (one, two) =
            (folder.path().join("one.parquet"), folder.path().join("it's two.parquet"));
        write_parquet(&one, table, &rows).unwrap();
        write_parquet(&two, table, &rows).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        assert_eq!(read_parquet(&two, table).unwrap(), rows);
        std::fs::write(&one, b"PAR1 and nothing else").unwrap();
        assert!(read_parquet(&one, table).unwrap_err().to_string().contains("one.parquet"));
        let missing = read_parquet(&folder.path().join("none"), table);
        assert!(matches!(missing, Err(Error::NotFound(_))));
    }
}
