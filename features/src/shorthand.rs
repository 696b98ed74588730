//! Rows as registers are kept in memory: what comes again and again in a column is a number.
//!
//! A row is its cells, one behind the other. A cell is what [`crate::table::encode_row`] makes of it, or
//! begins with a number that postcard never begins a cell with: a [`DECIMAL`], [`SECONDS`], or from
//! [`WORD_MIN`] on the number of such bytes in the [`Vocabulary`] of its column.
//! The form is of this process only: what is stored and sent is the row as `encode_row` makes it.

use crate::cell_ref::Cells;
use crate::interner::{Finder, Keys};
use crate::key::Key;
use crate::table::{Cell, ColumnType, ROW_VERSION, RowError, Table};
use crate::varint;

/// A real number of few decimals: its digits, and how many of them stand behind the point.
pub(crate) const DECIMAL: u64 = 11;
/// A time in whole seconds.
pub(crate) const SECONDS: u64 = 12;
/// Numbers below are postcard's, or kept back.
pub(crate) const WORD_MIN: u64 = 16;
/// Words of one column at most: their numbers take two bytes.
const WORDS_MAX: usize = (1 << 14) - WORD_MIN as usize;
/// Words that a column may have without showing that they come again; after that one for so many hits.
const WORDS_FREE: u32 = 64;
const HITS_A_WORD: u32 = 4;
/// What is longer is no word.
const WORD_BYTES_MAX: usize = 64;
const DECIMALS_BITS: u32 = 3;
const DECIMALS_MAX: i32 = 6;
const SECOND_US: i64 = 1_000_000;

/// What the numbers stand for, by column. Copies share nearly all of it.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    columns: Vec<Keys>,
}

impl Vocabulary {
    pub fn new(table: &Table) -> Self {
        Self { columns: vec![Keys::default(); table.columns.len()] }
    }

    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The cell that a number stands for, as postcard writes it.
    #[inline]
    pub(crate) fn word(&self, column: usize, number: u64) -> Option<&[u8]> {
        let number = usize::try_from(number.checked_sub(WORD_MIN)?).ok()?;
        Some(self.columns.get(column)?.get(number)).filter(|word| !word.is_empty())
    }

    /// Appends the row as [`crate::table::encode_row`] makes it; gives where it ended in `bytes`.
    pub fn expand(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        out.push(ROW_VERSION);
        varint::put_u64(out, self.columns() as u64);
        self.expand_cells(bytes, self.columns(), out)
    }

    /// Appends the first cells of a row as postcard writes them; gives where they ended in `bytes`.
    pub fn expand_cells(&self, bytes: &[u8], columns: usize, out: &mut Vec<u8>) -> Option<usize> {
        let mut cells = Cells::brief(bytes, self);
        for column in 0..columns {
            let from = cells.at();
            cells.pass()?;
            let mut at = from;
            match varint::take_u64(bytes, &mut at)? {
                DECIMAL => {
                    out.push(3);
                    let real = to_real(varint::take_u64(bytes, &mut at)?);
                    out.extend_from_slice(&real.to_le_bytes());
                }
                SECONDS => {
                    out.push(5);
                    varint::put_signed(out, to_time(varint::take_signed(bytes, &mut at)?)?);
                }
                word if word >= WORD_MIN => out.extend_from_slice(self.word(column, word)?),
                _ => out.extend_from_slice(bytes.get(from..cells.at())?),
            }
        }
        Some(cells.at())
    }

    pub fn heap_bytes(&self) -> usize {
        self.columns.iter().map(Keys::heap_bytes).sum()
    }
}

/// Makes shorthand of the rows of one table, and adds to its vocabulary what comes often.
#[derive(Debug)]
pub struct Shorthand {
    columns: Vec<Column>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Column {
    finder: Finder,
    hits: u32,
    form: Form,
}

/// What becomes of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Stays as it is, so that it is found without the vocabulary.
    Plain,
    /// Always a number: rows of one key lie together.
    Word,
    /// A number where that is worth it.
    Any { is_key: bool },
}

impl Shorthand {
    pub fn new(table: &Table) -> Self {
        let form = |at: usize| match (at, table.key) {
            (0, 1) => Form::Plain,
            (0, _) => Form::Word,
            (at, key) => Form::Any { is_key: at < key },
        };
        let column = |at| Column { finder: Finder::default(), hits: 0, form: form(at) };
        let columns = (0..table.columns.len()).map(column).collect();
        Self { columns, scratch: Vec::new() }
    }

    /// Appends the row.
    pub fn put(
        &mut self,
        row: &[Cell],
        words: &mut Vocabulary,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let Self { columns, scratch } = self;
        for ((cell, column), keys) in row.iter().zip(columns).zip(&mut words.columns) {
            scratch.clear();
            *scratch = postcard::to_extend(cell, std::mem::take(scratch))
                .map_err(|_| RowError::Damaged)?;
            if let Some(number) = column.number(scratch, keys) {
                varint::put_u64(out, number);
                continue;
            }
            // Keys are compared as they are.
            let is_key = !matches!(column.form, Form::Any { is_key: false });
            match short(cell).filter(|_| !is_key) {
                Some((code, number)) => {
                    varint::put_u64(out, code);
                    varint::put_u64(out, number);
                }
                None => out.extend_from_slice(scratch),
            }
        }
        Ok(())
    }

    pub fn heap_bytes(&self) -> usize {
        self.columns.iter().map(|column| size_of::<Column>() + column.finder.heap_bytes()).sum()
    }
}

impl Column {
    /// The number that stands for a cell, where one does.
    fn number(&mut self, cell: &[u8], keys: &mut Keys) -> Option<u64> {
        if self.form == Form::Plain || (cell.len() < 2 && self.form != Form::Word) {
            return None;
        }
        if let Some(known) = self.finder.find(keys, Key::of(cell)) {
            self.hits = self.hits.saturating_add(1);
            return Some(known as u64 + WORD_MIN);
        }
        let next = keys.len();
        let allowed = (WORDS_FREE + self.hits / HITS_A_WORD) as usize;
        let is_shorter = cell.len() > 2 || next as u64 + WORD_MIN < 0x80;
        let is_worth_it =
            next < allowed.min(WORDS_MAX) && is_shorter && cell.len() <= WORD_BYTES_MAX;
        if self.form != Form::Word && !is_worth_it {
            return None;
        }
        Some(self.finder.add(keys, cell)? as u64 + WORD_MIN)
    }
}

/// A cell in fewer bytes than postcard's.
fn short(cell: &Cell) -> Option<(u64, u64)> {
    match cell {
        Cell::Real(real) => decimal(*real).map(|number| (DECIMAL, number)),
        Cell::Time(at_us) if at_us % SECOND_US == 0 => {
            let seconds = at_us / SECOND_US;
            Some((SECONDS, ((seconds << 1) ^ (seconds >> 63)) as u64))
        }
        _ => None,
    }
}

/// Digits and decimals of a number that they give back bit for bit.
fn decimal(real: f64) -> Option<u64> {
    (0..=DECIMALS_MAX).find_map(|decimals| {
        let digits = (real * 10_f64.powi(decimals)).round();
        if digits.abs() >= (1_u64 << 40) as f64 {
            return None;
        }
        let digits = digits as i64;
        let folded = ((digits << 1) ^ (digits >> 63)) as u64;
        let number = folded << DECIMALS_BITS | decimals as u64;
        (to_real(number).to_bits() == real.to_bits()).then_some(number)
    })
}

#[inline]
pub(crate) fn to_real(number: u64) -> f64 {
    let (folded, decimals) = (number >> DECIMALS_BITS, number & ((1 << DECIMALS_BITS) - 1));
    let digits = (folded >> 1) as i64 ^ -((folded & 1) as i64);
    digits as f64 / 10_f64.powi(decimals as i32)
}

#[inline]
pub(crate) fn to_time(seconds: i64) -> Option<i64> {
    seconds.checked_mul(SECOND_US)
}

/// Whether rows of a table are found by the text of their first cell alone.
pub fn has_plain_key(table: &Table) -> bool {
    table.key == 1 && table.columns.first().is_some_and(|first| first.kind == ColumnType::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell_ref::CellRef;
    use crate::civil;
    use crate::table::encode_row;
    use proptest::prelude::*;

    fn expanded(words: &Vocabulary, brief: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert_eq!(words.expand(brief, &mut bytes), Some(brief.len()));
        bytes
    }

    fn cell(kind: ColumnType) -> BoxedStrategy<Cell> {
        let text = prop_oneof!["[a-c]{0,2}", ".{0,90}", "[居民姓名]{0,8}"];
        let value = match kind {
            ColumnType::Bool => any::<bool>().prop_map(Cell::Bool).boxed(),
            ColumnType::Int => prop_oneof![any::<i64>(), -3_i64..3].prop_map(Cell::Int).boxed(),
            ColumnType::Real => {
                let rounded = (-90_000_000_i64..90_000_000, 0..9)
                    .prop_map(|(digits, decimals)| digits as f64 / 10_f64.powi(decimals));
                prop_oneof![any::<f64>(), rounded, Just(-0.0), Just(f64::NAN)]
                    .prop_map(Cell::Real)
                    .boxed()
            }
            ColumnType::Text => text.prop_map(Cell::Text).boxed(),
            ColumnType::Time => {
                let seconds = any::<i32>().prop_map(|s| i64::from(s) * SECOND_US);
                prop_oneof![any::<i64>(), seconds].prop_map(Cell::Time).boxed()
            }
            ColumnType::Date => any::<i32>().prop_map(Cell::Date).boxed(),
            ColumnType::Texts => prop::collection::vec(text, 0..3).prop_map(Cell::Texts).boxed(),
            ColumnType::Ints => {
                prop::collection::vec(any::<i64>(), 0..3).prop_map(Cell::Ints).boxed()
            }
            ColumnType::Reasons => prop::collection::vec((text, any::<f64>(), any::<f64>()), 0..3)
                .prop_map(Cell::Reasons)
                .boxed(),
        };
        prop_oneof![1 => Just(Cell::Null), 4 => value].boxed()
    }

    fn rows_of(table: &'static Table) -> impl Strategy<Value = Vec<Vec<Cell>>> {
        let row: Vec<_> = table.columns.iter().map(|column| cell(column.kind)).collect();
        prop::collection::vec(row, 1..12)
    }

    fn tables() -> impl Strategy<Value = (usize, Vec<Vec<Cell>>)> {
        (0..civil::TABLES.len())
            .prop_flat_map(|at| rows_of(&civil::TABLES[at]).prop_map(move |rows| (at, rows)))
    }

    proptest! {
        /// NaN and -0.0 too, so bytes are compared; and each row read in place cell by cell.
        #[test]
        fn every_row_of_every_table_comes_back_bit_for_bit((at, rows) in tables()) {
            let table = &civil::TABLES[at];
            let (mut words, mut shorthand) = (Vocabulary::new(table), Shorthand::new(table));
            let mut kept = Vec::new();
            // Twice: first most cells are new, then most are words.
            for row in rows.iter().chain(&rows) {
                let mut brief = Vec::new();
                shorthand.put(row, &mut words, &mut brief).unwrap();
                kept.push((row, brief));
            }
            for (row, brief) in &kept {
                prop_assert_eq!(expanded(&words, brief), encode_row(row).unwrap());
                for (column, want) in row.iter().enumerate() {
                    let got = Cells::brief(brief, &words).nth(column).unwrap();
                    let want = CellRef::from(want);
                    let is_nan = matches!(want, CellRef::Real(real) if real.is_nan());
                    prop_assert!(got == want || is_nan, "{:?} {:?}", got, want);
                }
                prop_assert_eq!(Cells::brief(brief, &words).nth(row.len()), None);
                // Cut bytes end the walk and are not expanded.
                for length in 0..brief.len() {
                    let mut out = Vec::new();
                    prop_assert_eq!(words.expand(&brief[..length], &mut out), None);
                }
            }
        }
    }

    #[test]
    fn what_comes_again_is_short_and_what_does_not_fills_no_vocabulary() {
        let table = civil::table("tag").unwrap();
        let (mut words, mut shorthand) = (Vocabulary::new(table), Shorthand::new(table));
        let row = |person: usize, code: usize| {
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = Cell::text(format!("{person:016x}"));
            row[1] = Cell::text(format!("tag_{code}"));
            row[3] = Cell::text("rule");
            row[5] = Cell::Real(1.0);
            row[8] = Cell::text(format!("never the same {person} {code}"));
            row[10] = Cell::Time(1_767_196_800_000_000);
            row
        };
        let mut last = Vec::new();
        for at in 0..10_000 {
            last.clear();
            shorthand.put(&row(at / 5, at % 5), &mut words, &mut last).unwrap();
        }
        let unique = encode_row(&[row(9_999 / 5, 4)[8].clone()]).unwrap().len() - 2;
        assert_eq!(last.len(), 2 + 10 - 1 + unique, "{last:?}");
        assert_eq!(words.columns[8].len(), WORDS_FREE as usize);
        let copy = words.clone();
        shorthand.put(&row(7, 9), &mut words, &mut Vec::new()).unwrap();
        assert_eq!(expanded(&copy, &last), encode_row(&row(1_999, 4)).unwrap());
        assert_eq!((copy.columns[1].len(), words.columns[1].len()), (5, 6));
    }
}
