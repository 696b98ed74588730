//! What there is to select from: the catalog, its schema, tables and table types.

use std::{collections::HashMap, sync::Arc};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables,
};

use super::analyst::Analyst;
use crate::{CATALOG, Error, SCHEMA};

pub(super) fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Error> {
    let mut builder = command.into_builder();
    builder.append(CATALOG);
    builder.build().map_err(|error| refused(&error))
}

pub(super) fn schemas(mut command: CommandGetDbSchemas) -> Result<RecordBatch, Error> {
    command.catalog = catalog_filter(command.catalog);
    let mut builder = command.into_builder();
    builder.append(CATALOG, SCHEMA);
    builder.build().map_err(|error| refused(&error))
}

pub(super) fn tables(
    analyst: &Analyst,
    mut command: CommandGetTables,
) -> Result<RecordBatch, Error> {
    command.catalog = catalog_filter(command.catalog);
    let mut builder = command.into_builder();
    for relation in analyst.warehouse.relations() {
        let schema = described(&relation.name, &relation.schema);
        builder
            .append(CATALOG, SCHEMA, &relation.name, relation.kind, &schema)
            .map_err(|error| refused(&error))?;
    }
    builder.build().map_err(|error| refused(&error))
}

pub(super) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Error> {
    let mut builder = command.into_builder();
    builder.append("TABLE");
    builder.append("VIEW");
    builder.build().map_err(|error| refused(&error))
}

fn refused(error: &arrow_flight::error::FlightError) -> Error {
    Error::Invalid(error.to_string())
}

/// Some clients send a pattern where a name belongs.
fn catalog_filter(filter: Option<String>) -> Option<String> {
    filter.filter(|name| name != "%")
}

/// The schema with the field metadata by which JDBC-like clients learn types and names.
fn described(table: &str, schema: &Schema) -> Schema {
    let field = |field: &Arc<Field>| {
        let entry = |key: &str, value: &str| (format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned());
        let metadata = HashMap::from([
            entry("TYPE_NAME", type_name(field.data_type())),
            entry("CATALOG_NAME", CATALOG),
            entry("SCHEMA_NAME", SCHEMA),
            entry("TABLE_NAME", table),
        ]);
        field.as_ref().clone().with_metadata(metadata)
    };
    Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
}

fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "BOOLEAN",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::Float64 => "DOUBLE",
        DataType::Date32 => "DATE",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Decimal128(..) => "DECIMAL",
        DataType::List(_) => "LIST",
        DataType::Struct(_) => "STRUCT",
        _ => "VARCHAR",
    }
}
