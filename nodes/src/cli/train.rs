//! `hearth train`: a logistic model by linfa from the answer of a query, as a package to be pushed.

use super::args::Remote;
use super::output::Failure;
use super::sql::{connect, failure};
use crate::rendering::to_answer;
use crate::views;
use clap::Args;
use models::{Format, Manifest, fit_logistic};
use std::path::PathBuf;

/// Rows that are fitted in memory at most.
const ROWS_MAX: usize = 2_000_000;

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// SELECT of the features, in order, and of the label
    query: String,
    /// The column that is learned: true or 1 is the positive class
    #[arg(long)]
    label: String,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "1")]
    version: String,
    /// The feature view whose row the model reads; the columns must be its features
    #[arg(long, default_value = "")]
    view: String,
    /// What a row is about; empty for the view's own entity
    #[arg(long, default_value = "")]
    entity: String,
    /// Strength of the L2 penalty
    #[arg(long, default_value_t = 1.0)]
    l2: f64,
    /// The folder that the package is written to
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: TrainArgs) -> anyhow::Result<()> {
    let answered =
        connect(&args.remote).await?.query(&args.query).await.map_err(|error| failure(&error))?;
    let answer =
        to_answer(&answered.schema, &answered.batches, answered.log_index.unwrap_or(0), 0)?;
    let label = answer.columns.iter().position(|(name, _)| *name == args.label);
    let label = label
        .ok_or_else(|| Failure::refused(format!("the query has no column {:?}", args.label)))?;
    if answer.rows.len() > ROWS_MAX {
        return Err(Failure::refused(format!(
            "{} rows; at most {ROWS_MAX} are fitted: sample in the query",
            answer.rows.len()
        ))
        .into());
    }
    let names: Vec<&str> = answer
        .columns
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != label)
        .map(|(_, (name, _))| name.as_str())
        .collect();
    let mut values = Vec::with_capacity(answer.rows.len() * names.len());
    let mut labels = Vec::with_capacity(answer.rows.len());
    for (at, row) in answer.rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let number = match cell {
                reports::Value::Bool(value) => Some(f64::from(u8::from(*value))),
                other => other.as_number(),
            };
            let number = number.ok_or_else(|| {
                Failure::refused(format!(
                    "row {}: column {:?} is not a number: fill it in the query",
                    at + 1,
                    answer.columns[column].0
                ))
            })?;
            if column == label {
                labels.push(number != 0.0);
            } else {
                values.push(number as f32);
            }
        }
    }
    let refused = |error: models::Error| Failure::refused(error.to_string());
    let model = fit_logistic(&values, &labels, &names, args.l2).map_err(refused)?;
    let mut manifest = Manifest::bare(&args.name, &args.version, Format::Linfa).map_err(refused)?;
    // Without a view the model takes rows from its caller; the file itself knows their columns.
    if !args.view.is_empty() {
        let of_view = || views::find(&args.view).map(|view| view.entity().as_str().to_owned());
        manifest.entity =
            if args.entity.is_empty() { of_view().unwrap_or_default() } else { args.entity };
        manifest.view = args.view;
        manifest.features = names.iter().map(|name| (*name).to_owned()).collect();
    }
    std::fs::create_dir_all(&args.out)?;
    std::fs::write(args.out.join("manifest.toml"), manifest.to_toml().map_err(refused)?)?;
    std::fs::write(args.out.join(Format::Linfa.file()), model.to_bytes().map_err(refused)?)?;
    println!(
        "{}: {} rows, {} features, log index {}; push it with `hearth model push {}`",
        args.out.display(),
        labels.len(),
        names.len(),
        answer.log_index,
        args.out.display()
    );
    Ok(())
}
