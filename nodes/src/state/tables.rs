//! The reference tables: rows by key, kept as bytes.

use features::table::{Cell, Mode, RowError, Table, decode_row, encode_row};
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

    /// The bytes of every row of a table, in key order.
    pub(crate) fn stored(&self, table: &str) -> impl Iterator<Item = &Bytes> {
        self.tables.get(table).into_iter().flatten().map(|(_, bytes)| bytes)
    }
}

impl RowSource for Rows {
    fn row(&self, table: usize, key: &str) -> Option<&[u8]> {
        self.bytes(civil::TABLES.get(table)?.name, key).map(AsRef::as_ref)
    }
}
