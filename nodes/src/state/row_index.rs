//! Where the rows that features are read from lie, by a hash of their keys: a row of a model asks for
//! two or three of them, and a walk down the ordered map costs as much as all the rest.

use super::Rows;
use features::table::{ColumnType, Mode, Table};
use features::{Cells, RowSource, civil};
use hashbrown::HashTable;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// Tables that views read a row an entity of; the others are found through their ordered maps.
const INDEXED: [&str; 8] = [
    "resident",
    "health_summary",
    "household",
    "dwelling",
    "building",
    "grid",
    "organisation",
    "subsidy",
];

/// Derived from [`Rows`] and rebuilt after a restore; never stored. It shares the rows' bytes.
#[derive(Clone, Debug)]
pub(crate) struct RowIndex {
    /// By the table's place in [`civil::TABLES`].
    tables: Vec<Option<HashTable<Arc<[u8]>>>>,
    hasher: BuildHasherDefault<DefaultHasher>,
}

impl Default for RowIndex {
    fn default() -> Self {
        let indexed = |table: &Table| {
            let one_text = table.key == 1 && table.columns[0].kind == ColumnType::Text;
            let wanted = table.mode == Mode::Reference && INDEXED.contains(&table.name);
            (one_text && wanted).then(HashTable::new)
        };
        Self {
            tables: civil::TABLES.iter().map(indexed).collect(),
            hasher: BuildHasherDefault::default(),
        }
    }
}

impl RowIndex {
    pub(crate) fn rebuild(rows: &Rows) -> Self {
        let mut index = Self::default();
        for name in INDEXED {
            for bytes in rows.stored(name) {
                index.learn(name, bytes);
            }
        }
        index
    }

    /// Takes in a row, in the place of the one that had its key.
    pub(crate) fn learn(&mut self, table: &str, bytes: &Arc<[u8]>) {
        let Some(at) = civil::TABLES.iter().position(|each| each.name == table) else { return };
        let (Some(Some(found)), Some(key)) = (self.tables.get_mut(at), key_of(bytes)) else {
            return;
        };
        let hasher = &self.hasher;
        let hash = |bytes: &Arc<[u8]>| hasher.hash_one(key_of(bytes).unwrap_or_default());
        let same = |other: &Arc<[u8]>| key_of(other) == Some(key);
        match found.find_mut(hasher.hash_one(key), same) {
            Some(old) => *old = Arc::clone(bytes),
            None => {
                found.insert_unique(hasher.hash_one(key), Arc::clone(bytes), hash);
            }
        }
    }

    /// Lets a row go.
    pub(crate) fn forget(&mut self, table: &str, key: &str) {
        let Some(at) = civil::TABLES.iter().position(|each| each.name == table) else { return };
        let Some(Some(found)) = self.tables.get_mut(at) else { return };
        let key = key.as_bytes();
        let hash = self.hasher.hash_one(key);
        if let Ok(row) = found.find_entry(hash, |bytes| key_of(bytes) == Some(key)) {
            row.remove();
        }
    }

    /// The row, or that the table is not indexed.
    #[expect(
        clippy::option_option,
        reason = "the outer one is of the table, the inner one of the row"
    )]
    fn find(&self, table: usize, key: &str) -> Option<Option<&[u8]>> {
        let rows = self.tables.get(table)?.as_ref()?;
        let key = key.as_bytes();
        let found = rows.find(self.hasher.hash_one(key), |bytes| key_of(bytes) == Some(key));
        Some(found.map(AsRef::as_ref))
    }
}

/// The first cell of a row, a text.
#[inline]
fn key_of(bytes: &[u8]) -> Option<&[u8]> {
    Cells::of(bytes).next_text()
}

/// The rows as features are read from them.
#[derive(Clone, Copy, Debug)]
pub struct IndexedRows<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) index: &'a RowIndex,
}

impl RowSource for IndexedRows<'_> {
    fn row(&self, table: usize, key: &str) -> Option<&[u8]> {
        self.index.find(table, key).unwrap_or_else(|| self.rows.row(table, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::{Cell, encode_row};

    #[test]
    fn an_indexed_row_is_the_row_itself_also_after_a_change() {
        let mut rows = Rows::default();
        let mut index = RowIndex::default();
        for round in 0..3 {
            for (name, count) in [("grid", 40), ("device", 3)] {
                let table = civil::table(name).unwrap();
                for at in 0..count {
                    let mut row = vec![Cell::Null; table.columns.len()];
                    row[0] = Cell::text(format!("k{at}"));
                    row[1] = Cell::text(format!("{}", at % (round + 1)));
                    rows.upsert(table, &row).unwrap();
                    index.learn(name, rows.bytes(name, row[0].as_text().unwrap()).unwrap());
                }
            }
            let again = RowIndex::rebuild(&rows);
            for (at, _) in civil::TABLES.iter().enumerate() {
                for key in ["k0", "k1", "k2", "k39", "k40", ""] {
                    for index in [&index, &again] {
                        let indexed = IndexedRows { rows: &rows, index };
                        assert_eq!(indexed.row(at, key), rows.row(at, key), "{at} {key}");
                    }
                }
            }
        }
        let grid = civil::TABLES.iter().position(|table| table.name == "grid").unwrap();
        assert!(index.find(grid, "k39").unwrap().is_some());
    }

    /// What this process has in memory.
    fn resident_bytes() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
    }

    /// A measurement: `HEARTH_PEOPLE=416000 cargo test -p nodes --lib -- --ignored --nocapture bytes_by_part`.
    #[test]
    #[ignore = "takes minutes and gigabytes at the size of a district"]
    #[expect(clippy::disallowed_methods, reason = "how many people, of whoever measures")]
    fn bytes_by_part() {
        let people = std::env::var("HEARTH_PEOPLE").map_or(20_000, |text| text.parse().unwrap());
        let plan = crate::simulate::Plan { people, ..Default::default() };
        let district = crate::simulate::District::generate(&plan).unwrap();
        let mut rows = Rows::default();
        let (mut count, mut stored) = (0, 0);
        let before = resident_bytes();
        for table in crate::simulate::District::tables() {
            if table.mode != Mode::Reference {
                continue;
            }
            let from = (resident_bytes(), count, stored);
            for row in district.rows(table.name).unwrap() {
                rows.upsert(table, &row).unwrap();
                count += 1;
                stored += encode_row(&row).unwrap().len();
            }
            println!(
                "{:16} {:9} rows, {:6.1} MB of bytes, {:6.1} MB resident",
                table.name,
                count - from.1,
                (stored - from.2) as f64 / 1e6,
                resident_bytes().saturating_sub(from.0) as f64 / 1e6
            );
        }
        let filled = resident_bytes();
        let index = RowIndex::rebuild(&rows);
        let indexed: usize = index.tables.iter().flatten().map(HashTable::len).sum();
        let held: usize = index.tables.iter().flatten().map(HashTable::allocation_size).sum();
        let (rows_mb, index_mb) = ((filled - before) as f64 / 1e6, held as f64 / 1e6);
        println!(
            "{people} people: {count} rows, {:.1} MB of bytes, {rows_mb:.1} MB resident",
            stored as f64 / 1e6
        );
        println!("the index: {indexed} rows, {index_mb:.1} MB");
        assert!(index_mb < rows_mb);
    }
}
