//! Cells read where they are stored: a row of numbers needs a few cells of a row, and no copy of them.
//!
//! The form is [`crate::table::encode_row`]'s: a version byte, then the list as postcard writes it; or
//! the shorter one of [`crate::shorthand`].

use crate::shorthand::{self, Vocabulary};
use crate::table::{Cell, ROW_VERSION};
use crate::varint::{take_signed, take_u64};

/// One value of a stored row. Lists are no feature, and are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CellRef<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(&'a str),
    Time(i64),
    Date(i32),
    List,
}

impl<'a> From<&'a Cell> for CellRef<'a> {
    fn from(cell: &'a Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Bool(value) => Self::Bool(*value),
            Cell::Int(value) => Self::Int(*value),
            Cell::Real(value) => Self::Real(*value),
            Cell::Text(text) => Self::Text(text),
            Cell::Time(at_us) => Self::Time(*at_us),
            Cell::Date(day) => Self::Date(*day),
            Cell::Texts(_) | Cell::Ints(_) | Cell::Reasons(_) => Self::List,
        }
    }
}

impl CellRef<'_> {
    /// The cell as a number, where it is one; a truth counts as 0 or 1, a date as its day.
    pub fn as_number(self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(value))),
            Self::Int(value) | Self::Time(value) => Some(value as f64),
            Self::Real(value) => Some(value),
            Self::Date(value) => Some(f64::from(value)),
            Self::Null | Self::Text(_) | Self::List => None,
        }
    }
}

/// Walks the cells of a stored row.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u64,
    /// What numbers stand for: of rows in shorthand only, which have a cell for every column.
    words: Option<&'a Vocabulary>,
}

impl<'a> Cells<'a> {
    /// The cells of what [`crate::table::encode_row`] gave; none of anything else.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        let mut at = 1;
        let left = match bytes.first() {
            Some(&ROW_VERSION) => take_u64(bytes, &mut at).unwrap_or(0),
            _ => 0,
        };
        Self { bytes, at, left, words: None }
    }

    /// The cells of a row in shorthand; bytes behind its last column are not looked at.
    #[inline]
    pub fn brief(bytes: &'a [u8], words: &'a Vocabulary) -> Self {
        Self { bytes, at: 0, left: words.columns() as u64, words: Some(words) }
    }

    /// Where the next cell begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        take_u64(self.bytes, &mut self.at)
    }

    #[inline]
    fn signed(&mut self) -> Option<i64> {
        take_signed(self.bytes, &mut self.at)
    }

    /// The bytes of the next cell, where it is a text: what finds a row by its key compares bytes.
    #[inline]
    pub fn next_text(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        match self.number()? {
            4 => self.text(),
            word => {
                let mut cell = self.word(word)?;
                if cell.number()? == 4 { cell.text() } else { None }
            }
        }
    }

    /// The bytes of the cell of a column, where it is a text. Of cells that nothing was read of yet.
    #[inline]
    pub fn text_at(mut self, column: usize) -> Option<&'a [u8]> {
        for _ in 0..column {
            self.left = self.left.checked_sub(1)?;
            self.pass()?;
        }
        self.next_text()
    }

    /// What a number stands for in the column that was counted last.
    #[inline]
    fn word(&self, number: u64) -> Option<Self> {
        let words = self.words?;
        let column = words.columns().checked_sub(self.left as usize + 1)?;
        Some(Self { bytes: words.word(column, number)?, at: 0, left: 1, words: None })
    }

    /// Passes over a cell without a look at what it holds.
    #[inline]
    pub(crate) fn pass(&mut self) -> Option<()> {
        match self.number()? {
            0 => Some(()),
            word if word >= shorthand::WORD_MIN && self.words.is_some() => Some(()),
            1 => self.take(1).map(drop),
            2 | 5 | 6 => self.number().map(drop),
            3 => self.take(8).map(drop),
            4 => self.text().map(drop),
            shorthand::DECIMAL | shorthand::SECONDS if self.words.is_some() => {
                self.number().map(drop)
            }
            list => self.read_list(list).map(drop),
        }
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    #[inline]
    fn read(&mut self) -> Option<CellRef<'a>> {
        match self.number()? {
            word if word >= shorthand::WORD_MIN => {
                let mut cell = self.word(word)?;
                let kind = cell.number()?;
                cell.read_plain(kind)
            }
            shorthand::DECIMAL if self.words.is_some() => {
                self.number().map(|number| CellRef::Real(shorthand::to_real(number)))
            }
            shorthand::SECONDS if self.words.is_some() => {
                self.signed().and_then(shorthand::to_time).map(CellRef::Time)
            }
            kind => self.read_plain(kind),
        }
    }

    /// A cell as postcard writes it, behind the number that says its kind.
    #[inline]
    fn read_plain(&mut self, kind: u64) -> Option<CellRef<'a>> {
        Some(match kind {
            0 => CellRef::Null,
            1 => CellRef::Bool(self.take(1)? != [0]),
            2 => CellRef::Int(self.signed()?),
            3 => CellRef::Real(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            4 => CellRef::Text(std::str::from_utf8(self.text()?).ok()?),
            5 => CellRef::Time(self.signed()?),
            6 => CellRef::Date(i32::try_from(self.signed()?).ok()?),
            list => self.read_list(list)?,
        })
    }

    fn read_list(&mut self, kind: u64) -> Option<CellRef<'a>> {
        match kind {
            7 => self.list(|cells| cells.text().map(drop)),
            8 => self.list(|cells| cells.signed().map(drop)),
            9 => self.list(|cells| {
                cells.text()?;
                cells.take(16).map(drop)
            }),
            _ => None,
        }
    }

    fn list(&mut self, mut pass: impl FnMut(&mut Self) -> Option<()>) -> Option<CellRef<'a>> {
        for _ in 0..self.number()? {
            pass(self)?;
        }
        Some(CellRef::List)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = CellRef<'a>;

    fn nth(&mut self, count: usize) -> Option<CellRef<'a>> {
        // What is cut ends the walk.
        let left = std::mem::take(&mut self.left).checked_sub(count as u64)?;
        for _ in 0..count {
            self.pass()?;
        }
        self.left = left;
        self.next()
    }

    #[inline]
    fn next(&mut self) -> Option<CellRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let cell = self.read();
        if cell.is_none() {
            self.left = 0;
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::encode_row;

    fn row() -> Vec<Cell> {
        vec![
            Cell::text("居民-1"),
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(i64::MIN),
            Cell::Real(-0.5),
            Cell::Texts(vec!["I10".into(), String::new()]),
            Cell::Time(i64::MAX),
            Cell::Ints(vec![1, -2]),
            Cell::Date(-25_509),
            Cell::Reasons(vec![("age".into(), 1.0, 2.0)]),
            Cell::text(""),
        ]
    }

    #[test]
    fn stored_cells_read_as_they_were_written() {
        let row = row();
        let bytes = encode_row(&row).unwrap();
        assert!(Cells::of(&bytes).eq(row.iter().map(CellRef::from)));
        for at in 0..row.len() + 2 {
            assert_eq!(Cells::of(&bytes).nth(at), row.get(at).map(CellRef::from), "{at}");
        }
        assert_eq!(Cells::of(&bytes).next_text(), Some("居民-1".as_bytes()));
        for (read, cell) in Cells::of(&bytes).zip(&row) {
            assert_eq!(read.as_number(), cell.as_number());
        }
    }

    #[test]
    fn cut_or_foreign_bytes_end_the_walk() {
        let bytes = encode_row(&row()).unwrap();
        for length in 0..bytes.len() {
            assert!(Cells::of(&bytes[..length]).count() < row().len(), "{length}");
            assert_eq!(Cells::of(&bytes[..length]).nth(row().len() - 1), None, "{length}");
        }
        assert_eq!(Cells::of(&[9, 1, 0]).count(), 0);
        assert_eq!(Cells::of(&[1, 200, 1, 17]).count(), 0);
    }
}
