//! Events made durable on three nodes: hearth beside etcd and NATS JetStream, one after the other in one
//! run, all processes and the one client on this machine, logs on one disk.
//!
//! Every loop is closed: the next request begins when one is answered. A peer that is not on the PATH is
//! left out, and the table says so. Any word but `peers` leaves all of it out.

mod cluster;
mod disk;
mod etcd;
mod latency;
mod load;
mod nats;
mod servers;
mod usage;

use anyhow::Context as _;
use cluster::Cluster;
use etcd::Etcd;
use latency::{Taken, closed_loop};
use load::{Load, REPETITIONS, Row, System, measure, stream, table};
use nats::{Flush, Nats};
use nodes::proto::hearth::events_client::EventsClient;
use nodes::proto::hearth::{AppendRequest, Event};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tonic::transport::{Channel, Endpoint};

const NODES: usize = 3;
/// Of the systems that take many events at once.
const BATCH_EVENTS: usize = 500;
const BATCHES_IN_FLIGHT: [usize; 3] = [4, 8, 16];
const ETCD_PUTS_IN_FLIGHT: usize = 256;
const ETCD_TRANSACTIONS_IN_FLIGHT: usize = 16;
const NATS_IN_FLIGHT: usize = 500;
/// More only wait longer where each one is flushed by itself.
const NATS_FLUSHED_IN_FLIGHT: usize = 64;
const OPAQUE_IN_FLIGHT: usize = 8;
/// What is wanted of hearth.
const GOAL_EVENTS: f64 = 100_000.0;
const GOAL_P99_US: f64 = 100_000.0;
/// Of all processors; with more of them somewhere else a run says little.
const OTHERS_MAX: f64 = 0.1;
const OPAQUE: &str = "500 events packed into one value, opaque to the server";
/// The file that is shown at the end of `make bench`, in `CRITERION_HOME`.
const TABLE: &str = "peers.md";

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if words.peek().is_some() && words.all(|word| word != "peers") {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    let text = runtime.block_on(compare(folder.path()))?;
    println!("{text}\nThis took {:.0} s.", begun.elapsed().as_secs_f64());
    keep(&text)
}

async fn compare(folder: &Path) -> anyhow::Result<String> {
    let now_us = nodes::clock::now_us();
    let mut rows = hearth(folder, now_us).await?;
    let mut text = verdict(&rows);
    for (peer, outcome) in [
        (etcd::PROGRAM, etcd(&mut rows, folder, now_us).await),
        (nats::PROGRAM, nats(&mut rows, folder, now_us).await),
    ] {
        if let Err(error) = outcome {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{peer} is left out or cut short: {error:#}.");
        }
    }
    Ok(format!(
        "\nThe same events made durable on {NODES} nodes by one client on the same machine; least / \
         middle / most of {REPETITIONS} runs\n\n{}\n{text}\
         hearth checks, deduplicates and applies each event before it answers; etcd and NATS keep bytes.\n",
        table(&rows)
    ))
}

/// Each peer's logs are gone before the next one starts.
fn room(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let room = folder.join(name);
    std::fs::create_dir(&room)?;
    Ok(room)
}

async fn hearth(folder: &Path, now_us: i64) -> anyhow::Result<Vec<Row>> {
    let folder = room(folder, "hearth")?;
    let cluster = Cluster::start(NODES, &folder)?;
    cluster.fill(now_us).await?;
    let address = format!("http://{}", cluster.grpc);
    let leader = Endpoint::from_shared(address)?.tcp_nodelay(true).connect().await?;
    let mut hearth = Hearth { pids: cluster.pids.clone(), leader: EventsClient::new(leader) };
    let mut feed = stream(now_us);
    let mut rows = Vec::new();
    for in_flight in BATCHES_IN_FLIGHT {
        let load = Load {
            system: "hearth".to_owned(),
            durability: "flushed on a majority before the answer".to_owned(),
            request: "500 events",
            events: BATCH_EVENTS,
            opaque: false,
            in_flight,
        };
        rows.push(measure(&mut hearth, &mut feed, load, &folder).await?);
    }
    drop(cluster);
    std::fs::remove_dir_all(&folder)?;
    Ok(rows)
}

async fn etcd(rows: &mut Vec<Row>, folder: &Path, now_us: i64) -> anyhow::Result<()> {
    let version = servers::version(etcd::PROGRAM)?;
    let folder = room(folder, "etcd")?;
    let mut etcd = Etcd::start(&folder).await?;
    let mut feed = stream(now_us);
    for (request, events, opaque, in_flight) in [
        ("1 put", 1, false, ETCD_PUTS_IN_FLIGHT),
        ("1 transaction of 128 puts", etcd::TRANSACTION_MAX, false, ETCD_TRANSACTIONS_IN_FLIGHT),
        (OPAQUE, BATCH_EVENTS, true, OPAQUE_IN_FLIGHT),
    ] {
        let load = Load {
            system: format!("etcd {version}"),
            durability: "flushed on a majority before the answer".to_owned(),
            request,
            events,
            opaque,
            in_flight,
        };
        rows.push(measure(&mut etcd, &mut feed, load, &folder).await?);
    }
    drop(etcd);
    Ok(std::fs::remove_dir_all(&folder)?)
}

async fn nats(rows: &mut Vec<Row>, folder: &Path, now_us: i64) -> anyhow::Result<()> {
    let version = servers::version(nats::PROGRAM)?;
    let folder = room(folder, "nats")?;
    let strictest = Flush::strictest(&folder)?;
    let one = ("1 message", 1, false);
    let packed = (OPAQUE, BATCH_EVENTS, true);
    let loads = [
        (Flush::Later, vec![(one, NATS_IN_FLIGHT)]),
        (strictest, vec![(one, NATS_FLUSHED_IN_FLIGHT), (packed, OPAQUE_IN_FLIGHT)]),
    ];
    for (flush, loads) in loads {
        let folder = room(&folder, &rows.len().to_string())?;
        let mut nats = Nats::start(&folder, flush)?;
        let mut feed = stream(now_us);
        for ((request, events, opaque), in_flight) in loads {
            let load = Load {
                system: format!("NATS JetStream {version}, R3"),
                durability: flush.words(&version),
                request,
                events,
                opaque,
                in_flight,
            };
            rows.push(measure(&mut nats, &mut feed, load, &folder).await?);
        }
        drop(nats);
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Whether this run shows what is wanted of hearth.
fn verdict(hearth: &[Row]) -> String {
    let good = |row: &Row| {
        let all = row.runs.iter();
        all.filter(|run| run.events_per_second >= GOAL_EVENTS && run.p99_us <= GOAL_P99_US).count()
    };
    let most = hearth.iter().map(good).max().unwrap_or_default();
    let word = match most {
        0 => "NOT MET in this run",
        REPETITIONS => "MET in this run",
        _ => "MET IN PART: not every repetition made it",
    };
    let each: Vec<_> = hearth
        .iter()
        .map(|row| format!("{} in flight {} of {REPETITIONS}", row.load.in_flight, good(row)))
        .collect();
    let others = hearth.iter().map(|row| row.of(|run| run.others)[2]).fold(0.0, f64::max);
    let busy = if others > OTHERS_MAX { ": repeat it on a quiet machine" } else { "" };
    format!(
        "Goal of hearth, {GOAL_EVENTS:.0} events/s and a p99 of at most {:.0} ms: {word} ({}). \
         Meanwhile others had up to {:.0} % of the processors{busy}.\n",
        GOAL_P99_US / 1_000.0,
        each.join(", "),
        others * 100.0
    )
}

/// The built program, asked at its leader.
#[derive(Debug)]
struct Hearth {
    pids: Vec<u32>,
    leader: EventsClient<Channel>,
}

impl System for Hearth {
    type Request = AppendRequest;

    fn pids(&self) -> &[u32] {
        &self.pids
    }

    fn request(&self, events: Vec<Event>, _: &Load) -> AppendRequest {
        AppendRequest { events, ..AppendRequest::default() }
    }

    async fn send(
        &mut self,
        requests: Vec<AppendRequest>,
        in_flight: usize,
    ) -> anyhow::Result<Taken> {
        let calls = requests.len() / in_flight;
        let requests = RefCell::new(requests.into_iter());
        let taken = closed_loop(in_flight, calls, |_| {
            let mut leader = self.leader.clone();
            let request = requests.borrow_mut().next();
            async move {
                let request = request.context("fewer requests than calls")?;
                let answer = leader.append(request).await?.into_inner();
                match answer.rejected.first() {
                    Some(rejected) => anyhow::bail!("hearth rejected: {}", rejected.reason),
                    None => Ok(()),
                }
            }
        });
        taken.await
    }
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
