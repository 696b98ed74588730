//! Primary keys; foreign keys are not declared, so their lists are empty.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::sql::CommandGetPrimaryKeys;
use features::civil;

use crate::{CATALOG, Error, SCHEMA};

static PRIMARY: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
});

static FOREIGN: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});

pub(super) fn primary_keys(command: &CommandGetPrimaryKeys) -> Result<RecordBatch, Error> {
    let here = command.catalog.as_deref().is_none_or(|name| name == CATALOG)
        && command.db_schema.as_deref().is_none_or(|name| name == SCHEMA);
    let table = civil::table(&command.table).filter(|_| here);
    let names: Vec<&str> = table.map_or_else(Vec::new, |table| {
        table.columns.iter().take(table.key).map(|each| each.name).collect()
    });
    let count = names.len();
    let same = |text: &str| Arc::new(StringArray::from(vec![text; count])) as ArrayRef;
    let arrays = vec![
        same(CATALOG),
        same(SCHEMA),
        same(&command.table),
        Arc::new(StringArray::from(names)),
        same(&format!("{}_key", command.table)),
        Arc::new(Int32Array::from_iter_values(1..=count as i32)),
    ];
    Ok(RecordBatch::try_new(Arc::clone(&PRIMARY), arrays)?)
}

pub(super) fn foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(Arc::clone(&FOREIGN))
}
