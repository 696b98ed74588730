//! A server on a free port, and clients for it.

use std::sync::Arc;

use crate::fake_node::{FakeNode, blank_row};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::Int64Type,
};
use arrow_flight::{
    FlightClient, FlightInfo, error::FlightError, sql::client::FlightSqlServiceClient,
};
use features::{civil, table::Cell};
use flight::{Client, Live, incoming, server_builder, service};
use futures::TryStreamExt;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

pub(crate) struct Running {
    pub(crate) node: Arc<FakeNode>,
    address: String,
    _folder: tempfile::TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub(crate) async fn start(open: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let node = FakeNode::new(folder.path(), open);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let live: Arc<dyn Live> = Arc::clone(&node) as Arc<dyn Live>;
    let server = server_builder()
        .add_service(service(Arc::clone(&node.warehouse), live))
        .serve_with_incoming_shutdown(incoming(listener), async { drop(stopped.await) });
    tokio::spawn(server);
    Running { node, address, _folder: folder, _stop: stop }
}

impl Running {
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn sql(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel().await)
    }

    pub(crate) async fn plain(&self) -> FlightClient {
        FlightClient::new(self.channel().await)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
    }

    /// Three dwellings on floors 1 to 3.
    pub(crate) fn furnish(&self) -> u64 {
        let row = |floor: i64| {
            let mut row = blank_row("dwelling", &format!("w{floor}"));
            row[4] = Cell::Int(floor);
            row
        };
        self.node.write(civil::table("dwelling").unwrap(), (1..=3).map(row).collect())
    }
}

pub(crate) async fn fetch(
    client: &mut FlightSqlServiceClient<Channel>,
    info: FlightInfo,
) -> Result<Vec<RecordBatch>, FlightError> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.do_get(ticket).await?.try_collect().await
}

pub(crate) fn ints(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    let values = batches
        .iter()
        .flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().values().to_vec());
    values.collect()
}

pub(crate) fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let cells = batches.iter().flat_map(|batch| {
        let array = batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        (0..array.len()).map(move |at| array.value(at).to_owned())
    });
    cells.collect()
}

pub(crate) fn code(error: FlightError) -> (Code, String) {
    match error {
        FlightError::Tonic(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other}"),
    }
}
