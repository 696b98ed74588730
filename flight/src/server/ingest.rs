//! Bulk load: rows of reference tables, replicated like any write and upserted by key.

use arrow_flight::{
    decode::FlightRecordBatchStream,
    error::FlightError,
    sql::{CommandStatementIngest, TableExistsOption, server::PeekableFlightDataStream},
};
use features::{
    civil,
    table::{Cell, Mode, Table, encode_row},
};
use futures::TryStreamExt;
use std::time::Duration;
use tonic::{Request, Status};

use super::analyst::Analyst;
use crate::{CATALOG, Error, SCHEMA, batch_to_rows, nearest};

/// What is proposed to the log at once.
const PROPOSAL_ROWS_MAX: usize = 2048;
const PROPOSAL_BYTES_MAX: usize = 1 << 20;
/// How long the answer waits until this node's own tables show the rows. They are safe before.
const SHOWN_WAIT_MAX: Duration = Duration::from_secs(10);

pub(super) async fn ingest(
    analyst: &Analyst,
    command: CommandStatementIngest,
    request: Request<PeekableFlightDataStream>,
) -> Result<i64, Status> {
    let caller = analyst.admit(request.metadata()).await?;
    let messages = request.into_inner().map_err(FlightError::from);
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    if command.temporary {
        return analyst.lists.take_in(&caller.session, &command, &mut batches).await;
    }
    let table = wanted_table(&command)?;
    let mut load = Load { analyst, table, portion: Vec::new(), bytes: 0, count: 0, index: 0 };
    if let Err(status) = load.take_in(&mut batches).await {
        // What was proposed before stays in: an upsert can be sent again as it is.
        let text = match load.count {
            0 => status.message().to_owned(),
            count => format!("{}; {count} rows before it are in", status.message()),
        };
        return Err(Status::new(status.code(), text));
    }
    let (count, index) = (load.count, load.index);
    if index > analyst.warehouse.recorded_index() {
        // Somebody who asks next should see the rows; where this takes too long they come later.
        match analyst.live.wait_recorded(index, SHOWN_WAIT_MAX).await {
            Ok(()) | Err(Error::Late(_)) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count)
}

/// Rows on their way into the log, in portions that fit an entry whatever the size of the batches.
struct Load<'a> {
    analyst: &'a Analyst,
    table: &'static Table,
    portion: Vec<Vec<Cell>>,
    bytes: usize,
    count: i64,
    index: u64,
}

impl Load<'_> {
    async fn take_in(&mut self, batches: &mut FlightRecordBatchStream) -> Result<(), Status> {
        while let Some(batch) = batches.try_next().await? {
            for row in batch_to_rows(self.table, &batch)? {
                self.table.check(&row).map_err(Error::from)?;
                self.table.key_of(&row).map_err(Error::from)?;
                let size = encode_row(&row).map_err(Error::from)?.len();
                if self.portion.len() == PROPOSAL_ROWS_MAX || self.bytes + size > PROPOSAL_BYTES_MAX
                {
                    self.propose().await?;
                }
                self.portion.push(row);
                self.bytes += size;
            }
        }
        self.propose().await
    }

    async fn propose(&mut self) -> Result<(), Status> {
        if self.portion.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.portion);
        self.bytes = 0;
        let proposed = rows.len() as i64;
        self.index = self.analyst.live.ingest(self.table, rows).await?;
        self.count += proposed;
        Ok(())
    }
}

fn wanted_table(command: &CommandStatementIngest) -> Result<&'static Table, Status> {
    let here = |given: &Option<String>, name: &str| {
        given.as_deref().is_none_or(|each| each.is_empty() || each == name)
    };
    if !(here(&command.catalog, CATALOG) && here(&command.schema, SCHEMA)) {
        return Err(Status::invalid_argument(format!(
            "tables are in catalog {CATALOG}, schema {SCHEMA}"
        )));
    }
    let references = || civil::TABLES.iter().filter(|each| each.mode == Mode::Reference);
    let Some(table) = civil::table(&command.table) else {
        let near = nearest(&command.table, references().map(|each| each.name));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Err(Status::invalid_argument(format!("there is no table {}{hint}", command.table)));
    };
    if table.mode != Mode::Reference {
        let text = format!(
            "table {} is kept by the cluster itself; only reference tables are loaded",
            table.name
        );
        return Err(Status::invalid_argument(text));
    }
    match command.table_definition_options.map(|options| options.if_exists()) {
        Some(TableExistsOption::Fail) => Err(Status::already_exists(format!(
            "table {} exists; load with mode append, which upserts by key",
            table.name
        ))),
        Some(TableExistsOption::Replace) => Err(Status::invalid_argument(
            "a reference table cannot be replaced; load with mode append, which upserts by key",
        )),
        _ => Ok(table),
    }
}
