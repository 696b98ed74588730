//! Whole calls over loopback sockets: the built program in its own processes, beside a bare server
//! of the same messages and beside the disk's own flush, all in one run.
//!
//! Every loop is closed: the next call begins when the last one is answered.

mod cluster;
mod disk;
mod echo;
mod latency;
mod messages;

use benches::{Feed, resident_key, rng};
use cluster::{Cluster, HOMES};
use echo::Echo;
use latency::{Taken, closed_loop, middle};
use messages::by_entity;
use nodes::proto::hearth::AppendRequest;
use nodes::proto::hearth::events_client::EventsClient;
use nodes::proto::inference::ModelInferRequest;
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use rand::Rng as _;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const REPETITIONS: usize = 3;
const WARM_UP_CALLS: usize = 500;
const INFER_CALLS: usize = 3_000;
const BUSY_CONNECTIONS: usize = 4;
const BUSY_LANES: usize = 64;
const BUSY_CALLS: usize = 200;
const SINGLE_APPENDS: usize = 300;
const BATCH_EVENTS: usize = 500;
const BATCH_APPENDS: usize = 100;
const BATCH_LANES: usize = 32;
const BATCH_CALLS: usize = 8;
/// Every event of the run is younger than this; a week-old one would count as a backfill.
const SPAN_US: i64 = 6 * 3_600_000_000;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "round_trip.md";

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == echo::ROLE) {
        let file = words.next().unwrap_or_default();
        return echo::serve(Path::new(&file));
    }
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let table = runtime.block_on(async {
        let mut table = Table::default();
        inference(&mut table, folder.path()).await?;
        appends(&mut table, folder.path()).await?;
        anyhow::Ok(table)
    })?;
    println!("\n| what | figure | floor or peer | ratio |\n|---|---|---|---|\n{}", table.text);
    table.keep()
}

/// Markdown lines: what, figure, floor or peer, ratio.
#[derive(Debug, Default)]
struct Table {
    text: String,
}

impl Table {
    /// The middle of the repetitions of a figure and of what it is held against.
    fn line(&mut self, what: &str, show: Show, figures: Vec<f64>, floor: &str, floors: Vec<f64>) {
        let (figure, held) = (middle(figures), middle(floors));
        let (one, other) = (show(figure), show(held));
        let ratio = figure / held;
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "| {what} | {one} | {floor}: {other} | {ratio:.2} |");
    }

    #[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
    fn keep(&self) -> anyhow::Result<()> {
        let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(Path::new(&folder).join(TABLE), &self.text)?)
    }
}

/// A figure with its unit.
type Show = fn(f64) -> String;

fn time(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.1} us") } else { format!("{:.2} ms", us / 1_000.0) }
}

fn rate(per_second: f64) -> String {
    format!("{:.1} k/s", per_second / 1_000.0)
}

fn p50(all: &[Taken]) -> Vec<f64> {
    all.iter().map(|taken| taken.quantile_us(0.5)).collect()
}

fn p99(all: &[Taken]) -> Vec<f64> {
    all.iter().map(|taken| taken.quantile_us(0.99)).collect()
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?)
}

/// One node answers inferences by entity, beside an echo of the very same messages.
async fn inference(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::start(1, folder)?;
    cluster.fill(nodes::clock::now_us()).await?;
    let request = by_entity("fall_risk", &resident_key(0));
    let mut client = GrpcInferenceServiceClient::new(connect(&cluster.grpc).await?);
    let echo = Echo::start(folder, &client.model_infer(request).await?.into_inner())?;
    infer(&cluster.grpc, 1, 1, WARM_UP_CALLS).await?;
    infer(&echo.address, 1, 1, WARM_UP_CALLS).await?;
    let (mut ours, mut bare, mut ours_busy, mut bare_busy) = (vec![], vec![], vec![], vec![]);
    for _ in 0..REPETITIONS {
        ours.push(infer(&cluster.grpc, 1, 1, INFER_CALLS).await?);
        bare.push(infer(&echo.address, 1, 1, INFER_CALLS).await?);
        ours_busy.push(infer(&cluster.grpc, BUSY_CONNECTIONS, BUSY_LANES, BUSY_CALLS).await?);
        bare_busy.push(infer(&echo.address, BUSY_CONNECTIONS, BUSY_LANES, BUSY_CALLS).await?);
    }
    let one = "ModelInfer by entity, 1 in flight";
    table.line(&format!("{one}, p50"), time, p50(&ours), "gRPC echo", p50(&bare));
    table.line(&format!("{one}, p99"), time, p99(&ours), "gRPC echo", p99(&bare));
    let busy = format!("ModelInfer by entity, {BUSY_LANES} in flight");
    let calls = |all: &[Taken]| all.iter().map(Taken::per_second).collect();
    table.line(&format!("{busy}, calls"), rate, calls(&ours_busy), "gRPC echo", calls(&bare_busy));
    table.line(&format!("{busy}, p99"), time, p99(&ours_busy), "gRPC echo", p99(&bare_busy));
    Ok(())
}

async fn infer(
    address: &str,
    connections: usize,
    lanes: usize,
    calls: usize,
) -> anyhow::Result<Taken> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(GrpcInferenceServiceClient::new(connect(address).await?));
    }
    let mut rng = rng(8);
    let requests: Vec<ModelInferRequest> = (0..calls)
        .map(|_| by_entity("fall_risk", &resident_key(rng.random_range(0..HOMES))))
        .collect();
    let turn = RefCell::new(requests.iter().cycle().cloned());
    let taken = closed_loop(lanes, calls, |lane| {
        let mut client = clients[lane % clients.len()].clone();
        let request = turn.borrow_mut().next().unwrap_or_default();
        async move { client.model_infer(request).await.map(drop) }
    });
    Ok(taken.await?)
}

/// Three nodes make events durable, beside the disk's flush and an echo that keeps nothing.
async fn appends(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::start(3, folder)?;
    cluster.fill(nodes::clock::now_us()).await?;
    let echo = Echo::start(folder, &nodes::proto::inference::ModelInferResponse::default())?;
    let mut feed = Feed::new(HOMES, nodes::clock::now_us() - SPAN_US, "bench");
    append(&cluster.grpc, &mut feed, 1, 1, WARM_UP_CALLS / 5).await?;
    let (mut disk, mut single, mut batch) = (vec![], vec![], vec![]);
    let (mut busy, mut bare) = (vec![], vec![]);
    for _ in 0..REPETITIONS {
        disk.push(disk::flushes(folder)?);
        single.push(append(&cluster.grpc, &mut feed, 1, 1, SINGLE_APPENDS).await?);
        batch.push(append(&cluster.grpc, &mut feed, BATCH_EVENTS, 1, BATCH_APPENDS).await?);
        let (events, lanes, calls) = (BATCH_EVENTS, BATCH_LANES, BATCH_CALLS);
        busy.push(append(&cluster.grpc, &mut feed, events, lanes, calls).await?);
        bare.push(append(&echo.address, &mut feed, events, lanes, calls).await?);
    }
    let flush = "fdatasync of 4 KiB";
    for (what, all) in [("1 event", &single), ("500 events", &batch)] {
        let what = format!("Append of {what} on three nodes, 1 in flight");
        table.line(&format!("{what}, p50"), time, p50(all), flush, p50(&disk));
        table.line(&format!("{what}, p99"), time, p99(all), flush, p99(&disk));
    }
    let what = format!("Append of 500 events on three nodes, {BATCH_LANES} in flight");
    let events =
        |all: &[Taken]| all.iter().map(|taken| taken.per_second() * BATCH_EVENTS as f64).collect();
    table.line(&format!("{what}, events"), rate, events(&busy), "gRPC echo", events(&bare));
    table.line(&format!("{what}, p99"), time, p99(&busy), "gRPC echo", p99(&bare));
    Ok(())
}

async fn append(
    address: &str,
    feed: &mut Feed,
    events: usize,
    lanes: usize,
    calls: usize,
) -> anyhow::Result<Taken> {
    let client = EventsClient::new(connect(address).await?);
    // Made before the clock starts.
    let made = (0..lanes * calls).map(|_| AppendRequest {
        events: feed.take(events).into_iter().map(Into::into).collect(),
        request_id: String::new(),
    });
    let requests = RefCell::new(made.collect::<Vec<_>>());
    let taken = closed_loop(lanes, calls, |_| {
        let mut client = client.clone();
        let request = requests.borrow_mut().pop().unwrap_or_default();
        async move {
            let answer = client.append(request).await?.into_inner();
            match answer.rejected.first() {
                Some(rejected) => Err(Status::internal(rejected.reason.clone())),
                None => Ok(()),
            }
        }
    });
    Ok(taken.await?)
}
