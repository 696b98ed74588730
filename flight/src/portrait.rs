//! A resident's portrait as one Arrow row: the register's columns, then what hangs on them as
//! structs and lists of structs.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{
        ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
        TimestampMicrosecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
};
use features::{
    civil,
    table::{Cell, Mode, Table},
};

use crate::{
    Error, LOG_INDEX_KEY, Portrait,
    rows::{columns, list_of, table_fields},
};

/// A table that parts of a portrait are rows of, with its fields made once.
struct Part {
    table: &'static Table,
    fields: Fields,
}

struct Parts {
    resident: Part,
    household: Part,
    dwelling: Part,
    tag: Part,
    device: Part,
    alert: Part,
    relation: Part,
    subsidy: Part,
}

static EMPTY: Table = Table { name: "", mode: Mode::Current, key: 0, columns: &[] };

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let part = |name| {
        let table = civil::table(name).unwrap_or(&EMPTY);
        Part { table, fields: table_fields(table) }
    };
    Parts {
        resident: part("resident"),
        household: part("household"),
        dwelling: part("dwelling"),
        tag: part("tag"),
        device: part("device"),
        alert: part("alert"),
        relation: part("relation"),
        subsidy: part("subsidy"),
    }
});

static INDICATOR: LazyLock<Fields> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let value = Field::new("value", DataType::Float64, true);
    let time = |name| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true);
    Fields::from(vec![
        text("name"),
        value,
        text("band"),
        text("model"),
        text("version"),
        time("event_time"),
        time("known_at"),
        text("status"),
        Field::new("log_index", DataType::Int64, true),
    ])
});

static EVENT: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("kind", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("value", DataType::Float64, true),
    ])
});

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let parts = &*PARTS;
    let mut fields: Vec<Field> =
        parts.resident.fields.iter().map(|each| each.as_ref().clone()).collect();
    let rows_of = |part: &Part| list_of(DataType::Struct(part.fields.clone()));
    let more = [
        ("age", DataType::Int64),
        ("region", DataType::Utf8),
        ("household", DataType::Struct(parts.household.fields.clone())),
        ("dwelling", DataType::Struct(parts.dwelling.fields.clone())),
        ("tags", rows_of(&parts.tag)),
        ("devices", rows_of(&parts.device)),
        ("indicators", list_of(DataType::Struct(INDICATOR.clone()))),
        ("alerts", rows_of(&parts.alert)),
        ("events", list_of(DataType::Struct(EVENT.clone()))),
        ("relations", rows_of(&parts.relation)),
        ("subsidies", rows_of(&parts.subsidy)),
    ];
    fields.extend(more.into_iter().map(|(name, kind)| Field::new(name, kind, true)));
    Arc::new(Schema::new(fields))
});

/// The columns of a portrait.
pub fn portrait_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// A portrait as one row, or no row where there is nobody; the schema says which index it was read at.
pub fn portrait_batch(portrait: Option<&Portrait>, log_index: u64) -> Result<RecordBatch, Error> {
    let metadata = HashMap::from([(LOG_INDEX_KEY.to_owned(), log_index.to_string())]);
    let schema = Arc::new(SCHEMA.as_ref().clone().with_metadata(metadata));
    let Some(portrait) = portrait else { return Ok(RecordBatch::new_empty(schema)) };
    let parts = &*PARTS;
    let mut arrays = rows_of(parts.resident.table, std::slice::from_ref(&portrait.resident))?;
    arrays.extend([
        Arc::new(Int64Array::from(vec![portrait.age])) as ArrayRef,
        Arc::new(StringArray::from(vec![portrait.region.as_deref()])),
        one_row(&parts.household, portrait.household.as_ref())?,
        one_row(&parts.dwelling, portrait.dwelling.as_ref())?,
        all_rows(&parts.tag, &portrait.tags)?,
        all_rows(&parts.device, &portrait.devices)?,
        indicators(portrait)?,
        all_rows(&parts.alert, &portrait.alerts)?,
        events(portrait)?,
        all_rows(&parts.relation, &portrait.relations)?,
        all_rows(&parts.subsidy, &portrait.subsidies)?,
    ]);
    Ok(RecordBatch::try_new(schema, arrays)?)
}

fn rows_of(table: &Table, rows: &[Vec<Cell>]) -> Result<Vec<ArrayRef>, Error> {
    for row in rows {
        table.check(row)?;
    }
    Ok(columns(table, rows))
}

fn one_row(part: &Part, row: Option<&Vec<Cell>>) -> Result<ArrayRef, Error> {
    let blank = vec![Cell::Null; part.table.columns.len()];
    let arrays = rows_of(part.table, std::slice::from_ref(row.unwrap_or(&blank)))?;
    let nulls = row.is_none().then(|| NullBuffer::new_null(1));
    Ok(Arc::new(StructArray::try_new(part.fields.clone(), arrays, nulls)?))
}

fn all_rows(part: &Part, rows: &[Vec<Cell>]) -> Result<ArrayRef, Error> {
    listed(part.fields.clone(), rows_of(part.table, rows)?, rows.len())
}

/// One list cell that holds `count` structs.
fn listed(fields: Fields, arrays: Vec<ArrayRef>, count: usize) -> Result<ArrayRef, Error> {
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
    let items = StructArray::try_new(fields, arrays, None)?;
    let offsets = OffsetBuffer::from_lengths([count]);
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(items), None)?))
}

fn indicators(portrait: &Portrait) -> Result<ArrayRef, Error> {
    let each = &portrait.indicators;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(each.iter().map(|one| &one.name))),
        Arc::new(each.iter().map(|one| one.value).collect::<Float64Array>()),
        Arc::new(each.iter().map(|one| one.band.as_deref()).collect::<StringArray>()),
        Arc::new(each.iter().map(|one| one.model.as_deref()).collect::<StringArray>()),
        Arc::new(each.iter().map(|one| one.version.as_deref()).collect::<StringArray>()),
        Arc::new(each.iter().map(|one| one.event_time_us).collect::<TimestampMicrosecondArray>()),
        Arc::new(each.iter().map(|one| one.known_us).collect::<TimestampMicrosecondArray>()),
        Arc::new(StringArray::from_iter_values(each.iter().map(|one| &one.status))),
        Arc::new(
            each.iter().map(|one| one.log_index.map(|index| index as i64)).collect::<Int64Array>(),
        ),
    ];
    listed(INDICATOR.clone(), arrays, each.len())
}

fn events(portrait: &Portrait) -> Result<ArrayRef, Error> {
    let each = &portrait.events;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(each.iter().map(|one| &one.kind))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(each.iter().map(|one| one.ts_us))),
        Arc::new(each.iter().map(|one| one.value).collect::<Float64Array>()),
    ];
    listed(EVENT.clone(), arrays, each.len())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::{Indicator, LastEvent};

    fn blank(table: &Table, key: &str) -> Vec<Cell> {
        let mut row = vec![Cell::Null; table.columns.len()];
        row[0] = Cell::text(key);
        row
    }

    #[test]
    fn a_portrait_is_one_row_and_nobody_is_none() {
        let portrait = Portrait {
            resident: blank(PARTS.resident.table, "r1"),
            age: Some(81),
            household: Some(blank(PARTS.household.table, "h1")),
            devices: vec![blank(PARTS.device.table, "d1"), blank(PARTS.device.table, "d2")],
            indicators: vec![Indicator {
                name: "fall".into(),
                value: Some(0.5),
                ..Indicator::default()
            }],
            events: vec![LastEvent { kind: "door".into(), ts_us: 5, value: None }],
            ..Portrait::default()
        };
        let batch = portrait_batch(Some(&portrait), 7).unwrap();
        assert_eq!(batch.num_rows(), 1);
        assert_eq!(batch.schema().metadata()[LOG_INDEX_KEY], "7");
        assert_eq!(batch.schema().fields(), portrait_schema().fields());
        let devices = batch.column_by_name("devices").unwrap().as_list::<i32>().value(0);
        assert_eq!(devices.len(), 2);
        assert!(batch.column_by_name("dwelling").unwrap().is_null(0));
        assert_eq!(portrait_batch(None, 7).unwrap().num_rows(), 0);
    }
}
