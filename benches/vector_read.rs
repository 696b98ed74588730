//! The row that a model reads, beside copying as many numbers out of a plain matrix.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::{BEGIN_US, resident_key, rng, state_of};
use criterion::{Criterion, criterion_group, criterion_main};
use features::{EntityKind, FeatureRows, Kind, RowSource};
use nodes::state::State;
use nodes::views;
use rand::Rng as _;
use std::hint::black_box;
use std::time::Duration;

const RESIDENTS: u32 = 100_000;
const WIDTH: usize = 16;
const DAY_US: i64 = 86_400_000_000;
/// Readings of each resident over the last week.
const READINGS: [(Kind, usize); 3] = [(Kind::Door, 6), (Kind::Motion, 12), (Kind::GaitSpeed, 2)];
/// Residents that are asked for in turn; more than a cache holds.
const ASKED: usize = 65_536;

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
    // Without registers: what the windows alone cost.
    group.bench_function("same_windows", |bencher| bencher.iter(|| read(&keys[0], &())));
    group.bench_function("random_windows", |bencher| {
        bencher.iter(|| read(turn.next().expect("a cycle"), &()));
    });
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

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! { name = all; config = short(); targets = benches }
criterion_main!(all);
