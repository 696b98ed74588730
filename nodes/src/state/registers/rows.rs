//! The reference tables: rows by key.
//!
//! A row that feeds wrote has its stamps behind it: whoever reads the row stops before them.

use super::homes::{Homes, belonging_of};
use super::index::{self, Index};
use super::page::Page;
use super::relatives::RELATION;
use super::shelf::Shelf;
use super::stored::FrozenRows;
use crate::state::feeds::{Merged, Stamp, Write, is_taken_back, merge, sign, stands};
use features::shorthand::has_plain_key;
use features::table::{Cell, Mode, ROW_BYTES_MAX, ROW_VERSION, RowError, Table};
use features::{Cells, Key, RowSource, Shorthand, civil, hash_of};
use std::sync::Arc;

/// Rows of every reference table, packed; reads decode the one row they need.
#[derive(Debug)]
pub struct Rows {
    /// By the table's place in [`civil::TABLES`], as are the others.
    shelves: Vec<Shelf>,
    shorthands: Vec<Shorthand>,
    indexes: Vec<Vec<Index>>,
    /// How often somebody moved, and how often a relation changed.
    moves: u32,
    relation_changes: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            shelves: civil::TABLES.iter().map(Shelf::new).collect(),
            shorthands: civil::TABLES.iter().map(Shorthand::new).collect(),
            indexes: index::none(),
            moves: 0,
            relation_changes: 0,
        }
    }
}

/// The same rows with the same stamps, however they lie.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&Shelf, &Shelf)| {
            let stored = other.rows().map(|row| other.stored(row));
            one.len() == other.len() && one.rows().map(|row| one.stored(row)).eq(stored)
        };
        self.shelves.iter().zip(&other.shelves).all(same)
    }
}

fn place_of(table: &str) -> Option<usize> {
    civil::TABLES.iter().position(|each| each.name == table)
}

impl Rows {
    /// Puts a row in its place; false when the very same row stood there already.
    pub fn upsert(&mut self, table: &Table, row: &[Cell]) -> Result<bool, RowError> {
        debug_assert!(table.mode == Mode::Reference);
        table.check(row)?;
        // Whoever writes past the feeds leaves their stamps: what is older stays older.
        self.put(table, row, &table.key_of(row)?, None)
    }

    /// Puts the columns of a feed's row that are newer than what stands there in their places.
    pub(crate) fn merge(
        &mut self,
        table: &Table,
        write: &Write<'_>,
        departments: &[&str],
    ) -> Result<Merged, RowError> {
        table.check(write.cells)?;
        let key = table.key_of(write.cells)?;
        let shelf = self.shelf(table.name).ok_or(RowError::Damaged)?;
        let (mut row, mut stamps) = if let Some(stored) = shelf.get(&key) {
            let (row, stamps) = shelf.stamped(stored)?;
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
        let stamps = postcard::to_stdvec(&stamps).map_err(|_| RowError::Damaged)?;
        self.put(table, &row, &key, Some(&stamps))?;
        Ok(Merged::Written { row, columns })
    }

    /// The row with these stamps behind it, or with those that stand there.
    fn put(
        &mut self,
        table: &Table,
        row: &[Cell],
        key: &[u8],
        stamps: Option<&[u8]>,
    ) -> Result<bool, RowError> {
        let place = place_of(table.name).ok_or(RowError::Damaged)?;
        let (shelf, shorthand) = (&mut self.shelves[place], &mut self.shorthands[place]);
        let length: usize = row.iter().map(Cell::bytes).sum();
        if length > ROW_BYTES_MAX / 2 {
            // The limit is of the row as it is stored, which is made where it may be near.
            features::table::encode_row(row)?;
        }
        let mut brief = Vec::with_capacity(128);
        shorthand.put(row, &mut shelf.words, &mut brief)?;
        let old = shelf.get(key);
        match (stamps, old) {
            (Some(stamps), _) => brief.extend_from_slice(stamps),
            (None, Some(old)) => brief.extend_from_slice(shelf.stamped(old)?.1),
            (None, None) => {}
        }
        if let Some(old) = old
            && (old == brief || shelf.stored(old) == shelf.stored(&brief))
        {
            return Ok(false);
        }
        let column = belonging_of(table.name);
        let home = |row: &[u8]| shelf.cells(row).text_at(column?).map(<[u8]>::to_vec);
        let has_moved = column.is_some() && old.is_none_or(|old| home(old) != home(&brief));
        if has_moved {
            // Around, and past 0: that nobody moved is known by it.
            self.moves = self.moves.wrapping_add(1).max(1);
        }
        self.relation_changes += u64::from(table.name == RELATION);
        let put = shelf.put(key, &brief);
        for index in &mut self.indexes[place] {
            index.follow(shelf, &put, Some(&brief));
        }
        Ok(true)
    }

    /// Takes a row out of which nothing is said any more; gives what was stored of it.
    pub(crate) fn take_back(&mut self, table: &Table, key: &[u8]) -> Option<Arc<[u8]>> {
        let place = place_of(table.name)?;
        let shelf = self.shelves.get_mut(place)?;
        let brief = shelf.get(key)?;
        let (row, stamps) = shelf.stamped(brief).ok()?;
        if !is_taken_back(table, &row, &read_stamps(stamps).ok()?) {
            return None;
        }
        let stored = shelf.stored(brief).into();
        let taken = shelf.take(key)?;
        for index in &mut self.indexes[place] {
            index.follow(shelf, &taken, None);
        }
        // Who moved by it was counted when the last cell was emptied.
        Some(stored)
    }

    /// A row as a snapshot has it, or as it was taken back.
    pub(crate) fn put_stored(
        &mut self,
        table: &Table,
        key: &[u8],
        stored: &[u8],
    ) -> Result<(), RowError> {
        let (row, stamps): (Vec<Cell>, &[u8]) = match stored.split_first() {
            Some((&ROW_VERSION, rest)) => {
                postcard::take_from_bytes(rest).map_err(|_| RowError::Damaged)?
            }
            _ => return Err(RowError::Damaged),
        };
        table.check(&row)?;
        if table.key_of(&row)? != key {
            return Err(RowError::Damaged);
        }
        self.put(table, &row, key, Some(stamps)).map(drop)
    }

    fn shelf(&self, table: &str) -> Option<&Shelf> {
        self.shelves.get(place_of(table)?)
    }

    pub fn get(&self, table: &str, key: &[u8]) -> Option<Vec<Cell>> {
        let shelf = self.shelf(table)?;
        shelf.decode(shelf.get(key)?)
    }

    pub fn count(&self, table: &str) -> usize {
        self.shelf(table).map_or(0, Shelf::len)
    }

    /// Rows of a table in key order.
    pub fn scan(&self, table: &str) -> impl Iterator<Item = Vec<Cell>> {
        let shelf = self.shelf(table).into_iter();
        shelf.flat_map(|shelf| shelf.rows().filter_map(move |row| shelf.decode(row)))
    }

    /// The cells of the rows behind a key, in key order; of a table whose key is one text.
    pub(crate) fn after(&self, table: &str, key: &str) -> impl Iterator<Item = Cells<'_>> {
        let shelf = self.shelf(table).into_iter();
        shelf.flat_map(|shelf| shelf.rows_behind(key.as_bytes()).map(|row| shelf.cells(row)))
    }

    /// Rows of a table with a key of several columns, whose first is this text.
    pub fn with_first_key(&self, table: &Table, first: &str, limit: usize) -> Vec<Vec<Cell>> {
        let (Some(shelf), Ok(cell)) =
            (self.shelf(table.name), postcard::to_stdvec(&Cell::text(first)))
        else {
            return Vec::new();
        };
        // A key of several columns is the encoding of a list: its length, then the cells.
        let mut from = vec![table.key as u8];
        from.extend_from_slice(&cell);
        shelf.rows_with(&from).filter_map(|row| shelf.decode(row)).take(limit).collect()
    }

    /// The rows as they are now, for as long as somebody needs them.
    pub(crate) fn freeze(&self) -> FrozenRows {
        FrozenRows { shelves: self.shelves.clone() }
    }

    /// Who lives where.
    pub fn homes(&self) -> Homes<'_> {
        Homes { rows: self }
    }

    /// Counts every change, so that who follows somebody knows when to look again.
    pub(crate) fn relation_changes(&self) -> u64 {
        self.relation_changes
    }

    pub(super) fn moves(&self) -> u32 {
        self.moves
    }

    /// Bytes of the rows, and of what finds them; a little less than an allocator gives for them.
    pub fn heap_bytes(&self) -> usize {
        let shelves: usize = self.shelves.iter().map(Shelf::heap_bytes).sum();
        let shorthands: usize = self.shorthands.iter().map(Shorthand::heap_bytes).sum();
        shelves + shorthands + self.indexes.iter().flatten().map(Index::heap_bytes).sum::<usize>()
    }

    #[cfg(test)]
    pub(super) fn parts(&self, table: &str) -> Option<(&Shelf, &[Index])> {
        let place = place_of(table)?;
        Some((self.shelves.get(place)?, self.indexes.get(place)?))
    }
}

impl Rows {
    fn index(&self, place: usize, column: usize) -> Option<&Index> {
        self.indexes.get(place)?.iter().find(|index| index.column() == column)
    }

    /// The cells of one row of a table whose key is one text.
    #[inline]
    fn cells(&self, place: usize, key: Key<'_>) -> Option<Cells<'_>> {
        let shelf = self.shelves.get(place)?;
        let row = match self.index(place, 0).filter(|_| has_plain_key(shelf.table())) {
            Some(index) => index.pages(key.hash()).find_map(|page| shelf.get_on(page, key)),
            None => shelf.get(key.bytes()),
        };
        row.map(|row| shelf.cells(row))
    }

    /// One text of one row.
    pub(crate) fn text(&self, table: &str, key: &str, column: &str) -> Option<&str> {
        let place = place_of(table)?;
        let column = civil::TABLES.get(place)?.position(column)?;
        std::str::from_utf8(self.cells(place, Key::of(key))?.text_at(column)?).ok()
    }

    /// The rows with a text in a column that has an index; none where it has none.
    pub(super) fn by_text<'a>(
        &'a self,
        table: &str,
        column: &str,
        text: &str,
    ) -> impl Iterator<Item = Cells<'a>> {
        let found = place_of(table).and_then(|place| {
            let column = civil::TABLES.get(place)?.position(column)?;
            Some((self.shelves.get(place)?, self.index(place, column)?))
        });
        debug_assert!(found.is_some(), "{table}.{column} has no index");
        let text = text.as_bytes().to_vec();
        found.into_iter().flat_map(move |(shelf, index)| {
            let pages: Vec<_> =
                index.pages(hash_of(&text)).filter_map(|number| shelf.page(number)).collect();
            let (text, column) = (text.clone(), index.column());
            let cells = pages.into_iter().flat_map(Page::rows).map(move |row| shelf.cells(row));
            cells.filter(move |cells| cells.clone().text_at(column) == Some(text.as_slice()))
        })
    }

    /// The keys of the rows with a text in a column, in their order.
    pub(super) fn belonging(&self, table: &str, column: &str, to: &str) -> Vec<&str> {
        let rows = self.by_text(table, column, to);
        let keys = rows.filter_map(|mut cells| cells.next_text());
        let mut keys: Vec<&str> = keys.filter_map(|key| std::str::from_utf8(key).ok()).collect();
        keys.sort_unstable();
        keys
    }
}

fn read_stamps(bytes: &[u8]) -> Result<Vec<Stamp>, RowError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    postcard::from_bytes(bytes).map_err(|_| RowError::Damaged)
}

impl RowSource for Rows {
    #[inline]
    fn row(&self, table: usize, key: Key<'_>) -> Option<Cells<'_>> {
        self.cells(table, key)
    }

    fn warm(&self, table: usize, keys: &[&str]) -> usize {
        let index = self.index(table, 0);
        let Some((shelf, index)) = self.shelves.get(table).zip(index) else { return 0 };
        let likely = keys.iter().filter_map(|key| index.pages(hash_of(key.as_bytes())).next());
        let numbers: Vec<u32> = likely.collect();
        let pages = || numbers.iter().filter_map(|number| shelf.page(*number));
        let sizes: usize = pages().map(Page::heap_bytes).sum();
        let rows: usize = pages().map(Page::len).sum();
        sizes + rows + keys.iter().filter(|key| self.cells(table, Key::of(key)).is_some()).count()
    }
}
