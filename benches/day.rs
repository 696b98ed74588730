//! A day of the whole district, 13 million events in the order in which they arrive, replayed into three
//! nodes: until all are acknowledged, until every node has applied them, and until every warehouse has
//! them. The simulator runs meanwhile, on the same processors.
//!
//! `make day`; `HEARTH_PEOPLE` is how many residents. Without it, as in `make bench`, nothing is done.

#[expect(dead_code, reason = "no node is killed on this day")]
mod trio;

use anyhow::Context as _;
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use nodes::client::Client;
use nodes::config::Raft;
use nodes::proto::hearth::Event;
use nodes::simulate::{District, Feed, Plan};
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trio::Trio;

const SEED: u64 = 11;
const DAY_US: i64 = 86_400_000_000;
const ROWS_AT_ONCE: usize = 5_000;
const EVENTS_AT_ONCE: usize = 1_000;
const IN_FLIGHT: usize = 12;
/// Requests that wait to be sent.
const AHEAD: usize = 16;
const EQUAL_WITHIN: Duration = Duration::from_mins(5);
/// What is wanted.
const GOAL_S: f64 = 180.0;

fn main() -> anyhow::Result<()> {
    let Some(people) = asked("HEARTH_PEOPLE")? else {
        println!("day: left out, `make day` runs it");
        return Ok(());
    };
    let plan = Plan { people, days: 1, seed: SEED, ..Plan::default() };
    // The last day that is over; what is older than others' memory would be refused.
    let days = (nodes::clock::now_us() - plan.start_us) / DAY_US - 1;
    let plan = Plan { start_us: plan.start_us + days * DAY_US, ..plan };
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(measure(folder.path(), &plan))?);
    Ok(())
}

async fn measure(folder: &Path, plan: &Plan) -> anyhow::Result<String> {
    let nodes = Trio::start(folder, &Raft::default()).await?;
    let district = District::generate(plan)?;
    let leader = &nodes.members[nodes.leader().await?];
    let begun = Instant::now();
    let rows = load(&district, &leader.flight).await?;
    eprintln!("{rows} rows of registers in {:.0?}", begun.elapsed());

    let all: Vec<&str> = nodes.members.iter().map(|member| member.grpc.as_str()).collect();
    let client = Client::new(&all.join(","))?;
    let begun = Instant::now();
    let (requests, waiting) = mpsc::channel(AHEAD);
    let simulator = std::thread::spawn(move || simulate(&district, &requests));
    let (events, mut took) = send(client, waiting).await?;
    let acknowledged = begun.elapsed();
    let simulated = simulator.join().ok().context("the simulator failed")?;
    anyhow::ensure!(simulated.events == events, "not all of the day was sent");
    let different = simulated.different.len() as u64;

    let through = Client::new(&leader.grpc)?.applied_index().await?;
    let mut applied = begun.elapsed();
    for member in &nodes.members {
        let node = Client::new(&member.grpc)?;
        while node.status().await?.applied_index < through {
            anyhow::ensure!(begun.elapsed() < acknowledged + EQUAL_WITHIN, "a node is far behind");
            tokio::time::sleep(trio::ASK_EVERY).await;
        }
        applied = begun.elapsed();
    }
    for member in &nodes.members {
        let mut flight = flight::Client::connect(&format!("http://{}", member.flight)).await?;
        flight.wait_for(through);
        let count = flight.query("SELECT count(*) FROM sensor_event");
        let answered = tokio::time::timeout(EQUAL_WITHIN, count).await??;
        let batch = answered.batches.first().context("a count")?;
        let found = batch.column(0).as_primitive::<Int64Type>().value(0);
        anyhow::ensure!(
            found == different as i64,
            "{found} events in a warehouse, not {different}"
        );
    }
    let recorded = begun.elapsed();

    took.sort_unstable();
    let ms = |share: f64| {
        let at = (took.len().saturating_sub(1) as f64 * share).round() as usize;
        took.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let seconds = acknowledged.as_secs_f64();
    Ok(format!(
        "\nA day of {} residents, {events} events, {different} of them different, replayed into three nodes by \
         {IN_FLIGHT} requests of {EVENTS_AT_ONCE} in flight, with the simulator beside them\n\n\
         | acknowledged after | events/s | append p50, p99, longest | applied everywhere after | in every warehouse \
         after | goal |\n|--:|--:|--:|--:|--:|--:|\n\
         | {seconds:.0} s | {:.0} k | {:.0}, {:.0}, {:.0} ms | {:.0} s | {:.0} s | {GOAL_S:.0} s |\n",
        plan.people,
        events as f64 / seconds / 1e3,
        ms(0.5),
        ms(0.99),
        ms(1.0),
        applied.as_secs_f64(),
        recorded.as_secs_f64(),
    ))
}

async fn load(district: &District, address: &str) -> anyhow::Result<usize> {
    let mut flight = flight::Client::connect(&format!("http://{address}")).await?;
    let mut count = 0;
    for table in District::tables() {
        let rows = district.rows(table.name).context("a table of the district")?;
        count += rows.len();
        for part in rows.chunks(ROWS_AT_ONCE) {
            flight.ingest_rows(table.name, part).await?;
        }
    }
    Ok(count)
}

/// What was sent in all. The simulated sensors send some of their events twice.
#[derive(Default)]
struct Simulated {
    events: u64,
    /// Hashes of what tells one event from another.
    different: HashSet<u64>,
}

/// Makes the day's requests.
fn simulate(district: &District, requests: &mpsc::Sender<Vec<Event>>) -> Simulated {
    let mut feed = Feed::new(district, 0..1);
    let (mut sent, hasher) = (Simulated::default(), RandomState::new());
    loop {
        let arrived = std::iter::from_fn(|| feed.next_before(i64::MAX));
        let events: Vec<Event> =
            arrived.take(EVENTS_AT_ONCE).map(|arrival| arrival.event.into()).collect();
        let count = events.len() as u64;
        sent.different
            .extend(events.iter().map(|event| hasher.hash_one((&event.source, &event.event_id))));
        // Nobody takes them any more when sending has failed.
        if count == 0 || requests.blocking_send(events).is_err() {
            return sent;
        }
        sent.events += count;
    }
}

/// As services do: what was not answered is sent again, to whoever leads then.
async fn send(
    client: Client,
    mut waiting: mpsc::Receiver<Vec<Event>>,
) -> anyhow::Result<(u64, Vec<Duration>)> {
    let (mut events, mut took, mut open) = (0, Vec::new(), JoinSet::new());
    while let Some(part) = waiting.recv().await {
        if open.len() == IN_FLIGHT {
            took.extend(open.join_next().await.transpose()?.transpose()?);
        }
        events += part.len() as u64;
        let client = client.clone();
        open.spawn(async move {
            let begun = Instant::now();
            let answer = client.append(part).await?;
            anyhow::ensure!(answer.rejected.is_empty(), "{:?}", answer.rejected.first());
            Ok(begun.elapsed())
        });
    }
    while let Some(done) = open.join_next().await {
        took.push(done??);
    }
    Ok((events, took))
}

#[expect(clippy::disallowed_methods, reason = "a bench is told its size so")]
fn asked(name: &str) -> anyhow::Result<Option<u32>> {
    std::env::var(name).ok().map(|text| text.parse().with_context(|| name.to_owned())).transpose()
}
