//! `hearth sql` and `hearth portrait`: over Flight, like any analyst.

use super::args::Remote;
use super::output::{Failure, Format};
use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::json::{ArrayWriter, LineDelimitedWriter};
use arrow::util::pretty::pretty_format_batches;
use std::io::Write as _;

/// A connection to the Flight port of the first member that answers.
pub(crate) async fn connect(remote: &Remote) -> anyhow::Result<flight::Client> {
    let addresses = remote.client()?.flight_addresses().await?;
    let mut last = "no member has a Flight address".to_owned();
    for address in addresses {
        match flight::Client::connect(&format!("http://{address}")).await {
            Ok(client) => return Ok(client),
            Err(error) => last = error.to_string(),
        }
    }
    Err(Failure { said: last, code: crate::exit::UNAVAILABLE }.into())
}

/// A refusal of the Flight port with its exit status.
pub(crate) fn failure(error: &flight::Error) -> Failure {
    let code = if error.is_retryable() { crate::exit::UNAVAILABLE } else { crate::exit::REFUSED };
    Failure { said: error.to_string(), code }
}

pub(crate) async fn run(query: &str, remote: &Remote) -> anyhow::Result<()> {
    let answered = connect(remote).await?.query(query).await.map_err(|error| failure(&error))?;
    // An answer without rows still has its columns.
    let batches = if answered.batches.is_empty() {
        vec![RecordBatch::new_empty(answered.schema)]
    } else {
        answered.batches
    };
    print(&batches, remote.format)
}

pub(crate) async fn portrait(resident: &str, remote: &Remote) -> anyhow::Result<()> {
    let answered =
        connect(remote).await?.portrait(resident).await.map_err(|error| failure(&error))?;
    if answered.batches.iter().all(|batch| batch.num_rows() == 0) {
        return Err(Failure::refused(format!("no resident {resident:?}")).into());
    }
    // A portrait is nested: a table would hide most of it.
    let format = if remote.format == Format::Table { Format::Json } else { remote.format };
    print(&answered.batches, format)
}

fn print(batches: &[RecordBatch], format: Format) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let refs: Vec<&RecordBatch> = batches.iter().collect();
    match format {
        Format::Table => writeln!(out, "{}", pretty_format_batches(batches)?)?,
        Format::Json => {
            let mut writer = ArrayWriter::new(&mut out);
            writer.write_batches(&refs)?;
            writer.finish()?;
            writeln!(out)?;
        }
        Format::Csv
            if batches.iter().any(|batch| {
                batch.schema().fields().iter().any(|field| field.data_type().is_nested())
            }) =>
        {
            // CSV has no lists: one JSON object a line keeps them.
            let mut writer = LineDelimitedWriter::new(&mut out);
            writer.write_batches(&refs)?;
            writer.finish()?;
        }
        Format::Csv => {
            let mut writer = WriterBuilder::new().with_header(true).build(&mut out);
            for batch in batches {
                writer.write(batch)?;
            }
        }
    }
    Ok(())
}
