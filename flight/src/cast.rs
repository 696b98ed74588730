//! Somebody's Arrow column as cells of ours: other types are taken where nothing is lost.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use features::table::{Cell, ColumnType};

/// A microsecond is the finest time that is kept.
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The cells of a column, or why it cannot hold this kind.
pub(crate) fn read_column(kind: ColumnType, array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let array = plain(array)?;
    match kind {
        ColumnType::Bool => read_bools(&array),
        ColumnType::Int => read_ints(&array),
        ColumnType::Real => read_reals(&array),
        ColumnType::Text => read_texts(&array),
        ColumnType::Time => read_times(&array),
        ColumnType::Date => read_dates(&array),
        ColumnType::Texts => read_lists(&array, |item| {
            read_texts(&plain(item)?)?
                .into_iter()
                .map(whole_text)
                .collect::<Result<_, _>>()
                .map(Cell::Texts)
        }),
        ColumnType::Ints => read_lists(&array, |item| {
            read_ints(&plain(item)?)?
                .iter()
                .map(whole_int)
                .collect::<Result<_, _>>()
                .map(Cell::Ints)
        }),
        ColumnType::Reasons => read_lists(&array, read_reasons),
    }
}

/// The array without dictionary or run-end encoding; a column without a type is all empty.
fn plain(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Dictionary(_, value) => convert(array, value),
        DataType::RunEndEncoded(_, value) => convert(array, value.data_type()),
        _ => Ok(Arc::clone(array)),
    }
}

fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(to, array.len()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| error.to_string())
}

fn refused(array: &ArrayRef, wanted: &str) -> String {
    format!("{} does not hold {wanted}", array.data_type())
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

fn read_bools(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    if !(matches!(kind, DataType::Boolean | DataType::Null) || is_text(kind)) {
        return Err(refused(array, "true or false"));
    }
    let array = convert(array, &DataType::Boolean)?;
    Ok(array.as_boolean().iter().map(|each| each.map_or(Cell::Null, Cell::Bool)).collect())
}

fn read_ints(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    if kind.is_floating() {
        return read_whole_reals(array);
    }
    if !(kind.is_integer() || kind == &DataType::Null || is_text(kind) || has_no_fraction(kind)) {
        return Err(refused(array, "whole numbers"));
    }
    let array = convert(array, &DataType::Int64)?;
    Ok(array
        .as_primitive::<Int64Type>()
        .iter()
        .map(|each| each.map_or(Cell::Null, Cell::Int))
        .collect())
}

fn has_no_fraction(kind: &DataType) -> bool {
    matches!(kind, DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0))
}

/// Data frames keep whole numbers with gaps as floats, the gap being a NaN.
fn read_whole_reals(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let array = convert(array, &DataType::Float64)?;
    let whole = |each: Option<f64>| match each {
        None => Ok(Cell::Null),
        Some(value) if value.is_nan() => Ok(Cell::Null),
        Some(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
            Ok(Cell::Int(value as i64))
        }
        Some(value) => Err(format!("{value} is not a whole number")),
    };
    array.as_primitive::<Float64Type>().iter().map(whole).collect()
}

fn read_reals(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    if !(kind.is_numeric() || kind == &DataType::Null || is_text(kind)) {
        return Err(refused(array, "numbers"));
    }
    let array = convert(array, &DataType::Float64)?;
    let real = |each: Option<f64>| match each {
        Some(value) if !value.is_nan() => Cell::Real(value),
        _ => Cell::Null,
    };
    Ok(array.as_primitive::<Float64Type>().iter().map(real).collect())
}

fn read_texts(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    // A code of digits only is often guessed to be a number.
    if !(is_text(kind) || kind.is_integer() || kind == &DataType::Null) {
        return Err(refused(array, "text"));
    }
    let array = convert(array, &DataType::Utf8)?;
    Ok(array.as_string::<i32>().iter().map(|each| each.map_or(Cell::Null, Cell::text)).collect())
}

fn read_times(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    let array = match kind {
        // Times with a zone are instants already; the zone itself is not kept.
        DataType::Timestamp(_, Some(zone)) => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)));
            let array = convert(array, &utc)?;
            Arc::new(
                array
                    .as_primitive::<TimestampMicrosecondType>()
                    .clone()
                    .with_timezone_opt::<&str>(None),
            ) as ArrayRef
        }
        _ if is_time(kind) || kind == &DataType::Null => convert(array, &TIME)?,
        // A text may carry an offset, so it is read as an instant.
        _ if is_text(kind) => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
            return read_times(&convert(array, &utc)?);
        }
        _ => return Err(refused(array, "a time")),
    };
    Ok(array
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|each| each.map_or(Cell::Null, Cell::Time))
        .collect())
}

fn read_dates(array: &ArrayRef) -> Result<Vec<Cell>, String> {
    let kind = array.data_type();
    if !(is_time(kind) || is_text(kind) || kind == &DataType::Null) {
        return Err(refused(array, "a date"));
    }
    let array = convert(array, &DataType::Date32)?;
    Ok(array
        .as_primitive::<Date32Type>()
        .iter()
        .map(|each| each.map_or(Cell::Null, Cell::Date))
        .collect())
}

fn read_lists(
    array: &ArrayRef,
    read: impl Fn(&ArrayRef) -> Result<Cell, String>,
) -> Result<Vec<Cell>, String> {
    match array.data_type() {
        DataType::Null => Ok(vec![Cell::Null; array.len()]),
        DataType::List(_) => read_list_items::<i32>(array, read),
        DataType::LargeList(_) => read_list_items::<i64>(array, read),
        DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            read_list_items::<i64>(&convert(array, &DataType::LargeList(Arc::clone(item)))?, read)
        }
        _ => Err(refused(array, "lists")),
    }
}

fn read_list_items<O: OffsetSizeTrait>(
    array: &ArrayRef,
    read: impl Fn(&ArrayRef) -> Result<Cell, String>,
) -> Result<Vec<Cell>, String> {
    array
        .as_list::<O>()
        .iter()
        .map(|each| each.map_or(Ok(Cell::Null), |item| read(&item)))
        .collect()
}

fn whole_text(cell: Cell) -> Result<String, String> {
    if let Cell::Text(text) = cell { Ok(text) } else { Err("a list has an empty item".to_owned()) }
}

fn whole_int(cell: &Cell) -> Result<i64, String> {
    if let Cell::Int(int) = cell { Ok(*int) } else { Err("a list has an empty item".to_owned()) }
}

fn read_reasons(item: &ArrayRef) -> Result<Cell, String> {
    let Some(parts) = item.as_struct_opt().filter(|parts| parts.num_columns() == 3) else {
        return Err(refused(item, "feature, value and contribution"));
    };
    let texts = read_texts(&plain(parts.column(0))?)?;
    let values = read_reals(&plain(parts.column(1))?)?;
    let contribs = read_reals(&plain(parts.column(2))?)?;
    let reason = |((text, value), contrib): ((Cell, Cell), Cell)| {
        // An unknown number stays unknown, as a NaN.
        let number = |cell: &Cell| cell.as_number().unwrap_or(f64::NAN);
        Ok((whole_text(text)?, number(&value), number(&contrib)))
    };
    texts
        .into_iter()
        .zip(values)
        .zip(contribs)
        .map(reason)
        .collect::<Result<_, String>>()
        .map(Cell::Reasons)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            Date32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray,
            NullArray, StringArray, StringViewArray, TimestampMillisecondArray,
            TimestampNanosecondArray,
        },
        datatypes::Int32Type,
    };

    use super::*;

    fn check(kind: ColumnType, array: impl Array + 'static, expected: &[Cell]) {
        let array: ArrayRef = Arc::new(array);
        assert_eq!(read_column(kind, &array).as_deref(), Ok(expected), "{}", array.data_type());
    }

    fn refuse(kind: ColumnType, array: impl Array + 'static, part: &str) {
        let array: ArrayRef = Arc::new(array);
        let said = read_column(kind, &array).unwrap_err();
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn what_loses_nothing_is_taken() {
        let text = |text: &str| Cell::text(text);
        check(ColumnType::Int, Int32Array::from(vec![Some(1), None]), &[Cell::Int(1), Cell::Null]);
        check(
            ColumnType::Int,
            Float64Array::from(vec![2.0, f64::NAN]),
            &[Cell::Int(2), Cell::Null],
        );
        check(ColumnType::Int, StringArray::from(vec!["-3"]), &[Cell::Int(-3)]);
        check(ColumnType::Real, Int64Array::from(vec![7]), &[Cell::Real(7.0)]);
        check(ColumnType::Text, Int64Array::from(vec![310_104]), &[text("310104")]);
        check(ColumnType::Text, LargeStringArray::from(vec!["a"]), &[text("a")]);
        check(ColumnType::Text, StringViewArray::from(vec!["b"]), &[text("b")]);
        check(ColumnType::Bool, NullArray::new(2), &[Cell::Null, Cell::Null]);
        check(ColumnType::Date, Date32Array::from(vec![5]), &[Cell::Date(5)]);
        check(
            ColumnType::Date,
            TimestampMillisecondArray::from(vec![86_400_000]),
            &[Cell::Date(1)],
        );
        check(ColumnType::Date, StringArray::from(vec!["1970-01-03"]), &[Cell::Date(2)]);
        let ints =
            ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)]), None]);
        check(ColumnType::Ints, ints, &[Cell::Ints(vec![1, 2]), Cell::Null]);
    }

    #[test]
    fn times_are_instants_in_microseconds() {
        let noon = 1_767_268_800_000_000;
        check(
            ColumnType::Time,
            TimestampNanosecondArray::from(vec![noon * 1000]),
            &[Cell::Time(noon)],
        );
        let zoned = TimestampMillisecondArray::from(vec![noon / 1000]).with_timezone("+08:00");
        check(ColumnType::Time, zoned, &[Cell::Time(noon)]);
        check(
            ColumnType::Time,
            StringArray::from(vec!["2026-01-01T20:00:00+08:00"]),
            &[Cell::Time(noon)],
        );
        check(
            ColumnType::Time,
            StringArray::from(vec!["2026-01-01 12:00:00"]),
            &[Cell::Time(noon)],
        );
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        refuse(ColumnType::Int, Float64Array::from(vec![1.5]), "1.5");
        refuse(ColumnType::Int, StringArray::from(vec!["x"]), "x");
        refuse(ColumnType::Text, Float64Array::from(vec![1.0]), "text");
        refuse(ColumnType::Time, Int64Array::from(vec![1]), "a time");
        refuse(ColumnType::Texts, StringArray::from(vec!["a"]), "lists");
        let gap = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
        refuse(ColumnType::Ints, gap, "empty item");
    }
}
