//! Tables as data: what a column is called, what it holds, and how a row becomes bytes.
//!
//! The replicated state, the warehouse, the loader and the simulator share these declarations, so a
//! column exists in one place only. A row is a list of cells in the order of its table's columns.

use serde::{Deserialize, Serialize};

use crate::cell_ref::CellRef;

/// The version byte that stands before every stored row.
pub const ROW_VERSION: u8 = 1;
/// The largest stored row, in bytes.
pub const ROW_BYTES_MAX: usize = 256 * 1024;

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnType {
    Bool,
    Int,
    Real,
    Text,
    /// UTC, microseconds since 1970.
    Time,
    /// Days since 1970-01-01.
    Date,
    Texts,
    Ints,
    /// Feature, value and contribution of a score's reasons.
    Reasons,
}

/// How rows enter a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Loaded by departments through the log, upserted by key.
    Reference,
    /// Kept by the cluster itself, upserted by key.
    Current,
    /// Written once, never changed; carries `log_index`.
    History,
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnType,
}

#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub name: &'static str,
    pub mode: Mode,
    /// The primary key is the first `key` columns.
    pub key: usize,
    pub columns: &'static [Column],
}

impl Table {
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|each| each.name == column)
    }

    /// The key of a row, as bytes that are equal when the key's cells are.
    pub fn key_of(&self, row: &[Cell]) -> Result<Vec<u8>, RowError> {
        for (column, cell) in self.columns.iter().zip(row).take(self.key) {
            if matches!(cell, Cell::Null) {
                return Err(RowError::NoKey { table: self.name, column: column.name });
            }
        }
        match row.get(..self.key) {
            // The plain text of a one-column key, so that a key can be looked up without a codec.
            Some([Cell::Text(text)]) => Ok(text.as_bytes().to_vec()),
            Some(cells) => postcard::to_stdvec(cells).map_err(|_| RowError::Damaged),
            None => {
                Err(RowError::Width { table: self.name, want: self.columns.len(), got: row.len() })
            }
        }
    }

    /// Refuses a row whose cells are not of this table's columns.
    pub fn check(&self, row: &[Cell]) -> Result<(), RowError> {
        if row.len() != self.columns.len() {
            return Err(RowError::Width {
                table: self.name,
                want: self.columns.len(),
                got: row.len(),
            });
        }
        for (column, cell) in self.columns.iter().zip(row) {
            if !cell.fits(column.kind) {
                return Err(RowError::Type {
                    table: self.name,
                    column: column.name,
                    want: column.kind,
                });
            }
        }
        Ok(())
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    Time(i64),
    Date(i32),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    Reasons(Vec<(String, f64, f64)>),
}

impl Cell {
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    fn fits(&self, kind: ColumnType) -> bool {
        matches!(
            (self, kind),
            (Self::Null, _)
                | (Self::Bool(_), ColumnType::Bool)
                | (Self::Int(_), ColumnType::Int)
                | (Self::Real(_), ColumnType::Real)
                | (Self::Text(_), ColumnType::Text)
                | (Self::Time(_), ColumnType::Time)
                | (Self::Date(_), ColumnType::Date)
                | (Self::Texts(_), ColumnType::Texts)
                | (Self::Ints(_), ColumnType::Ints)
                | (Self::Reasons(_), ColumnType::Reasons)
        )
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let heap = match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|each| size_of::<String>() + each.len()).sum(),
            Self::Ints(ints) => size_of_val(ints.as_slice()),
            Self::Reasons(all) => {
                all.iter().map(|each| size_of_val(each) + each.0.len()).sum::<usize>()
            }
            _ => 0,
        };
        size_of::<Self>() + heap
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The cell as a number, where it is one; a truth counts as 0 or 1, a date as its day.
    pub fn as_number(&self) -> Option<f64> {
        CellRef::from(self).as_number()
    }
}

/// Why a row was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RowError {
    #[error("table {table} has {want} columns, the row has {got}")]
    Width { table: &'static str, want: usize, got: usize },
    #[error("column {table}.{column} holds {want:?}, the row has something else there")]
    Type { table: &'static str, column: &'static str, want: ColumnType },
    #[error("column {table}.{column} is part of the key and cannot be empty")]
    NoKey { table: &'static str, column: &'static str },
    #[error("a row may have {ROW_BYTES_MAX} bytes, this one has {got}")]
    TooLarge { got: usize },
    #[error("the stored row cannot be read")]
    Damaged,
}

/// A row as bytes, a version byte first.
pub fn encode_row(row: &[Cell]) -> Result<Vec<u8>, RowError> {
    let bytes = postcard::to_extend(row, vec![ROW_VERSION]).map_err(|_| RowError::Damaged)?;
    if bytes.len() > ROW_BYTES_MAX {
        return Err(RowError::TooLarge { got: bytes.len() });
    }
    Ok(bytes)
}

/// The cells of [`encode_row`]'s bytes.
pub fn decode_row(bytes: &[u8]) -> Result<Vec<Cell>, RowError> {
    match bytes.split_first() {
        Some((&ROW_VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| RowError::Damaged),
        _ => Err(RowError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil;

    #[test]
    fn a_row_survives_its_bytes() {
        let row = vec![Cell::text("a"), Cell::Null, Cell::Real(1.5), Cell::Ints(vec![1, -2])];
        assert_eq!(decode_row(&encode_row(&row).unwrap()).unwrap(), row);
        assert_eq!(decode_row(&[9, 1, 2]), Err(RowError::Damaged));
    }

    #[test]
    fn a_wrong_cell_names_its_column() {
        let table = civil::table("grid").unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        row[0] = Cell::Int(3);
        let said = table.check(&row).unwrap_err().to_string();
        assert!(said.contains("grid.grid_id"), "{said}");
        row[0] = Cell::Null;
        assert!(table.key_of(&row).is_err());
    }
}
