//! Flight SQL by verbs: each method hands over to the file of its verb.

use std::{pin::Pin, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{
    Action, ActionType, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket,
    flight_service_server::FlightService,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedStatementResult, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
        CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
        CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
        CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
        DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
        metadata::{SqlInfoData, XdbcTypeInfoData},
        server::{FlightSqlService, PeekableFlightDataStream},
    },
};
use futures::Stream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    actions, answer::{info, one_batch}, catalog, handles::Handles, handshake, ingest, keys, prepared, sql_info,
    statement, type_info,
};
use crate::{Error, Live, Reader, Warehouse};

pub(super) type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;
type Info = Result<Response<FlightInfo>, Status>;
type Rows = Result<Response<Boxed<FlightData>>, Status>;

const NO_UPDATES: &str = "statements only read; reference tables are loaded by ingest (CommandStatementIngest)";

/// The analysts' side of the server.
pub(super) struct Analyst {
    pub(super) warehouse: Arc<Warehouse>,
    pub(super) reader: Reader,
    pub(super) live: Arc<dyn Live>,
    pub(super) handles: Handles,
    sql_infos: Result<SqlInfoData, Error>,
    type_infos: Result<XdbcTypeInfoData, Error>,
}

impl Analyst {
    pub(super) fn new(warehouse: Arc<Warehouse>, live: Arc<dyn Live>) -> Self {
        Self {
            reader: warehouse.reader(),
            warehouse,
            live,
            handles: Handles::default(),
            sql_infos: sql_info::sql_infos(),
            type_infos: type_info::type_infos(),
        }
    }

    fn sql_info(&self, command: CommandGetSqlInfo) -> Result<RecordBatch, Status> {
        let infos = self.sql_infos.as_ref().map_err(|error| Status::internal(error.to_string()))?;
        Ok(sql_info::batch(infos, command)?)
    }

    fn type_info(&self, command: CommandGetXdbcTypeInfo) -> Result<RecordBatch, Status> {
        let infos = self.type_infos.as_ref().map_err(|error| Status::internal(error.to_string()))?;
        Ok(type_info::batch(infos, command)?)
    }

    /// The info of a command whose answer is small and made at once: the command is the ticket.
    fn known(
        &self,
        command: &impl ProstMessageExt,
        metadata: &MetadataMap,
        descriptor: FlightDescriptor,
        batch: Result<RecordBatch, impl Into<Status>>,
    ) -> Info {
        self.caller(metadata)?;
        let schema = batch.map_err(Into::into)?.schema();
        info(descriptor, command.as_any().encode_to_vec(), Some(&schema))
    }

    fn given(&self, metadata: &MetadataMap, batch: Result<RecordBatch, impl Into<Status>>) -> Rows {
        self.caller(metadata)?;
        Ok(one_batch(batch.map_err(Into::into)?))
    }
}

/// A command's two halves: where its answer is to be had, and the answer.
macro_rules! known_command {
    ($info:ident, $get:ident, $command:ty, |$self:ident, $given:ident| $batch:expr) => {
        async fn $info(&$self, $given: $command, request: Request<FlightDescriptor>) -> Info {
            let (metadata, _, descriptor) = request.into_parts();
            let command = $given.clone();
            $self.known(&command, &metadata, descriptor, $batch)
        }

        async fn $get(&$self, $given: $command, request: Request<Ticket>) -> Rows {
            $self.given(request.metadata(), $batch)
        }
    };
}
