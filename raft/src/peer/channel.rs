//! Connections to the other nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::net;
use super::proto::peer_client::PeerClient;
use crate::config::{Config, MESSAGE_MAX_BYTES};
use crate::error::Error;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
pub(super) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Connections kept; more than any group has members times lanes.
const CHANNELS_MAX: usize = 1024;

const CLUSTER: &str = "hearth-cluster";
const GROUP: &str = "hearth-group";
const NODE: &str = "hearth-node";

pub(crate) type Client = PeerClient<InterceptedService<Channel, Stamp>>;

/// Each lane has its own connection, so that bulk never delays a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Heartbeats and votes.
    Pulse,
    /// Entries.
    Append,
    /// Snapshots and blobs.
    Bulk,
    /// Commands and reads for the leader.
    Call,
}

#[derive(Debug)]
pub(crate) struct Peers {
    cluster: MetadataValue<Ascii>,
    group: MetadataValue<Ascii>,
    node_id: u64,
    connect_timeout: Duration,
    /// Addresses that count here instead of the membership's.
    dial: BTreeMap<String, String>,
    /// By the address in the membership, and lane.
    channels: Mutex<BTreeMap<(String, Lane), Channel>>,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let value = |text: &str| {
            MetadataValue::try_from(text)
                .map_err(|_| Error::Refused(format!("raft config: {text:?} cannot be a header")))
        };
        Ok(Self {
            cluster: value(&config.cluster_id)?,
            group: value(&config.group)?,
            node_id: config.node_id,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            dial: config.dial.clone(),
            channels: Mutex::new(BTreeMap::new()),
        })
    }

    pub(crate) fn node_id(&self) -> u64 {
        self.node_id
    }

    /// A client for one node at one address; connects when used.
    pub(crate) fn client(&self, node: u64, address: &str, lane: Lane) -> Result<Client, Error> {
        let channel = self.channel(address, lane)?;
        let stamp = Stamp {
            cluster: self.cluster.clone(),
            group: self.group.clone(),
            node: MetadataValue::from(node),
        };
        Ok(PeerClient::with_interceptor(channel, stamp)
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES))
    }

    /// Drops a connection that does not answer, so that the next call makes a new one.
    pub(crate) fn forget(&self, address: &str, lane: Lane) {
        self.channels.lock().remove(&(address.to_owned(), lane));
    }

    fn channel(&self, address: &str, lane: Lane) -> Result<Channel, Error> {
        let mut channels = self.channels.lock();
        let key = (address.to_owned(), lane);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let address = self.dial.get(address).map_or(address, String::as_str);
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| Error::Refused(format!("{address:?} is not host:port: {e}")))?;
        let endpoint = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let channel = net::connect(&endpoint);
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        channels.insert(key, channel.clone());
        Ok(channel)
    }

    /// Refuses calls that were meant for another cluster, group or node.
    pub(super) fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let is = |name: &str, wanted: &[u8]| {
            metadata.get(name).is_some_and(|value| value.as_bytes() == wanted)
        };
        if is(CLUSTER, self.cluster.as_bytes())
            && is(GROUP, self.group.as_bytes())
            && is(NODE, self.node_id.to_string().as_bytes())
        {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "this is node {} of group {:?} in cluster {:?}, the call is for another; check addresses",
            self.node_id, self.group, self.cluster
        )))
    }
}

/// Marks every call with whom it is for.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    cluster: MetadataValue<Ascii>,
    group: MetadataValue<Ascii>,
    node: MetadataValue<Ascii>,
}

impl Interceptor for Stamp {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, self.cluster.clone());
        metadata.insert(GROUP, self.group.clone());
        metadata.insert(NODE, self.node.clone());
        Ok(request)
    }
}
