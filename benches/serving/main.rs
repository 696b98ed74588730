//! One model over the same residents, asked over the same protocol at the same moments: hearth's one call by
//! entity; MLServer with the same ONNX file; Feast on Redis with MLServer; a hand-made tonic service with
//! Redis and ONNX Runtime; and an echo of the messages as floor. All processes and the one client are on
//! this machine; before load every system's scores are held against hearth's.
//!
//! `--quick` makes every run short. What cannot be started is left out, and the table says so.

#[path = "../cluster.rs"]
mod cluster;
#[path = "../echo.rs"]
mod echo;
mod handmade;
#[path = "../latency.rs"]
#[allow(dead_code, reason = "its closed loops are for other benches")]
mod latency;
#[path = "../messages.rs"]
mod messages;
mod open_loop;
mod pacer;
mod rivals;
mod rows;
mod table;
#[path = "../usage.rs"]
mod usage;

use anyhow::Context as _;
use benches::rng;
use cluster::Cluster;
use echo::Echo;
use handmade::HandMade;
use nodes::proto::hearth::scores_client::ScoresClient;
use open_loop::{Run, Target};
use rivals::{MlServer, Redis};
use rows::{MODEL, Rows, TOLERANCE, score_of};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use table::{Line, RATES, is_sustained};
use tonic::transport::Endpoint;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Residents that are asked about.
const RESIDENTS: u32 = 1_000;
/// The file that is shown at the end of `make bench`, in `CRITERION_HOME`.
const TABLE: &str = "serving.md";
/// Where the search for the highest rate ends.
const RATE_MAX: f64 = 128_000.0;
/// How far apart the highest rate that is sustained and the lowest that is not may be.
const CLOSE_ENOUGH: f64 = 1.15;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Plan {
    length: Duration,
    repetitions: usize,
    warm_up_calls: usize,
}

const WHOLE: Plan = Plan { length: Duration::from_secs(3), repetitions: 3, warm_up_calls: 500 };
const QUICK: Plan = Plan { length: Duration::from_millis(500), repetitions: 1, warm_up_calls: 50 };

fn main() -> anyhow::Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some(echo::ROLE) => return echo::serve(Path::new(&words[1])),
        Some(handmade::ROLE) => {
            let port = words[1].to_str().context("no port")?.parse()?;
            return handmade::serve(port, Path::new(&words[2]), Path::new(&words[3]));
        }
        _ => {}
    }
    let named: Vec<_> =
        words.iter().filter(|word| !word.to_string_lossy().starts_with('-')).collect();
    if !named.is_empty() && named.iter().all(|word| *word != "serving") {
        return Ok(());
    }
    let plan = if words.iter().any(|word| word == "--quick") { QUICK } else { WHOLE };
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    let text = runtime.block_on(compare(folder.path(), plan))?;
    println!("{text}\nThis took {:.0} s.", begun.elapsed().as_secs_f64());
    keep(&text)
}

/// One system is up at a time; hearth first, for its rows are what all others get.
async fn compare(folder: &Path, plan: Plan) -> anyhow::Result<String> {
    let model =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/zoo/fall_risk/model.onnx");
    let model = model.canonicalize()?;
    let mut notes = String::new();
    let mut lines = Vec::new();
    let (line, rows, echo) = hearth(folder, plan).await?;
    lines.push(line);
    let target = Target::connect(&echo.address, vec![echo.pid()], rows.by_entity(MODEL)).await?;
    lines.push(measure("gRPC echo, the floor", "a key", &target, plan).await?);
    drop((target, echo));
    for (name, outcome) in [
        ("The hand-made service", handmade(folder, &model, &rows, plan).await),
        ("MLServer", mlserver(folder, &model, &rows, plan).await),
        ("Feast with MLServer", feast(folder, &model, &rows, plan).await),
    ] {
        match outcome {
            Ok(line) => lines.push(line),
            // Writing into a string cannot fail.
            Err(error) => drop(writeln!(notes, "{name} is left out: {error:#}.")),
        }
    }
    Ok(format!(
        "\nOne row of {MODEL} (16 features, ONNX) for one of {RESIDENTS} residents, open loop with Poisson \
         arrivals, each call timed from the moment it was to begin; middle of {} runs of {:.1} s; sustained: \
         all answered, p99 at most {:.0} ms\n\n{}\n{notes}Every system's scores for all residents were within \
         {TOLERANCE:e} of hearth's before load. {}",
        plan.repetitions,
        plan.length.as_secs_f64(),
        table::SUSTAINED_P99_US / 1_000.0,
        table::table(&lines),
        table::conditions(&lines),
    ))
}

async fn hearth(folder: &Path, plan: Plan) -> anyhow::Result<(Line, Rows, Echo)> {
    let cluster = Cluster::start(1, folder)?;
    cluster.fill(nodes::clock::now_us()).await?;
    let channel = Endpoint::from_shared(format!("http://{}", cluster.grpc))?.connect().await?;
    let rows = Rows::read(&ScoresClient::new(channel), RESIDENTS).await?;
    // Its own file by features gives what its call by entity gave.
    let pids = cluster.pids.clone();
    let target = Target::connect(&cluster.grpc, pids.clone(), rows.by_features(MODEL)).await?;
    same("hearth", &target, &rows).await?;
    let target = Target::connect(&cluster.grpc, pids, rows.by_entity(MODEL)).await?;
    let echo = Echo::start(folder, &target.ask(0).await?)?;
    let line = measure("hearth, one call by entity", "a key", &target, plan).await?;
    Ok((line, rows, echo))
}

async fn handmade(folder: &Path, model: &Path, rows: &Rows, plan: Plan) -> anyhow::Result<Line> {
    let redis = Redis::start(folder).await?;
    handmade::fill(redis.port, rows).await?;
    let server = HandMade::start(redis.port, model, &library()?)?;
    let pids = vec![server.pid(), redis.pid()];
    let target = Target::connect(&server.address, pids, rows.by_entity(MODEL)).await?;
    same("the hand-made service", &target, rows).await?;
    let system = format!("tonic + Redis {} + ort, by hand", redis.version);
    measure(&system, "a key", &target, plan).await
}

async fn mlserver(folder: &Path, model: &Path, rows: &Rows, plan: Plan) -> anyhow::Result<Line> {
    let name = "ByFeatures";
    let server = MlServer::start(folder, name, model, json!({})).await?;
    let requests = rows.by_features(name);
    let target = Target::connect(&server.address, vec![server.pid()], requests).await?;
    same("MLServer", &target, rows).await?;
    let system = "MLServer 1.7.1, own runtime calling ONNX Runtime";
    measure(system, "16 features", &target, plan).await
}

async fn feast(folder: &Path, model: &Path, rows: &Rows, plan: Plan) -> anyhow::Result<Line> {
    let name = "ByEntity";
    let redis = Redis::start(folder).await?;
    let csv = folder.join("rows.csv");
    rows.write_csv(&csv)?;
    let repository = rivals::fill_feast(folder, &redis, &csv)?;
    let more = json!({ "feast": repository, "features": rows.names });
    let server = MlServer::start(folder, name, model, more).await?;
    let pids = vec![server.pid(), redis.pid()];
    let target = Target::connect(&server.address, pids, rows.by_entity(name)).await?;
    same("Feast with MLServer", &target, rows).await?;
    let system =
        format!("Feast 0.67 on Redis {} inside MLServer 1.7.1, ONNX Runtime", redis.version);
    measure(&system, "a key", &target, plan).await
}

/// Refuses a system whose scores are not hearth's.
async fn same(system: &str, target: &Target, rows: &Rows) -> anyhow::Result<()> {
    for (at, row) in rows.all.iter().enumerate() {
        let score = score_of(&target.ask(at).await?)?;
        anyhow::ensure!(
            (score - row.score).abs() <= TOLERANCE,
            "{system} gives {} {score}, hearth gave {}",
            row.resident,
            row.score
        );
    }
    Ok(())
}

async fn measure(
    system: &str,
    call: &'static str,
    target: &Target,
    plan: Plan,
) -> anyhow::Result<Line> {
    for at in 0..plan.warm_up_calls {
        target.ask(at % target.requests.len()).await?;
    }
    let mut fixed = Vec::new();
    for rate in RATES {
        let mut runs = Vec::new();
        for repetition in 0..plan.repetitions {
            runs.push(target.load(rate, plan.length, rng(100 + repetition as u64)).await?);
        }
        let over = runs.iter().all(|run| !is_sustained(run));
        fixed.push(runs);
        if over {
            break;
        }
    }
    let good = fixed.iter().filter(|runs| runs.iter().all(is_sustained)).count();
    let most = match good.checked_sub(1) {
        Some(at) => most(target, plan, RATES[at]).await?.or_else(|| fixed[at].first().cloned()),
        None => None,
    };
    Ok(Line { system: system.to_owned(), call, fixed, most })
}

/// The highest rate that is sustained, from one on that is: doubled until it is not, then closed in on.
async fn most(target: &Target, plan: Plan, from: f64) -> anyhow::Result<Option<Run>> {
    let (mut low, mut high) = (from, f64::INFINITY);
    let mut best = None;
    while high / low > CLOSE_ENOUGH && low < RATE_MAX {
        let rate = if high.is_finite() { (low * high).sqrt() } else { low * 2.0 };
        let run = target.load(rate, plan.length, rng(200)).await?;
        if is_sustained(&run) {
            low = rate;
            best = Some(run);
            continue;
        }
        high = rate;
        // A server that was overrun ends its backlog before it is asked again.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(best)
}

#[expect(clippy::disallowed_methods, reason = "the library that make names")]
fn library() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("ORT_DYLIB_PATH").context("ORT_DYLIB_PATH is not set")?;
    Ok(PathBuf::from(path))
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
