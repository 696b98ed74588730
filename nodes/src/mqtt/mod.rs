//! Events from MQTT brokers, 3.1.1 and 5.
//!
//! ```text
//! broker --PUBLISH--> connection --batches--> intake --quorum--> log
//!        <--PUBACK---            <---------- committed
//! ```
//! The leader alone connects, under one client id and a session that outlives connections: what a node
//! has not acknowledged when it dies, the broker sends to its successor. A message is acknowledged when
//! its events are in the log, never before; what comes twice is known by source and event id.

mod config;
mod connection;
mod figures;
mod intake;
mod payload;
mod senml;
mod tls;
mod wire;

pub(crate) use config::check;
pub use config::{Mqtt, MqttVersion, PayloadFormat, Tls};
pub(crate) use connection::start;
pub(crate) use figures::{Figures, expose};
