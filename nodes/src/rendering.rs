//! Reports: asked here or over Flight, rendered by the same code.

use crate::node::Node;
use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use features::table::Cell;
use reports::{Answer, Binding, Kind, Language, Output, Rendered, Report, Value};
use serde_json::json;
use std::collections::BTreeMap;
use tonic::Status;

/// A rendered report.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The catalogue for the cockpit.
pub(crate) fn listed() -> serde_json::Value {
    let report = |report: &Report| {
        json!({
            "id": report.id, "domain": report.domain,
            "title": report.title.of(Language::En), "title_zh": report.title.of(Language::Zh),
            "question": report.question.of(Language::En), "question_zh": report.question.of(Language::Zh),
        })
    };
    reports::catalogue().iter().map(report).collect()
}

pub(crate) fn refuse(error: &reports::Error) -> Status {
    let said = error.to_string();
    match error {
        reports::Error::UnknownReport { .. } => Status::not_found(said),
        error if error.is_callers() => Status::invalid_argument(said),
        _ => Status::internal(said),
    }
}

/// Asks this node's own warehouse.
pub(crate) async fn from_warehouse(
    node: &Node,
    id: &str,
    given: &BTreeMap<String, String>,
    format: &str,
) -> Result<File, Status> {
    let mut given = given.clone();
    let language = given.remove("language").unwrap_or_else(|| "zh".to_owned());
    let report = reports::find(id).map_err(|error| refuse(&error))?;
    let asked_us = crate::clock::now_us();
    let binding = report.bind(&given, asked_us).map_err(|error| refuse(&error))?;
    let params = binding.values.iter().map(to_cell).collect();
    let answer = node.warehouse().reader().query(&report.sql, params).await?;
    let log_index = answer.log_index;
    let schema = answer.schema.clone();
    let batches = answer.collect().await?;
    let answer = to_answer(&schema, &batches, log_index, asked_us)
        .map_err(|error| Status::internal(error.to_string()))?;
    render(report, &binding, &answer, format, &language).map_err(|error| refuse(&error))
}

/// One form of an answered report.
pub(crate) fn render(
    report: &Report,
    binding: &Binding,
    answer: &Answer,
    format: &str,
    language: &str,
) -> Result<File, reports::Error> {
    let output: Output = format.parse()?;
    let language: Language = language.parse()?;
    let rendered = Rendered::new(report, binding, answer, language)?;
    Ok(File {
        name: rendered.file_name(output),
        content_type: output.media_type(),
        bytes: rendered.write(output)?,
    })
}

/// A report's parameter for the warehouse.
pub(crate) fn to_cell(value: &Value) -> Cell {
    match value {
        Value::Null | Value::List(_) => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(value) => Cell::Int(*value),
        Value::Real(value) => Cell::Real(*value),
        Value::Text(value) => Cell::text(value),
        Value::Time(value) => Cell::Time(*value),
        Value::Date(value) => Cell::Date(*value),
    }
}

/// Arrow's rows in the reports' words.
pub(crate) fn to_answer(
    schema: &arrow::datatypes::Schema,
    batches: &[RecordBatch],
    log_index: u64,
    asked_us: i64,
) -> Result<Answer, arrow::error::ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| (field.name().clone(), kind_of(field.data_type())))
        .collect();
    let mut rows = Vec::new();
    for batch in batches {
        let values: Vec<Vec<Value>> =
            batch.columns().iter().map(values_of).collect::<Result<_, _>>()?;
        rows.extend(
            (0..batch.num_rows())
                .map(|row| values.iter().map(|column| column[row].clone()).collect()),
        );
    }
    Ok(Answer { columns, rows, log_index, asked_us })
}

fn kind_of(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Boolean => Kind::Bool,
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(..) => Kind::Time,
        DataType::List(_) | DataType::LargeList(_) => Kind::List,
        DataType::Decimal128(_, 0) => Kind::Int,
        data_type if data_type.is_integer() => Kind::Int,
        data_type if data_type.is_numeric() => Kind::Real,
        _ => Kind::Text,
    }
}

fn values_of(column: &ArrayRef) -> Result<Vec<Value>, arrow::error::ArrowError> {
    let data_type = column.data_type();
    let values: Vec<Option<Value>> = match kind_of(data_type) {
        Kind::Bool => column.as_boolean().iter().map(|each| each.map(Value::Bool)).collect(),
        Kind::Int => {
            let column = cast(column, &DataType::Int64)?;
            column.as_primitive::<Int64Type>().iter().map(|each| each.map(Value::Int)).collect()
        }
        Kind::Real => {
            let column = cast(column, &DataType::Float64)?;
            column.as_primitive::<Float64Type>().iter().map(|each| each.map(Value::Real)).collect()
        }
        Kind::Date => {
            let column = cast(&cast(column, &DataType::Date32)?, &DataType::Int32)?;
            column.as_primitive::<Int32Type>().iter().map(|each| each.map(Value::Date)).collect()
        }
        Kind::Time => {
            let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
            let column = cast(column, &micros)?;
            column
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .map(|each| each.map(Value::Time))
                .collect()
        }
        Kind::List => lists_of(column)?,
        Kind::Text => {
            let formatter = ArrayFormatter::try_new(column, &FormatOptions::default())?;
            let text =
                |row| (!column.is_null(row)).then(|| Value::Text(formatter.value(row).to_string()));
            (0..column.len()).map(text).collect()
        }
    };
    Ok(values.into_iter().map(|value| value.unwrap_or(Value::Null)).collect())
}

fn lists_of(column: &ArrayRef) -> Result<Vec<Option<Value>>, arrow::error::ArrowError> {
    let Some(lists) = column.as_list_opt::<i32>() else {
        return Ok(vec![None; column.len()]);
    };
    lists
        .iter()
        .map(|list| list.map(|list| values_of(&list).map(Value::List)).transpose())
        .collect()
}
