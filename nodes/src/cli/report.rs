//! `hearth report`.

use super::args::Remote;
use super::output::{Failure, print_rows};
use super::sql::{connect, failure};
use crate::rendering;
use clap::Subcommand;
use features::table::Cell;
use reports::{Language, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// The catalogue
    List,
    /// Asks and renders one report into a file
    Render {
        id: String,
        /// A parameter, name=value; may be given several times
        #[arg(long = "param", value_name = "NAME=VALUE")]
        params: Vec<String>,
        /// html, xlsx, csv or md
        #[arg(long = "as", default_value = "html")]
        output: String,
        /// zh or en
        #[arg(long, default_value = "zh")]
        language: String,
        /// The file; the report's own name in the current folder where none is given, - for standard output
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: ReportCommand, remote: &Remote) -> anyhow::Result<()> {
    match command {
        ReportCommand::List => {
            let rows: Vec<_> = reports::catalogue()
                .iter()
                .map(|report| {
                    let parameters: Vec<&str> =
                        report.parameters.iter().map(|each| each.name.as_str()).collect();
                    vec![
                        json!(report.id),
                        json!(report.domain),
                        json!(report.title.of(Language::Zh)),
                        json!(report.title.of(Language::En)),
                        json!(parameters.join(" ")),
                    ]
                })
                .collect();
            print_rows(
                remote.format,
                &["report", "domain", "title_zh", "title", "parameters"],
                &rows,
            );
            Ok(())
        }
        ReportCommand::Render { id, params, output, language, out } => {
            let file = render(&id, &given(&params)?, &output, &language, remote).await?;
            let place = out.unwrap_or_else(|| PathBuf::from(&file.name));
            write(&place, &file.bytes)
        }
    }
}

fn given(params: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--param {text}: write NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    params.iter().map(pair).collect()
}

fn write(place: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if place == Path::new("-") {
        return Ok(std::io::Write::write_all(&mut std::io::stdout(), bytes)?);
    }
    std::fs::write(place, bytes)
        .map_err(|error| Failure::refused(format!("{}: {error}", place.display())))?;
    println!("{}", place.display());
    Ok(())
}

/// Asks over Flight and renders here.
pub(crate) async fn render(
    id: &str,
    given: &BTreeMap<String, String>,
    output: &str,
    language: &str,
    remote: &Remote,
) -> anyhow::Result<rendering::File> {
    let refused = |error: reports::Error| {
        if error.is_callers() {
            Failure::refused(error.to_string())
        } else {
            Failure { said: error.to_string(), code: crate::exit::REFUSED }
        }
    };
    let report = reports::find(id).map_err(refused)?;
    let asked_us = crate::clock::now_us();
    let binding = report.bind(given, asked_us).map_err(refused)?;
    let mut client = connect(remote).await?;
    let params: Vec<Cell> = binding.values.iter().map(rendering::to_cell).collect();
    let answered = if params.is_empty() {
        client.query(&report.sql).await
    } else {
        client.query_with(&report.sql, parameter_row(&binding.values)?).await
    };
    let answered = answered.map_err(|error| failure(&error))?;
    let answer = rendering::to_answer(
        &answered.schema,
        &answered.batches,
        answered.log_index.unwrap_or(0),
        asked_us,
    )?;
    Ok(rendering::render(report, &binding, &answer, output, language).map_err(refused)?)
}

/// One row with a column a parameter.
fn parameter_row(values: &[Value]) -> anyhow::Result<arrow::array::RecordBatch> {
    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use std::sync::Arc;
    let columns = values.iter().enumerate().map(|(at, value)| {
        let array: ArrayRef = match value {
            Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
            Value::Int(value) => Arc::new(Int64Array::from(vec![*value])),
            Value::Real(value) => Arc::new(Float64Array::from(vec![*value])),
            Value::Text(value) => Arc::new(StringArray::from(vec![value.as_str()])),
            Value::Time(value) => Arc::new(TimestampMicrosecondArray::from(vec![*value])),
            Value::Date(value) => Arc::new(Date32Array::from(vec![*value])),
            Value::Null | Value::List(_) => Arc::new(StringArray::from(vec![None::<&str>])),
        };
        (format!("${}", at + 1), array, true)
    });
    Ok(arrow::array::RecordBatch::try_from_iter_with_nullable(columns)?)
}
