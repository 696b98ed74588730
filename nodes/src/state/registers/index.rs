//! On which pages the rows lie that have a text in a column: a row of a model asks for two or three of
//! them, and a walk down the ordered pages costs as much as all the rest.

use super::page::Page;
use super::shelf::{Put, Shelf};
use features::table::Table;
use features::{civil, hash_of};
use hashbrown::HashTable;

/// Columns whose texts lead to rows: keys that views and rules ask for, and who belongs to whom.
const INDEXED: [(&str, &str); 13] = [
    ("resident", "resident_key"),
    ("resident", "household_id"),
    ("health_summary", "resident_key"),
    ("household", "household_id"),
    ("household", "dwelling_id"),
    ("dwelling", "dwelling_id"),
    ("building", "building_id"),
    ("grid", "grid_id"),
    ("organisation", "org_id"),
    ("subsidy", "grant_id"),
    ("subsidy", "resident_key"),
    // Not by its own key: a device is looked up once, and again when somebody has moved.
    ("device", "dwelling_id"),
    ("relation", "other_key"),
];

/// Derived from the pages; never stored.
#[derive(Clone, Debug)]
pub(super) struct Index {
    column: usize,
    /// Eight bytes a text and page: it is not asked what the text was, the page says it.
    places: HashTable<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    hash: u32,
    page: u32,
}

/// The table needs a hash that is even in its highest and in its lowest bits.
fn spread(place: Place) -> u64 {
    u64::from(place.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Index {
    /// Those of a table.
    pub(super) fn all_of(table: &Table) -> Vec<Self> {
        let columns = INDEXED.iter().filter(|each| each.0 == table.name);
        let columns = columns.filter_map(|(_, column)| table.position(column));
        columns.map(|column| Self { column, places: HashTable::new() }).collect()
    }

    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// The pages that may have rows with a text of this hash.
    #[inline]
    pub(super) fn pages(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash = hash as u32;
        let found = self.places.iter_hash(spread(Place { hash, page: 0 }));
        found.filter(move |place| place.hash == hash).map(|place| place.page)
    }

    fn add(&mut self, place: Place) {
        if self.places.find(spread(place), |each| *each == place).is_none() {
            self.places.insert_unique(spread(place), place, |each| spread(*each));
        }
    }

    fn remove(&mut self, place: Place) {
        if let Ok(found) = self.places.find_entry(spread(place), |each| *each == place) {
            found.remove();
        }
    }

    fn hash(&self, shelf: &Shelf, row: &[u8]) -> Option<u32> {
        // Who belongs to nobody is not looked for.
        let text = shelf.cells(row).text_at(self.column).filter(|text| !text.is_empty())?;
        Some(hash_of(text) as u32)
    }

    fn hashes(&self, shelf: &Shelf, page: &Page) -> Vec<u32> {
        let mut all: Vec<u32> = page.rows().filter_map(|row| self.hash(shelf, row)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Follows a row that was put into its place, or taken from it.
    pub(super) fn follow(&mut self, shelf: &Shelf, put: &Put, row: Option<&[u8]>) {
        let (Some(number), Some(page)) =
            (put.pages.first(), put.pages.first().and_then(|number| shelf.page(*number)))
        else {
            return;
        };
        let old = put.before.as_ref().zip(put.replaced).map(|(page, at)| page.row(at));
        let (old, new) =
            (old.and_then(|old| self.hash(shelf, old)), row.and_then(|row| self.hash(shelf, row)));
        let has_split = put.pages.len() > 1;
        if old == new && old.is_some() && !has_split {
            return;
        }
        if !has_split && let Some(hash) = new {
            self.add(Place { hash, page: *number });
        }
        if has_split {
            for number in &put.pages {
                let Some(page) = shelf.page(*number) else { continue };
                for hash in self.hashes(shelf, page) {
                    self.add(Place { hash, page: *number });
                }
            }
        }
        if let Some(before) = put.before.as_ref().filter(|_| has_split || old.is_some()) {
            let left = self.hashes(shelf, page);
            for hash in self.hashes(shelf, before) {
                if left.binary_search(&hash).is_err() {
                    self.remove(Place { hash, page: *number });
                }
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.places.allocation_size()
    }

    #[cfg(test)]
    fn sorted(&self) -> Vec<(u32, u32)> {
        let mut all: Vec<_> = self.places.iter().map(|each| (each.hash, each.page)).collect();
        all.sort_unstable();
        all
    }
}

/// By the table's place in [`civil::TABLES`].
pub(super) fn none() -> Vec<Vec<Index>> {
    civil::TABLES.iter().map(Index::all_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Rows;
    use crate::state::feeds::{Version, Write};
    use features::table::Cell;

    /// A row that its only feed takes back.
    fn gone(rows: &mut Rows, table: &Table, key: &str) {
        let mut cells = vec![Cell::Null; table.columns.len()];
        cells[0] = Cell::text(key);
        let columns = (1..cells.len()).fold(0, |bits, at| bits | 1 << at);
        let version = Version { time_us: 1, seq: 1, feed: 0 }.taking_back();
        rows.merge(table, &Write { cells: &cells, columns, version, released: &[] }, &[]).unwrap();
        assert!(rows.take_back(table, key.as_bytes()).is_some());
        assert_eq!(rows.get(table.name, key.as_bytes()), None);
    }

    #[test]
    fn an_index_holds_what_the_pages_hold_and_nothing_else() {
        let table = civil::table("resident").unwrap();
        let household = table.position("household_id").unwrap();
        let mut rows = Rows::default();
        for step in 0..6_000_u32 {
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = Cell::text(format!("r{:05}", step.wrapping_mul(2_654_435_761) % 1_500));
            // Some have no home, and all move.
            if step % 7 > 0 {
                row[household] = Cell::text(format!("h{}", step % 401));
            }
            row[3] = Cell::text("x".repeat((step % 50) as usize));
            rows.upsert(table, &row).unwrap();
            if step % 5 == 0 {
                // Some are taken back; what they were is not looked at here.
                let key = format!("r{:05}", step.wrapping_mul(69_069) % 1_500);
                gone(&mut rows, table, &key);
            }
        }
        let (shelf, indexes) = rows.parts("resident").unwrap();
        assert!(shelf.len() < 1_500 && shelf.len() > 1_000 && indexes.len() == 2);
        assert_eq!(shelf.rows().count(), shelf.len());
        for index in indexes {
            let mut want = Vec::new();
            for number in 0.. {
                let Some(page) = shelf.page(number) else { break };
                want.extend(index.hashes(shelf, page).into_iter().map(|hash| (hash, number)));
            }
            want.sort_unstable();
            assert_eq!(index.sorted(), want);
        }
    }
}
