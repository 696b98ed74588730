//! One log entry into the replicated state, beside reading the same bytes and beside counting. Time of
//! this thread on a processor, not of the wall: apply waits for nothing.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::{BEGIN_US, Feed, on_processor, registers};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use features::table::encode_row;
use nodes::state::{Command, State};
use raft::Position;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

/// 10,002 devices.
const HOMES: u32 = 3_334;
const ROWS_PER_COMMAND: usize = 1_000;
/// Entries that are made before the clock starts; what they change is dropped after it stops.
const ENTRIES_AT_ONCE: u64 = 64;
const SIZES: [usize; 3] = [1, 100, 1_000];

fn registered() -> State {
    let mut state = State::new();
    for (table, rows) in registers(0..HOMES) {
        for part in rows.chunks(ROWS_PER_COMMAND) {
            let rows = part.iter().map(|row| encode_row(row).expect("a row")).collect();
            let command = Command::UpsertRows { table: table.name.to_owned(), rows };
            put(&mut state, BEGIN_US, &command.encode());
        }
    }
    state.take_changes();
    state
}

fn put(state: &mut State, time_us: i64, command: &[u8]) {
    let at = Position { index: state.applied + 1, term: 1, time_us };
    black_box(state.apply(at, &[command]).expect("a known command"));
}

fn entry(feed: &mut Feed, events: usize) -> (i64, Vec<u8>) {
    let command = Command::IngestEvents { events: feed.take(events) };
    (feed.now_us(), command.encode())
}

/// Applies fresh entries; only `apply` itself is timed, and handing its changes on.
fn apply_fresh(state: &mut State, feed: &mut Feed, events: usize, entries: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = entries;
    while left > 0 {
        let now = left.min(ENTRIES_AT_ONCE);
        let fresh: Vec<_> = (0..now).map(|_| entry(feed, events)).collect();
        let mut changes = Vec::with_capacity(fresh.len());
        let begun = on_processor().expect("a Linux");
        for (time_us, command) in &fresh {
            put(state, *time_us, command);
            changes.push(state.take_changes());
        }
        spent += on_processor().expect("a Linux").saturating_sub(begun);
        left -= now;
    }
    spent
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    let mut state = registered();
    let mut feed = Feed::new(HOMES, BEGIN_US, "gateway-7");
    for events in SIZES {
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("state", events), |bencher| {
            bencher.iter_custom(|entries| apply_fresh(&mut state, &mut feed, events, entries));
        });
        let known: Vec<_> = (0..ENTRIES_AT_ONCE).map(|_| entry(&mut feed, events).1).collect();
        let mut turn = known.iter().cycle();
        group.bench_function(BenchmarkId::new("decode", events), |bencher| {
            bencher.iter(|| Command::decode(turn.next().expect("a cycle")));
        });
        let mut counts: HashMap<String, u64> = HashMap::new();
        let known: Vec<_> = (0..ENTRIES_AT_ONCE).map(|_| feed.take(events)).collect();
        let mut turn = known.iter().cycle();
        group.bench_function(BenchmarkId::new("count", events), |bencher| {
            bencher.iter(|| {
                for event in turn.next().expect("a cycle") {
                    match counts.get_mut(&event.device_id) {
                        Some(count) => *count += 1,
                        None => drop(counts.insert(event.device_id.clone(), 1)),
                    }
                }
            });
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
}

criterion_group! { name = all; config = short(); targets = benches }
criterion_main!(all);
