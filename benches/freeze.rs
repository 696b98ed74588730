//! A snapshot while the log goes on, at the size of a city: how long the freeze holds the state, and what
//! the copies that the writes then force cost the entries that are applied meanwhile.

use anyhow::Context as _;
use benches::{BEGIN_US, Feed, registers};
use features::table::encode_row;
use nodes::state::{Command, State};
use raft::Position;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Three devices and one resident each.
const HOMES: u32 = 416_000;
const HOMES_AT_ONCE: u32 = 2_000;
const EVENTS: usize = 500;
/// About two events a device.
const ENTRIES_BEFORE: usize = 5_000;
const ENTRIES: usize = 400;
const REPETITIONS: usize = 3;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "freeze.md";

fn main() -> anyhow::Result<()> {
    let mut state = State::new();
    for from in (0..HOMES).step_by(HOMES_AT_ONCE as usize) {
        for (table, rows) in registers(from..from + HOMES_AT_ONCE) {
            let rows: Result<_, _> = rows.iter().map(|row| encode_row(row)).collect();
            put(
                &mut state,
                BEGIN_US,
                &Command::UpsertRows { table: table.name.to_owned(), rows: rows? }.encode(),
            )?;
        }
    }
    let mut feed = Feed::new(HOMES, BEGIN_US, "gateway-7");
    applied(&mut state, &mut feed, ENTRIES_BEFORE)?;
    let mut text = format!(
        "\nA snapshot of {} residents and {} devices while entries of {EVENTS} events are applied\n\n\
         | freeze | written in | bytes | entry before: p50, p99, longest | entry during: p50, p99, longest |\n|---|---|---|---|---|\n",
        HOMES,
        3 * HOMES
    );
    for _ in 0..REPETITIONS {
        let before = applied(&mut state, &mut feed, ENTRIES)?;
        let begun = Instant::now();
        let frozen = state.freeze();
        let froze = begun.elapsed();
        let writer = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut counted = Counted(0);
            frozen.write(&mut counted).map(|()| (begun.elapsed(), counted.0))
        });
        let during = applied(&mut state, &mut feed, ENTRIES)?;
        let (took, bytes) = writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {froze:.1?} | {took:.1?} | {} MB | {} | {} |",
            bytes / 1_000_000,
            show(before),
            show(during)
        );
    }
    println!("{text}");
    keep(&text)
}

/// Only counts: what the disk takes is measured elsewhere.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn put(state: &mut State, time_us: i64, command: &[u8]) -> anyhow::Result<()> {
    let at = Position { index: state.applied + 1, term: 1, time_us };
    state.apply(at, &[command]).context("a known command")?;
    drop(state.take_changes());
    Ok(())
}

/// How long each of so many fresh entries took.
fn applied(state: &mut State, feed: &mut Feed, entries: usize) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(entries);
    for _ in 0..entries {
        let command = Command::IngestEvents { events: feed.take(EVENTS) }.encode();
        let begun = Instant::now();
        put(state, feed.now_us(), &command)?;
        took.push(begun.elapsed());
    }
    Ok(took)
}

fn show(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied();
    let [half, most, all] =
        [at(0.5), at(0.99), took.last().copied()].map(Option::unwrap_or_default);
    format!("{half:.2?}, {most:.2?}, {all:.2?}")
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
