//! Parameters of a prepared statement: a client's Arrow rows as cells.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, UInt64Type},
};
use features::table::{Cell, ColumnType};

use crate::{Error, cast::read_column};

/// Each set of parameters is a run of the statement.
pub(super) const PARAMETER_ROWS_MAX: usize = 1024;

/// The rows of a batch, one value for each parameter, by position.
pub(super) fn parameter_rows(batch: &RecordBatch) -> Result<Vec<Vec<Cell>>, Error> {
    let columns = batch.columns().iter().map(cells).collect::<Result<Vec<_>, _>>()?;
    Ok((0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column[row].clone()).collect())
        .collect())
}

fn cells(array: &ArrayRef) -> Result<Vec<Cell>, Error> {
    let kind = match array.data_type() {
        DataType::Union(..) => return union_cells(array),
        DataType::Dictionary(_, value) => {
            return cells(&cast(array, value)?);
        }
        DataType::UInt64 => return Ok(unsigned_cells(array)),
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            ColumnType::Text
        }
        DataType::Boolean => ColumnType::Bool,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Time,
        DataType::Decimal128(_, 0) => ColumnType::Int,
        kind if kind.is_integer() => ColumnType::Int,
        kind if kind.is_numeric() => ColumnType::Real,
        other => {
            return Err(Error::Query(format!("a parameter cannot be {other}; send a plain value")));
        }
    };
    read_column(kind, array)
        .map_err(|reason| Error::Query(format!("a parameter cannot be read: {reason}")))
}

/// Some clients wrap every value in a union of all types.
fn union_cells(array: &ArrayRef) -> Result<Vec<Cell>, Error> {
    let union = array.as_any().downcast_ref::<arrow::array::UnionArray>();
    let union =
        union.ok_or_else(|| Error::Query("a parameter's union cannot be read".to_owned()))?;
    (0..union.len()).map(|row| Ok(cells(&union.value(row))?.pop().unwrap_or(Cell::Null))).collect()
}

fn unsigned_cells(array: &ArrayRef) -> Vec<Cell> {
    let number = |value: u64| i64::try_from(value).map_or(Cell::Real(value as f64), Cell::Int);
    array.as_primitive::<UInt64Type>().iter().map(|each| each.map_or(Cell::Null, number)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, NullArray, StringArray, UInt64Array, UnionArray},
        datatypes::{Field, Schema, UnionFields},
    };

    use super::*;

    #[test]
    fn unions_are_unwrapped() {
        let fields = UnionFields::from_fields(vec![
            Field::new("int", DataType::Int64, true),
            Field::new("string", DataType::Utf8, true),
        ]);
        let children: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![7])), Arc::new(StringArray::from(vec!["x"]))];
        let union =
            UnionArray::try_new(fields, vec![1, 0].into(), Some(vec![0, 0].into()), children)
                .unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(union),
            Arc::new(NullArray::new(2)),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new("p", column.data_type().clone(), true))
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let rows = parameter_rows(&batch).unwrap();
        assert_eq!(rows[0], [Cell::text("x"), Cell::Null, Cell::Real(u64::MAX as f64)]);
        assert_eq!(rows[1], [Cell::Int(7), Cell::Null, Cell::Null]);
    }
}
