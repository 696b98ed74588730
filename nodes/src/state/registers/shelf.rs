//! The rows of one table: pages in the order of their keys. A copy shares everything with it.

use super::page::{Marked, Page, pages_of};
use features::shorthand::has_plain_key;
use features::table::{Cell, ROW_VERSION, RowError, Table, decode_row};
use features::{Cells, Key, Paged, Vocabulary, hash_of};
use imbl::OrdMap;
use std::ops::Bound;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Shelf {
    table: &'static Table,
    is_plain: bool,
    pub(super) words: Vocabulary,
    pages: Paged<Page>,
    /// Pages by the smallest key that each is for: the first one's is the empty key.
    order: OrdMap<Arc<[u8]>, u32>,
    len: usize,
}

/// What became of the pages when a row was put into its place, or taken from it.
#[derive(Debug)]
pub(super) struct Put {
    /// The page that the row belonged to, as it was.
    pub(super) before: Option<Page>,
    /// What of the table is on that page now, and on new ones behind it.
    pub(super) pages: Vec<u32>,
    /// The place of the row that stood there, on `before`.
    pub(super) replaced: Option<usize>,
}

/// Of the hash of a key: bits that no index uses.
fn mark_of(hash: u64) -> u8 {
    (hash >> 40) as u8
}

impl Shelf {
    pub(super) fn new(table: &'static Table) -> Self {
        Self {
            table,
            is_plain: has_plain_key(table),
            words: Vocabulary::new(table),
            pages: Paged::default(),
            order: OrdMap::new(),
            len: 0,
        }
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn cells<'a>(&'a self, row: &'a [u8]) -> Cells<'a> {
        Cells::brief(row, &self.words)
    }

    /// The row as postcard writes it behind the version byte, and the stamps behind that.
    pub(super) fn stored(&self, row: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        let end = self.words.expand(row, &mut bytes);
        debug_assert!(end.is_some() && bytes.first() == Some(&ROW_VERSION));
        bytes.extend_from_slice(end.and_then(|end| row.get(end..)).unwrap_or_default());
        bytes
    }

    pub(super) fn decode(&self, row: &[u8]) -> Option<Vec<Cell>> {
        decode_row(&self.stored(row)).ok()
    }

    /// A row, and the stamps behind it.
    pub(super) fn stamped<'a>(&self, row: &'a [u8]) -> Result<(Vec<Cell>, &'a [u8]), RowError> {
        let mut bytes = Vec::with_capacity(256);
        let end = self.words.expand(row, &mut bytes).ok_or(RowError::Damaged)?;
        Ok((decode_row(&bytes)?, row.get(end..).unwrap_or_default()))
    }

    /// The key of a row as [`Table::key_of`] gives it.
    pub(super) fn key_of<'a>(&'a self, row: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if self.is_plain {
            return self.cells(row).next_text().unwrap_or_default();
        }
        scratch.clear();
        scratch.push(self.table.key as u8);
        self.words.expand_cells(row, self.table.key, scratch);
        scratch
    }

    pub(super) fn page(&self, number: u32) -> Option<&Page> {
        self.pages.get(number as usize)
    }

    fn page_for(&self, key: &[u8]) -> Option<u32> {
        self.order.get_prev(key).map(|(_, number)| *number)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.get_on(self.page_for(key)?, Key::of(key))
    }

    /// The row of a key, where it is on that page.
    #[inline]
    pub(super) fn get_on(&self, page: u32, key: Key<'_>) -> Option<&[u8]> {
        let page = self.page(page)?;
        self.place_on(page, key.bytes(), mark_of(key.hash())).map(|at| page.row(at))
    }

    #[inline]
    fn place_on(&self, page: &Page, key: &[u8], mark: u8) -> Option<usize> {
        let mut scratch = Vec::new();
        page.marked(mark).find(|at| self.key_of(page.row(*at), &mut scratch) == key)
    }

    /// Puts a row into its place.
    pub(super) fn put(&mut self, key: &[u8], row: &[u8]) -> Put {
        let new = Marked { mark: mark_of(hash_of(key)), row };
        let Some(number) = self.page_for(key) else {
            self.pages.push(Page::of(&[new]));
            self.order.insert([].into(), 0);
            self.len = 1;
            return Put { before: None, pages: vec![0], replaced: None };
        };
        let Some(before) = self.page(number).cloned() else {
            return Put { before: None, pages: Vec::new(), replaced: None };
        };
        let replaced = self.place_on(&before, key, new.mark);
        let at = replaced.unwrap_or_else(|| self.place_for(&before, key));
        let mut rows: Vec<Marked<'_>> = Vec::with_capacity(before.len() + 1);
        rows.extend(before.all());
        match replaced {
            Some(at) => rows[at] = new,
            None => rows.insert(at, new),
        }
        self.len += usize::from(replaced.is_none());
        let mut pages = vec![number];
        let mut made = pages_of(&rows, at).into_iter();
        if let (Some(first), Some(place)) = (made.next(), self.pages.get_mut(number as usize)) {
            *place = first;
        }
        let mut scratch = Vec::new();
        for page in made {
            let number = self.pages.len() as u32;
            let first: Arc<[u8]> = self.key_of(page.row(0), &mut scratch).into();
            self.order.insert(first, number);
            self.pages.push(page);
            pages.push(number);
        }
        Put { before: Some(before), pages, replaced }
    }

    /// Takes a row from its place. Its page stays, also when it is empty.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Put> {
        let number = self.page_for(key)?;
        let before = self.page(number)?.clone();
        let at = self.place_on(&before, key, mark_of(hash_of(key)))?;
        let rows = before.all().enumerate().filter(|(each, _)| *each != at);
        let rows: Vec<Marked<'_>> = rows.map(|(_, row)| row).collect();
        *self.pages.get_mut(number as usize)? = Page::of(&rows);
        self.len -= 1;
        Some(Put { before: Some(before), pages: vec![number], replaced: Some(at) })
    }

    /// Where a key that is not on the page belongs.
    fn place_for(&self, page: &Page, key: &[u8]) -> usize {
        let mut scratch = Vec::new();
        let (mut from, mut to) = (0, page.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.key_of(page.row(middle), &mut scratch) < key {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// The rows in the order of their keys.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let pages = self.order.values().filter_map(|number| self.page(*number));
        pages.flat_map(Page::rows)
    }

    /// The rows whose keys begin so, in the order of their keys.
    pub(super) fn rows_with(&self, prefix: &[u8]) -> impl Iterator<Item = &[u8]> {
        let first = self.page_for(prefix);
        let behind = (Bound::Excluded(prefix), Bound::Unbounded);
        let behind = self.order.range::<_, [u8]>(behind).map(|(_, number)| *number);
        let pages = first.into_iter().chain(behind.filter(move |number| Some(*number) != first));
        let rows = pages.filter_map(|number| self.page(number)).flat_map(Page::rows);
        let mut scratch = Vec::new();
        rows.map(move |row| (row, self.key_of(row, &mut scratch).to_vec()))
            .skip_while(move |(_, key)| key.as_slice() < prefix)
            .take_while(move |(_, key)| key.starts_with(prefix))
            .map(|(row, _)| row)
    }

    /// The rows behind a key, in the order of their keys.
    pub(super) fn rows_behind(&self, key: &[u8]) -> impl Iterator<Item = &[u8]> {
        let first = self.page_for(key);
        let behind = (Bound::Excluded(key), Bound::Unbounded);
        let behind = self.order.range::<_, [u8]>(behind).map(|(_, number)| *number);
        let pages = first.into_iter().chain(behind.filter(move |number| Some(*number) != first));
        let rows = pages.filter_map(|number| self.page(number)).flat_map(Page::rows);
        let mut scratch = Vec::new();
        rows.skip_while(move |row| self.key_of(row, &mut scratch) <= key)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Page::heap_bytes).sum();
        let bounds: usize = self.order.keys().map(|key| key.len() + 16 + 24).sum();
        pages + bounds + self.pages.heap_bytes() + self.words.heap_bytes()
    }
}
