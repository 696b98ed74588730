//! The whole of Flight around Flight SQL: plain tickets, schemas, polling, the list.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
    flight_descriptor::DescriptorType,
    flight_service_server::FlightService,
    sql::{Any, Command, CommandStatementQuery, ProstMessageExt, TicketStatementQuery},
};
use features::civil;
use futures::{StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    analyst::{Analyst, Boxed},
    answer::{encoded, info, one_batch, schema_bytes},
    known, online, prepared, statement,
};
use crate::{CATALOG, Live, SCHEMA, Warehouse, export_history, portrait_schema};

/// The service that a tonic server carries; see [`crate::service`].
pub struct Front {
    analyst: Analyst,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("warehouse", &self.analyst.warehouse).finish_non_exhaustive()
    }
}

impl Front {
    pub(super) fn new(warehouse: Arc<Warehouse>, live: Arc<dyn Live>) -> Self {
        Self { analyst: Analyst::new(warehouse, live) }
    }

    /// Tickets that people and peers write by hand: `portrait:<key>`, `online:<view>`,
    /// `history:<table>:<after>:<through>`.
    async fn plain(
        &self,
        ticket: &[u8],
        metadata: &MetadataMap,
    ) -> Option<Result<Response<Boxed<FlightData>>, Status>> {
        let text = std::str::from_utf8(ticket).ok()?;
        if let Some(key) = text.strip_prefix("portrait:") {
            return Some(self.portrait(key, metadata).await);
        }
        if let Some(view) = text.strip_prefix("online:") {
            return Some(online::get(&self.analyst, view, metadata).await);
        }
        let history = text.strip_prefix("history:")?;
        Some(self.history(history, metadata).await)
    }

    async fn portrait(
        &self,
        key: &str,
        metadata: &MetadataMap,
    ) -> Result<Response<Boxed<FlightData>>, Status> {
        let caller = self.analyst.admit(metadata).await?;
        let batch = statement::portrait(&self.analyst, &caller, key)?;
        if batch.num_rows() == 0 {
            return Err(Status::not_found(format!("there is no resident {key}")));
        }
        Ok(one_batch(batch))
    }

    async fn history(
        &self,
        asked: &str,
        metadata: &MetadataMap,
    ) -> Result<Response<Boxed<FlightData>>, Status> {
        self.analyst.admit(metadata).await?;
        let parts: Vec<&str> = asked.split(':').collect();
        let wrong =
            || Status::invalid_argument("a history ticket reads history:<table>:<after>:<through>");
        let [table, after, through] = parts.as_slice() else { return Err(wrong()) };
        let table = civil::table(table)
            .ok_or_else(|| Status::invalid_argument(format!("there is no table {table}")))?;
        let (after, through) =
            (after.parse().map_err(|_| wrong())?, through.parse().map_err(|_| wrong())?);
        let answer = export_history(&self.analyst.warehouse, table, after, through).await?;
        Ok(encoded(Arc::clone(&answer.schema), answer))
    }

    /// A path names a table, as [`Self::list_flights`] lists them, or `portrait` and a key.
    fn by_command(descriptor: &FlightDescriptor) -> Result<FlightDescriptor, Status> {
        if descriptor.r#type() != DescriptorType::Path {
            return Ok(descriptor.clone());
        }
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let query = match descriptor.path.as_slice() {
            [portrait, key] if portrait == "portrait" => {
                format!("SELECT * FROM portrait('{}')", key.replace('\'', "''"))
            }
            [name] => format!("SELECT * FROM {CATALOG}.{SCHEMA}.{}", quoted(name)),
            _ => {
                return Err(Status::invalid_argument(
                    "a path is the name of a table, or portrait and a key",
                ));
            }
        };
        let command = CommandStatementQuery { query, transaction_id: None };
        Ok(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()))
    }

    async fn schema_of(
        &self,
        descriptor: &FlightDescriptor,
        metadata: &MetadataMap,
    ) -> Result<SchemaRef, Status> {
        if let Some(answer) = known::answer(&self.analyst, &descriptor.cmd) {
            self.analyst.caller(metadata)?;
            return Ok(answer?.schema());
        }
        let unknown = || Status::invalid_argument("the descriptor is no Flight SQL command");
        let any = Any::decode(&*descriptor.cmd).map_err(|_| unknown())?;
        match Command::try_from(any).map_err(|_| unknown())? {
            Command::CommandStatementQuery(command) => {
                let caller = self.analyst.admit(metadata).await?;
                Ok(statement::schema(&self.analyst, &caller, &command.query).await?)
            }
            Command::CommandPreparedStatementQuery(command) => {
                prepared::schema(&self.analyst, &command, metadata).await
            }
            _ => Err(unknown()),
        }
    }

    fn listed(&self) -> Result<Vec<Result<FlightInfo, Status>>, Status> {
        let relations = self.analyst.warehouse.relations().iter();
        let all = relations.map(|each| (vec![each.name.clone()], Arc::clone(&each.schema)));
        let portrait =
            (vec!["portrait".to_owned(), "<resident_key>".to_owned()], portrait_schema());
        let mut infos = Vec::new();
        for (path, schema) in all.chain([portrait]) {
            let descriptor = FlightDescriptor::new_path(path);
            let command = Self::by_command(&descriptor)?;
            let Ok(Some(query)) = Any::decode(&*command.cmd)
                .map(|any| any.unpack::<CommandStatementQuery>().ok().flatten())
            else {
                continue;
            };
            let ticket = TicketStatementQuery { statement_handle: query.query.into() };
            infos.push(Ok(
                info(descriptor, ticket.as_any().encode_to_vec(), Some(&schema))?.into_inner()
            ));
        }
        Ok(infos)
    }
}

#[tonic::async_trait]
impl FlightService for Front {
    type HandshakeStream = Boxed<HandshakeResponse>;
    type ListFlightsStream = Boxed<FlightInfo>;
    type DoGetStream = Boxed<FlightData>;
    type DoPutStream = Boxed<PutResult>;
    type DoActionStream = Boxed<arrow_flight::Result>;
    type ListActionsStream = Boxed<ActionType>;
    type DoExchangeStream = Boxed<FlightData>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        self.analyst.handshake(request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.analyst.caller(request.metadata())?;
        Ok(Response::new(stream::iter(self.listed()?).boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let descriptor = Self::by_command(request.get_ref())?;
        if let Some(answer) = known::answer(&self.analyst, &descriptor.cmd) {
            self.analyst.caller(request.metadata())?;
            let ticket = descriptor.cmd.clone();
            return info(request.into_inner(), ticket, Some(&answer?.schema()));
        }
        self.analyst.get_flight_info(request.map(|_| descriptor)).await
    }

    /// Infos are made at once, so the first poll is the last.
    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() }))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let (metadata, _, descriptor) = request.into_parts();
        let schema = self.schema_of(&Self::by_command(&descriptor)?, &metadata).await?;
        Ok(Response::new(SchemaResult { schema: schema_bytes(&schema)? }))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        if let Some(answer) = self.plain(&request.get_ref().ticket, request.metadata()).await {
            return answer;
        }
        if let Some(answer) = known::answer(&self.analyst, &request.get_ref().ticket) {
            self.analyst.caller(request.metadata())?;
            return Ok(one_batch(answer?));
        }
        let command = Any::decode(request.get_ref().ticket.as_ref());
        if command.is_ok_and(|command| !command.type_url.is_empty()) {
            return self.analyst.do_get(request).await;
        }
        Err(Status::invalid_argument(
            "unknown ticket; use portrait:<resident_key> or one that GetFlightInfo gave",
        ))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        self.analyst.do_put(request).await
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("there is no exchange; use DoGet and DoPut"))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        self.analyst.do_action(request).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.analyst.list_actions(request).await
    }
}
