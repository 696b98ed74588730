//! A small client: what the command line and the recorder need of a node.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    FlightInfo, Ticket,
    decode::FlightRecordBatchStream,
    error::FlightError,
    sql::{
        CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
        client::FlightSqlServiceClient,
    },
};
use features::{civil, table::Cell};
use futures::{StreamExt, TryStreamExt, stream};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Error, LOG_INDEX_KEY, MESSAGE_BYTES_MAX, MIN_LOG_INDEX_HEADER, READ_HEADER,
    STREAM_WINDOW_BYTES, rows_to_batch,
};

/// A connection to one node's Flight port.
#[derive(Clone, Debug)]
pub struct Client {
    inner: FlightSqlServiceClient<Channel>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub schema: SchemaRef,
    /// The log index that the answer was read at.
    pub log_index: Option<u64>,
    pub batches: Vec<RecordBatch>,
}

impl Client {
    /// Connects to `http://host:port`.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|error| Error::Invalid(format!("{address} is not an address: {error}")))?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES);
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| Error::Unavailable(format!("{address} does not answer: {error}")))?;
        Ok(Self::from_channel(channel))
    }

    pub fn from_channel(channel: Channel) -> Self {
        let inner = arrow_flight::flight_service_client::FlightServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { inner: FlightSqlServiceClient::new_from_inner(inner) }
    }

    /// Signs in by name and password; the token is used from then on.
    pub async fn sign_in(&mut self, user: &str, password: &str) -> Result<(), Error> {
        let refused = |error: FlightError| Error::Unauthenticated(error.to_string());
        self.inner.handshake(user, password).await.map(drop).map_err(refused)
    }

    pub fn set_token(&mut self, token: &str) {
        self.inner.set_token(token.to_owned());
    }

    /// Lets every further answer wait until the node has recorded this index.
    pub fn wait_for(&mut self, log_index: u64) {
        self.inner.set_header(MIN_LOG_INDEX_HEADER, log_index.to_string());
    }

    /// How fresh every further answer has to be, in the words of [`crate::READ_HEADER`].
    pub fn read_at(&mut self, level: &str) {
        self.inner.set_header(READ_HEADER, level);
    }

    /// Runs one statement that reads.
    pub async fn query(&mut self, sql: &str) -> Result<Answered, Error> {
        let info = self.inner.execute(sql.to_owned(), None).await.map_err(failed)?;
        self.fetch(info).await
    }

    /// Runs one statement that reads; its rows come as they are read.
    pub async fn stream(
        &mut self,
        sql: &str,
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch, Error>> + use<>, Error> {
        let info = self.inner.execute(sql.to_owned(), None).await.map_err(failed)?;
        Ok(self.get(ticket_of(info)?).await?.map_err(failed))
    }

    /// Every online value of a view, or of all views where it is empty, at one log index: the schema,
    /// whose metadata says which, and the rows as they come.
    pub async fn online(
        &mut self,
        view: &str,
    ) -> Result<(SchemaRef, impl futures::Stream<Item = Result<RecordBatch, Error>> + use<>), Error>
    {
        let mut stream = self.get(Ticket::new(format!("online:{view}"))).await?;
        // The schema comes before the first row.
        let first = stream.next().await.transpose().map_err(failed)?;
        let schema = stream
            .schema()
            .cloned()
            .ok_or_else(|| Error::Internal("the node gave no schema".to_owned()))?;
        let first = stream::iter(first.map(Ok));
        Ok((schema, first.chain(stream.map_err(failed))))
    }

    /// Runs one statement that reads, with parameters. `row` is one value for each `?`.
    pub async fn query_with(&mut self, sql: &str, row: RecordBatch) -> Result<Answered, Error> {
        let mut statement = self.inner.prepare(sql.to_owned(), None).await.map_err(failed)?;
        statement.set_parameters(row).map_err(failed)?;
        let info = statement.execute().await.map_err(failed)?;
        let answered = self.fetch(info).await;
        statement.close().await.map_err(failed)?;
        answered
    }

    /// Everything about one resident, in one call and one row.
    pub async fn portrait(&mut self, resident_key: &str) -> Result<Answered, Error> {
        let stream = self.get(Ticket::new(format!("portrait:{resident_key}"))).await?;
        collect(stream).await
    }

    /// The rows of a history table with `after < log_index <= through`, as they come.
    pub async fn history(
        &mut self,
        table: &str,
        after: u64,
        through: u64,
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch, Error>> + use<>, Error> {
        let stream = self.get(Ticket::new(format!("history:{table}:{after}:{through}"))).await?;
        Ok(stream.map_err(failed))
    }

    /// Loads rows into a reference table, upserting by key; gives how many were taken.
    pub async fn ingest(&mut self, table: &str, batches: Vec<RecordBatch>) -> Result<i64, Error> {
        let command = CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: TableNotExistOption::Fail.into(),
                if_exists: TableExistsOption::Append.into(),
            }),
            table: table.to_owned(),
            ..CommandStatementIngest::default()
        };
        let rows = stream::iter(batches.into_iter().map(Ok));
        self.inner.execute_ingest(command, rows).await.map_err(failed)
    }

    /// As [`Self::ingest`], from cells in the order of the table's columns.
    pub async fn ingest_rows(&mut self, table: &str, rows: &[Vec<Cell>]) -> Result<i64, Error> {
        let found = civil::table(table)
            .ok_or_else(|| Error::NotFound(format!("there is no table {table}")))?;
        self.ingest(table, vec![rows_to_batch(found, rows)?]).await
    }

    async fn get(&mut self, ticket: Ticket) -> Result<FlightRecordBatchStream, Error> {
        self.inner.do_get(ticket).await.map_err(failed)
    }

    async fn fetch(&mut self, info: FlightInfo) -> Result<Answered, Error> {
        collect(self.get(ticket_of(info)?).await?).await
    }
}

fn ticket_of(info: FlightInfo) -> Result<Ticket, Error> {
    let ticket = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket);
    ticket.ok_or_else(|| Error::Internal("the node gave no ticket".to_owned()))
}

async fn collect(mut stream: FlightRecordBatchStream) -> Result<Answered, Error> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(failed)?);
    }
    let schema = stream
        .schema()
        .cloned()
        .ok_or_else(|| Error::Internal("the node gave no schema".to_owned()))?;
    let log_index = schema.metadata().get(LOG_INDEX_KEY).and_then(|text| text.parse().ok());
    Ok(Answered { schema, log_index, batches })
}

fn failed(error: FlightError) -> Error {
    match error {
        FlightError::Tonic(status) => Error::from(*status),
        other => Error::Internal(other.to_string()),
    }
}
