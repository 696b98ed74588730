//! Flight SQL by verbs: each method hands over to the file of its verb.

use std::{pin::Pin, sync::Arc};

use arrow_flight::{
    Action, ActionType, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, Ticket,
    flight_service_server::FlightService,
    sql::{
        ActionBeginTransactionRequest, ActionBeginTransactionResult,
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedStatementResult, ActionEndTransactionRequest,
        CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest,
        CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, SqlInfo,
        TicketStatementQuery,
        metadata::{SqlInfoData, XdbcTypeInfoData},
        server::{DoPutError, FlightSqlService, PeekableFlightDataStream},
    },
};
use futures::Stream;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use super::{
    actions, admit::Caller, handles::Handles, handshake, ingest, lists::Lists, online, prepared,
    sql_info, statement, type_info,
};
use crate::{Checked, Error, Live, Reader, Warehouse, point_in_time, warehouse::SQL_BYTES_MAX};

pub(super) type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;
type Info = Result<Response<FlightInfo>, Status>;
type Rows = Result<Response<Boxed<FlightData>>, Status>;

const NO_UPDATES: &str =
    "statements only read; reference tables are loaded by ingest (CommandStatementIngest)";
const NO_TRANSACTIONS: &str = "there are no transactions; every statement sees one recorded state";

/// The analysts' side of the server.
pub(super) struct Analyst {
    pub(super) warehouse: Arc<Warehouse>,
    pub(super) reader: Reader,
    pub(super) live: Arc<dyn Live>,
    pub(super) handles: Handles,
    pub(super) lists: Lists,
    /// Who reads all online values holds a copy of the state meanwhile.
    pub(super) online: Arc<Semaphore>,
    pub(super) sql_infos: Result<SqlInfoData, Error>,
    pub(super) type_infos: Result<XdbcTypeInfoData, Error>,
}

impl Analyst {
    pub(super) fn new(warehouse: Arc<Warehouse>, live: Arc<dyn Live>) -> Self {
        Self {
            reader: warehouse.reader(),
            warehouse,
            live,
            handles: Handles::default(),
            lists: Lists::default(),
            online: Arc::new(Semaphore::new(online::READERS_MAX)),
            sql_infos: sql_info::sql_infos(),
            type_infos: type_info::type_infos(),
        }
    }

    /// Whether a text is one statement that reads, with the caller's lists and the calls of
    /// `features_at` in it written out.
    pub(super) async fn check(&self, caller: &Caller, sql: &str) -> Result<Checked, Error> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(Error::TooMuch(format!(
                "a statement may have {SQL_BYTES_MAX} bytes, this one has {}; load a list as a \
                 temporary table",
                sql.len()
            )));
        }
        let sql = self.lists.name_in(&caller.session, sql);
        let sql = point_in_time::expand(&sql, &|view| self.live.feature_view(view))?;
        self.reader.check(&sql).await
    }
}

#[tonic::async_trait]
impl FlightSqlService for Analyst {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Boxed<HandshakeResponse>>, Status> {
        handshake::handshake(self, request).await
    }

    async fn get_flight_info_statement(
        &self,
        command: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let (metadata, _, descriptor) = request.into_parts();
        statement::flight_info(self, command, &metadata, descriptor).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let (metadata, _, descriptor) = request.into_parts();
        prepared::flight_info(self, command, &metadata, descriptor).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Rows {
        statement::get(self, ticket, request.metadata()).await
    }

    async fn do_get_prepared_statement(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Rows {
        prepared::get(self, command, request.metadata()).await
    }

    async fn do_put_error_callback(
        &self,
        _: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(Status::invalid_argument(format!("DoPut: {error}")))
    }

    async fn do_put_statement_update(
        &self,
        _: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.caller(request.metadata())?;
        Err(Status::invalid_argument(NO_UPDATES))
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        ingest::ingest(self, command, request).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        prepared::bind(self, command, request).await
    }

    async fn do_put_prepared_statement_update(
        &self,
        _: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.caller(request.metadata())?;
        Err(Status::invalid_argument(NO_UPDATES))
    }

    async fn do_action_create_prepared_statement(
        &self,
        command: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        prepared::create(self, command, request.metadata()).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        command: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        prepared::close(self, &command, request.metadata())
    }

    async fn do_action_begin_transaction(
        &self,
        _: ActionBeginTransactionRequest,
        _: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(Status::unimplemented(NO_TRANSACTIONS))
    }

    async fn do_action_end_transaction(
        &self,
        _: ActionEndTransactionRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Err(Status::unimplemented(NO_TRANSACTIONS))
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        actions::act(self, request)
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(actions::action_types())
    }

    // What this server can do is fixed when it starts.
    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
