//! One log entry after another into the replicated state of a whole district: all that a node does with
//! an entry's bytes, from decoding them to the changes that go to the recorder.
//!
//! `cargo bench -p benches --bench apply [-- HOMES]`; 320,000 homes are 416,000 residents and 1,664,000
//! devices. Time is this thread's on a processor, not the wall's: apply waits for nothing. The floors are
//! of the same run and the same events: copying the entries' bytes and changing one line of a table by
//! device, and counting events in a hash map by the device's name.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

mod alone;
mod district;

use benches::BEGIN_US;
use district::Stream;
use features::Event;
use nodes::state::{Command, State};
use raft::Position;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HOMES: u32 = 320_000;
/// Commands in an entry, and events in a command: senders of single events share an entry, too.
const SIZES: [(usize, usize); 5] = [(1, 1), (256, 1), (1, 100), (1, 256), (1, 1_000)];
/// Until the deduplication is full, so that each event forgets one; first every device says something.
const WARM_EVENTS: usize = 3_000_000;
const TIMED_EVENTS: usize = 400_000;
const REPETITIONS: usize = 3;
/// Entries that are made before the clock starts.
const EVENTS_AT_ONCE: usize = 20_000;
/// Entries whose features alone are timed together, and events in each.
const ALONE: (usize, usize) = (80, 250);
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "apply.md";

type Entry = (i64, Vec<Vec<u8>>);

fn main() -> std::io::Result<()> {
    let homes = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(HOMES);
    let mut state = State::new();
    district::registers(homes, |command| {
        put(&mut state, BEGIN_US - district::PAUSE_US, &[command]);
        drop(state.take_changes());
    });
    district::history(&mut state, homes);
    let mut stream = Stream::new(homes);
    // Everybody is known: what a device's first event costs is no part of a usual day.
    for homes in (0..homes).collect::<Vec<_>>().chunks(200) {
        let events = homes.iter().flat_map(|home| stream.of_home(*home)).collect();
        put(&mut state, stream.now_us(), &[Command::IngestEvents { events }.encode()]);
        drop(state.take_changes());
    }
    let mut left = WARM_EVENTS.min(homes as usize * 10);
    while left > 0 {
        for (time_us, commands) in entries(&mut stream, 1_000, 20) {
            put(&mut state, time_us, &commands);
            drop(state.take_changes());
        }
        left = left.saturating_sub(EVENTS_AT_ONCE);
    }
    let residents: u32 = (0..homes).map(district::residents_of).sum();
    let mut text = format!(
        "\nApply: {residents} residents, {homes} homes, {} devices heard, {} events before, {} remembered, {} cases, {} MB resident\n\n\
         | commands of events | an event | events/s | decoding | bytes copied and a line changed | counted by name | over the floor |\n\
         |---|---|---|---|---|---|---|\n",
        state.features.entity_count(features::EntityKind::Device),
        state.events_total,
        state.dedup.len(),
        state.alerts_total,
        resident_bytes()? / 1_000_000,
    );
    let mut floor = Floor::default();
    for size in SIZES {
        for _ in 0..REPETITIONS {
            let took = timed(&mut state, &mut stream, &mut floor, size);
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "| {} of {} | {:.0} ns | {:.0} k | {:.0} ns | {:.0} ns | {:.0} ns | {:.1} |",
                size.0,
                size.1,
                took.state,
                1e6 / took.state,
                took.decode,
                took.line,
                took.count,
                took.state / took.line,
            );
        }
    }
    let _ = writeln!(text, "\nOf it features alone, of {} events in an entry:", ALONE.1);
    for _ in 0..REPETITIONS {
        let took: Duration = (0..TIMED_EVENTS / (ALONE.0 * ALONE.1))
            .map(|_| alone::took(&mut state, &mut stream, ALONE))
            .sum();
        let events = TIMED_EVENTS / (ALONE.0 * ALONE.1) * ALONE.0 * ALONE.1;
        let each = took.as_nanos() as f64 / events as f64;
        let _ = writeln!(text, "- {each:.0} ns an event, {:.0} k/s", 1e6 / each);
    }
    println!("{text}");
    keep(&text)
}

fn put(state: &mut State, time_us: i64, commands: &[Vec<u8>]) {
    let at = Position { index: state.applied + 1, term: 1, time_us };
    black_box(state.apply(at, commands).expect("known commands"));
}

fn entries(stream: &mut Stream, events: usize, count: usize) -> Vec<Entry> {
    let entry = |_| {
        let command = Command::IngestEvents { events: stream.take(events) };
        (stream.now_us(), vec![command.encode()])
    };
    (0..count).map(entry).collect()
}

/// Nanoseconds an event.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    state: f64,
    decode: f64,
    line: f64,
    count: f64,
}

/// What the floors work on: a line of 64 bytes for each device, and a count by its name.
#[derive(Default)]
struct Floor {
    lines: Vec<[u64; 8]>,
    places: HashMap<String, usize>,
    counts: HashMap<String, u64>,
    bytes: Vec<u8>,
}

impl Floor {
    /// Which line each event changes.
    fn learn(&mut self, events: &[Event]) -> Vec<usize> {
        let known = events.iter().map(|event| {
            if let Some(at) = self.places.get(&event.device_id) {
                return *at;
            }
            self.places.insert(event.device_id.clone(), self.lines.len());
            self.lines.push([0; 8]);
            self.lines.len() - 1
        });
        known.collect()
    }
}

fn timed(
    state: &mut State,
    stream: &mut Stream,
    floor: &mut Floor,
    (commands, events): (usize, usize),
) -> Took {
    let rounds = TIMED_EVENTS / EVENTS_AT_ONCE;
    let mut spent = [Duration::ZERO; 4];
    for _ in 0..rounds {
        let made: Vec<_> = (0..EVENTS_AT_ONCE / (commands * events))
            .map(|_| (stream.take(commands * events), stream.now_us()))
            .collect();
        let lines: Vec<Vec<usize>> = made.iter().map(|(all, _)| floor.learn(all)).collect();
        let names: Vec<String> =
            made.iter().flat_map(|(all, _)| all.iter().map(|e| e.device_id.clone())).collect();
        let fresh: Vec<Entry> = made
            .into_iter()
            .map(|(all, at_us)| {
                let command = |events: &[Event]| Command::IngestEvents { events: events.to_vec() };
                (at_us, all.chunks(events).map(|events| command(events).encode()).collect())
            })
            .collect();
        // The floors first: apply must not find the bytes warm that they did not.
        spent[2] += clock(|| {
            for ((_, commands), lines) in fresh.iter().zip(&lines) {
                floor.bytes.clear();
                for command in commands {
                    floor.bytes.extend_from_slice(command);
                }
                for line in lines {
                    floor.lines[*line][0] += 1;
                }
            }
        });
        spent[3] += clock(|| {
            for name in &names {
                match floor.counts.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(floor.counts.insert(name.clone(), 1)),
                }
            }
        });
        spent[1] += clock(|| {
            for command in fresh.iter().flat_map(|(_, commands)| commands) {
                black_box(State::events_in(command));
            }
        });
        let mut changes = Vec::with_capacity(fresh.len());
        spent[0] += clock(|| {
            for (time_us, commands) in &fresh {
                put(state, *time_us, commands);
                changes.push(state.take_changes());
            }
        });
    }
    let each = |spent: Duration| spent.as_nanos() as f64 / (rounds * EVENTS_AT_ONCE) as f64;
    Took {
        state: each(spent[0]),
        decode: each(spent[1]),
        line: each(spent[2]),
        count: each(spent[3]),
    }
}

/// What the work takes of this thread's time on a processor.
fn clock(work: impl FnOnce()) -> Duration {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
    };
    let begun = now();
    work();
    now().saturating_sub(begun)
}

fn resident_bytes() -> std::io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<usize> = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(pages.unwrap_or(0) * 4096)
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> std::io::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    std::fs::write(Path::new(&folder).join(TABLE), text)
}
