//! The Flight SQL server: one file a verb.
//!
//! ```text
//!  Front (whole of Flight: plain tickets, get_schema, poll, list)
//!    └─ Analyst (Flight SQL) ── statement, prepared, catalog, sql_info, ingest, actions
//!         ├─ Reader (warehouse)      └─ Live (the node)
//! ```

mod actions;
mod admit;
mod analyst;
mod answer;
mod bind;
mod catalog;
mod front;
mod handles;
mod handshake;
mod ingest;
mod keys;
mod known;
mod lists;
mod online;
mod portrait;
mod prepared;
mod session_options;
mod sql_info;
mod statement;
mod type_info;

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use crate::{Live, Warehouse};
pub use front::Front;

/// The largest message taken in.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The default windows cap one stream far below what a link carries.
pub const STREAM_WINDOW_BYTES: u32 = 8 << 20;
pub const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// The service, to be added to a tonic server. The live tables of the warehouse are attached to
/// `live` for as long as the service lives.
pub fn service(warehouse: Arc<Warehouse>, live: Arc<dyn Live>) -> FlightServiceServer<Front> {
    warehouse.attach(&live);
    FlightServiceServer::new(Front::new(warehouse, live))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// A tonic server with windows that fit tables.
pub fn server_builder() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// The connections of a listener. Small answers are not held back: without this each would wait 40 ms
/// for an acknowledgement.
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
