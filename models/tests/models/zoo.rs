use models::{Error, Format, Link, Loaded, Method, Package, load_package, validate};

use super::{folder, runtime};

fn package(name: &str) -> Package {
    Package::read_dir(folder().join("zoo").join(name)).unwrap()
}

#[test]
fn golden_rows_hold() {
    for (name, view, width) in [("fall_risk", "fall_risk", 16), ("subsidy_triage", "subsidy", 9)] {
        let package = package(name);
        let validation = validate(&runtime(), &package).unwrap();
        assert_eq!(validation.golden_rows, 64, "{name}");
        assert!(validation.golden_distance <= 1e-6, "{name}: {}", validation.golden_distance);
        let manifest = package.manifest();
        assert_eq!((manifest.name.as_str(), manifest.view.as_str()), (name, view));
        assert_eq!((manifest.entity.as_str(), manifest.features.len()), ("resident", width));
        for feature in &manifest.features {
            let reason = &manifest.reasons[feature];
            assert!(!reason.zh.is_empty() && !reason.en.is_empty(), "{name}: {feature}");
        }
        let size = package.to_bytes().len();
        assert!(size < 400_000, "{name}: {size} bytes");
    }
}

/// A decision is run again alone that was first made in a batch: the bits must be the same.
#[test]
fn a_row_scores_the_same_alone_and_in_a_batch() {
    for name in ["fall_risk", "subsidy_triage"] {
        let package = package(name);
        let golden = package.golden().unwrap().unwrap();
        let Loaded { model, .. } = load_package(&runtime(), &package).unwrap();
        let all = model.score(golden.rows(), golden.len()).unwrap();
        for (row, score) in golden.rows().chunks(model.features()).zip(&all) {
            assert_eq!(model.score(row, 1).unwrap()[0].to_bits(), score.to_bits(), "{name}");
        }
    }
}

#[test]
fn fall_risk_moves_with_what_it_should() {
    let Loaded { model, manifest, .. } = load_package(&runtime(), &package("fall_risk")).unwrap();
    let well =
        [66.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 29.0, 1.0, 1.0, 0.0, 4.0, 70.0, 480.0, 1.1];
    let frail =
        [86.0, 1.0, 2.0, 1.0, 1.0, 7.0, 3.0, 2.0, 21.0, 7.0, 4.0, 1.0, 1.0, 30.0, 190.0, 0.5];
    let scores = model.score(&[well, frail].concat(), 2).unwrap();
    assert_eq!(manifest.band(f64::from(scores[0])), Some("low"), "{scores:?}");
    assert_eq!(manifest.band(f64::from(scores[1])), Some("high"), "{scores:?}");
}

#[test]
fn triage_explains_itself_exactly() {
    let package = package("subsidy_triage");
    let loaded = load_package(&runtime(), &package).unwrap();
    let golden = package.golden().unwrap().unwrap();
    for (row, score) in golden.rows().chunks(9).zip(golden.scores()) {
        let explanation = loaded.explain(row).unwrap();
        let logit = explanation.base + explanation.contributions.iter().sum::<f64>();
        assert!((1.0 / (1.0 + (-logit).exp()) - score).abs() < 1e-6);
    }
}

/// Trees in log odds; every other model by sampling, here the same trees without their structure.
#[test]
fn fall_risk_explains_itself() {
    let package = package("fall_risk");
    let loaded = load_package(&runtime(), &package).unwrap();
    assert_eq!(
        (loaded.model.engine(), loaded.explainer.method()),
        ("hearth", Some(Method::TreeShap))
    );
    let plain = load_package(&runtime().without_own_evaluator(), &package).unwrap();
    assert_eq!(plain.explainer.method(), Some(Method::Sampled));
    let golden = package.golden().unwrap().unwrap();
    for (row, score) in golden.rows().chunks(16).zip(golden.scores()).take(8) {
        let exact = loaded.explain(row).unwrap();
        assert_eq!((exact.link, exact.contributions.len()), (Link::Logit, 16));
        assert!((exact.score() - score).abs() < 1e-6, "{} {score}", exact.score());
        assert_eq!(loaded.explain(row), Ok(exact));
        let sampled = plain.explain(row).unwrap();
        assert_eq!(sampled.link, Link::Identity);
        assert!((sampled.total() - score).abs() < 1e-6, "{} {score}", sampled.total());
    }
    assert!(loaded.explain(&[0.0; 3]).is_err());
}

#[test]
fn without_reference_rows_it_says_what_to_add() {
    let bytes = super::fixture("regressor.onnx");
    let bare = Package::from_bare_onnx("alone", "1", bytes).unwrap();
    let said = load_package(&runtime(), &bare).unwrap().explain(&[0.0; 3]).unwrap_err().to_string();
    assert!(said.contains("alone 1") && said.contains("background.csv"), "{said}");
    let mut files = bare.files().clone();
    files.insert("background.csv".into(), b"a,b,c\n0,0,0\n1,1,1\n".to_vec());
    let loaded = load_package(&runtime(), &Package::from_files(files.clone()).unwrap()).unwrap();
    assert!(loaded.explain(&[0.0; 3]).is_ok());
    files.insert("background.csv".into(), b"a,b\n0,0\n".to_vec());
    let said =
        load_package(&runtime(), &Package::from_files(files).unwrap()).unwrap_err().to_string();
    assert!(said.contains("background.csv must have 3 columns"), "{said}");
}

#[test]
fn a_mismatch_says_what_to_change() {
    let change = |from: &str, to: &str| {
        let mut files = package("fall_risk").files().clone();
        let text = String::from_utf8(files["manifest.toml"].clone()).unwrap();
        assert!(text.contains(from), "{from}");
        files.insert("manifest.toml".into(), text.replacen(from, to, 1).into_bytes());
        files.remove("golden.csv");
        Package::from_files(files)
            .and_then(|package| validate(&runtime(), &package))
            .unwrap_err()
            .to_string()
    };
    let error = change("\"age\", \"female\",", "\"age\", \"female\", \"extra\",");
    assert!(error.contains("the manifest lists 17 features, the file takes 16"), "{error}");
    let error = change("score = \"probabilities\"", "score = \"probability\"");
    assert!(
        error.contains("`probability`") && error.contains("`probabilities` FP32 [-1, 2]"),
        "{error}"
    );
    let error = change("name = \"features\"", "name = \"X\"");
    assert!(error.contains("`X`, but the file's input is `features`"), "{error}");

    let mut files = package("subsidy_triage").files().clone();
    let text = String::from_utf8(files["manifest.toml"].clone()).unwrap();
    files.insert(
        "manifest.toml".into(),
        text.replace("\"income_pc\", \"rigid_exp_12m\"", "\"rigid_exp_12m\", \"income_pc\"").into(),
    );
    files.remove("golden.csv");
    let error = validate(&runtime(), &Package::from_files(files).unwrap()).unwrap_err().to_string();
    assert!(error.contains("list income_pc, rigid_exp_12m"), "{error}");
}

#[test]
fn a_moved_golden_score_is_found() {
    let mut files = package("fall_risk").files().clone();
    let text = String::from_utf8(files["golden.csv"].clone()).unwrap();
    let line = text.lines().nth(5).unwrap();
    let (row, _) = line.rsplit_once(',').unwrap();
    files.insert("golden.csv".into(), text.replace(line, &format!("{row},0.99")).into_bytes());
    let error = validate(&runtime(), &Package::from_files(files).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Model(_)));
    assert!(error.to_string().starts_with("golden row 5 gives 0."), "{error}");
}

#[test]
fn a_bare_file_keeps_its_own_names() {
    let bytes = package("fall_risk").model_bytes().to_vec();
    let bare = Package::from_bare_onnx("pushed", "1", bytes).unwrap();
    assert_eq!(bare.manifest().format, Format::Onnx);
    let validation = validate(&runtime(), &bare).unwrap();
    let names: Vec<&str> = validation.outputs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["label", "probabilities", "score"]);
    assert_eq!(validation.inputs[0].shape, [-1, 16]);
    assert_eq!(Package::from_bytes(&bare.to_bytes()), Ok(bare));
}
