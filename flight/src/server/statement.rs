//! A statement at once: its text is the ticket, so that any node can answer it.

use std::{sync::Arc, time::Instant};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightInfo,
    sql::{CommandStatementQuery, ProstMessageExt, TicketStatementQuery},
};
use features::table::Cell;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::{Response, Status, metadata::MetadataMap};

use super::{
    admit::Caller,
    analyst::{Analyst, Boxed},
    answer::{Noted, encoded, info, note, one_batch},
    portrait::{Asked, asked},
};
use crate::{Checked, Error, portrait_batch, portrait_schema};

pub(super) async fn flight_info(
    analyst: &Analyst,
    command: CommandStatementQuery,
    metadata: &MetadataMap,
    descriptor: FlightDescriptor,
) -> Result<Response<FlightInfo>, Status> {
    let caller = analyst.admit(metadata).await?;
    if asked(&command.query).is_none() {
        analyst.check(&caller, &command.query).await?;
    }
    let ticket = TicketStatementQuery { statement_handle: command.query.into() };
    info(descriptor, ticket.as_any().encode_to_vec(), None)
}

pub(super) async fn get(
    analyst: &Analyst,
    ticket: TicketStatementQuery,
    metadata: &MetadataMap,
) -> Result<Response<Boxed<FlightData>>, Status> {
    let caller = analyst.admit(metadata).await?;
    let sql = std::str::from_utf8(&ticket.statement_handle)
        .map_err(|_| Status::invalid_argument("the ticket is not one of this server's"))?;
    match asked(sql) {
        Some(Asked::Key(key)) => Ok(one_batch(portrait(analyst, &caller, &key)?)),
        Some(Asked::Parameter) => {
            Err(Error::Query("the statement has 1 parameters, 0 were given".to_owned()).into())
        }
        None => {
            let checked = analyst.check(&caller, sql).await?;
            rows(analyst, caller, &checked, vec![Vec::new()]).await
        }
    }
}

/// The columns of a statement.
pub(super) async fn schema(
    analyst: &Analyst,
    caller: &Caller,
    sql: &str,
) -> Result<SchemaRef, Error> {
    if asked(sql).is_some() {
        return Ok(portrait_schema());
    }
    let checked = analyst.check(caller, sql).await?;
    Ok(analyst.reader.describe_checked(&checked, None).await?.schema)
}

/// A portrait as SQL has it: no row where there is nobody.
pub(super) fn portrait(
    analyst: &Analyst,
    caller: &Caller,
    key: &str,
) -> Result<RecordBatch, Error> {
    let began = Instant::now();
    let log_index = analyst.live.log_index();
    let found = analyst.live.portrait(key);
    let batch = portrait_batch(found.as_ref(), log_index)?;
    let sql = format!("portrait:{key}");
    note(&analyst.warehouse, caller.who.clone(), sql, batch.num_rows() as u64, began, "done");
    Ok(batch)
}

/// Runs a statement once for each set of parameters; the answers follow each other.
pub(super) async fn rows(
    analyst: &Analyst,
    caller: Caller,
    checked: &Checked,
    mut params: Vec<Vec<Cell>>,
) -> Result<Response<Boxed<FlightData>>, Status> {
    let began = Instant::now();
    let more = params.split_off(params.len().min(1));
    let first = params.pop().unwrap_or_default();
    let answer = match analyst.reader.run(checked, first).await {
        Ok(answer) => answer,
        Err(error) => {
            note(&analyst.warehouse, caller.who, checked.sql().to_owned(), 0, began, "failed");
            return Err(error.into());
        }
    };
    let schema = Arc::clone(&answer.schema);
    let (reader, statement) = (analyst.reader.clone(), checked.clone());
    let further = stream::iter(more).then(move |params| {
        let (reader, statement) = (reader.clone(), statement.clone());
        async move { reader.run(&statement, params).await }
    });
    let batches = answer.chain(further.try_flatten());
    let warehouse = Arc::clone(&analyst.warehouse);
    let noted =
        Noted::new(Box::pin(batches), warehouse, caller.who, checked.sql().to_owned(), began);
    Ok(encoded(schema, noted))
}
