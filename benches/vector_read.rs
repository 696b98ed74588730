//! The row that a model reads, beside copying as many numbers out of a plain matrix.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::{BEGIN_US, registers, resident_key, rng};
use criterion::{Criterion, criterion_group, criterion_main};
use features::{EntityKind, Kind, RowSource, Store};
use nodes::state::Rows;
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
fn district() -> (Store, Rows) {
    let mut store = Store::new();
    store.advance(BEGIN_US);
    let mut rng = rng(3);
    for home in 0..RESIDENTS {
        let key = resident_key(home);
        for (kind, count) in READINGS {
            for _ in 0..count {
                let at_us = BEGIN_US - rng.random_range(0..7 * DAY_US);
                store.record(EntityKind::Resident, &key, kind, at_us, rng.random_range(0.5..1.5));
            }
        }
    }
    let mut rows = Rows::default();
    for (table, all) in registers(0..RESIDENTS) {
        if matches!(table.name, "resident" | "health_summary") {
            for row in &all {
                rows.upsert(table, row).expect("a row of the table");
            }
        }
    }
    (store, rows)
}

fn benches(criterion: &mut Criterion) {
    let state = district();
    let store = &state.features;
    let view = views::find("fall_risk").expect("a built-in view");
    assert_eq!(view.names().len(), WIDTH);
    let mut rng = rng(4);
    let asked: Vec<u32> = (0..ASKED).map(|_| rng.random_range(0..RESIDENTS)).collect();
    let keys: Vec<String> = asked.iter().map(|home| resident_key(*home)).collect();
    let matrix: Vec<f32> = (0..RESIDENTS as usize * WIDTH).map(|_| rng.random()).collect();

    let mut group = criterion.benchmark_group("vector_read");
    let read = |key: &str, rows: &dyn RowSource| store.read(view, key, BEGIN_US, rows);
    group.bench_function("same", |bencher| bencher.iter(|| read(&keys[0], &rows)));
    let mut turn = keys.iter().cycle();
    group.bench_function("random", |bencher| {
        bencher.iter(|| read(turn.next().expect("a cycle"), &rows));
    });
    // Each row searched and decoded once, not once a column.
    group.bench_function("random_open", |bencher| {
        bencher.iter(|| read(turn.next().expect("a cycle"), &rows.reader()));
    });
    // Without registers: what the windows alone cost.
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
