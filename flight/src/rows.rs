//! Rows of cells to Arrow and back. Every field is nullable, so that schemas compare equal wherever
//! they come from.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Float64Builder, Int64Array,
        Int64Builder, ListBuilder, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
        StructBuilder, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use features::table::{Cell, ColumnType, Table};

use crate::{Error, cast::read_column};

/// The Arrow type of a column.
pub(crate) fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Real => DataType::Float64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Date => DataType::Date32,
        ColumnType::Texts => list_of(DataType::Utf8),
        ColumnType::Ints => list_of(DataType::Int64),
        ColumnType::Reasons => list_of(DataType::Struct(reason_fields())),
    }
}

pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn reason_fields() -> Fields {
    Fields::from(vec![
        Field::new("feature", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("contrib", DataType::Float64, true),
    ])
}

pub(crate) fn table_fields(table: &Table) -> Fields {
    table.columns.iter().map(|each| Field::new(each.name, data_type(each.kind), true)).collect()
}

/// The Arrow schema of a table.
pub fn table_schema(table: &Table) -> SchemaRef {
    Arc::new(Schema::new(table_fields(table)))
}

/// Rows as one batch; a row that does not fit its table is refused.
pub fn rows_to_batch(table: &Table, rows: &[Vec<Cell>]) -> Result<RecordBatch, Error> {
    for row in rows {
        table.check(row)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(table_schema(table), columns(table, rows), &options)?)
}

/// The columns of rows that were checked before.
pub(crate) fn columns(table: &Table, rows: &[Vec<Cell>]) -> Vec<ArrayRef> {
    let column = |(at, kind)| {
        let cells: Vec<&Cell> = rows.iter().map(|row| row.get(at).unwrap_or(&Cell::Null)).collect();
        column_array(kind, &cells)
    };
    table.columns.iter().map(|each| each.kind).enumerate().map(column).collect()
}

fn column_array(kind: ColumnType, cells: &[&Cell]) -> ArrayRef {
    macro_rules! collect {
        ($array:ty, $variant:ident) => {
            Arc::new(
                cells
                    .iter()
                    .map(|cell| if let Cell::$variant(value) = cell { Some(*value) } else { None })
                    .collect::<$array>(),
            )
        };
    }
    match kind {
        ColumnType::Bool => collect!(BooleanArray, Bool),
        ColumnType::Int => collect!(Int64Array, Int),
        ColumnType::Real => collect!(Float64Array, Real),
        ColumnType::Text => {
            Arc::new(cells.iter().map(|cell| cell.as_text()).collect::<StringArray>())
        }
        ColumnType::Time => collect!(TimestampMicrosecondArray, Time),
        ColumnType::Date => collect!(Date32Array, Date),
        ColumnType::Texts => texts_array(cells),
        ColumnType::Ints => ints_array(cells),
        ColumnType::Reasons => reasons_array(cells),
    }
}

fn texts_array(cells: &[&Cell]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for cell in cells {
        if let Cell::Texts(texts) = cell {
            for text in texts {
                builder.values().append_value(text);
            }
            builder.append(true);
        } else {
            builder.append(false);
        }
    }
    Arc::new(builder.finish())
}

fn ints_array(cells: &[&Cell]) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for cell in cells {
        if let Cell::Ints(ints) = cell {
            builder.values().append_slice(ints);
            builder.append(true);
        } else {
            builder.append(false);
        }
    }
    Arc::new(builder.finish())
}

fn reasons_array(cells: &[&Cell]) -> ArrayRef {
    let mut builder = ListBuilder::new(StructBuilder::from_fields(reason_fields(), 0));
    for cell in cells {
        let Cell::Reasons(reasons) = cell else {
            builder.append(false);
            continue;
        };
        let values = builder.values();
        for (feature, value, contrib) in reasons {
            if let Some(field) = values.field_builder::<StringBuilder>(0) {
                field.append_value(feature);
            }
            for (at, number) in [(1, value), (2, contrib)] {
                if let Some(field) = values.field_builder::<Float64Builder>(at) {
                    field.append_value(*number);
                }
            }
            values.append(true);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The rows of somebody's batch, by column name: a missing column is empty, an unknown one is
/// refused with the nearest known name, and other types are taken where nothing is lost.
pub fn batch_to_rows(table: &Table, batch: &RecordBatch) -> Result<Vec<Vec<Cell>>, Error> {
    let schema = batch.schema();
    let mut rows = vec![vec![Cell::Null; table.columns.len()]; batch.num_rows()];
    let mut seen = vec![false; table.columns.len()];
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let at = table.position(field.name()).ok_or_else(|| unknown_column(table, field.name()))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(Error::Invalid(format!("column {} appears twice", field.name())));
        }
        let column = &table.columns[at];
        let cells = read_column(column.kind, array).map_err(|reason| {
            Error::Invalid(format!("column {}.{}: {reason}", table.name, column.name))
        })?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row[at] = cell;
        }
    }
    Ok(rows)
}

fn unknown_column(table: &Table, name: &str) -> Error {
    let hint = nearest(name, table.columns.iter().map(|each| each.name))
        .map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Error::Invalid(format!("table {} has no column {name}{hint}", table.name))
}

/// The known word that is nearest to a wrong one, where one is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|each| (strsim::damerau_levenshtein(&word, &each.to_lowercase()), each))
        .min()
        .filter(|(distance, each)| *distance <= each.len().max(word.len()).div_ceil(2))
        .map(|(_, each)| each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["dwelling", "device", "resident"];
        assert_eq!(nearest("Dweling", known), Some("dwelling"));
        assert_eq!(nearest("residents", known), Some("resident"));
        assert_eq!(nearest("quux", known), None);
    }
}
