//! The command line's way to the cluster: any node will do, the next one when it does not answer.

use crate::proto::hearth::alerts_client::AlertsClient;
use crate::proto::hearth::cluster_client::ClusterClient;
use crate::proto::hearth::events_client::EventsClient;
use crate::proto::hearth::feeds_client::FeedsClient;
use crate::proto::hearth::models_client::ModelsClient;
use crate::proto::hearth::rules_client::RulesClient;
use crate::proto::hearth::scores_client::ScoresClient;
use crate::proto::hearth::views_client::ViewsClient;
use crate::proto::hearth::{
    AppendRequest, AppendResponse, Event, Member, StatusRequest, StatusResponse,
};
use std::error::Error as _;
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long one node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a call may take in all, every retry included.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long to go on where no node has ever accepted a connection: the address is likely wrong.
const NOBODY_WITHIN: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(100);
/// Answers may be as large as this.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0:?} is no address: write host:port, several with commas between")]
    Address(String),
    #[error(
        "no node answered within {} s at {addresses}: {last}; start one, or name others with --addr",
        waited.as_secs()
    )]
    Unavailable { addresses: String, last: String, waited: Duration },
    #[error("{}", .0.message())]
    Refused(Box<Status>),
}

impl ClientError {
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Address(_) => crate::exit::USAGE,
            Self::Unavailable { .. } => crate::exit::UNAVAILABLE,
            Self::Refused(status) => match status.code() {
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
                    crate::exit::UNAVAILABLE
                }
                Code::DataLoss => crate::exit::DAMAGED,
                _ => crate::exit::REFUSED,
            },
        }
    }
}

/// A cluster by the addresses of some of its nodes.
#[derive(Clone, Debug)]
pub struct Client {
    addresses: Vec<String>,
    channels: Vec<Channel>,
}

impl Client {
    /// `host:port`, several with commas between; connects when first used.
    pub fn new(addresses: &str) -> Result<Self, ClientError> {
        let addresses: Vec<String> = addresses
            .split(',')
            .map(str::trim)
            .filter(|each| !each.is_empty())
            .map(str::to_owned)
            .collect();
        let channels = addresses
            .iter()
            .map(|address| {
                let endpoint = Endpoint::from_shared(format!("http://{address}"));
                let endpoint = endpoint.map_err(|_| ClientError::Address(address.clone()))?;
                Ok(endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect_lazy())
            })
            .collect::<Result<Vec<Channel>, ClientError>>()?;
        if channels.is_empty() {
            return Err(ClientError::Address(addresses.join(",")));
        }
        Ok(Self { addresses, channels })
    }

    /// Calls any node, the next one where one is away, until the deadline. Every call is idempotent.
    pub async fn call<T, F>(&self, call: impl FnMut(Channel) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.call_within(DEADLINE, call).await
    }

    /// [`Client::call`] with another deadline.
    pub async fn call_within<T, F>(
        &self,
        deadline: Duration,
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let mut last = String::new();
        let mut reached = false;
        for channel in self.channels.iter().cycle() {
            let left = deadline.saturating_sub(begun.elapsed());
            if left.is_zero() || (!reached && begun.elapsed() > NOBODY_WITHIN) {
                break;
            }
            match tokio::time::timeout(left, call(channel.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if is_away(&status) => {
                    // What a node said came over the wire; what the transport says has its error inside.
                    reached |= status.source().is_none();
                    status.message().clone_into(&mut last);
                }
                Ok(Err(status)) => return Err(ClientError::Refused(Box::new(status))),
                Err(_) => "no answer".clone_into(&mut last),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.unavailable(last, begun))
    }

    fn unavailable(&self, last: String, begun: Instant) -> ClientError {
        ClientError::Unavailable {
            addresses: self.addresses.join(","),
            last,
            waited: begun.elapsed(),
        }
    }

    /// A client of each node alone.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        let pairs = self.addresses.iter().zip(&self.channels);
        pairs.map(|(address, channel)| Self {
            addresses: vec![address.clone()],
            channels: vec![channel.clone()],
        })
    }

    /// One attempt at the first node.
    pub async fn call_once<T, F>(&self, call: impl FnOnce(Channel) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let Some(channel) = self.channels.first() else {
            return Err(ClientError::Address(String::new()));
        };
        let begun = Instant::now();
        match tokio::time::timeout(CONNECT, call(channel.clone())).await {
            Ok(outcome) => outcome.map_err(|status| ClientError::Refused(Box::new(status))),
            Err(_) => Err(self.unavailable("no answer".to_owned(), begun)),
        }
    }

    pub async fn append(&self, events: Vec<Event>) -> Result<AppendResponse, ClientError> {
        self.call(|channel| {
            let request = AppendRequest { events: events.clone(), request_id: String::new() };
            async move { Ok(events_client(channel).append(request).await?.into_inner()) }
        })
        .await
    }

    /// What the node that answers knows of the cluster.
    pub async fn status(&self) -> Result<StatusResponse, ClientError> {
        self.call(|channel| async move {
            Ok(cluster_client(channel).status(StatusRequest {}).await?.into_inner())
        })
        .await
    }

    /// The members as the cluster knows them, for the addresses of the other ports.
    pub async fn members(&self) -> Result<Vec<Member>, ClientError> {
        Ok(self.status().await?.members)
    }

    /// What the node that answers has applied.
    pub async fn applied_index(&self) -> Result<u64, ClientError> {
        Ok(self.status().await?.applied_index)
    }

    /// Flight addresses of the members, the leader's first.
    pub async fn flight_addresses(&self) -> Result<Vec<String>, ClientError> {
        let mut members = self.members().await?;
        members.sort_by_key(|member| member.role != "leader");
        Ok(members
            .into_iter()
            .map(|member| member.flight)
            .filter(|address| !address.is_empty())
            .collect())
    }
}

/// True where another node, or the same one later, may answer.
fn is_away(status: &Status) -> bool {
    match status.code() {
        // A node without the native library does not get it by being asked again.
        Code::Unavailable => !status.message().starts_with("ONNX Runtime"),
        Code::Cancelled => true,
        // The transport's own word when a connection breaks in the middle of a call.
        Code::Unknown => status.message().contains("transport") || status.message().contains("h2"),
        _ => false,
    }
}

pub fn alerts_client(channel: Channel) -> AlertsClient<Channel> {
    AlertsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn cluster_client(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn events_client(channel: Channel) -> EventsClient<Channel> {
    EventsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn feeds_client(channel: Channel) -> FeedsClient<Channel> {
    FeedsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn models_client(channel: Channel) -> ModelsClient<Channel> {
    ModelsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn rules_client(channel: Channel) -> RulesClient<Channel> {
    RulesClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn views_client(channel: Channel) -> ViewsClient<Channel> {
    ViewsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn scores_client(channel: Channel) -> ScoresClient<Channel> {
    ScoresClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}
