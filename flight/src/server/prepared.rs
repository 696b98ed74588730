//! Prepared statements: made, bound, run any number of times, closed.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightInfo,
    decode::FlightRecordBatchStream,
    error::FlightError,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedStatementResult, CommandPreparedStatementQuery,
        DoPutPreparedStatementResult, ProstMessageExt, server::PeekableFlightDataStream,
    },
};
use features::table::Cell;
use futures::TryStreamExt;
use prost::Message;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    analyst::{Analyst, Boxed},
    answer::{info, one_batch, schema_bytes},
    bind::{PARAMETER_ROWS_MAX, parameter_rows},
    handles::Prepared,
    portrait::{Asked, asked},
    statement,
};
use crate::{Error, portrait_schema};

pub(super) async fn create(
    analyst: &Analyst,
    command: ActionCreatePreparedStatementRequest,
    metadata: &MetadataMap,
) -> Result<ActionCreatePreparedStatementResult, Status> {
    let caller = analyst.admit(metadata).await?;
    let (prepared, schema, parameters) = match asked(&command.query) {
        Some(Asked::Key(key)) => (Prepared::PortraitOf(key), portrait_schema(), 0),
        Some(Asked::Parameter) => (Prepared::Portrait, portrait_schema(), 1),
        None => {
            let checked = analyst.check(&caller, &command.query).await?;
            let described = analyst.reader.describe_checked(&checked, None).await?;
            (Prepared::Statement(checked), described.schema, described.parameters)
        }
    };
    let handle = analyst.handles.add(&caller.session, prepared)?;
    Ok(ActionCreatePreparedStatementResult {
        prepared_statement_handle: handle.into(),
        dataset_schema: schema_bytes(&schema)?,
        parameter_schema: schema_bytes(&parameter_schema(parameters))?,
    })
}

/// The parameters' types are open until values are bound, so text stands for all.
fn parameter_schema(count: usize) -> Schema {
    let fields: Vec<Field> =
        (1..=count).map(|at| Field::new(format!("parameter_{at}"), DataType::Utf8, true)).collect();
    Schema::new(fields)
}

pub(super) fn close(
    analyst: &Analyst,
    command: &ActionClosePreparedStatementRequest,
    metadata: &MetadataMap,
) -> Result<(), Status> {
    let caller = analyst.caller(metadata)?;
    analyst.handles.remove(&caller.session, &command.prepared_statement_handle);
    Ok(())
}

pub(super) async fn bind(
    analyst: &Analyst,
    command: CommandPreparedStatementQuery,
    request: Request<PeekableFlightDataStream>,
) -> Result<DoPutPreparedStatementResult, Status> {
    let caller = analyst.caller(request.metadata())?;
    let handle = command.prepared_statement_handle;
    analyst.handles.find(&caller.session, &handle)?;
    let messages = request.into_inner().map_err(FlightError::from);
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut params = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        if params.len() + batch.num_rows() > PARAMETER_ROWS_MAX {
            let most = format!(
                "a statement is run for at most {PARAMETER_ROWS_MAX} sets of parameters at once"
            );
            return Err(Error::TooMuch(most).into());
        }
        params.append(&mut parameter_rows(&batch)?);
    }
    analyst.handles.bind(&caller.session, &handle, params)?;
    Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
}

pub(super) async fn flight_info(
    analyst: &Analyst,
    command: CommandPreparedStatementQuery,
    metadata: &MetadataMap,
    descriptor: FlightDescriptor,
) -> Result<Response<FlightInfo>, Status> {
    let caller = analyst.admit(metadata).await?;
    analyst.handles.find(&caller.session, &command.prepared_statement_handle)?;
    info(descriptor, command.as_any().encode_to_vec(), None)
}

pub(super) async fn get(
    analyst: &Analyst,
    command: CommandPreparedStatementQuery,
    metadata: &MetadataMap,
) -> Result<Response<Boxed<FlightData>>, Status> {
    let caller = analyst.admit(metadata).await?;
    let (prepared, params) =
        analyst.handles.find(&caller.session, &command.prepared_statement_handle)?;
    match prepared {
        Prepared::Statement(checked) => {
            let params = if params.is_empty() { vec![Vec::new()] } else { params };
            statement::rows(analyst, caller, &checked, params).await
        }
        Prepared::PortraitOf(key) => Ok(one_batch(statement::portrait(analyst, &caller, &key)?)),
        Prepared::Portrait => match params.first().map(Vec::as_slice) {
            Some([Cell::Text(key)]) => Ok(one_batch(statement::portrait(analyst, &caller, key)?)),
            _ => {
                Err(Error::Query("portrait(?) takes one text, a resident's key".to_owned()).into())
            }
        },
    }
}

/// The columns that a run with the bound parameters would give.
pub(super) async fn schema(
    analyst: &Analyst,
    command: &CommandPreparedStatementQuery,
    metadata: &MetadataMap,
) -> Result<SchemaRef, Status> {
    let caller = analyst.admit(metadata).await?;
    let (prepared, params) =
        analyst.handles.find(&caller.session, &command.prepared_statement_handle)?;
    match prepared {
        Prepared::Statement(checked) => {
            let described =
                analyst.reader.describe_checked(&checked, params.into_iter().next()).await?;
            Ok(Arc::clone(&described.schema))
        }
        Prepared::Portrait | Prepared::PortraitOf(_) => Ok(portrait_schema()),
    }
}
