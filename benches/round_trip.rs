//! Whole calls over loopback sockets: the built program in its own processes, beside a bare server
//! of the same messages and beside the disk's own flush, all in one run.
//!
//! Every loop is closed: the next call begins when the last one is answered. The word `appends` or
//! `inference` leaves out the other.

mod appends;
mod cluster;
mod disk;
mod echo;
mod flood;
mod latency;
mod messages;
mod usage;

use benches::{resident_key, rng};
use cluster::{Cluster, HOMES};
use echo::Echo;
use latency::{Taken, closed_loop, middle};
use messages::by_entity;
use nodes::proto::inference::ModelInferRequest;
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use rand::Rng as _;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use tonic::transport::{Channel, Endpoint};
use usage::Usage;

const REPETITIONS: usize = 3;
const WARM_UP_CALLS: usize = 500;
const INFER_CALLS: usize = 3_000;
const BUSY_CONNECTIONS: usize = 4;
const BUSY_LANES: usize = 64;
const BUSY_CALLS: usize = 400;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "round_trip.md";

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let first = words.next();
    if first.as_ref().is_some_and(|word| word == echo::ROLE) {
        let file = words.next().unwrap_or_default();
        return echo::serve(Path::new(&file));
    }
    if first.as_ref().is_some_and(|word| word == flood::ROLE) {
        let address = words.next().unwrap_or_default();
        return flood::pour(&address.to_string_lossy());
    }
    let words: Vec<_> = first.into_iter().chain(words).collect();
    let only = |name: &str| words.iter().any(|word| word == name);
    let (only_appends, only_inference) = (only("appends"), only("inference"));
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let table = runtime.block_on(async {
        let mut table = Table::default();
        if !only_appends {
            inference(&mut table, folder.path()).await?;
        }
        if !only_inference {
            appends::measure(&mut table, folder.path()).await?;
        }
        anyhow::Ok(table)
    })?;
    println!(
        "\n| what | figure | floor or peer | ratio |\n|---|---|---|---|\n{}{}",
        table.text, table.notes
    );
    table.keep()
}

/// Markdown lines: what, figure, floor or peer, ratio.
#[derive(Debug, Default)]
struct Table {
    text: String,
    notes: String,
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

    /// Lines that belong to no other figure, behind all others.
    fn add(&mut self, text: &str) {
        self.notes.push_str(text);
    }

    #[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
    fn keep(&self) -> anyhow::Result<()> {
        let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(Path::new(&folder).join(TABLE), self.text.clone() + &self.notes)?)
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
    let (mut ours_us, mut bare_us) = (vec![], vec![]);
    for _ in 0..REPETITIONS {
        ours.push(infer(&cluster.grpc, 1, 1, INFER_CALLS).await?);
        bare.push(infer(&echo.address, 1, 1, INFER_CALLS).await?);
        let (taken, used_us) = busy(&cluster.grpc, cluster.pids[0]).await?;
        ours_busy.push(taken);
        ours_us.push(used_us);
        let (taken, used_us) = busy(&echo.address, echo.pid()).await?;
        bare_busy.push(taken);
        bare_us.push(used_us);
    }
    let one = "ModelInfer by entity, 1 in flight";
    table.line(&format!("{one}, p50"), time, p50(&ours), "gRPC echo", p50(&bare));
    table.line(&format!("{one}, p99"), time, p99(&ours), "gRPC echo", p99(&bare));
    let many = format!("ModelInfer by entity, {BUSY_LANES} in flight");
    let calls = |all: &[Taken]| all.iter().map(Taken::per_second).collect();
    table.line(&format!("{many}, calls"), rate, calls(&ours_busy), "gRPC echo", calls(&bare_busy));
    table.line(&format!("{many}, p99"), time, p99(&ours_busy), "gRPC echo", p99(&bare_busy));
    let spent = format!("{many}, processor time of the server a call");
    table.line(&spent, time, ours_us, "gRPC echo", bare_us);
    flood::measure(table, &cluster, folder).await
}

/// Many calls at once, and what processor time of the server each took, in microseconds.
async fn busy(address: &str, pid: u32) -> anyhow::Result<(Taken, f64)> {
    let before = Usage::now(&[pid])?;
    let taken = infer(address, BUSY_CONNECTIONS, BUSY_LANES, BUSY_CALLS).await?;
    let used = before.until(&Usage::now(&[pid])?);
    let calls = BUSY_LANES * BUSY_CALLS;
    Ok((taken, used.own_us.first().copied().unwrap_or(f64::NAN) / calls as f64))
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
