//! The reference tables: rows by key, kept as bytes.
//!
//! A row that feeds wrote has its stamps behind it: whoever reads the row stops before them.

use super::feeds::{Merged, Stamp, Write, is_taken_back, merge, sign, stands};
use features::table::{Cell, Mode, ROW_VERSION, RowError, Table, decode_row, encode_row};
use features::{RowSource, civil};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

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
        let mut bytes = encode_row(row)?;
        let rows = self.tables.entry(table.name.to_owned()).or_default();
        if let Some(stored) = rows.get(&key) {
            // Whoever writes past the feeds leaves their stamps: what is older stays older.
            bytes.extend_from_slice(stamped(stored)?.1);
            if **stored == *bytes {
                return Ok(false);
            }
        }
        rows.insert(key, Bytes::from(bytes));
        Ok(true)
    }

    /// Puts the columns of a feed's row that are newer than what stands there in their places.
    pub(crate) fn merge(
        &mut self,
        table: &Table,
        write: &Write<'_>,
        departments: &[&str],
    ) -> Result<Merged, RowError> {
        table.check(write.cells)?;
        let key = Bytes::from(table.key_of(write.cells)?);
        let rows = self.tables.entry(table.name.to_owned()).or_default();
        let (mut row, mut stamps) = if let Some(stored) = rows.get(&key) {
            let (row, stamps) = stamped(stored)?;
            (row, read_stamps(stamps)?)
        } else {
            let cells = write.cells.iter().enumerate();
            let row =
                cells.map(|(at, cell)| if at < table.key { cell.clone() } else { Cell::Null });
            (row.collect(), Vec::new())
        };
        let Some(columns) = merge(&mut row, &mut stamps, write)? else {
            return Ok(if stands(&stamps, write) { Merged::Same } else { Merged::Superseded });
        };
        sign(table, &mut row, &stamps, departments);
        let bytes = postcard::to_extend(&stamps, encode_row(&row)?);
        rows.insert(key, Bytes::from(bytes.map_err(|_| RowError::Damaged)?));
        Ok(Merged::Written { row, columns })
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

impl Rows {
    /// The bytes of one row.
    pub(crate) fn bytes(&self, table: &str, key: &str) -> Option<&Bytes> {
        self.tables.get(table)?.get(key.as_bytes())
    }

    /// The keys of a table whose key is one text, in their order.
    pub(crate) fn keys(&self, table: &str) -> impl Iterator<Item = &str> {
        let rows = self.tables.get(table).into_iter().flatten();
        rows.filter_map(|(key, _)| std::str::from_utf8(key).ok())
    }

    /// The bytes of one row, by a key of any form.
    pub(crate) fn stored_at(&self, table: &str, key: &[u8]) -> Option<&Bytes> {
        self.tables.get(table)?.get(key)
    }

    /// Puts a row back as it was stored.
    pub(crate) fn put_back(&mut self, table: &Table, key: &[u8], stored: Bytes) {
        self.tables.entry(table.name.to_owned()).or_default().insert(Bytes::from(key), stored);
    }

    /// Takes a row out of which nothing is said any more; gives what was stored of it.
    pub(crate) fn take_back(&mut self, table: &Table, key: &[u8]) -> Option<Bytes> {
        let rows = self.tables.get_mut(table.name)?;
        let (row, stamps) = stamped(rows.get(key)?).ok()?;
        let is_gone = is_taken_back(table, &row, &read_stamps(stamps).ok()?);
        if is_gone { rows.remove(key) } else { None }
    }

    /// The bytes of every row of a table, in key order.
    pub(crate) fn stored(&self, table: &str) -> impl Iterator<Item = &Bytes> {
        self.tables.get(table).into_iter().flatten().map(|(_, bytes)| bytes)
    }
}

/// A stored row, and the bytes behind it.
fn stamped(stored: &[u8]) -> Result<(Vec<Cell>, &[u8]), RowError> {
    match stored.split_first() {
        Some((&ROW_VERSION, rest)) => {
            postcard::take_from_bytes(rest).map_err(|_| RowError::Damaged)
        }
        _ => Err(RowError::Damaged),
    }
}

fn read_stamps(bytes: &[u8]) -> Result<Vec<Stamp>, RowError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    postcard::from_bytes(bytes).map_err(|_| RowError::Damaged)
}

impl RowSource for Rows {
    fn row(&self, table: usize, key: &str) -> Option<&[u8]> {
        self.bytes(civil::TABLES.get(table)?.name, key).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::super::feeds::Version;
    use super::*;

    #[test]
    fn what_a_feed_adds_to_a_row_is_a_few_bytes_and_no_reader_sees_it() {
        let table = civil::table("grid").unwrap();
        let mut cells = vec![Cell::Null; table.columns.len()];
        cells[0] = Cell::text("g1");
        cells[1] = Cell::text("990101001001");
        let mut rows = Rows::default();
        for (feed, columns) in [(0, 0b00_0110), (200, 0b01_1000)] {
            let version = Version { time_us: 1_790_000_000_000_000, seq: 1 << 40, feed };
            let write = Write { cells: &cells, columns, version };
            let merged = rows.merge(table, &write, &["民政"]).unwrap();
            assert!(matches!(merged, Merged::Written { .. }), "{merged:?}");
        }
        let row = rows.get("grid", b"g1").unwrap();
        let stored = rows.bytes("grid", "g1").unwrap();
        let added = stored.len() - encode_row(&row).unwrap().len();
        assert!(added <= 2 * 24, "{added} bytes for two feeds");
        assert!(features::Cells::of(stored).eq(row.iter().map(features::CellRef::from)));
        // What is loaded past the feeds leaves their versions, and is told from itself.
        assert!(rows.upsert(table, &cells).unwrap());
        assert!(!rows.upsert(table, &cells).unwrap());
        assert_eq!(
            rows.bytes("grid", "g1").unwrap().len() - encode_row(&cells).unwrap().len(),
            added
        );
    }
}
