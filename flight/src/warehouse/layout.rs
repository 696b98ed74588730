//! What the file holds: the tables of `features::civil`, the views over them, and `internal.meta`.

use std::path::Path;

use arrow::datatypes::{DataType, SchemaRef};
use duckdb::{Connection, params};
use features::{
    civil,
    table::{ColumnType, Table},
};

use super::open::one_line;
use crate::{CATALOG, Error, SCHEMA, table_schema};

/// The format of the file. A program refuses a file whose number is larger than its own.
const FORMAT_VERSION: u32 = 1;

/// Something that can be selected from.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    /// `TABLE` or `VIEW`.
    pub kind: &'static str,
    pub schema: SchemaRef,
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's full name.
pub(super) fn full_name(table: &Table) -> String {
    format!("{CATALOG}.{SCHEMA}.{}", quoted(table.name))
}

pub(super) fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Int => "BIGINT",
        ColumnType::Real => "DOUBLE",
        ColumnType::Text => "VARCHAR",
        ColumnType::Time => "TIMESTAMP",
        ColumnType::Date => "DATE",
        ColumnType::Texts => "VARCHAR[]",
        ColumnType::Ints => "BIGINT[]",
        ColumnType::Reasons => "STRUCT(feature VARCHAR, \"value\" DOUBLE, contrib DOUBLE)[]",
    }
}

/// The SQL type of an Arrow column, for the types that tables of ours use.
pub(super) fn sql_type_of(kind: &DataType) -> Result<String, Error> {
    Ok(match kind {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "UTINYINT".to_owned(),
        DataType::UInt16 => "USMALLINT".to_owned(),
        DataType::UInt32 => "UINTEGER".to_owned(),
        DataType::UInt64 => "UBIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("{}[]", sql_type_of(item.data_type())?)
        }
        DataType::Struct(fields) => {
            let part = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                Ok(format!("{} {}", quoted(field.name()), sql_type_of(field.data_type())?))
            };
            format!(
                "STRUCT({})",
                fields.iter().map(part).collect::<Result<Vec<_>, Error>>()?.join(", ")
            )
        }
        other => return Err(Error::Invalid(format!("a column of type {other} cannot be written"))),
    })
}

// No primary keys: an index would be kept in memory and slow every append down. Uniqueness is the
// recorder's, which deletes by key before it appends.
fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|each| format!("{} {}", quoted(each.name), sql_type(each.kind)))
        .collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({})", full_name(table), columns.join(", "))
}

/// Brings a new or an older file to this program's layout.
pub(super) fn prepare(connection: &Connection, file: &Path) -> duckdb::Result<Result<(), Error>> {
    let known: bool = connection.query_row(
        "SELECT count(*) > 0 FROM duckdb_tables() WHERE schema_name = 'internal' AND table_name = 'meta'",
        [],
        |row| row.get(0),
    )?;
    if known {
        let found: u32 =
            connection
                .query_row("SELECT format_version FROM internal.meta", [], |row| row.get(0))?;
        if found > FORMAT_VERSION {
            return Ok(Err(Error::Newer {
                file: file.to_path_buf(),
                found,
                known: FORMAT_VERSION,
            }));
        }
    }
    connection.execute_batch("BEGIN; CREATE SCHEMA IF NOT EXISTS hearth.civil")?;
    connection.execute_batch("CREATE SCHEMA IF NOT EXISTS hearth.internal")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS internal.meta (format_version UINTEGER, recorded_index UBIGINT)",
    )?;
    if !known {
        connection.execute("INSERT INTO internal.meta VALUES (?, 0)", params![FORMAT_VERSION])?;
    }
    for table in civil::TABLES {
        connection.execute_batch(&create_table(table))?;
        arrange_columns(connection, table)?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(Ok(()))
}

/// Columns that this program knows and an older file does not are added, empty.
fn arrange_columns(connection: &Connection, table: &Table) -> duckdb::Result<()> {
    let mut statement = connection.prepare(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
    )?;
    let found: Vec<String> = statement
        .query_map(params![SCHEMA, table.name], |row| row.get(0))?
        .collect::<duckdb::Result<_>>()?;
    for column in table.columns.iter().filter(|each| !found.iter().any(|name| name == each.name)) {
        let (table, name) = (full_name(table), quoted(column.name));
        connection.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN {name} {}",
            sql_type(column.kind)
        ))?;
    }
    let wanted: Vec<&str> = table.columns.iter().map(|each| each.name).collect();
    if found != wanted {
        // Appends go by position, so the order in the file has to be this program's.
        let (name, columns) =
            (full_name(table), wanted.iter().map(|each| quoted(each)).collect::<Vec<_>>());
        let columns = columns.join(", ");
        connection.execute_batch(&format!(
            "CREATE OR REPLACE TABLE {name} AS SELECT {columns} FROM {name}"
        ))?;
    }
    Ok(())
}

/// The views of `schema/views.sql`, made anew at each start since they name this process's live tables.
pub(super) fn create_views(connection: &Connection, live_id: u64) -> Result<(), Error> {
    let text = include_str!("../../schema/views.sql").replace("$live", &live_id.to_string());
    connection.execute_batch(&text).map_err(|error| Error::Internal(one_line(&error)))
}

/// Every table and view, tables first.
pub(super) fn relations(connection: &Connection) -> duckdb::Result<Vec<Relation>> {
    let mut relations: Vec<Relation> = civil::TABLES
        .iter()
        .map(|table| Relation {
            name: table.name.to_owned(),
            kind: "TABLE",
            schema: table_schema(table),
        })
        .collect();
    let mut statement = connection.prepare(
        "SELECT view_name FROM duckdb_views() WHERE schema_name = ? AND NOT internal ORDER BY view_name",
    )?;
    let views: Vec<String> =
        statement.query_map([SCHEMA], |row| row.get(0))?.collect::<duckdb::Result<_>>()?;
    for name in views {
        let sql = format!("SELECT * FROM {CATALOG}.{SCHEMA}.{} LIMIT 0", quoted(&name));
        let mut statement = connection.prepare(&sql)?;
        let schema = statement.stream_arrow([])?.get_schema();
        relations.push(Relation { name, kind: "VIEW", schema });
    }
    Ok(relations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, WAREHOUSE_FILE, Warehouse};

    fn altered(sql: &str) -> (tempfile::TempDir, Result<Warehouse, Error>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(WAREHOUSE_FILE);
        drop(Warehouse::open(&file, Settings::default()).unwrap());
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let opened = Warehouse::open_existing(&file, Settings::default());
        (folder, opened)
    }

    #[test]
    fn a_newer_format_is_refused() {
        let (_folder, opened) = altered("UPDATE internal.meta SET format_version = 99");
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    }

    #[test]
    fn an_older_files_columns_are_completed_in_order() {
        let (folder, opened) = altered(
            "INSERT INTO civil.grid (grid_id, area_m2) VALUES ('g', 2.5);
             ALTER TABLE civil.grid DROP COLUMN community; DROP TABLE civil.recon",
        );
        drop(opened.unwrap());
        let connection = Connection::open(folder.path().join(WAREHOUSE_FILE)).unwrap();
        let mut statement = connection.prepare("FROM civil.grid").unwrap();
        let row = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(5 - 1)?)));
        let row: (String, Option<String>, f64) = row.unwrap();
        assert_eq!(row, ("g".to_owned(), None, 2.5));
        let columns = civil::table("grid").unwrap().columns;
        let schema = statement.stream_arrow([]).unwrap().get_schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, columns.iter().map(|each| each.name).collect::<Vec<_>>());
        connection.prepare("FROM civil.recon").unwrap();
    }
}
