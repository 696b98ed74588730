//! The column types, as JDBC-like clients ask for them.

use arrow::array::RecordBatch;
use arrow_flight::sql::{
    CommandGetXdbcTypeInfo, Nullable, Searchable, XdbcDataType,
    metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
};

use crate::Error;

/// Name, code, size in digits or characters, quote.
const TYPES: &[(&str, XdbcDataType, i32, Option<&str>)] = &[
    ("BOOLEAN", XdbcDataType::XdbcBit, 1, None),
    ("BIGINT", XdbcDataType::XdbcBigint, 19, None),
    ("INTEGER", XdbcDataType::XdbcInteger, 10, None),
    ("DOUBLE", XdbcDataType::XdbcDouble, 15, None),
    ("DECIMAL", XdbcDataType::XdbcDecimal, 38, None),
    ("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX, Some("'")),
    ("DATE", XdbcDataType::XdbcDate, 10, Some("'")),
    ("TIMESTAMP", XdbcDataType::XdbcTimestamp, 26, Some("'")),
];

pub(super) fn type_infos() -> Result<XdbcTypeInfoData, Error> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for (name, code, size, quote) in TYPES {
        let number = quote.is_none() && *name != "BOOLEAN";
        builder.append(XdbcTypeInfo {
            type_name: (*name).to_owned(),
            data_type: *code,
            column_size: Some(*size),
            literal_prefix: quote.map(ToOwned::to_owned),
            literal_suffix: quote.map(ToOwned::to_owned),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: *name == "VARCHAR",
            searchable: Searchable::Full,
            unsigned_attribute: number.then_some(false),
            local_type_name: Some((*name).to_owned()),
            sql_data_type: *code,
            num_prec_radix: number.then_some(10),
            ..XdbcTypeInfo::default()
        });
    }
    builder.build().map_err(|error| Error::Internal(error.to_string()))
}

pub(super) fn batch(
    infos: &XdbcTypeInfoData,
    command: CommandGetXdbcTypeInfo,
) -> Result<RecordBatch, Error> {
    command.into_builder(infos).build().map_err(|error| Error::Internal(error.to_string()))
}
