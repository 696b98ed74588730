//! Answers on the wire: schemas, infos and streams.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    ipc::{MetadataVersion, writer::IpcWriteOptions},
};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket,
    encode::FlightDataEncoderBuilder, error::FlightError,
};
use bytes::Bytes;
use features::table::Cell;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Response, Status};

use super::analyst::Boxed;
use crate::{Error, Warehouse};

/// What one message aims at; clients in Go refuse more than 16 MiB.
const MESSAGE_BYTES_AIM: usize = 2 << 20;
/// As much of a statement as `query_log` keeps.
const NOTED_BYTES_MAX: usize = 4096;

pub(super) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error: arrow::error::ArrowError| Status::internal(error.to_string()))?;
    Ok(bytes)
}

/// An info with one endpoint, at this node. Queries leave the schema out: the stream's own says
/// which index it was read at, which nobody can know before.
pub(super) fn info(
    descriptor: FlightDescriptor,
    ticket: impl Into<Bytes>,
    schema: Option<&Schema>,
) -> Result<Response<FlightInfo>, Status> {
    let mut info = FlightInfo::new()
        .with_descriptor(descriptor)
        .with_endpoint(FlightEndpoint::new().with_ticket(Ticket::new(ticket)))
        .with_ordered(true);
    if let Some(schema) = schema {
        info.schema = schema_bytes(schema)?;
    }
    Ok(Response::new(info))
}

/// A small answer: a portrait has hundreds of buffers, which the usual padding to 64 bytes would swell.
pub(super) fn one_batch(batch: RecordBatch) -> Response<Boxed<FlightData>> {
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).unwrap_or_default();
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(batch.schema())
        .with_options(options)
        .with_max_flight_data_size(MESSAGE_BYTES_AIM)
        .build(stream::iter([Ok(batch)]))
        .map_err(Status::from);
    Response::new(messages.boxed())
}

pub(super) fn encoded(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
) -> Response<Boxed<FlightData>> {
    let failed = |error: Error| FlightError::Tonic(Box::new(Status::from(error)));
    let messages = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_max_flight_data_size(MESSAGE_BYTES_AIM)
        .build(batches.map_err(failed))
        .map_err(Status::from);
    Response::new(messages.boxed())
}

/// Passes batches on and writes a row of `query_log` when they end, or when the reader goes.
pub(super) struct Noted<S> {
    inner: S,
    warehouse: Arc<Warehouse>,
    who: String,
    sql: String,
    began: Instant,
    rows: u64,
    status: &'static str,
}

impl<S> Noted<S> {
    pub(super) fn new(
        inner: S,
        warehouse: Arc<Warehouse>,
        who: String,
        sql: String,
        began: Instant,
    ) -> Self {
        Self { inner, warehouse, who, sql, began, rows: 0, status: "cancelled" }
    }
}

impl<S: Stream<Item = Result<RecordBatch, Error>> + Unpin> Stream for Noted<S> {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(Ok(batch))) => self.rows += batch.num_rows() as u64,
            Poll::Ready(Some(Err(_))) => self.status = "failed",
            Poll::Ready(None) if self.status == "cancelled" => self.status = "done",
            Poll::Ready(None) | Poll::Pending => (),
        }
        next
    }
}

impl<S> Drop for Noted<S> {
    fn drop(&mut self) {
        let sql = std::mem::take(&mut self.sql);
        let who = std::mem::take(&mut self.who);
        note(&self.warehouse, who, sql, self.rows, self.began, self.status);
    }
}

/// A row of `query_log`; the recorder's writer numbers it.
#[expect(
    clippy::disallowed_methods,
    reason = "when a query ran is this node\'s own note, not the log\'s"
)]
pub(super) fn note(
    warehouse: &Warehouse,
    who: String,
    mut sql: String,
    rows: u64,
    began: Instant,
    status: &str,
) {
    sql.truncate(sql.floor_char_boundary(NOTED_BYTES_MAX));
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    let elapsed = began.elapsed().as_micros() as i64;
    warehouse.note_query(vec![
        Cell::Null,
        Cell::Time(now - elapsed),
        Cell::Text(who),
        Cell::Text(sql),
        Cell::Int(rows as i64),
        Cell::Int(elapsed),
        Cell::text(status),
    ]);
}
