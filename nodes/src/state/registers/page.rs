//! Some rows of a table, end to end in the order of their keys. Shared with what a snapshot holds, so
//! never written: a row that is put into its place makes a new page.
//!
//! ```text
//! count u8 | mark of each row u8 | start of each row but the first u16, low byte first | the rows
//! ```
//! A mark is eight bits of the key's hash: most rows need no second look.

use std::sync::Arc;

/// A page with more than one row is not larger: two KiB with the two counters of its handle.
pub(super) const PAGE_BYTES_MAX: usize = 2048 - 2 * size_of::<usize>();
pub(super) const PAGE_ROWS_MAX: usize = u8::MAX as usize;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page(Arc<[u8]>);

/// A row on its way into a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked<'a> {
    pub(super) mark: u8,
    pub(super) row: &'a [u8],
}

impl Page {
    pub(super) fn of(rows: &[Marked<'_>]) -> Self {
        debug_assert!(rows.len() <= 1 || fits(rows));
        let mut bytes = Vec::with_capacity(bytes_of(rows));
        bytes.push(rows.len() as u8);
        bytes.extend(rows.iter().map(|each| each.mark));
        let mut start = 0;
        for each in rows.iter().take(rows.len().saturating_sub(1)) {
            start += each.row.len();
            bytes.extend_from_slice(&(start as u16).to_le_bytes());
        }
        for each in rows {
            bytes.extend_from_slice(each.row);
        }
        Self(bytes.into())
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.first().copied().map_or(0, usize::from)
    }

    #[inline]
    pub(super) fn row(&self, at: usize) -> &[u8] {
        let rows = 1 + self.len() + 2 * self.len().saturating_sub(1);
        let to = if at + 1 < self.len() { rows + self.start(at + 1) } else { self.0.len() };
        self.0.get(rows + self.start(at)..to).unwrap_or_default()
    }

    #[inline]
    fn start(&self, at: usize) -> usize {
        let Some(before) = at.checked_sub(1) else { return 0 };
        let from = 1 + self.len() + 2 * before;
        match self.0.get(from..from + 2) {
            Some([low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        }
    }

    /// The places of the rows that may have the key of this mark.
    #[inline]
    pub(super) fn marked(&self, mark: u8) -> impl Iterator<Item = usize> {
        let marks = self.0.get(1..1 + self.len()).unwrap_or_default();
        marks.iter().enumerate().filter(move |(_, each)| **each == mark).map(|(at, _)| at)
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.row(at))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Marked<'_>> {
        (0..self.len()).map(|at| Marked { mark: self.0[1 + at], row: self.row(at) })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }
}

fn bytes_of(rows: &[Marked<'_>]) -> usize {
    let of_rows: usize = rows.iter().map(|each| each.row.len()).sum();
    1 + rows.len() + 2 * rows.len().saturating_sub(1) + of_rows
}

fn fits(rows: &[Marked<'_>]) -> bool {
    rows.len() <= PAGE_ROWS_MAX && bytes_of(rows) <= PAGE_BYTES_MAX
}

/// Gives the rows to as few pages as there must be. Where the newest is the last one, it begins a page
/// of its own: tables that are loaded in the order of their keys have full pages.
pub(super) fn pages_of(rows: &[Marked<'_>], newest: usize) -> Vec<Page> {
    if rows.len() <= 1 || fits(rows) {
        return vec![Page::of(rows)];
    }
    let cut = if newest + 1 == rows.len() {
        newest
    } else {
        let half = bytes_of(rows) / 2;
        let mut bytes = 0;
        let before = rows.iter().take_while(|each| {
            bytes += each.row.len() + 3;
            bytes <= half
        });
        before.count().clamp(1, rows.len() - 1)
    };
    let (before, behind) = rows.split_at(cut);
    let mut pages = pages_of(before, 0);
    pages.extend(pages_of(behind, 0));
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_come_back_and_pages_are_small() {
        for lengths in
            [vec![0], vec![9; 12], vec![0; 400], vec![200_000], vec![700, 200_000, 3, 700, 700]]
        {
            let rows: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(at, length)| vec![at as u8; *length]).collect();
            let marked: Vec<Marked<'_>> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| Marked { mark: at as u8 % 7, row })
                .collect();
            for newest in [0, rows.len() - 1] {
                let pages = pages_of(&marked, newest);
                assert!(pages.iter().flat_map(Page::rows).eq(rows.iter().map(Vec::as_slice)));
                for page in &pages {
                    assert!(page.len() == 1 || page.heap_bytes() <= PAGE_BYTES_MAX + 16);
                    for mark in 0..8 {
                        let want = page.all().enumerate().filter(|(_, each)| each.mark == mark);
                        assert!(page.marked(mark).eq(want.map(|(at, _)| at)));
                    }
                }
            }
        }
    }
}
