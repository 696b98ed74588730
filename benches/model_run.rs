//! Models through their public face, beside the least that their arithmetic costs.
//!
//! The floor of the forest is a walk over as many trees of the same depth laid flat; the floor of
//! the linear model is its dot product and one sigmoid. Neither has a session, a shape or a check.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::rng;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use models::{Loaded, Package, Runtime, load_package};
use rand::Rng as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BATCHES: [usize; 3] = [1, 64, 1_024];
/// Distinct rows that batches are taken from in turn.
const ROWS: usize = 4_096;
/// The shape of `fall_risk`, by its `train.py`.
const TREES: usize = 100;
const DEPTH: usize = 3;
const SPLITS: usize = (1 << DEPTH) - 1;
const LEAVES: usize = 1 << DEPTH;

#[expect(clippy::disallowed_methods, reason = "the library's own variable")]
fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.native/lib");
    let files = std::fs::read_dir(folder).expect("run `make native` first");
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime."))
    };
    files.flatten().map(|file| file.path()).find(named).expect("run `make native` first")
}

fn load(runtime: &Runtime, name: &str) -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo").join(name);
    let package = Package::read_dir(folder).expect("a package of the zoo");
    load_package(runtime, &package).expect("a model of the zoo")
}

/// Trees of one depth, one after the other.
struct Forest {
    features: Vec<usize>,
    thresholds: Vec<f32>,
    leaves: Vec<f32>,
}

impl Forest {
    fn draw(width: usize) -> Self {
        let mut rng = rng(5);
        Self {
            features: (0..TREES * SPLITS).map(|_| rng.random_range(0..width)).collect(),
            thresholds: (0..TREES * SPLITS).map(|_| rng.random()).collect(),
            leaves: (0..TREES * LEAVES).map(|_| rng.random_range(-0.1..0.1)).collect(),
        }
    }

    fn score(&self, row: &[f32]) -> f32 {
        let mut sum = 0.0;
        for tree in 0..TREES {
            let mut node = 0;
            for _ in 0..DEPTH {
                let split = tree * SPLITS + node;
                let right = row[self.features[split]] > self.thresholds[split];
                node = 2 * node + 1 + usize::from(right);
            }
            sum += self.leaves[tree * LEAVES + node - SPLITS];
        }
        sigmoid(sum)
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn bench_model(
    criterion: &mut Criterion,
    loaded: &Loaded,
    name: &str,
    floor: impl Fn(&[f32]) -> f32,
) {
    let width = loaded.model.features();
    let mut rng = rng(6);
    let rows: Vec<f32> = (0..ROWS * width).map(|_| rng.random()).collect();
    let mut group = criterion.benchmark_group(name);
    for batch in BATCHES {
        let mut turn = rows.chunks_exact(batch * width).cycle();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("score", batch), |bencher| {
            bencher.iter(|| loaded.model.score(turn.next().expect("a cycle"), batch));
        });
        group.bench_function(BenchmarkId::new("floor", batch), |bencher| {
            bencher.iter(|| {
                let rows = turn.next().expect("a cycle").chunks_exact(width);
                rows.map(&floor).collect::<Vec<f32>>()
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::load(library()).expect("the library of ONNX Runtime");
    let forest = load(&runtime, "fall_risk");
    let floor = Forest::draw(forest.model.features());
    bench_model(criterion, &forest, "fall_risk", |row| floor.score(row));
    let linear = load(&runtime, "subsidy_triage");
    let mut rng = rng(7);
    let weights: Vec<f64> =
        (0..linear.model.features()).map(|_| black_box(rng.random_range(-1.0..1.0))).collect();
    bench_model(criterion, &linear, "subsidy_triage", |row| {
        let parts = row.iter().zip(&weights).map(|(value, weight)| f64::from(*value) * weight);
        sigmoid(parts.sum::<f64>() as f32)
    });
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = all; config = short(); targets = benches }
criterion_main!(all);
