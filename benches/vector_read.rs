//! The row that a model reads at the size of a district, beside copying as many numbers out of a plain
//! matrix, and beside what memory alone takes here: as many lines of as much memory, each found by way
//! of the one before (`chain`), and all asked for at once (`lines`).
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::{BEGIN_US, resident_key, rng, state_of};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use features::{EntityKind, FeatureRows, Kind, RowSource, Store};
use nodes::state::State;
use nodes::views;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

const RESIDENTS: u32 = 416_000;
const WIDTH: usize = 16;
const DAY_US: i64 = 86_400_000_000;
/// Readings of each resident over the last week.
const READINGS: [(Kind, usize); 3] = [(Kind::Door, 6), (Kind::Motion, 12), (Kind::GaitSpeed, 2)];
/// Residents that are asked for in turn; more than a cache holds.
const ASKED: usize = 262_144;
const BATCH: usize = 256;
/// Lines of 64 bytes that lie about as far apart as what the rows of the district are made of.
const LINES: usize = 12_000_000;
/// What a row of `fall_risk` touches, and how many of these are found by way of another: the key's group
/// and number, the page and what it holds, the series, their tiles; of two register rows the group, the
/// handle, the bytes.
const TOUCHED: usize = 24;
const DEPTH: usize = 8;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A week of everybody's readings and their register rows.
fn district() -> State {
    let mut state = state_of(0..RESIDENTS, &["resident", "health_summary"]).expect("registers");
    let mut rng = rng(3);
    for home in 0..RESIDENTS {
        let key = resident_key(home);
        for (kind, count) in READINGS {
            for _ in 0..count {
                let at_us = BEGIN_US - rng.random_range(0..7 * DAY_US);
                let value = rng.random_range(0.5..1.5);
                state.features.record(EntityKind::Resident, &key, kind, at_us, value);
            }
        }
    }
    state
}

fn benches(criterion: &mut Criterion) {
    let state = district();
    let view = views::find("fall_risk").expect("a built-in view");
    assert_eq!(view.names().len(), WIDTH);
    let mut rng = rng(4);
    let asked: Vec<u32> = (0..ASKED).map(|_| rng.random_range(0..RESIDENTS)).collect();
    let keys: Vec<String> = asked.iter().map(|home| resident_key(*home)).collect();
    let matrix: Vec<f32> = (0..RESIDENTS as usize * WIDTH).map(|_| rng.random()).collect();

    let mut group = criterion.benchmark_group("vector_read");
    let rows = state.registers();
    let read = |key: &str, rows: &dyn RowSource| state.features.read(view, key, BEGIN_US, rows);
    group.bench_function("same", |bencher| bencher.iter(|| read(&keys[0], rows)));
    let mut turn = keys.iter().cycle();
    group.bench_function("random", |bencher| {
        bencher.iter(|| read(turn.next().expect("a cycle"), rows));
    });
    // As a batch of rows is read: behind the last one, without what all rows share.
    let mut into = FeatureRows::with_capacity(WIDTH);
    group.bench_function("random_into", |bencher| {
        bencher.iter(|| {
            into.truncate(0);
            let key = turn.next().expect("a cycle");
            state.features.read_into(view, key, BEGIN_US, rows, &mut into)
        });
    });
    // The same of a batch, one row of it: what several rows wait for is asked for together.
    let mut batches = keys.chunks_exact(BATCH).cycle();
    group.bench_function(format!("random_into_of_{BATCH}"), |bencher| {
        bencher.iter_custom(|times| {
            let begun = Instant::now();
            for _ in 0..times.div_ceil(BATCH as u64) {
                let batch = batches.next().expect("a cycle");
                into.truncate(0);
                for part in batch.chunks(Store::ROWS_AHEAD) {
                    let part: Vec<&str> = part.iter().map(String::as_str).collect();
                    state.features.warm_rows(view, &part, rows);
                    for key in part {
                        black_box(state.features.read_into(view, key, BEGIN_US, rows, &mut into));
                    }
                }
            }
            let batches = times.div_ceil(BATCH as u64) as f64;
            begun.elapsed().mul_f64(times as f64 / (batches * BATCH as f64))
        });
    });
    // Without registers: what the windows alone cost.
    group.bench_function("same_windows", |bencher| bencher.iter(|| read(&keys[0], &())));
    group.bench_function("random_windows", |bencher| {
        bencher.iter(|| read(turn.next().expect("a cycle"), &()));
    });
    memory_alone(&mut group);
    let copy = |home: u32| {
        let from = home as usize * WIDTH;
        let mut row = [0.0_f32; WIDTH];
        row.copy_from_slice(&matrix[from..from + WIDTH]);
        row
    };
    group.bench_function("copy_same", |bencher| bencher.iter(|| copy(black_box(asked[0]))));
    let mut turn = asked.iter().cycle();
    group.bench_function("copy_random", |bencher| {
        bencher.iter(|| copy(*turn.next().expect("a cycle")));
    });
    group.finish();
}

fn memory_alone(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut rng = rng(5);
    // One round trip through all lines in a random order.
    let mut order: Vec<u32> = (1..LINES as u32).collect();
    order.shuffle(&mut rng);
    let mut lines = vec![[0_u32; 16]; LINES];
    let mut at = 0;
    for next in order.into_iter().chain([0]) {
        lines[at as usize][0] = next;
        at = next;
    }
    let mut at = 0;
    group.bench_function("chain", |bencher| {
        bencher.iter(|| {
            for _ in 0..DEPTH {
                at = lines[at as usize][0];
            }
            at
        });
    });
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            let found = (0..TOUCHED).map(|_| lines[rng.random_range(0..LINES)][1]);
            found.fold(0, u32::wrapping_add)
        });
    });
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! { name = all; config = short(); targets = benches }
criterion_main!(all);
