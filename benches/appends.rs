//! Events made durable on three nodes, the client on the same machine: how many, how soon, and what each
//! process takes for one. Every run is shown, and how busy somebody else kept the machine meanwhile.

use super::cluster::{Cluster, HOMES};
use super::echo::Echo;
use super::latency::{Taken, closed_loop};
use super::usage::{Usage, Used};
use super::{REPETITIONS, Table, connect, disk, p50, p99, rate, time};
use benches::Feed;
use nodes::proto::hearth::AppendRequest;
use nodes::proto::hearth::events_client::EventsClient;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use tonic::Status;

const WARM_UP_CALLS: usize = 100;
const SINGLE_APPENDS: usize = 300;
const BATCH_EVENTS: usize = 500;
const BATCH_APPENDS: usize = 100;
/// Requests in flight. With more of them each one waits longer: in flight = rate x latency.
const LANES: [usize; 3] = [4, 8, 16];
/// Requests of one run, of all lanes together.
const BUSY_APPENDS: usize = 640;
/// What is wanted.
const GOAL_EVENTS: f64 = 100_000.0;
const GOAL_P99_US: f64 = 100_000.0;
/// Every event of the run is younger than this; a week-old one would count as a backfill.
const SPAN_US: i64 = 6 * 3_600_000_000;

/// Three nodes, beside the disk's flush and an echo that keeps nothing.
pub(super) async fn measure(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::start(3, folder)?;
    cluster.fill(nodes::clock::now_us()).await?;
    let echo = Echo::start(folder, &nodes::proto::inference::ModelInferResponse::default())?;
    let mut feed = Feed::new(HOMES, nodes::clock::now_us() - SPAN_US, "bench");
    append(&cluster.grpc, &mut feed, 1, 1, WARM_UP_CALLS).await?;
    append(&cluster.grpc, &mut feed, BATCH_EVENTS, LANES[0], WARM_UP_CALLS / LANES[0]).await?;
    let (mut flushes, mut single, mut batch, mut bare) = (vec![], vec![], vec![], vec![]);
    let mut runs = Vec::new();
    for _ in 0..REPETITIONS {
        flushes.push(disk::flushes(folder)?);
        single.push(append(&cluster.grpc, &mut feed, 1, 1, SINGLE_APPENDS).await?);
        batch.push(append(&cluster.grpc, &mut feed, BATCH_EVENTS, 1, BATCH_APPENDS).await?);
        for lanes in LANES {
            runs.push(busy(&cluster, &mut feed, lanes, folder).await?);
        }
        bare.push(append(&echo.address, &mut feed, BATCH_EVENTS, 8, BUSY_APPENDS / 8).await?);
    }
    let flush = "fdatasync of 4 KiB";
    for (what, all) in [("1 event", &single), ("500 events", &batch)] {
        let what = format!("Append of {what} on three nodes, 1 in flight");
        table.line(&format!("{what}, p50"), time, p50(all), flush, p50(&flushes));
        table.line(&format!("{what}, p99"), time, p99(all), flush, p99(&flushes));
    }
    for lanes in LANES {
        let of = |figure: fn(&Run) -> f64| {
            runs.iter().filter(|run| run.lanes == lanes).map(figure).collect::<Vec<_>>()
        };
        let what = format!("Append of {BATCH_EVENTS} events on three nodes, {lanes} in flight");
        let events = bare.iter().map(|taken| taken.per_second() * BATCH_EVENTS as f64).collect();
        table.line(&format!("{what}, events"), rate, of(Run::events), "gRPC echo", events);
        let flush_p99 = of(|run| run.flush.quantile_us(0.99));
        table.line(&format!("{what}, p99"), time, of(Run::p99_us), flush, flush_p99);
    }
    runs.sort_by_key(|run| run.lanes);
    let shown = show(&runs);
    println!("{shown}");
    table.add(&shown);
    Ok(())
}

/// One closed loop of full requests.
struct Run {
    lanes: usize,
    taken: Taken,
    used: Used,
    flush: Taken,
}

impl Run {
    fn events(&self) -> f64 {
        self.taken.per_second() * BATCH_EVENTS as f64
    }

    fn p99_us(&self) -> f64 {
        self.taken.quantile_us(0.99)
    }

    fn is_good(&self) -> bool {
        self.events() >= GOAL_EVENTS && self.p99_us() <= GOAL_P99_US
    }
}

async fn busy(
    cluster: &Cluster,
    feed: &mut Feed,
    lanes: usize,
    folder: &Path,
) -> anyhow::Result<Run> {
    let flush = disk::flushes(folder)?;
    let calls = BUSY_APPENDS / lanes;
    let requests = make(feed, BATCH_EVENTS, lanes * calls);
    let before = Usage::now(&cluster.pids)?;
    let taken = send(&cluster.grpc, requests, lanes, calls).await?;
    let used = before.until(&Usage::now(&cluster.pids)?);
    Ok(Run { lanes, taken, used, flush })
}

fn show(runs: &[Run]) -> String {
    let mut text = format!(
        "\nAppend of {BATCH_EVENTS} events on three nodes, every run; processor time in us an event\n\n\
         | in flight | events/s | p50 | p99 | leader | followers | client | all | others had | \
         fdatasync p50, p99 |\n|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for run in runs {
        let events = (BUSY_APPENDS / run.lanes * run.lanes * BATCH_EVENTS) as f64;
        let us: Vec<f64> = run.used.own_us.iter().map(|us| us / events).collect();
        let [leader, followers @ .., client] = us.as_slice() else { continue };
        let followers: Vec<String> = followers.iter().map(|us| format!("{us:.1}")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.1} k | {} | {} | {leader:.1} | {} | {client:.1} | {:.1} | {:.0} % | {}, {} |",
            run.lanes,
            run.events() / 1_000.0,
            time(run.taken.quantile_us(0.5)),
            time(run.p99_us()),
            followers.join(", "),
            us.iter().sum::<f64>(),
            run.used.others * 100.0,
            time(run.flush.quantile_us(0.5)),
            time(run.flush.quantile_us(0.99)),
        );
    }
    let good = runs.iter().filter(|run| run.is_good()).count();
    let _ = writeln!(
        text,
        "\nThe goal, {} k events/s with a p99 of at most {}, was met in {good} of {} runs.",
        GOAL_EVENTS / 1_000.0,
        time(GOAL_P99_US),
        runs.len()
    );
    text
}

async fn append(
    address: &str,
    feed: &mut Feed,
    events: usize,
    lanes: usize,
    calls: usize,
) -> anyhow::Result<Taken> {
    send(address, make(feed, events, lanes * calls), lanes, calls).await
}

/// Made before the clock starts.
fn make(feed: &mut Feed, events: usize, requests: usize) -> Vec<AppendRequest> {
    let request = |_| AppendRequest {
        events: feed.take(events).into_iter().map(Into::into).collect(),
        request_id: String::new(),
    };
    (0..requests).map(request).collect()
}

async fn send(
    address: &str,
    requests: Vec<AppendRequest>,
    lanes: usize,
    calls: usize,
) -> anyhow::Result<Taken> {
    let client = EventsClient::new(connect(address).await?);
    let requests = RefCell::new(requests.into_iter());
    let taken = closed_loop(lanes, calls, |_| {
        let mut client = client.clone();
        let request = requests.borrow_mut().next().unwrap_or_default();
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
