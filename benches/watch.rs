//! What watching adds to a score, beside copying the row that it was made from.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::{resident_key, rng, state_of};
use criterion::{Criterion, criterion_group, criterion_main};
use features::{EntityKind, Status};
use nodes::config;
use nodes::watch::{Codes, Counter, Groups, of_rows};
use rand::Rng as _;
use std::hint::black_box;

const RESIDENTS: u32 = 50_000;
const WIDTH: usize = 16;
const ROWS: usize = 4_096;

fn watch(criterion: &mut Criterion) {
    let mut rng = rng(7);
    let rows: Vec<f32> = (0..ROWS * WIDTH).map(|_| rng.random_range(0.0..100.0)).collect();
    let scores: Vec<f64> = (0..ROWS).map(|_| rng.random_range(0.0..1.0)).collect();
    let names: Vec<String> = (0..WIDTH).map(|at| format!("f{at}")).collect();
    let counter = Counter::new(&names, 0.5, Some(of_rows("bench", &names, &rows, &scores)));
    let statuses = [Status::Present; WIDTH];
    let mut group = criterion.benchmark_group("watch");
    let mut at = 0;
    let mut copy = [0.0_f32; WIDTH];
    group.bench_function("floor: a row copied", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % ROWS;
            copy.copy_from_slice(black_box(&rows[at * WIDTH..(at + 1) * WIDTH]));
        });
    });
    group.bench_function("a score of 16 features counted", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % ROWS;
            let row = black_box(&rows[at * WIDTH..(at + 1) * WIDTH]);
            counter.observe(row, &statuses, scores[at], Codes::default());
        });
    });
    let state = state_of(0..RESIDENTS, &["resident", "household"]).expect("registers");
    let groups = Groups::new(&config::Watch::default().groups).expect("columns");
    let keys: Vec<String> = (0..RESIDENTS).map(resident_key).collect();
    for (name, count) in
        [("groups of a resident, kept", 64), ("groups of a resident, in turn", keys.len())]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % count;
                black_box(groups.of_kind(&state, EntityKind::Resident, &keys[at]))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, watch);
criterion_main!(benches);
