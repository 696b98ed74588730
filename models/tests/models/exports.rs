//! What exporters do beside the plain case: fixed batches, lists, several inputs, classes by name.

use models::{Data, Error, Layout, Model, OnnxModel, Tensor, TensorSpec};

use super::{assert_near, fixture, load, runtime};

fn rows() -> Vec<f32> {
    vec![0.5, -1.0, 2.0, 0.0, 0.0, 0.0, -3.0, 1e3, 0.25]
}

fn matrix(name: &str) -> Tensor {
    Tensor::new(name, [3, 3], Data::Fp32(rows())).unwrap()
}

fn load_as(name: &str, layout: &Layout) -> Result<OnnxModel, Error> {
    OnnxModel::load_as(&runtime(), &fixture(name), layout)
}

fn features(names: &[&str]) -> Layout {
    let features = names.iter().map(|name| (*name).to_owned()).collect();
    Layout { features, ..Layout::default() }
}

#[test]
fn a_batch_fixed_to_one_row_takes_many() {
    let free = load("free_rows.onnx");
    let want: Vec<f64> = free.score(&rows(), 3).unwrap().into_iter().map(f64::from).collect();
    let whole = free.infer(&[matrix("input")], &[]).unwrap();
    for name in ["one_row.onnx", "one_row_inside.onnx"] {
        let model = load(name);
        assert_eq!(model.inputs(), [TensorSpec::new("input", models::Datatype::Fp32, [-1, 3])]);
        assert_eq!(model.outputs()[0].shape, [-1, 1], "{name}");
        assert_near(&model.score(&rows(), 3).unwrap(), &want, 1e-6);
        let answers = model.infer(&[matrix("input")], &[]).unwrap();
        assert_eq!(answers[0].shape, whole[0].shape, "{name}");
        let one = Tensor::new("input", [1, 3], Data::Fp32(rows()[..3].to_vec())).unwrap();
        let alone = model.infer(&[one], &["output".into()]).unwrap();
        let (Data::Fp32(alone), Data::Fp32(all)) = (&alone[0].data, &answers[0].data) else {
            panic!("{answers:?}")
        };
        assert_eq!(alone[0].to_bits(), all[0].to_bits(), "{name}");
    }
}

/// As torch exports it, where nobody says that the batch is free.
#[test]
fn a_batch_fixed_to_two_rows_takes_any_number() {
    let (free, fixed) = (load("torch/regressor.legacy.onnx"), load("torch/two_rows.legacy.onnx"));
    assert_eq!(fixed.inputs(), free.inputs());
    assert_eq!(fixed.outputs(), free.outputs());
    let rows: Vec<f32> = (0..20).map(|at| (at % 7) as f32).collect();
    for count in [1, 2, 3, 5] {
        let rows = &rows[..4 * count];
        let want: Vec<f64> = free.score(rows, count).unwrap().into_iter().map(f64::from).collect();
        assert_near(&fixed.score(rows, count).unwrap(), &want, 1e-6);
        let input = Tensor::new("x", [count as i64, 4], Data::Fp32(rows.to_vec())).unwrap();
        let answers = fixed.infer(&[input], &[]).unwrap();
        assert_eq!(answers[0].shape, [count as i64, 1]);
    }
}

#[test]
fn a_list_of_tensors_becomes_one_output_each() {
    let model = load("lists.onnx");
    let shapes: Vec<(&str, &[i64])> =
        model.outputs().iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())).collect();
    assert_eq!(
        shapes,
        [("label", &[-1, 2][..]), ("probabilities_0", &[-1, 2]), ("probabilities_1", &[-1, 3])]
    );
    assert!(!model.has_score());
    let answers = model.infer(&[matrix("X")], &["probabilities_1".into()]).unwrap();
    let Data::Fp32(all) = &answers[0].data else { panic!() };
    assert!(all.chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    // One of them can be the score by name.
    let named = Layout {
        score: Some("probabilities_1".into()),
        class: Some("2".into()),
        ..Layout::default()
    };
    let named = load_as("lists.onnx", &named).unwrap();
    let want: Vec<f64> = all.iter().skip(2).step_by(3).map(|each| f64::from(*each)).collect();
    assert_near(&named.score(&rows(), 3).unwrap(), &want, 1e-6);
}

#[test]
fn distances_from_two_centres_are_no_probabilities() {
    let model = load("two_centres.onnx");
    assert!(!model.has_score() && model.classes().is_empty());
}

#[test]
fn classes_are_named() {
    for (name, classes) in [
        ("zipmap.onnx", &["0", "1"][..]),
        ("zipmap_off.onnx", &["0", "1"]),
        ("zipmap_text.onnx", &["no", "yes"]),
        ("three_classes.onnx", &["0", "1", "2"]),
        ("mixed.onnx", &["0", "1"]),
        ("regressor.onnx", &[]),
    ] {
        assert_eq!(load(name).classes(), classes, "{name}");
    }
}

#[test]
fn a_class_by_name_is_the_score() {
    let class = |name: &str| Layout { class: Some(name.into()), ..Layout::default() };
    let bare = load("three_classes.onnx");
    let answers = bare.infer(&[matrix("X")], &["probabilities".into()]).unwrap();
    let Data::Fp32(all) = &answers[0].data else { panic!() };
    for (at, name) in ["0", "1", "2"].iter().enumerate() {
        let model = load_as("three_classes.onnx", &class(name)).unwrap();
        let want: Vec<f64> = all.iter().skip(at).step_by(3).map(|each| f64::from(*each)).collect();
        assert_near(&model.score(&rows(), 3).unwrap(), &want, 1e-6);
        let score = model.infer(&[matrix("X")], &["score".into()]).unwrap();
        assert_eq!(score[0].data, Data::Fp32(model.score(&rows(), 3).unwrap()));
    }
    let no = load_as("zipmap_text.onnx", &class("no")).unwrap().score(&rows(), 3).unwrap();
    let yes = load("zipmap_text.onnx").score(&rows(), 3).unwrap();
    for (no, yes) in no.iter().zip(yes) {
        assert!((no + yes - 1.0).abs() < 1e-6);
    }
    let error = load_as("zipmap_text.onnx", &class("maybe")).unwrap_err().to_string();
    assert_eq!(error, "[output] class names `maybe`; the file's classes are no, yes");
}

#[test]
fn several_inputs_take_a_row_of_features() {
    let direct = |model: &OnnxModel, parts: [(&str, Vec<f32>); 2]| {
        let inputs = parts.map(|(name, values)| {
            let wide = values.len() as i64 / 3;
            Tensor::new(name, [3, wide], Data::Fp32(values)).unwrap()
        });
        let answers = model.infer(&inputs, &["score".into()]).unwrap();
        let Data::Fp32(scores) = &answers[0].data else { panic!() };
        scores.iter().map(|score| f64::from(*score)).collect::<Vec<_>>()
    };
    let model = load_as("blocks.onnx", &features(&["x", "y", "z"])).unwrap();
    let want = direct(
        &model,
        [("pair", vec![0.5, -1.0, 0.0, 0.0, -3.0, 1e3]), ("last", vec![2.0, 0.0, 0.25])],
    );
    assert_near(&model.score(&rows(), 3).unwrap(), &want, 0.0);
    let column = |at: usize| rows().into_iter().skip(at).step_by(3).collect::<Vec<_>>();
    let single = |name: &str, at| Tensor::new(name, [3, 1], Data::Fp32(column(at))).unwrap();
    // The file's inputs are c, a, b: by name, whatever the order of the view.
    let named = load_as("columns.onnx", &features(&["a", "b", "c"])).unwrap();
    let inputs = [single("a", 0), single("b", 1), single("c", 2)];
    let answers = named.infer(&inputs, &["score".into()]).unwrap();
    assert_eq!(answers[0].data, Data::Fp32(named.score(&rows(), 3).unwrap()));
    let error = load_as("columns.onnx", &features(&["a", "b", "d"])).unwrap_err().to_string();
    assert!(error.contains("bears no feature's name"), "{error}");
    let error = load_as("mixed.onnx", &features(&["age", "rooms", "heating"])).unwrap_err();
    assert!(error.to_string().contains("equals:TEXT"), "{error}");
}

#[test]
fn an_input_without_a_shape_takes_any_table() {
    let model = load("shapeless.onnx");
    assert_eq!(model.inputs()[0].shape, [-1, -1]);
    for wide in [1, 3] {
        let input = Tensor::new("x", [2, wide], Data::Fp32(vec![1.0; 2 * wide as usize])).unwrap();
        let answers = model.infer(&[input], &["y".into()]).unwrap();
        assert_eq!(answers[0].data, Data::Fp32(vec![wide as f32; 2]));
    }
}

#[test]
fn what_cannot_work_is_refused_with_what_to_change() {
    for (name, said) in [
        (
            "opset.onnx",
            "opset 99 of ai.onnx is newer than it knows; export with an opset of at most 2",
        ),
        ("ir_version.onnx", "IR version 99 is newer than it knows; set model.ir_version = 1"),
        ("custom.onnx", "operator `Tokenise` of domain `my.ops` is not built into ONNX Runtime"),
        ("picture.onnx", "input `x` FP32 [-1, 3, 8, 8] has 4 dimensions, and tables are served"),
        ("looping.onnx", "`TreeEnsembleRegressor`: a tree leads back to one of its own nodes"),
        ("narrow.onnx", "every row fails: the model failed: "),
        ("outside.onnx", "external_data=False"),
        ("half.onnx", "`x` has elements of f16; export it as FP32"),
        ("sequence.onnx", "'zipmap': False"),
    ] {
        let error = OnnxModel::load(&runtime(), &fixture(name)).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n') && error.len() < 400, "{error}");
    }
}
