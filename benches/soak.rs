//! A district at work for a quarter of an hour: 20,000 events a second into three nodes of 416,000 residents,
//! each node killed in turn, a leak of gas somewhere every two seconds. What is shown for each minute: what
//! an append took, how soon a case was told, and what memory each node holds. At the end every event is in
//! every warehouse once and every leak is one case.
//!
//! `make soak`; `HEARTH_HOMES` makes it smaller. Without `HEARTH_MINUTES`, as in `make bench`, nothing is done.

mod leaks;
mod steady;
mod trio;

use anyhow::Context as _;
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use benches::Feed;
use leaks::Leaks;
use nodes::client::Client;
use nodes::config::Raft;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use steady::{Call, PERIOD, quantiles};
use tokio::sync::watch;
use trio::{NODES, Trio};

/// One resident and three devices each.
const HOMES: u32 = 416_000;
const MINUTE: Duration = Duration::from_mins(1);
/// In every second minute one node is killed at this second, the leader and a follower in turn.
const KILLED_AT: Duration = Duration::from_secs(20);
const AWAY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const EQUAL_WITHIN: Duration = Duration::from_mins(3);

fn main() -> anyhow::Result<()> {
    let Some(minutes) = asked("HEARTH_MINUTES")? else {
        println!("soak: left out, `make soak` runs it");
        return Ok(());
    };
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(measure(folder.path(), minutes.max(3)))?);
    Ok(())
}

async fn measure(folder: &Path, minutes: u64) -> anyhow::Result<String> {
    let homes = asked("HEARTH_HOMES")?.unwrap_or(u64::from(HOMES)).try_into()?;
    let mut nodes = Trio::start(folder, &Raft::default()).await?;
    let begun = Instant::now();
    nodes.fill(homes).await?;
    eprintln!("registers of {homes} homes in {:.0?}", begun.elapsed());
    let (leader_first, clients) = watch::channel(client(&nodes, 0)?);

    let begun = Instant::now();
    let until = begun + MINUTE * u32::try_from(minutes)?;
    let steady = tokio::spawn(appends(homes, clients.clone(), until));
    let leaks = tokio::spawn(Leaks::new(homes).run(clients, until));
    let mut log = Vec::new();
    for minute in 0..minutes {
        let from = begun + MINUTE * u32::try_from(minute)?;
        let kill = (minute % 2 == 1).then_some(minute / 2);
        log.push(one_minute(&mut nodes, &leader_first, from, kill).await?);
        anyhow::ensure!(!steady.is_finished() || from + MINUTE >= until, "the stream ended early");
    }
    let (steady, different) = steady.await??;
    let leaks = leaks.await??;

    let run = Soak { begun, log, steady, different, leaks };
    Ok(run.table(homes)? + &check(&nodes, run.different, &run.leaks).await?)
}

/// In the time of the day: as many events a second as are sent, each again until it is acknowledged.
async fn appends(
    homes: u32,
    clients: watch::Receiver<Client>,
    until: Instant,
) -> anyhow::Result<(Vec<Call>, u64)> {
    let step_us = PERIOD.as_micros() as i64 / steady::EVENTS as i64;
    let mut feed = Feed::new(homes, nodes::clock::now_us(), "steady").every(step_us);
    let append = |events| {
        let clients = clients.clone();
        async move {
            let client = clients.borrow().clone();
            Ok(client.append(events).await?)
        }
    };
    let calls = steady::run(&mut feed, until, append).await?;
    Ok((calls, feed.sent()))
}

/// The calls of the minute that begins then.
fn within(calls: &[Call], from: Instant) -> impl Iterator<Item = &Call> {
    calls.iter().filter(move |call| call.due >= from && call.due < from + MINUTE)
}

fn shown<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let all = quantiles(calls);
    all.map(|ms| if ms.is_nan() { "-".to_owned() } else { format!("{ms:.1}") }).join(", ")
}

/// What a run has come to.
struct Soak {
    begun: Instant,
    /// By minute: who was killed, and the most memory that each node held.
    log: Vec<(String, [u64; NODES])>,
    steady: Vec<Call>,
    /// Different events that were sent, whatever how often.
    different: u64,
    leaks: leaks::Outcome,
}

impl Soak {
    fn table(&self, homes: u32) -> anyhow::Result<String> {
        let Self { begun, log, steady, leaks, .. } = self;
        let begun = *begun;
        let minutes = log.len();
        let mut text = format!(
            "\n{homes} residents, {} devices, 20 k events/s for {minutes} minutes into three nodes\n\n\
         | minute | killed | k events | append p50, p99, longest ms | leak told p50, p99, longest ms | \
         resident MB of each node |\n|--:|---|--:|---|---|---|\n",
            homes * 3
        );
        for (minute, (killed, resident)) in log.iter().enumerate() {
            let from = begun + MINUTE * u32::try_from(minute)?;
            let _ = writeln!(
                text,
                "| {} | {killed} | {} | {} | {} | {resident:?} |",
                minute + 1,
                within(steady, from).count() * steady::EVENTS / 1_000,
                shown(within(steady, from)),
                shown(within(&leaks.told, from)),
            );
        }
        for (what, killed) in [("no kill", false), ("a kill", true)] {
            let minutes =
                log.iter().enumerate().filter(|(_, (victim, _))| victim.is_empty() != killed);
            let begins: Vec<Instant> =
                minutes.map(|(minute, _)| begun + MINUTE * minute as u32).collect();
            let told = begins.iter().flat_map(|from| within(&leaks.told, *from));
            let appends = begins.iter().flat_map(|from| within(steady, *from));
            let _ =
                writeln!(text, "| all with {what} | | | {} | {} | |", shown(appends), shown(told));
        }
        let most = |minutes: &[(String, [u64; NODES])]| {
            minutes.iter().flat_map(|(_, resident)| *resident).max().unwrap_or(0)
        };
        let third = log.len() / 3;
        let _ = writeln!(
            text,
            "\nMost resident memory of a node: {} MB in the second third, {} MB in the last.",
            most(&log[third..2 * third]),
            most(&log[2 * third..])
        );
        Ok(text)
    }
}

/// Holds the nodes, kills one if it is told to, and says which, and the most memory that each held.
async fn one_minute(
    nodes: &mut Trio,
    leader_first: &watch::Sender<Client>,
    from: Instant,
    kill: Option<u64>,
) -> anyhow::Result<(String, [u64; NODES])> {
    let mut most = [0; NODES];
    let (mut said, mut away) = (String::new(), None);
    let mut leader = None;
    while from.elapsed() < MINUTE {
        if let Ok(now) = nodes.leader().await
            && leader.replace(now) != Some(now)
        {
            leader_first.send_replace(client(nodes, now)?);
        }
        if let (Some(kill), true, Some(leading)) = (kill, from.elapsed() >= KILLED_AT, leader)
            && said.is_empty()
        {
            let victim = if kill % 2 == 0 { leading } else { (leading + 1) % NODES };
            let role = if victim == leading { "leader" } else { "follower" };
            said = format!("{} ({role})", victim + 1);
            nodes.kill(victim)?;
            away = Some(victim);
        }
        if let Some(victim) = away
            && from.elapsed() >= KILLED_AT + AWAY
        {
            nodes.spawn(victim)?;
            away = None;
        }
        for (node, most) in most.iter_mut().enumerate() {
            *most = resident_mb(nodes.children[node].id()).unwrap_or(0).max(*most);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    eprintln!("minute over: {said} {most:?}");
    Ok((said, most))
}

/// Resident memory of a process, in MB; none while it is away.
fn resident_mb(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1_024 / 1_000_000)
}

/// All nodes, the one that leads first.
fn client(nodes: &Trio, leader: usize) -> anyhow::Result<Client> {
    let turned = (0..NODES).map(|step| nodes.members[(leader + step) % NODES].grpc.as_str());
    Ok(Client::new(&turned.collect::<Vec<_>>().join(","))?)
}

/// Every event once and every leak one case, on every node, and how soon that was so.
async fn check(nodes: &Trio, events: u64, leaks: &leaks::Outcome) -> anyhow::Result<String> {
    let begun = Instant::now();
    let through = client(nodes, 0)?.applied_index().await?;
    let leaks_made = leaks.homes.len() as i64;
    let homes: Vec<String> = leaks.homes.iter().map(|home| format!("'{home}'")).collect();
    let steady = "FROM sensor_event WHERE source = 'steady'";
    let cases =
        format!("FROM alert WHERE kind = 'gas_leak' AND dwelling_id IN ({})", homes.join(","));
    let numbers = (events * (events + 1) / 2) as i64;
    let checks = [
        ("events", events as i64, format!("SELECT count(*) {steady}")),
        // Each has a number of its own.
        ("for the sum of their numbers", numbers, format!("SELECT sum(seq)::BIGINT {steady}")),
        ("cases of leaks", leaks_made, format!("SELECT count(*) {cases}")),
        ("homes of these", leaks_made, format!("SELECT count(DISTINCT dwelling_id) {cases}")),
        ("cases of level 3", leaks_made, format!("SELECT count(*) {cases} AND level = 3")),
    ];
    let mut text = String::new();
    for (node, member) in nodes.members.iter().enumerate() {
        let address = format!("http://{}", member.flight);
        let mut flight = flight::Client::connect(&address).await?;
        flight.wait_for(through);
        for (what, wanted, sql) in &checks {
            let answered = tokio::time::timeout(EQUAL_WITHIN, flight.query(sql)).await??;
            let batch = answered.batches.first().context("a count")?;
            let found = batch.column(0).as_primitive::<Int64Type>().value(0);
            anyhow::ensure!(found == *wanted, "node {}: {found} {what}, not {wanted}", node + 1);
        }
    }
    let _ = writeln!(
        text,
        "\nOn every node: {events} events, each once; {leaks_made} leaks, each one case, told to level 3 \
         (looked up in {:.0?}).",
        begun.elapsed()
    );
    for (node, each) in nodes.visible().await? {
        let _ = writeln!(
            text,
            "Until an event can be read at node {node}, from {}: p50 {} ms, p99 {} ms.",
            each.from,
            each.p50_us / 1_000,
            each.p99_us / 1_000
        );
    }
    Ok(text)
}

#[expect(clippy::disallowed_methods, reason = "a bench is told its size so")]
fn asked(name: &str) -> anyhow::Result<Option<u64>> {
    std::env::var(name).ok().map(|text| text.parse().with_context(|| name.to_owned())).transpose()
}
