//! Three etcd servers, asked at their leader.

use crate::latency::{Taken, closed_loop};
use crate::load::{Load, System};
use crate::servers::{ASK_AGAIN, SERVERS, START_MAX, Servers, free_ports};
use anyhow::Context as _;
use nodes::proto::hearth::{AppendRequest, Event};
use prost::Message as _;
use proto::kv_client::KvClient;
use proto::maintenance_client::MaintenanceClient;
use proto::request_op::Request::RequestPut;
use proto::{PutRequest, RequestOp, StatusRequest, TxnRequest};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tonic::transport::{Channel, Endpoint};

pub(crate) const PROGRAM: &str = "etcd";
/// Operations that etcd takes in one transaction, if nothing else is configured.
pub(crate) const TRANSACTION_MAX: usize = 128;
/// More than a run leaves behind; etcd's own 2 GiB might end it.
const STORE_BYTES_MAX: u64 = 8 << 30;

#[allow(
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "generated code"
)]
mod proto {
    tonic::include_proto!("etcdserverpb");
}

#[derive(Debug)]
pub(crate) struct Etcd {
    servers: Servers,
    leader: KvClient<Channel>,
}

#[derive(Debug)]
pub(crate) enum Request {
    Put(PutRequest),
    Transaction(TxnRequest),
}

impl Etcd {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (clients, peers) = (free_ports()?, free_ports()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all: Vec<_> =
            peers.iter().enumerate().map(|(n, port)| format!("n{n}={}", url(*port))).collect();
        let commands = (0..SERVERS).map(|n| {
            let mut command = Command::new(PROGRAM);
            command.args(["--name", &format!("n{n}"), "--initial-cluster", &all.join(",")]);
            for role in ["--listen-client-urls", "--advertise-client-urls"] {
                command.args([role, &url(clients[n])]);
            }
            for role in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
                command.args([role, &url(peers[n])]);
            }
            // Five times what is usual, so that a busy machine does not change the leader.
            command.args(["--heartbeat-interval", "500", "--election-timeout", "5000"]);
            command.args(["--quota-backend-bytes", &STORE_BYTES_MAX.to_string()]);
            command.args(["--logger", "zap", "--log-level", "error", "--data-dir"]);
            command.arg(folder.join(format!("data-{n}")));
            command
        });
        let servers = Servers::start(commands.collect(), folder)?;
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            for port in clients {
                if let Some(leader) = leader(url(port)).await {
                    return Ok(Self { servers, leader: KvClient::new(leader) });
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        anyhow::bail!("etcd has no leader after {START_MAX:?}")
    }
}

/// A connection to this server, if it leads.
async fn leader(url: String) -> Option<Channel> {
    let channel = Endpoint::from_shared(url).ok()?.tcp_nodelay(true).connect().await.ok()?;
    let mut client = MaintenanceClient::new(channel.clone());
    let status = client.status(StatusRequest {}).await.ok()?.into_inner();
    (status.leader == status.header?.member_id).then_some(channel)
}

impl System for Etcd {
    type Request = Request;

    fn pids(&self) -> &[u32] {
        &self.servers.pids
    }

    fn request(&self, events: Vec<Event>, load: &Load) -> Request {
        if load.opaque {
            let key = events.first().map(key).unwrap_or_default();
            let value = AppendRequest { events, ..AppendRequest::default() }.encode_to_vec();
            return Request::Put(PutRequest { key, value });
        }
        // The stream repeats some events, and etcd refuses a transaction that puts a key twice.
        let mut keys = HashSet::new();
        let mut puts: Vec<_> = events
            .iter()
            .map(|event| PutRequest { key: key(event), value: event.encode_to_vec() })
            .filter(|put| keys.insert(put.key.clone()))
            .collect();
        match puts.pop() {
            Some(only) if puts.is_empty() => Request::Put(only),
            last => {
                let puts = puts.into_iter().chain(last);
                let success = puts.map(|put| RequestOp { request: Some(RequestPut(put)) });
                Request::Transaction(TxnRequest { success: success.collect() })
            }
        }
    }

    async fn send(&mut self, requests: Vec<Request>, in_flight: usize) -> anyhow::Result<Taken> {
        let calls = requests.len() / in_flight;
        let requests = RefCell::new(requests.into_iter());
        let taken = closed_loop(in_flight, calls, |_| {
            let mut client = self.leader.clone();
            let request = requests.borrow_mut().next();
            async move {
                match request.context("fewer requests than calls")? {
                    Request::Put(put) => drop(client.put(put).await?),
                    Request::Transaction(transaction) => {
                        let answer = client.txn(transaction).await?.into_inner();
                        anyhow::ensure!(answer.succeeded, "etcd did not do a transaction");
                    }
                }
                anyhow::Ok(())
            }
        });
        taken.await
    }
}

/// As hearth knows an event again: by its sender and its number.
fn key(event: &Event) -> Vec<u8> {
    format!("{}/{}", event.source, event.event_id).into_bytes()
}
