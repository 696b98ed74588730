//! Our own evaluator against the real ONNX Runtime, bit for bit.

use models::{Data, Model, OnnxModel, Tensor};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::writer::{Node, file, file_of};
use super::{fixture, load, runtime};

const ML: &str = "ai.onnx.ml";
const MODES: [&str; 4] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"];

/// A splitting node as drawn; what it leads to follows from its place.
type Drawn = (usize, i8, u8, bool);

#[derive(Clone, Debug)]
struct Ensemble {
    width: usize,
    /// Nodes of each tree in the order of a heap; a missing child is a leaf.
    trees: Vec<Vec<Drawn>>,
    weights: Vec<f32>,
    /// Which of the comparisons occur.
    modes: usize,
    missing: bool,
}

fn ensembles() -> impl Strategy<Value = Ensemble> {
    (1_usize..6, 1_usize..5, any::<bool>()).prop_flat_map(|(width, modes, missing)| {
        let node = (0..width, any::<i8>(), any::<u8>(), any::<bool>());
        let trees = prop::collection::vec(prop::collection::vec(node, 1..40), 1..14);
        let weights = prop::collection::vec(-2.0_f32..2.0, 64);
        (trees, weights).prop_map(move |(trees, weights)| Ensemble {
            width,
            trees,
            weights,
            modes,
            missing,
        })
    })
}

#[derive(Default)]
struct Listed {
    ids: Vec<i64>,
    trees: Vec<i64>,
    features: Vec<i64>,
    values: Vec<f32>,
    modes: Vec<&'static str>,
    missing: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    /// Tree and node of each leaf.
    leaves: Vec<(i64, i64)>,
}

impl Ensemble {
    /// Breadth first by heap: node `at` leads to `2 at + 1` and `2 at + 2`.
    fn list(&self) -> Listed {
        let mut all = Listed::default();
        for (tree, drawn) in self.trees.iter().enumerate() {
            for at in 0..=2 * drawn.len() {
                let (tree, id) = (tree as i64, at as i64);
                all.ids.push(id);
                all.trees.push(tree);
                let Some((feature, step, which, tracks)) = drawn.get(at) else {
                    all.leaves.push((tree, id));
                    all.features.push(0);
                    all.values.push(0.0);
                    all.modes.push("LEAF");
                    all.missing.push(0);
                    all.yes.push(0);
                    all.no.push(0);
                    continue;
                };
                all.features.push(*feature as i64);
                all.values.push(f32::from(*step) / 8.0);
                all.modes.push(MODES[usize::from(*which) % self.modes]);
                all.missing.push(i64::from(self.missing && *tracks));
                all.yes.push(2 * id + 1);
                all.no.push(2 * id + 2);
            }
        }
        all
    }

    fn node(&self, op: &str, outputs: &[&str]) -> Node {
        let all = self.list();
        Node::new(op, ML, &["X"], outputs)
            .ints("nodes_nodeids", &all.ids)
            .ints("nodes_treeids", &all.trees)
            .ints("nodes_featureids", &all.features)
            .floats("nodes_values", &all.values)
            .texts("nodes_modes", &all.modes)
            .ints("nodes_missing_value_tracks_true", &all.missing)
            .ints("nodes_truenodeids", &all.yes)
            .ints("nodes_falsenodeids", &all.no)
    }

    /// Every leaf speaks of each of `ids`.
    fn classifier(&self, classes: usize, ids: &[i64], base: &[f32], transform: &str) -> Vec<u8> {
        let leaves = self.list().leaves;
        let positive = ids.len() > 1 || transform == "NONE";
        let mut weights = Vec::new();
        let (mut trees, mut nodes, mut class_ids) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (tree, node)) in leaves.iter().enumerate() {
            for (place, id) in ids.iter().enumerate() {
                let weight = self.weights[(at + place * 7) % self.weights.len()];
                weights.push(if positive { weight.abs() } else { weight });
                trees.push(*tree);
                nodes.push(*node);
                class_ids.push(*id);
            }
        }
        let labels: Vec<i64> = (0..classes as i64).map(|label| label * 10 + 3).collect();
        let node = self
            .node("TreeEnsembleClassifier", &["label", "probabilities"])
            .ints("class_ids", &class_ids)
            .ints("class_nodeids", &nodes)
            .ints("class_treeids", &trees)
            .floats("class_weights", &weights)
            .ints("classlabels_int64s", &labels)
            .text("post_transform", transform);
        let node = if base.is_empty() { node } else { node.floats("base_values", base) };
        file(&[node], self.width, &[("label", None), ("probabilities", Some(classes))])
    }

    fn regressor(&self, aggregate: &str, base: &[f32], transform: &str) -> Vec<u8> {
        let leaves = self.list().leaves;
        let weights: Vec<f32> =
            (0..leaves.len()).map(|at| self.weights[at % self.weights.len()]).collect();
        let (trees, nodes): (Vec<i64>, Vec<i64>) = leaves.into_iter().unzip();
        let node = self
            .node("TreeEnsembleRegressor", &["variable"])
            .ints("target_ids", &vec![0; trees.len()])
            .ints("target_nodeids", &nodes)
            .ints("target_treeids", &trees)
            .floats("target_weights", &weights)
            .int("n_targets", 1)
            .text("aggregate_function", aggregate)
            .text("post_transform", transform);
        let node = if base.is_empty() { node } else { node.floats("base_values", base) };
        file(&[node], self.width, &[("variable", Some(1))])
    }
}

fn bits(data: &Data) -> Vec<u64> {
    match data {
        Data::Fp32(all) => all
            .iter()
            .map(|each| if each.is_nan() { u64::MAX } else { u64::from(each.to_bits()) })
            .collect(),
        Data::Int64(all) => all.iter().map(|each| *each as u64).collect(),
        Data::Bytes(all) => all.iter().map(|each| each.len() as u64).collect(),
        _ => panic!("{data:?}"),
    }
}

/// Both engines over the same rows, in one batch and one by one.
#[track_caller]
fn same_bits(bytes: &[u8], rows: &[f32], alone: bool) -> Result<(), TestCaseError> {
    let ours = OnnxModel::load(&runtime(), bytes).unwrap();
    prop_assert_eq!(ours.engine(), "hearth");
    let theirs = OnnxModel::load(&runtime().without_own_evaluator(), bytes).unwrap();
    prop_assert_eq!(theirs.engine(), "onnxruntime");
    let width = ours.features();
    let count = rows.len() / width;
    let rows = &rows[..count * width];
    let ask = |model: &OnnxModel, rows: &[f32]| {
        let shape = [(rows.len() / width) as i64, width as i64];
        let input = Tensor::new("X", shape, Data::Fp32(rows.to_vec())).unwrap();
        model.infer(&[input], &[]).unwrap()
    };
    for (ours, theirs) in ask(&ours, rows).iter().zip(&ask(&theirs, rows)) {
        prop_assert_eq!((&ours.name, &ours.shape), (&theirs.name, &theirs.shape));
        prop_assert_eq!(bits(&ours.data), bits(&theirs.data), "{}", ours.name);
    }
    if ours.has_score() {
        let together = ours.score(rows, count).unwrap();
        let expected = theirs.score(rows, count).unwrap();
        prop_assert_eq!(bits(&Data::Fp32(together.clone())), bits(&Data::Fp32(expected)));
        for (row, score) in rows.chunks_exact(width).zip(together) {
            let one = ours.score(row, 1).unwrap();
            prop_assert_eq!(bits(&Data::Fp32(one)), bits(&Data::Fp32(vec![score])));
            if alone {
                let one = theirs.score(row, 1).unwrap();
                prop_assert_eq!(bits(&Data::Fp32(one)), bits(&Data::Fp32(vec![score])));
            }
        }
    }
    Ok(())
}

/// Eighths, as the thresholds are, and what lies next to them; and values that are no numbers.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let eighth = any::<i8>().prop_map(|step| f32::from(step) / 8.0);
    let value = prop_oneof![
        4 => eighth.clone(),
        1 => eighth.clone().prop_map(f32::next_up),
        1 => eighth.prop_map(f32::next_down),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]),
        1 => -20.0_f32..20.0,
    ];
    prop::collection::vec(value, 400)
}

proptest! {
    #![proptest_config(Config { cases: 48, ..Config::default() })]

    #[test]
    fn classifiers_have_the_runtimes_bits(ensemble in ensembles(), rows in rows(), kind in 0_usize..17) {
        let (classes, ids, base, transform): (usize, &[i64], &[f32], &str) = [
            (2, &[0][..], &[0.3][..], "LOGISTIC"),
            (2, &[0], &[], "LOGISTIC"),
            (2, &[0], &[], "NONE"),
            (2, &[1], &[], "SOFTMAX"),
            (2, &[0, 1], &[], "NONE"),
            (2, &[0, 1], &[0.25, -0.5], "SOFTMAX"),
            (2, &[0, 1], &[], "PROBIT"),
            (3, &[0, 1, 2], &[], "NONE"),
            (3, &[0, 1, 2], &[0.5, -0.5, 0.1], "SOFTMAX"),
            (4, &[0, 1, 2, 3], &[], "SOFTMAX_ZERO"),
            (2, &[0], &[0.1, 0.2], "LOGISTIC"),
            (2, &[0], &[-2.0], "NONE"),
            (2, &[1], &[0.1, 0.3], "LOGISTIC"),
            (2, &[0, 1], &[-1.5], "LOGISTIC"),
            (2, &[0], &[], "SOFTMAX"),
            (2, &[0, 1], &[0.25, -0.5], "NONE"),
            (2, &[1], &[0.5], "SOFTMAX"),
        ][kind];
        let bytes = ensemble.classifier(classes, ids, base, transform);
        if classes == 2 {
            same_bits(&bytes, &rows, true)?;
        } else {
            // Without a score of its own the file stays with ONNX Runtime.
            prop_assert_eq!(OnnxModel::load(&runtime(), &bytes).unwrap().engine(), "onnxruntime");
        }
    }

    #[test]
    fn regressors_have_the_runtimes_bits(ensemble in ensembles(), rows in rows(), kind in 0_usize..6) {
        let (aggregate, base, transform): (&str, &[f32], &str) = [
            ("SUM", &[][..], "NONE"),
            ("SUM", &[1.5], "LOGISTIC"),
            ("AVERAGE", &[0.7], "NONE"),
            ("MIN", &[0.1], "NONE"),
            ("MAX", &[], "NONE"),
            ("AVERAGE", &[], "PROBIT"),
        ][kind];
        same_bits(&ensemble.regressor(aggregate, base, transform), &rows, true)?;
    }

    #[test]
    fn linear_models_have_the_bits_of_a_batch(
        width in 1_usize..40,
        numbers in prop::collection::vec(-3.0_f32..3.0, 200),
        rows in rows(),
        kind in 0_usize..6,
    ) {
        let scaled = |name: &str| {
            Node::new("Scaler", ML, &["X"], &[name])
                .floats("offset", &numbers[..width])
                .floats("scale", &numbers[40..40 + width])
        };
        let filled = Node::new("Imputer", ML, &["X"], &["filled"])
            .floats("imputed_value_floats", &numbers[..width])
            .float("replaced_value_float", f32::NAN);
        let linear = |op: &str, from: &str, outputs: &[&str], targets: usize| {
            Node::new(op, ML, &[from], outputs)
                .floats("coefficients", &numbers[80..80 + width * targets])
                .floats("intercepts", &numbers[..targets])
        };
        let classes = [("label", None), ("probabilities", Some(2))];
        let classifier = |from: &str, transform: &str| {
            linear("LinearClassifier", from, &["label", "probabilities"], 2)
                .ints("classlabels_ints", &[0, 1])
                .text("post_transform", transform)
        };
        let regressor = |from: &str| linear("LinearRegressor", from, &["variable"], 1);
        let value = [("variable", Some(1))];
        let bytes = match kind {
            0 => file(&[classifier("X", "LOGISTIC")], width, &classes),
            1 => file(&[classifier("X", "SOFTMAX")], width, &classes),
            2 => file(&[scaled("s"), classifier("s", "LOGISTIC")], width, &classes),
            3 => file(&[regressor("X")], width, &value),
            4 => file(&[scaled("s"), regressor("s")], width, &value),
            _ => file(&[filled, classifier("filled", "NONE")], width, &classes),
        };
        same_bits(&bytes, &rows, false)?;
    }
}

/// The operator of ai.onnx.ml 5: `x0 <= 1.5 ? 2 : (x1 < -0.5 ? -1 : 0.25)`, twice.
#[test]
fn the_newer_operator_has_the_runtimes_bits() {
    let node = Node::new("TreeEnsemble", ML, &["X"], &["variable"])
        .ints("tree_roots", &[0, 2])
        .ints("nodes_featureids", &[0, 1, 0, 1])
        .tensor_floats("nodes_splits", &[1.5, -0.5, 0.5, 2.0])
        .tensor_bytes("nodes_modes", &[0, 1, 2, 3])
        .ints("nodes_truenodeids", &[0, 1, 4, 3])
        .ints("nodes_falsenodeids", &[1, 2, 3, 5])
        .ints("nodes_trueleafs", &[1, 1, 1, 1])
        .ints("nodes_falseleafs", &[0, 1, 0, 1])
        .ints("leaf_targetids", &[0; 6])
        .tensor_floats("leaf_weights", &[2.0, -1.0, 0.25, 0.125, 0.1, 7.0])
        .int("n_targets", 1)
        .int("aggregate_function", 1)
        .int("post_transform", 0);
    let bytes = file_of(5, &[node], 2, &[("variable", Some(1))]);
    let values = [-1.0, -0.5, 0.5, 1.5, 2.0, 2.5, f32::NAN, f32::INFINITY];
    let rows: Vec<f32> =
        values.iter().flat_map(|a| values.iter().flat_map(move |b| [*a, *b])).collect();
    same_bits(&bytes, &rows, true).unwrap();
}

#[test]
fn what_exporters_write_is_evaluated_here() {
    for name in ["regressor.onnx", "zipmap.onnx", "zipmap_off.onnx", "zipmap_text.onnx"] {
        println!("{name}: {}", load(name).engine());
    }
    for name in ["regressor.onnx", "scaler.onnx"] {
        assert_eq!(load(name).engine(), "hearth", "{name}");
    }
    let off = OnnxModel::load(&runtime().without_own_evaluator(), &fixture("scaler.onnx")).unwrap();
    assert_eq!(off.engine(), "onnxruntime");
}

/// Memory that is used again, and rows that do not fit.
#[test]
fn scores_go_where_they_are_asked_to() {
    let model = load("regressor.onnx");
    let mut scores = Vec::with_capacity(2);
    let before = scores.as_ptr();
    model.score_into(&[0.5; 6], 2, &mut scores).unwrap();
    assert_eq!((scores.len(), scores.as_ptr()), (2, before));
    assert_eq!(scores, model.score(&[0.5; 6], 2).unwrap());
    assert!(model.score_into(&[0.5; 5], 2, &mut scores).is_err());
}
