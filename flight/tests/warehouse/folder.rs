//! A warehouse in a folder of its own, and rows for it.

use std::path::Path;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use features::{
    civil,
    table::{Cell, ColumnType, Table},
};
use flight::{Error, Settings, WAREHOUSE_FILE, Warehouse};

pub(crate) fn settings() -> Settings {
    Settings { threads: 2, queries_max: 4, ..Settings::default() }
}

pub(crate) fn open(folder: &Path) -> Warehouse {
    Warehouse::open(&folder.join(WAREHOUSE_FILE), settings()).unwrap()
}

pub(crate) fn table(name: &str) -> &'static Table {
    civil::table(name).unwrap()
}

/// A row that differs with `seed`, every third one with gaps.
pub(crate) fn row(table: &Table, seed: i64) -> Vec<Cell> {
    let cell = |(at, kind): (usize, ColumnType)| {
        if at >= table.key && (seed + at as i64) % 3 == 0 {
            return Cell::Null;
        }
        match kind {
            ColumnType::Bool => Cell::Bool(seed % 2 == 0),
            ColumnType::Int => Cell::Int(seed * 10 + at as i64),
            ColumnType::Real => Cell::Real(seed as f64 / 4.0),
            ColumnType::Text => Cell::text(format!("{} 名 {seed}", table.columns[at].name)),
            ColumnType::Time => Cell::Time(1_700_000_000_000_001 + seed),
            ColumnType::Date => Cell::Date(19_000 + seed as i32),
            ColumnType::Texts => Cell::Texts((0..seed % 3).map(|each| each.to_string()).collect()),
            ColumnType::Ints => Cell::Ints((0..seed % 4).collect()),
            ColumnType::Reasons => {
                Cell::Reasons(vec![("gap".to_owned(), seed as f64, -0.5); seed as usize % 3])
            }
        }
    };
    table.columns.iter().map(|each| each.kind).enumerate().map(cell).collect()
}

pub(crate) async fn ask(warehouse: &Warehouse, sql: &str) -> Result<Vec<RecordBatch>, Error> {
    warehouse.reader().query(sql, Vec::new()).await?.collect().await
}

pub(crate) async fn number(warehouse: &Warehouse, sql: &str) -> i64 {
    let batches = ask(warehouse, sql).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}
