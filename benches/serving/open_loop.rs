//! Open-loop load: calls begin at the moments of a Poisson process, whether or not earlier ones have been
//! answered, and each is timed from the moment at which it was to begin.

use crate::latency::Taken;
use crate::pacer::Pacer;
use crate::usage::Usage;
use anyhow::Context as _;
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nodes::proto::inference::{ModelInferRequest, ModelInferResponse};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// One connection has one lock on either side; this many are what a busy service keeps.
const CONNECTIONS: usize = 4;
/// Past it the server is far behind, and the run ends.
const OPEN_MAX: usize = 4_096;
/// How long the last answers may take.
const DRAIN: Duration = Duration::from_secs(10);

/// Something that answers inferences.
#[derive(Debug)]
pub(crate) struct Target {
    clients: Vec<GrpcInferenceServiceClient<Channel>>,
    /// The servers' processes.
    pub(crate) pids: Vec<u32>,
    /// One for each resident, in the same order for every target.
    pub(crate) requests: Vec<ModelInferRequest>,
}

/// What one run of load took.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) answered: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of the client itself: how long after its moment a call was begun, at the 99th percentile.
    pub(crate) late_us: f64,
    pub(crate) servers_us: f64,
    pub(crate) client_us: f64,
    pub(crate) others: f64,
    /// Every call was answered, and well.
    pub(crate) whole: bool,
}

impl Target {
    pub(crate) async fn connect(
        address: &str,
        pids: Vec<u32>,
        requests: Vec<ModelInferRequest>,
    ) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
            clients.push(GrpcInferenceServiceClient::new(endpoint.connect().await?));
        }
        Ok(Self { clients, pids, requests })
    }

    pub(crate) async fn ask(&self, at: usize) -> anyhow::Result<ModelInferResponse> {
        let request = self.requests.get(at).context("no such resident")?.clone();
        let mut client = self.clients.first().context("no connection")?.clone();
        Ok(client.model_infer(request).await?.into_inner())
    }

    /// So many calls a second for so long.
    pub(crate) async fn load(
        &self,
        rate: f64,
        length: Duration,
        mut rng: ChaCha8Rng,
    ) -> anyhow::Result<Run> {
        let pacer = Pacer::new()?;
        let before = Usage::now(&self.pids)?;
        let begun = Instant::now();
        let mut open: VecDeque<JoinHandle<Option<Duration>>> = VecDeque::new();
        let (mut took, mut late) = (Vec::new(), Vec::new());
        let (mut due, mut calls, mut failed) = (Duration::ZERO, 0_usize, 0_usize);
        let mut end = |outcome: Option<Duration>| match outcome {
            Some(each) => took.push(each),
            None => failed += 1,
        };
        loop {
            // Exponential gaps: arrivals of many callers who know nothing of each other.
            due += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / rate);
            if due > length || open.len() > OPEN_MAX {
                break;
            }
            let moment = begun + due;
            pacer.until(moment).await?;
            late.push(moment.elapsed());
            let client = self.clients.get(calls % CONNECTIONS).context("no connection")?.clone();
            let request = &self.requests[rng.random_range(0..self.requests.len())];
            open.push_back(tokio::spawn(call(client, request.clone(), moment)));
            calls += 1;
            while open.front().is_some_and(JoinHandle::is_finished) {
                if let Some(done) = open.pop_front() {
                    end(done.await?);
                }
            }
        }
        let given_up = open.len() > OPEN_MAX;
        for each in open {
            end(tokio::time::timeout(DRAIN, each).await.ok().transpose()?.flatten());
        }
        let whole = begun.elapsed();
        let used = before.until(&Usage::now(&self.pids)?);
        let client_us = used.own_us.last().copied().unwrap_or_default();
        let servers_us = used.own_us.iter().sum::<f64>() - client_us;
        let taken = Taken::new(took, whole);
        let answered = taken.per_second();
        Ok(Run {
            answered,
            p50_us: taken.quantile_us(0.5),
            p99_us: taken.quantile_us(0.99),
            late_us: Taken::new(late, whole).quantile_us(0.99),
            servers_us: servers_us / calls.max(1) as f64,
            client_us: client_us / calls.max(1) as f64,
            others: used.others,
            whole: !given_up && failed == 0,
        })
    }
}

async fn call(
    mut client: GrpcInferenceServiceClient<Channel>,
    request: ModelInferRequest,
    moment: Instant,
) -> Option<Duration> {
    client.model_infer(request).await.ok()?;
    Some(moment.elapsed())
}
