//! A DuckDB file that somebody works in for a while: what was recorded, copied here, so that large
//! questions about it cost the node nothing.

use std::path::Path;

use arrow::{array::RecordBatch, datatypes::Schema};
use duckdb::{Config, Connection};

use super::{
    layout::{quoted, sql_type_of},
    open::one_line,
};
use crate::Error;

/// The name of the file: DuckDB calls the catalog by it.
const FILE: &str = "hearth.duckdb";
/// DuckDB's own chunk; a larger batch with lists is copied whole for each.
const CHUNK_ROWS: usize = 2048;

/// Private to who made it; not bounded in time, but in memory.
#[derive(Debug)]
pub struct Scratch {
    connection: Connection,
}

impl Scratch {
    /// A new file in an empty folder, which it may also fill with what does not fit into memory.
    pub fn new(folder: &Path, memory_bytes_max: u64, threads: usize) -> Result<Self, Error> {
        let config = || {
            Config::default()
                .enable_autoload_extension(false)?
                .with("preserve_insertion_order", "true")?
                .max_memory(&format!("{memory_bytes_max}B"))?
                .threads(i64::try_from(threads.max(1)).unwrap_or(1))
        };
        let connection = config()
            .and_then(|config| Connection::open_with_flags(folder.join(FILE), config))
            .map_err(|error| broken(&error))?;
        let scratch = Self { connection };
        scratch.run("SET TimeZone = 'UTC'; CREATE SCHEMA hearth.civil; USE hearth.civil")?;
        Ok(scratch)
    }

    /// A table for rows of a schema.
    pub fn create(&self, table: &str, schema: &Schema) -> Result<(), Error> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                Ok(format!("{} {}", quoted(field.name()), sql_type_of(field.data_type())?))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        self.run(&format!("CREATE TABLE hearth.civil.{} ({})", quoted(table), columns.join(", ")))
    }

    pub fn append(&self, table: &str, batch: &RecordBatch) -> Result<(), Error> {
        let mut appender = self
            .connection
            .appender_to_catalog_and_db(table, "hearth", "civil")
            .map_err(|error| broken(&error))?;
        for at in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
            let rows = batch.slice(at, CHUNK_ROWS.min(batch.num_rows() - at));
            appender.append_record_batch(rows).map_err(|error| broken(&error))?;
        }
        appender.flush().map_err(|error| broken(&error))
    }

    /// Runs one statement and hands its rows on as they come.
    pub fn query(
        &self,
        sql: &str,
        mut each: impl FnMut(RecordBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare(sql).map_err(|error| broken(&error))?;
        statement.stream_arrow([]).map_err(|error| broken(&error)).map(drop)?;
        // Its own iterator panics where a chunk cannot be had.
        while let Some(chunk) = statement.step().map_err(|error| broken(&error))? {
            each(RecordBatch::from(&chunk))?;
        }
        Ok(())
    }

    pub fn number(&self, sql: &str) -> Result<u64, Error> {
        let number = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        number.map(i64::unsigned_abs).map_err(|error| broken(&error))
    }

    fn run(&self, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql).map_err(|error| broken(&error))
    }
}

fn broken(error: &duckdb::Error) -> Error {
    Error::Internal(format!("the recomputation failed: {}", one_line(error)))
}
