use models::{Data, Datatype, Error, Layout, Model, OnnxModel, Tensor, TensorSpec};

use super::{assert_near, fixture, load, runtime, table};

fn matrix(rows: &[[f32; 3]]) -> Tensor {
    Tensor::new("X", [rows.len() as i64, 3], Data::Fp32(rows.concat())).unwrap()
}

/// Rows and scores as scikit-learn gives them.
fn golden(name: &str) -> (Vec<f32>, Vec<f64>) {
    let table = table(name);
    let rows = table.iter().flat_map(|line| line[..3].iter().map(|value| *value as f32)).collect();
    (rows, table.iter().map(|line| line[3]).collect())
}

#[track_caller]
fn agrees(model: &str, expected: &str) {
    let (rows, scores) = golden(expected);
    let model = load(model);
    assert_eq!(model.features(), 3);
    assert!(model.has_score());
    assert_near(&model.score(&rows, scores.len()).unwrap(), &scores, 2e-6);
    for (at, score) in scores.iter().enumerate() {
        assert_near(&model.score(&rows[at * 3..at * 3 + 3], 1).unwrap(), &[*score], 2e-6);
    }
}

#[test]
fn scores_are_those_of_scikit_learn() {
    agrees("zipmap.onnx", "zipmap.csv");
    agrees("zipmap_off.onnx", "zipmap.csv");
    agrees("zipmap_text.onnx", "zipmap.csv");
    agrees("scaler.onnx", "scaler.csv");
    agrees("regressor.onnx", "regressor.csv");
}

#[test]
fn zip_map_becomes_a_tensor_under_its_own_name() {
    let model = load("zipmap.onnx");
    let expected = [
        TensorSpec::new("output_label", Datatype::Int64, [-1]),
        TensorSpec::new("output_probability", Datatype::Fp32, [-1, 2]),
        TensorSpec::new("score", Datatype::Fp32, [-1, 1]),
    ];
    assert_eq!(model.outputs(), expected);
    let answers = model.infer(&[matrix(&[[0.0; 3], [1.0, -1.0, 0.5]])], &[]).unwrap();
    let [label, probability, score] = answers.as_slice() else { panic!("{answers:?}") };
    let Data::Fp32(probability) = &probability.data else { panic!() };
    let Data::Fp32(score) = &score.data else { panic!() };
    assert_eq!(label.data, Data::Int64(vec![1, 1]));
    assert_eq!(score.as_slice(), [probability[1], probability[3]]);
    assert!((probability[0] + probability[1] - 1.0).abs() < 1e-6);
}

#[test]
fn labels_can_be_text() {
    let model = load("zipmap_text.onnx");
    let wanted = ["score".to_owned(), "output_label".to_owned()];
    let answers = model.infer(&[matrix(&[[1.0, -1.0, 0.5], [-2.0, 0.25, 3.0]])], &wanted).unwrap();
    assert_eq!(answers[0].shape, [2, 1]);
    assert_eq!(answers[1].data, Data::Bytes(vec![b"yes".to_vec(), b"no".to_vec()]));
}

#[test]
fn one_number_without_one_meaning_is_no_score() {
    for name in ["three_classes.onnx", "two_targets.onnx", "types.onnx"] {
        let model = load(name);
        assert!(!model.has_score(), "{name}");
        assert!(model.outputs().iter().all(|spec| spec.name != "score"), "{name}");
        assert!(matches!(model.score(&[0.0; 3], 1), Err(Error::NoScore(_))), "{name}");
    }
    let answers = load("three_classes.onnx").infer(&[matrix(&[[0.0; 3]])], &[]).unwrap();
    assert_eq!(answers[1].shape, [1, 3]);
}

#[test]
fn several_named_inputs_of_several_types() {
    let model = load("mixed.onnx");
    let shape = [2, 1];
    let inputs = [
        Tensor::new("rooms", shape, Data::Int64(vec![1, 2])).unwrap(),
        Tensor::new("age", shape, Data::Fp32(vec![70.0, 80.0])).unwrap(),
        Tensor::new("heating", shape, Data::Bytes(vec![b"gas".to_vec(), b"coal".to_vec()]))
            .unwrap(),
    ];
    let answers = model.infer(&inputs, &["score".to_owned()]).unwrap();
    let Data::Fp32(scores) = &answers[0].data else { panic!() };
    assert!(
        scores[0] > scores[1] && scores.iter().all(|score| (0.0..=1.0).contains(score)),
        "{scores:?}"
    );
    // A row of numbers cannot fill the text.
    assert!(!model.has_score());

    let error = model.infer(&inputs[..2], &[]).unwrap_err().to_string();
    assert_eq!(error, "input `heating` BYTES [-1, 1] must be given exactly once");
    let mut short = inputs.clone();
    short[1] = Tensor::new("age", [1, 1], Data::Fp32(vec![70.0])).unwrap();
    assert!(
        model.infer(&short, &[]).unwrap_err().to_string().contains("`rooms` has 2 rows, others 1")
    );
    let mut text = inputs.clone();
    text[2].data = Data::Bytes(vec![vec![0xff], b"gas\0".to_vec()]);
    assert!(matches!(model.infer(&text, &[]), Err(Error::Tensor(_))));
}

#[test]
fn columns_as_outputs_leave_the_second_probability_to_be_named() {
    // zipmap="columns": one output a class.
    let model = load("forest_columns.onnx");
    let names: Vec<&str> = model.outputs().iter().map(|spec| spec.name.as_str()).collect();
    assert!(names.len() >= 3, "{names:?}");
    let layout =
        Layout { input: Some("X".into()), score: Some(names[2].into()), ..Layout::default() };
    let named = OnnxModel::load_as(&runtime(), &fixture("forest_columns.onnx"), &layout).unwrap();
    let row = [1.0, -1.0, 0.5];
    let answers = named.infer(&[matrix(&[row])], &[names[2].to_owned()]).unwrap();
    assert_eq!(answers[0].data, Data::Fp32(named.score(&row, 1).unwrap()));
}

#[test]
fn every_type_comes_back_as_it_went_in() {
    let model = load("types.onnx");
    let shape = [1, 2];
    let inputs = [
        Tensor::new("d", shape, Data::Fp64(vec![0.1, -1e300])).unwrap(),
        Tensor::new("l", shape, Data::Int64(vec![i64::MIN, 7])).unwrap(),
        Tensor::new("i", shape, Data::Int32(vec![i32::MAX, -7])).unwrap(),
        Tensor::new("b", shape, Data::Bool(vec![true, false])).unwrap(),
        Tensor::new("s", shape, Data::Bytes(vec!["气".into(), Vec::new()])).unwrap(),
        Tensor::new("u", shape, Data::Uint8(vec![0, 255])).unwrap(),
    ];
    let answers = model.infer(&inputs, &[]).unwrap();
    assert_eq!(answers.len(), inputs.len());
    for (answer, input) in answers.iter().zip(&inputs) {
        assert_eq!(answer.data, input.data);
        assert_eq!(answer.name, format!("{}_out", input.name));
    }
}

#[test]
fn a_wrong_tensor_is_named_with_both_shapes() {
    let model = load("scaler.onnx");
    let refused = |tensor: Tensor| model.infer(&[tensor], &[]).unwrap_err();
    let error = refused(Tensor::new("X", [1, 2], Data::Fp32(vec![0.0; 2])).unwrap());
    assert!(matches!(error, Error::Tensor(_)));
    assert_eq!(error.to_string(), "input `X` must be FP32 [-1, 3] (-1 is free), got FP32 [1, 2]");
    let error = refused(Tensor::new("X", [1, 3], Data::Fp64(vec![0.0; 3])).unwrap());
    assert!(error.to_string().contains("got FP64 [1, 3]"), "{error}");
    let error = refused(Tensor::new("x", [1, 3], Data::Fp32(vec![0.0; 3])).unwrap());
    assert_eq!(error.to_string(), "the model has no input `x`; it takes `X` FP32 [-1, 3]");
    let error = refused(Tensor::new("X", [0, 3], Data::Fp32(Vec::new())).unwrap());
    assert!(error.to_string().contains("no elements"), "{error}");
    let error = model.infer(&[matrix(&[[0.0; 3]])], &["probs".to_owned()]).unwrap_err();
    assert!(
        error.to_string().starts_with("the model has no output `probs`; it has `label` INT64"),
        "{error}"
    );
    let error = model.score(&[0.0; 7], 2).unwrap_err();
    assert_eq!(error.to_string(), "2 rows must have 3 values each, got 7 values in all");
    assert_eq!(model.score(&[], 0), Ok(Vec::new()));
}

#[track_caller]
fn file_refused(bytes: &[u8], fragment: &str) {
    let error = OnnxModel::load(&runtime(), bytes).unwrap_err().to_string();
    assert!(error.contains(fragment) && !error.contains('\n'), "{error}");
}

#[test]
fn what_cannot_be_served_is_refused_with_a_reason() {
    file_refused(b"\x80\x04pickle of a model", "not an ONNX model: ");
    file_refused(b"", "not an ONNX model: the file is empty");
    let whole = fixture("regressor.onnx");
    file_refused(&whole[..whole.len() / 2], "not an ONNX model: ");
    file_refused(&fixture("outside.onnx"), "keeps weights in other files");
    file_refused(&fixture("half.onnx"), "`x` has elements of f16; export it as FP32");
    file_refused(&fixture("sequence.onnx"), "output `y` is a ");
    // Bytes inside the graph changed, the message still whole.
    let mut strange = fixture("zipmap_off.onnx");
    while let Some(at) = strange.windows(16).position(|part| part == b"LinearClassifier") {
        strange[at + 15] = b'X';
    }
    file_refused(&strange, "ONNX Runtime refuses the model: ");
}

#[test]
fn damaged_files_never_take_the_process_down() {
    let whole = fixture("zipmap.onnx");
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        if let Ok(model) = OnnxModel::load(&runtime(), &damaged) {
            let _ = model.score(&[0.0; 3], 1);
        }
    }
}

#[test]
fn threads_get_the_same_bits() {
    let model = load("regressor.onnx");
    let rows: Vec<f32> = (0..300).map(|at| (at as f32 * 0.37).sin() * 2.0).collect();
    let all = model.score(&rows, 100).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for (row, score) in rows.chunks(3).zip(&all) {
                    assert_eq!(model.score(row, 1).unwrap()[0].to_bits(), score.to_bits());
                }
            });
        }
    });
}
