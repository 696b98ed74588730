//! Models through their public face, beside ONNX Runtime and the least that their arithmetic costs.
//!
//! The floor of a forest is a walk over as many trees of the same depth laid flat; the floor of the
//! linear model is its dot product and one sigmoid. Neither has a session, a shape or a check.
//! `forest` is 100 whole trees of depth 6 over 16 features, drawn at random; `matrix` is its score of
//! 416,000 rows, and that of ONNX Runtime at each size of batch. One thread throughout.
#![allow(clippy::expect_used, reason = "a bench may stop at once")]

use benches::rng;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use models::{Explainer, Loaded, Model, OnnxModel, Package, Runtime, load_package};
use rand::Rng as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[path = "../models/tests/models/writer.rs"]
#[allow(dead_code, reason = "the tests write more kinds of files")]
mod writer;

use writer::{Node, file};

const BATCHES: [usize; 3] = [1, 64, 1_024];
/// Distinct rows that batches are taken from in turn.
const ROWS: usize = 4_096;
const TREES: usize = 100;
/// Of `fall_risk`, by its `train.py`.
const SHALLOW: usize = 3;
const DEEP: usize = 6;
const WIDTH: usize = 16;
/// The residents of the district.
const MATRIX_ROWS: usize = 416_000;
/// The last is the most that one tensor of so many features may have.
const MATRIX_BATCHES: [usize; 5] = [128, 1_024, 8_192, 65_536, 262_144];

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
    depth: usize,
    features: Vec<usize>,
    thresholds: Vec<f32>,
    leaves: Vec<f32>,
}

impl Forest {
    fn draw(width: usize, depth: usize) -> Self {
        let mut rng = rng(5);
        let (splits, leaves) = (TREES * ((1 << depth) - 1), TREES << depth);
        Self {
            depth,
            features: (0..splits).map(|_| rng.random_range(0..width)).collect(),
            thresholds: (0..splits).map(|_| rng.random()).collect(),
            leaves: (0..leaves).map(|_| rng.random_range(-0.1..0.1)).collect(),
        }
    }

    fn score(&self, row: &[f32]) -> f32 {
        let (splits, leaves) = ((1 << self.depth) - 1, 1 << self.depth);
        let mut sum = 0.0;
        for tree in 0..TREES {
            let mut node = 0;
            for _ in 0..self.depth {
                let split = tree * splits + node;
                let right = row[self.features[split]] > self.thresholds[split];
                node = 2 * node + 1 + usize::from(right);
            }
            sum += self.leaves[tree * leaves + node - splits];
        }
        sigmoid(sum)
    }

    /// The same trees as a file: a binary classifier of boosted trees.
    fn to_onnx(&self, width: usize) -> Vec<u8> {
        let (splits, nodes) = ((1 << self.depth) - 1, (2 << self.depth) - 1);
        let each = || (0..TREES).flat_map(|tree| (0..nodes).map(move |node| (tree, node)));
        let inner = |(tree, node): (usize, usize)| (node < splits).then(|| tree * splits + node);
        let ints = |of: &dyn Fn((usize, usize)) -> usize| -> Vec<i64> {
            each().map(|place| of(place) as i64).collect()
        };
        let child = |place, which| inner(place).map_or(0, |_| 2 * place.1 + which);
        let modes: Vec<&str> =
            each().map(|place| inner(place).map_or("LEAF", |_| "BRANCH_LEQ")).collect();
        let values: Vec<f32> =
            each().map(|place| inner(place).map_or(0.0, |at| self.thresholds[at])).collect();
        let leaves: Vec<(usize, usize)> = each().filter(|place| inner(*place).is_none()).collect();
        let node =
            Node::new("TreeEnsembleClassifier", "ai.onnx.ml", &["X"], &["label", "probabilities"])
                .ints("nodes_treeids", &ints(&|(tree, _)| tree))
                .ints("nodes_nodeids", &ints(&|(_, node)| node))
                .ints(
                    "nodes_featureids",
                    &ints(&|place| inner(place).map_or(0, |at| self.features[at])),
                )
                .floats("nodes_values", &values)
                .texts("nodes_modes", &modes)
                .ints("nodes_truenodeids", &ints(&|place| child(place, 1)))
                .ints("nodes_falsenodeids", &ints(&|place| child(place, 2)))
                .ints("class_ids", &vec![0; leaves.len()])
                .ints(
                    "class_treeids",
                    &leaves.iter().map(|(tree, _)| *tree as i64).collect::<Vec<_>>(),
                )
                .ints(
                    "class_nodeids",
                    &leaves.iter().map(|(_, node)| *node as i64).collect::<Vec<_>>(),
                )
                .floats("class_weights", &self.leaves)
                .ints("classlabels_int64s", &[0, 1])
                .text("post_transform", "LOGISTIC");
        file(&[node], width, &[("label", None), ("probabilities", Some(2))])
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// `peer` is the same file in ONNX Runtime.
fn bench_model(
    criterion: &mut Criterion,
    name: &str,
    (model, peer): (&dyn Model, Option<&dyn Model>),
    floor: impl Fn(&[f32]) -> f32,
) {
    println!("{name}: evaluated by {}", model.engine());
    let width = model.features();
    let rows = draw_rows(ROWS, width);
    let mut group = criterion.benchmark_group(name);
    for batch in BATCHES {
        let mut turn = rows.chunks_exact(batch * width).cycle();
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("score", batch), |bencher| {
            let mut scores = Vec::with_capacity(batch);
            bencher.iter(|| model.score_into(turn.next().expect("a cycle"), batch, &mut scores));
        });
        if let Some(peer) = peer {
            group.bench_function(BenchmarkId::new("onnxruntime", batch), |bencher| {
                bencher.iter(|| peer.score(turn.next().expect("a cycle"), batch));
            });
        }
        group.bench_function(BenchmarkId::new("floor", batch), |bencher| {
            bencher.iter(|| {
                let rows = turn.next().expect("a cycle").chunks_exact(width);
                rows.map(&floor).collect::<Vec<f32>>()
            });
        });
    }
    group.finish();
}

fn draw_rows(count: usize, width: usize) -> Vec<f32> {
    let mut rng = rng(6);
    (0..count * width).map(|_| rng.random()).collect()
}

/// All residents at once, on one core.
fn bench_matrix(criterion: &mut Criterion, own: &dyn Model, peer: &dyn Model) {
    let rows = draw_rows(MATRIX_ROWS, WIDTH);
    let mut group = criterion.benchmark_group("matrix");
    group.sample_size(10).throughput(Throughput::Elements(MATRIX_ROWS as u64));
    group.bench_function("score", |bencher| {
        let mut scores = Vec::with_capacity(MATRIX_ROWS);
        bencher.iter(|| own.score_into(&rows, MATRIX_ROWS, &mut scores));
    });
    for batch in MATRIX_BATCHES {
        group.bench_function(BenchmarkId::new("onnxruntime", batch), |bencher| {
            bencher.iter(|| {
                for rows in rows.chunks(batch * WIDTH) {
                    let scores = peer.score(rows, rows.len() / WIDTH);
                    black_box(scores.expect("scores"));
                }
            });
        });
    }
    group.finish();
}

fn bench_explanation(criterion: &mut Criterion, name: &str, model: &dyn Model, reference: &[f32]) {
    let explainer = Explainer::new(model, reference);
    let rows = draw_rows(ROWS, model.features());
    let mut turn = rows.chunks_exact(model.features()).cycle();
    criterion.benchmark_group(name).bench_function("explain", |bencher| {
        bencher.iter(|| {
            explainer.explain(model, turn.next().expect("a cycle")).expect("an explanation")
        });
    });
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::load(library()).expect("the library of ONNX Runtime");
    let plain = runtime.clone().without_own_evaluator();
    let small = load(&runtime, "fall_risk").model;
    let peer = load(&plain, "fall_risk").model;
    let floor = Forest::draw(small.features(), SHALLOW);
    let both = (small.as_ref(), Some(peer.as_ref()));
    bench_model(criterion, "fall_risk", both, |row| floor.score(row));
    bench_explanation(criterion, "fall_risk", small.as_ref(), &draw_rows(1_000, small.features()));

    let floor = Forest::draw(WIDTH, DEEP);
    let bytes = floor.to_onnx(WIDTH);
    let own = OnnxModel::load(&runtime, &bytes).expect("our own evaluator");
    let peer = OnnxModel::load(&plain, &bytes).expect("ONNX Runtime");
    bench_model(criterion, "forest", (&own, Some(&peer)), |row| floor.score(row));
    bench_explanation(criterion, "forest", &own, &draw_rows(1_000, WIDTH));
    bench_matrix(criterion, &own, &peer);

    let linear = load(&runtime, "subsidy_triage").model;
    let mut rng = rng(7);
    let weights: Vec<f64> =
        (0..linear.features()).map(|_| black_box(rng.random_range(-1.0..1.0))).collect();
    bench_model(criterion, "subsidy_triage", (linear.as_ref(), None), |row| {
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
