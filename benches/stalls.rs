//! What a write waits for while replicas write snapshots, and while one that was away catches up: the
//! latency of a steady stream of appends then, beside the same stream's usual one, in one run.
//!
//! Arrivals are timed, not answered ones: a call that is late because the one before was slow counts
//! from when it should have been sent.

mod steady;
mod trio;

use anyhow::Context as _;
use benches::Feed;
use nodes::client::Client;
use nodes::config::Raft;
use nodes::proto::hearth::events_client::EventsClient;
use nodes::proto::hearth::{AppendRequest, Visible};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use steady::{Call, EVENTS, PERIOD, quantiles};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tonic::transport::Channel;
use trio::{ASK_EVERY, NODES, Trio};

/// Three devices and one resident each.
const HOMES: u32 = 30_000;
/// Before anything is measured, about two events a device.
const EVENTS_BEFORE: usize = 180_000;
/// A snapshot this often, and hardly any log kept behind it, so that who was away needs it.
const SNAPSHOT_ENTRIES: u64 = 1_500;
const KEEP_ENTRIES: u64 = 200;
/// In turn, as is usual; all three have had theirs when the next is due.
const SNAPSHOT_TURN_S: u64 = 3;
/// A draft of a snapshot is written to at least this often.
const GROWS_WITHIN: Duration = Duration::from_millis(250);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

const USUAL_S: u64 = 20;
const SNAPSHOTS_S: u64 = 60;
const AWAY_S: u64 = 15;
/// How long a follower may take until it has everything.
const BACK_WITHIN: Duration = Duration::from_mins(2);
/// Behind by fewer entries than this, it has caught up.
const NEAR: u64 = 500;
/// What is wanted: of the usual p99.
const GOAL_SNAPSHOT: f64 = 3.0;
const GOAL_CATCH_UP: f64 = 2.0;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "stalls.md";

fn main() -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    // Beside the program, so that the logs lie on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let text = runtime.block_on(measure(folder.path()))?;
    println!("{text}");
    keep(&text)
}

async fn measure(folder: &Path) -> anyhow::Result<String> {
    let raft = Raft {
        snapshot_entries: SNAPSHOT_ENTRIES,
        snapshot_turn_seconds: SNAPSHOT_TURN_S,
        keep_entries: KEEP_ENTRIES,
        ..Raft::default()
    };
    let mut nodes = Trio::start(folder, &raft).await?;
    nodes.fill(HOMES).await?;
    let leader = nodes.leader().await?;
    let mut feed = Feed::new(HOMES, nodes::clock::now_us() - 12 * 3_600_000_000, "before");
    let client = Client::new(&nodes.members[leader].grpc)?;
    for _ in 0..EVENTS_BEFORE / 1_000 {
        client.append(feed.take(1_000).into_iter().map(Into::into).collect()).await?;
    }
    let follower = (0..NODES).find(|node| *node != leader).context("a follower")?;
    let mut stream = Stream::to(&nodes.members[leader].grpc).await?;
    stream.run(Duration::from_secs(5 + USUAL_S)).await?;
    let visible = nodes.visible().await?;

    // Snapshots are written all the while; what was called during one has a line of its own.
    let (stop, stopped) = oneshot::channel();
    let folders = (1..=NODES).map(|id| folder.join(format!("node{id}/raft/snapshots"))).collect();
    let watching = tokio::spawn(watch_snapshots(folders, stopped));
    let together = stream.run(Duration::from_secs(SNAPSHOTS_S)).await?;
    let away = Client::new(&nodes.members[follower].grpc)?;
    nodes.kill(follower)?;
    let alone = stream.run(Duration::from_secs(AWAY_S)).await?;
    nodes.spawn(follower)?;
    let begun = Instant::now();
    let mut catching = Vec::new();
    let near = tokio::spawn(wait_near(client.clone(), away));
    while !near.is_finished() {
        catching.extend(stream.run(Duration::from_secs(1)).await?);
    }
    near.await??;
    let took = begun.elapsed();
    let after = stream.run(Duration::from_secs(USUAL_S)).await?;
    drop(stop);
    let snapshots = watching.await??;
    anyhow::ensure!(snapshots.len() >= 2, "no snapshot was written");
    let apart = |calls: Vec<Call>| -> (Vec<_>, Vec<_>) {
        calls.into_iter().partition(|call| !snapshots.iter().any(|span| overlaps(call, span)))
    };
    let (usual, in_snapshot) = apart(together);
    let (alone, alone_in_snapshot) = apart(alone);
    let (catching, catching_in_snapshot) = apart(catching);
    let (after, _) = apart(after);

    let caught_up = format!("it is back and catches up, {:.1} s", took.as_secs_f64());
    let rows = [
        ("nothing", usual, None),
        ("snapshots, the nodes in turn", in_snapshot, Some(GOAL_SNAPSHOT)),
        ("a follower is away", alone, None),
        ("and snapshots on the others", alone_in_snapshot, Some(GOAL_SNAPSHOT)),
        (&caught_up, catching, Some(GOAL_CATCH_UP)),
        ("and snapshots on the others", catching_in_snapshot, Some(GOAL_SNAPSHOT)),
        ("nothing, afterwards", after, None),
    ];
    Ok(table(rows) + &visible_table(&visible))
}

/// What, the calls meanwhile, and the goal for their p99 by that of the first row.
type Row<'a> = (&'a str, Vec<Call>, Option<f64>);

fn table<const ROWS: usize>(rows: [Row<'_>; ROWS]) -> String {
    let mut text = format!(
        "\nAppend of {EVENTS} events every {} ms ({} k events/s) on three nodes, {HOMES} residents, by \
         what else goes on\n\n| meanwhile | calls | p50 | p99 | longest | p99 by the usual | goal |\n\
         |---|--:|--:|--:|--:|--:|--:|\n",
        PERIOD.as_millis(),
        EVENTS as u128 / PERIOD.as_millis(),
    );
    let mut usual_us = None;
    for (what, calls, goal) in rows {
        let (count, [p50, p99, most]) = (calls.len(), quantiles(&calls));
        let ratio = p99 / *usual_us.get_or_insert(p99);
        let goal = goal.map(|goal| format!("{goal:.0}")).unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {what} | {count} | {p50:.1} ms | {p99:.1} ms | {most:.1} ms | {ratio:.2} | {goal} |"
        );
    }
    text
}

/// When any node was writing one: from when its draft was there to when that grew no more.
async fn watch_snapshots(
    folders: Vec<PathBuf>,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Vec<(Instant, Instant)>> {
    let mut spans = Vec::new();
    let mut since: Option<Instant> = None;
    while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
        match (folders.iter().any(|folder| is_written(folder)), since) {
            (true, None) => since = Some(Instant::now()),
            (false, Some(from)) => {
                spans.push((from, Instant::now()));
                since = None;
            }
            _ => {}
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(spans)
}

/// Whether a draft lies there that somebody has just written to; one that a killed node left behind
/// is old.
fn is_written(folder: &Path) -> bool {
    let age = |entry: std::fs::DirEntry| entry.metadata().ok()?.modified().ok()?.elapsed().ok();
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut drafts = files.filter(|entry| entry.path().extension().is_some_and(|e| e == "tmp"));
    drafts.any(|entry| age(entry).is_some_and(|age| age < GROWS_WITHIN))
}

/// Until a follower has caught up.
async fn wait_near(leader: Client, follower: Client) -> anyhow::Result<()> {
    let waiting = async {
        while behind(&leader, &follower).await.is_none_or(|behind| behind >= NEAR) {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    tokio::time::timeout(BACK_WITHIN, waiting).await.context("the follower never caught up")
}

/// By how many entries, as far as both answer.
async fn behind(leader: &Client, follower: &Client) -> Option<u64> {
    let applied = async |node: &Client| {
        let status = tokio::time::timeout(ANSWER_WITHIN, node.status()).await.ok()?.ok()?;
        Some(status.applied_index)
    };
    Some(applied(leader).await?.saturating_sub(applied(follower).await?))
}

/// What the nodes say of themselves while nothing else goes on. The stream's events are six hours old, so
/// their own time says nothing here.
fn visible_table(visible: &[(u64, Visible)]) -> String {
    let mut text = String::from(
        "\nUntil an event can be read, by the nodes' own counting, while nothing else goes on\n\n\
         | node | from | events | p50 | p99 | longest | goal of p99 |\n|--:|---|--:|--:|--:|--:|--:|\n",
    );
    for (node, each) in visible.iter().filter(|(_, each)| each.from != "event") {
        let ms = |us: u64| us as f64 / 1e3;
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {node} | {} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.0} ms |",
            each.from,
            each.events,
            ms(each.p50_us),
            ms(each.p99_us),
            ms(each.longest_us),
            ms(each.goal_us)
        );
    }
    text
}

fn overlaps(call: &Call, (from, to): &(Instant, Instant)) -> bool {
    call.due <= *to && call.due + call.took >= *from
}

/// A steady stream to one node.
struct Stream {
    client: EventsClient<Channel>,
    feed: Feed,
}

impl Stream {
    async fn to(address: &str) -> anyhow::Result<Self> {
        let client = EventsClient::connect(format!("http://{address}")).await?;
        let begin_us = nodes::clock::now_us() - 6 * 3_600_000_000;
        Ok(Self { client, feed: Feed::new(HOMES, begin_us, "steady") })
    }

    async fn run(&mut self, length: Duration) -> anyhow::Result<Vec<Call>> {
        let append = |events| {
            let mut client = self.client.clone();
            let request = AppendRequest { events, request_id: String::new() };
            async move { Ok(client.append(request).await?.into_inner()) }
        };
        steady::run(&mut self.feed, Instant::now() + length, append).await
    }
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
