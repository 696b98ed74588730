//! The reference tables: rows by key, kept as bytes.

use features::RowSource;
use features::table::{Cell, Mode, RowError, Table, decode_row, encode_row};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows that one reader keeps open: a view seldom passes more.
const OPEN_ROWS_MAX: usize = 4;

/// Rows of every reference table. Reads decode the one row they need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    tables: BTreeMap<String, OrdMap<Bytes, Bytes>>,
}

/// Shared, as the maps are, with what a snapshot holds.
type Bytes = Arc<[u8]>;

impl Rows {
    /// Puts a row in its place; false when the very same row stood there already.
    pub fn upsert(&mut self, table: &Table, row: &[Cell]) -> Result<bool, RowError> {
        debug_assert!(table.mode == Mode::Reference);
        table.check(row)?;
        let key = Bytes::from(table.key_of(row)?);
        let bytes = Bytes::from(encode_row(row)?);
        let rows = self.tables.entry(table.name.to_owned()).or_default();
        if rows.get(&key) == Some(&bytes) {
            return Ok(false);
        }
        rows.insert(key, bytes);
        Ok(true)
    }

    pub fn get(&self, table: &str, key: &[u8]) -> Option<Vec<Cell>> {
        decode_row(self.tables.get(table)?.get(key)?).ok()
    }

    pub fn count(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, OrdMap::len)
    }

    /// Rows of a table in key order.
    pub fn scan(&self, table: &str) -> impl Iterator<Item = Vec<Cell>> {
        self.tables.get(table).into_iter().flatten().filter_map(|(_, bytes)| decode_row(bytes).ok())
    }

    /// Rows of a table with a key of several columns, whose first is this text.
    pub fn with_first_key(&self, table: &Table, first: &str, limit: usize) -> Vec<Vec<Cell>> {
        let (Some(rows), Ok(cell)) =
            (self.tables.get(table.name), postcard::to_stdvec(&Cell::text(first)))
        else {
            return Vec::new();
        };
        // A key of several columns is the encoding of a list: its length, then the cells.
        let mut from = vec![table.key as u8];
        from.extend_from_slice(&cell);
        rows.range(Bytes::from(from.clone())..)
            .take_while(|(key, _)| key.starts_with(&from))
            .filter_map(|(_, bytes)| decode_row(bytes).ok())
            .take(limit)
            .collect()
    }
}

/// The rows for one reader: what it opened last stays open, so that many columns of a row cost one
/// search and one decoding.
#[derive(Debug)]
pub struct OpenRows<'a> {
    rows: &'a Rows,
    open: RefCell<Vec<OpenRow>>,
}

#[derive(Debug)]
struct OpenRow {
    table: &'static str,
    key: String,
    /// Nothing where there is no such row.
    cells: Option<Vec<Cell>>,
}

impl Rows {
    pub fn reader(&self) -> OpenRows<'_> {
        OpenRows { rows: self, open: RefCell::new(Vec::with_capacity(OPEN_ROWS_MAX)) }
    }
}

impl RowSource for OpenRows<'_> {
    fn cell(&self, table: &Table, key: &str, column: usize) -> Option<Cell> {
        let mut open = self.open.borrow_mut();
        let place = open.iter().position(|row| row.table == table.name && row.key == key);
        let place = place.unwrap_or_else(|| {
            if open.len() == OPEN_ROWS_MAX {
                open.remove(0);
            }
            let cells = self.rows.get(table.name, key.as_bytes());
            open.push(OpenRow { table: table.name, key: key.to_owned(), cells });
            open.len() - 1
        });
        open.get(place)?.cells.as_ref()?.get(column).cloned()
    }
}

impl RowSource for Rows {
    fn cell(&self, table: &Table, key: &str, column: usize) -> Option<Cell> {
        self.get(table.name, key.as_bytes())?.into_iter().nth(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::civil;

    #[test]
    fn an_open_row_reads_as_the_row_itself() {
        let table = civil::table("grid").unwrap();
        let mut rows = Rows::default();
        for grid in 0..2 * OPEN_ROWS_MAX {
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = Cell::text(format!("g{grid}"));
            row[3] = Cell::Int(grid as i64);
            rows.upsert(table, &row).unwrap();
        }
        let reader = rows.reader();
        for grid in [0, 1, 0, 5, 6, 7, 2, 0, 99] {
            let key = format!("g{grid}");
            for column in 0..=table.columns.len() {
                assert_eq!(reader.cell(table, &key, column), rows.cell(table, &key, column));
            }
        }
        assert!(reader.open.borrow().len() <= OPEN_ROWS_MAX);
    }
}
