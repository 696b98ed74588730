use std::fmt::Write as _;
use std::path::PathBuf;

use models::{
    Data, Error, Explainer, Family, Format, Layout, LinfaModel, Manifest, Model, Package, Settings,
    Table, Target, Tensor, fit, fit_logistic, measure, validate,
};

use super::{assert_near, fixture, folder, runtime, table};

#[test]
fn the_fit_is_that_of_scikit_learn() {
    let table = table("fit.csv");
    let rows: Vec<f32> =
        table.iter().flat_map(|line| line[..3].iter().map(|value| *value as f32)).collect();
    let labels: Vec<bool> = table.iter().map(|line| line[3] > 0.5).collect();
    let scores: Vec<f64> = table.iter().map(|line| line[4]).collect();
    // The true label is the rarer one: linfa calls the other class positive.
    assert!(labels.iter().filter(|label| **label).count() * 2 < labels.len());
    let model = fit_logistic(&rows, &labels, &["a", "b", "c"], 2.0).unwrap();
    assert_near(&model.score(&rows, labels.len()).unwrap(), &scores, 1e-4);
    let stored = LinfaModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(stored, model);
}

/// A file of real data, where the machine has it.
#[expect(clippy::disallowed_methods, reason = "a test finds its data where the user put it")]
fn oracle(name: &str) -> Option<String> {
    let data = std::env::var_os("HEARTH_DATA")
        .map_or_else(|| folder().join("../../shared/data"), PathBuf::from);
    let found = std::fs::read_to_string(data.join("oracles").join(name)).ok();
    if found.is_none() {
        eprintln!("skipped: no oracles/{name} under HEARTH_DATA ({})", data.display());
    }
    found
}

/// Limits in daily living among 4,406 people of 66 and more: health, chronic conditions, age and
/// schooling tell them with an AUC of about .82.
#[test]
fn real_people_are_ranked_as_well_as_published() {
    let Some(text) = oracle("NMES1988.csv") else { return };
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column =
        |name: &str| header.iter().position(|each| each.trim_matches('"') == name).unwrap();
    let [health, chronic, adl, age, gender, school] =
        ["health", "chronic", "adl", "age", "gender", "school"].map(column);
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for line in lines {
        let is = |at: usize, word: &str| f32::from(u8::from(line[at].trim_matches('"') == word));
        let number = |at: usize| line[at].parse::<f32>().unwrap();
        rows.extend([is(health, "poor"), is(health, "excellent"), number(chronic)]);
        rows.extend([number(age), is(gender, "male"), number(school)]);
        labels.push(line[adl].trim_matches('"').to_owned());
    }
    assert_eq!(labels.len(), 4406);
    let names = ["poor", "excellent", "chronic", "age", "male", "school"].map(str::to_owned);
    // The second class in the order of text is `normal`: its AUC is the same.
    let target = Target::of_labels(&labels).unwrap();
    let (train, test) = Table::new(names.to_vec(), rows, target).unwrap().split(0.3, 1).unwrap();
    // linfa joins leaves of one class, so a tree, and a forest's votes, rank coarsely where one class in
    // five is rare.
    for (family, least) in [
        (Family::Logistic, 0.79),
        (Family::Forest, 0.68),
        (Family::Tree, 0.68),
        (Family::Bayes, 0.75),
    ] {
        let model = fit(family, &train, &Settings { trees: 30, ..Settings::default() }).unwrap();
        let measured = measure(&model, &test).unwrap();
        assert_eq!(measured[0].name, "AUC");
        assert!((least..0.88).contains(&measured[0].value), "{family}: {measured:?}");
    }
}

/// Published coefficients of real data: GLOW500, fracture within a year.
#[test]
fn published_coefficients_are_found_again() {
    let Some(text) = oracle("GLOW500.txt") else { return };
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().map(|cell| cell.trim_matches('"')).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column =
        |name: &str| header.iter().position(|each| each.eq_ignore_ascii_case(name)).unwrap();
    let (age, prior, risk, fracture) =
        (column("age"), column("priorfrac"), column("raterisk"), column("fracture"));
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for line in lines.filter(|line| !line.is_empty()) {
        // Some tables carry a row name that the header does not count.
        let shift = line.len() - header.len();
        let cell = |at: usize| line[at + shift];
        let yes = |at: usize| f32::from(u8::from(["Yes", "1"].contains(&cell(at))));
        let is_risk = |words: [&str; 2]| f32::from(u8::from(words.contains(&cell(risk))));
        rows.extend([
            cell(age).parse().unwrap(),
            yes(prior),
            is_risk(["Same", "2"]),
            is_risk(["Greater", "3"]),
        ]);
        labels.push(yes(fracture) > 0.5);
    }
    assert_eq!(labels.len(), 500);
    let model =
        fit_logistic(&rows, &labels, &["age", "priorfrac", "same", "greater"], 1e-9).unwrap();
    assert_near(&[model.intercept() as f32], &[-4.9906], 2e-3);
    let weights: Vec<f32> = model.weights().iter().map(|weight| *weight as f32).collect();
    assert_near(&weights, &[0.04591, 0.70023, 0.54856, 0.86576], 2e-3);
}

/// families.csv: three features, the labels, and what scikit-learn makes of the rows.
struct Families {
    lines: Vec<Vec<f64>>,
}

impl Families {
    fn read() -> Self {
        Self { lines: table("families.csv") }
    }

    fn rows(&self) -> Vec<f32> {
        self.lines.iter().flat_map(|line| line[..3].iter().map(|value| *value as f32)).collect()
    }

    fn column(&self, at: usize) -> Vec<f64> {
        self.lines.iter().map(|line| line[at]).collect()
    }

    fn columns(&self, from: usize, wide: usize) -> Vec<f64> {
        self.lines.iter().flat_map(|line| line[from..from + wide].iter().copied()).collect()
    }

    fn table(&self, family: Family) -> Table {
        let target = match (family.has_label(), family.classifies()) {
            (true, true) => {
                let grades: Vec<String> = self.column(3).iter().map(f64::to_string).collect();
                Target::of_labels(&grades).unwrap()
            }
            (true, false) => Target::Numbers(self.column(4)),
            (false, _) => Target::Nothing,
        };
        Table::new(["a", "b", "c"].map(str::to_owned).to_vec(), self.rows(), target).unwrap()
    }

    /// A fitted model that has been through its file.
    fn fit(&self, family: Family, settings: &Settings) -> LinfaModel {
        let model = fit(family, &self.table(family), settings).unwrap();
        // linfa's trees draw their hash seeds anew: near ties may fall either way.
        if !matches!(family, Family::Tree | Family::Forest) {
            let again = fit(family, &self.table(family), settings).unwrap();
            assert!(model == again, "{family}: the same rows and seed give the same model");
        }
        let stored = LinfaModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(stored, model);
        stored
    }

    fn ask(&self, model: &LinfaModel, name: &str) -> Vec<f32> {
        let input =
            Tensor::new("features", [self.lines.len() as i64, 3], Data::Fp32(self.rows())).unwrap();
        let answers = model.infer(&[input], &[name.to_owned()]).unwrap();
        let Data::Fp32(all) = &answers[0].data else { panic!("{answers:?}") };
        all.clone()
    }
}

fn settings() -> Settings {
    Settings {
        l2: 2.0,
        penalty: 0.05,
        max_depth: 3,
        min_leaf: 10,
        clusters: 3,
        trees: 30,
        ..Settings::default()
    }
}

#[test]
fn every_family_answers_as_scikit_learn_does() {
    let data = Families::read();
    let near = |family, output: &str, want: Vec<f64>, tolerance| {
        let model = data.fit(family, &settings());
        assert_near(&data.ask(&model, output), &want, tolerance);
    };
    near(Family::Logistic, "probabilities", data.columns(5, 3), 2e-4);
    near(Family::Linear, "score", data.column(8), 1e-4);
    near(Family::ElasticNet, "score", data.column(9), 1e-3);
    near(Family::Bayes, "probabilities", data.columns(10, 3), 1e-6);
    near(Family::KMeans, "distance", data.column(16), 1e-3);
    near(Family::Pca, "components", data.columns(17, 2), 1e-4);
}

/// linfa joins leaves of one class, scikit-learn does not: their shares differ, their worth must not.
#[test]
fn a_tree_is_as_good_as_that_of_scikit_learn() {
    let data = Families::read();
    let model = data.fit(Family::Tree, &settings());
    let mine: Vec<f64> = data.ask(&model, "probabilities").into_iter().map(f64::from).collect();
    let right = |all: &[f64]| {
        let truth = data.column(3);
        let rows = all.chunks(3).zip(truth);
        rows.filter(|(row, want)| row.iter().all(|each| *each <= row[*want as usize])).count()
    };
    assert!(right(&mine) + 8 >= right(&data.columns(13, 3)));
}

#[test]
fn the_label_is_the_likeliest_class() {
    let data = Families::read();
    for family in [Family::Logistic, Family::Bayes, Family::Tree, Family::Forest] {
        let model = data.fit(family, &settings());
        let input = Tensor::new("features", [240, 3], Data::Fp32(data.rows())).unwrap();
        let answers = model.infer(&[input], &["label".into(), "probabilities".into()]).unwrap();
        let (Data::Int64(labels), Data::Fp32(all)) = (&answers[0].data, &answers[1].data) else {
            panic!("{answers:?}")
        };
        let right = labels.iter().zip(data.column(3)).filter(|(got, want)| **got == *want as i64);
        assert!(right.count() > 140, "{family}");
        for (label, row) in labels.iter().zip(all.chunks(3)) {
            assert!(row.iter().all(|each| *each <= row[*label as usize]), "{family}: {row:?}");
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{family}: {row:?}");
        }
    }
}

#[test]
fn a_forest_gives_the_share_of_its_trees() {
    let data = Families::read();
    let model = data.fit(Family::Forest, &settings());
    let trees = model.trees().unwrap();
    assert_eq!(trees.roots.len(), 30);
    for (row, shares) in data.rows().chunks(3).zip(data.ask(&model, "probabilities").chunks(3)) {
        let votes = trees.roots.iter().filter(|root| trees.class[trees.leaf(**root, row)] == 2);
        assert!((votes.count() as f32 / 30.0 - shares[2]).abs() < 1e-6);
    }
    let other =
        fit(Family::Forest, &data.table(Family::Forest), &Settings { seed: 1, ..settings() });
    assert!(other.unwrap() != model);
}

#[test]
fn three_classes_have_no_score_until_one_is_named() {
    let data = Families::read();
    let bytes = data.fit(Family::Bayes, &settings()).to_bytes().unwrap();
    let bare = LinfaModel::from_bytes(&bytes).unwrap();
    assert!(!bare.has_score());
    assert!(matches!(bare.score(&data.rows(), 240), Err(Error::NoScore(_))));
    let class = |name: &str| Layout { class: Some(name.into()), ..Layout::default() };
    let named = LinfaModel::load_as(&bytes, &class("2")).unwrap();
    let want: Vec<f64> = data.column(12);
    assert_near(&named.score(&data.rows(), 240).unwrap(), &want, 1e-6);
    let error = LinfaModel::load_as(&bytes, &class("high")).unwrap_err().to_string();
    assert_eq!(error, "[output] class names `high`; the model's classes are 0, 1, 2");
    let bytes = data.fit(Family::KMeans, &settings()).to_bytes().unwrap();
    let by_name = Layout { score: Some("distance".into()), ..Layout::default() };
    assert!(LinfaModel::load_as(&bytes, &by_name).unwrap().has_score());
    let by_name = Layout { score: Some("residual".into()), ..Layout::default() };
    let error = LinfaModel::load_as(&bytes, &by_name).unwrap_err().to_string();
    assert!(error.contains("can be `distance`"), "{error}");
}

#[test]
fn words_are_labels_too() {
    let rows: Vec<f32> = (0..80).map(|at| at as f32).collect();
    let labels: Vec<String> =
        (0..80).map(|at| if at < 40 { "否" } else { "是" }.to_owned()).collect();
    let table = Table::new(vec!["x".into()], rows, Target::of_labels(&labels).unwrap()).unwrap();
    for family in [Family::Logistic, Family::Tree, Family::Forest, Family::Bayes] {
        let model = fit(family, &table, &settings()).unwrap();
        let input = Tensor::new("features", [2, 1], Data::Fp32(vec![1.0, 79.0])).unwrap();
        let label = model.infer(&[input], &["label".into()]).unwrap().remove(0).data;
        assert_eq!(label, Data::Bytes(vec!["否".into(), "是".into()]), "{family}");
        let scores = model.score(&[1.0, 79.0], 2).unwrap();
        assert!(scores[0] < 0.1 && scores[1] > 0.9, "{family}: {scores:?}");
    }
}

#[test]
fn tiny_steps_are_seen_by_trees() {
    // linfa alone takes values closer than 1e-5 for equal.
    let rows: Vec<f32> = (0..40).map(|at| at as f32 * 1e-7).collect();
    let target =
        Target::of_labels(&(0..40).map(|at| i32::from(at >= 20).to_string()).collect::<Vec<_>>());
    let table = Table::new(vec!["x".into()], rows, target.unwrap()).unwrap();
    let model = fit(Family::Tree, &table, &settings()).unwrap();
    assert_eq!(model.score(&[0.0, 19e-7, 20e-7, 1.0], 4).unwrap(), [0.0, 0.0, 1.0, 1.0]);
}

/// Version 1 held logistic regression only. This file was written before version 2 was thought of.
#[test]
fn files_of_the_first_version_are_read() {
    let model = LinfaModel::from_bytes(&fixture("first_version.linfa")).unwrap();
    assert_eq!((model.family(), model.linfa_version()), (Family::Logistic, "0.8.1"));
    assert_eq!(model.feature_names().len(), 9);
    let scores = model.score(&[1200.0, 9000.0, 2.0, 0.0, 1.0, 75.0, 0.0, 0.0, 4.0], 1).unwrap();
    let renewed = LinfaModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(renewed, model);
    assert!(scores[0] > 0.0 && scores[0] < 1.0);
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    let refused = |family, rows: Vec<f32>, target, settings: &Settings| {
        let error = match Table::new(names(), rows, target) {
            Ok(table) => fit(family, &table, settings).unwrap_err(),
            Err(error) => error,
        };
        let said = error.to_string();
        assert!(!said.contains('\n'), "{said}");
        said
    };
    let numbers = || Target::Numbers(vec![1.0, 2.0, 3.0, 5.0]);
    let one = Settings { min_leaf: 1, clusters: 1, components: 1, ..Settings::default() };
    let same = vec![1.0, 2.0, 2.0, 4.0, 3.0, 6.0, 4.0, 8.0];
    assert!(refused(Family::Linear, same.clone(), numbers(), &one).contains("say the same"));
    assert!(refused(Family::Linear, vec![1.0; 7], numbers(), &one).contains("values"));
    assert!(
        refused(Family::Logistic, same.clone(), numbers(), &one)
            .contains("takes a label of classes")
    );
    assert!(refused(Family::KMeans, same.clone(), numbers(), &one).contains("takes no label"));
    let nan = vec![1.0, 2.0, f32::NAN, 4.0];
    assert!(refused(Family::Pca, nan, Target::Nothing, &one).contains("feature `a` of row 2"));
    let deep = Settings { max_depth: 900, ..one.clone() };
    assert!(
        refused(Family::Linear, same.clone(), numbers(), &deep)
            .contains("max_depth must be 1 to 32")
    );
    assert!(Target::of_labels(&["a".to_owned(), "a".to_owned()]).is_err());
    assert!("cart".parse::<Family>().unwrap_err().to_string().contains("k-means"));
}

#[test]
fn a_split_keeps_every_row_once() {
    let data = Families::read();
    let whole = data.table(Family::Linear);
    let (train, test) = whole.split(0.25, 7).unwrap();
    assert_eq!((train.len(), test.len()), (180, 60));
    let mut both: Vec<_> =
        [train.rows(), test.rows()].concat().chunks(3).map(<[f32]>::to_vec).collect();
    let mut all: Vec<_> = whole.rows().chunks(3).map(<[f32]>::to_vec).collect();
    both.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(both, all);
    assert_eq!(whole.split(0.25, 7).unwrap().1, test);
    assert_ne!(whole.split(0.25, 8).unwrap().1, test);
    let model = fit(Family::Linear, &train, &settings()).unwrap();
    let r2 = measure(&model, &test).unwrap();
    assert!(r2[0].name == "R2" && r2[0].value > 0.7, "{r2:?}");
}

#[test]
fn every_flipped_or_missing_byte_is_noticed() {
    let bytes = Families::read().fit(Family::Tree, &settings()).to_bytes().unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(LinfaModel::from_bytes(&flipped).is_err(), "byte {at} flipped");
        assert!(LinfaModel::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn base_and_contributions_add_up() {
    let data = Families::read();
    let two: Vec<String> = data.column(3).iter().map(|grade| (*grade > 1.0).to_string()).collect();
    for family in Family::ALL {
        let table = if family.classifies() {
            let names = data.table(family).names().to_vec();
            Table::new(names, data.rows(), Target::of_labels(&two).unwrap()).unwrap()
        } else {
            data.table(family)
        };
        let model = fit(family, &table, &settings()).unwrap();
        let explainer = Explainer::new(&model, &[]);
        let exact =
            [Family::Logistic, Family::Linear, Family::ElasticNet, Family::Tree, Family::Forest];
        assert_eq!(explainer.method().is_some(), exact.contains(&family), "{family}");
        if explainer.method().is_none() {
            continue;
        }
        for row in data.rows().chunks(3).take(20) {
            let explained = explainer.explain(&model, row).unwrap();
            let score = model.score(row, 1).unwrap()[0];
            assert_near(&[score], &[explained.score()], 1e-4);
        }
    }
}

#[test]
fn golden_rows_can_hold_every_probability() {
    let data = Families::read();
    let model = data.fit(Family::Bayes, &settings());
    let manifest = Manifest::bare("grades", "1", Format::Linfa).unwrap();
    let package = |wrong: f64| {
        let mut golden = "a,b,c,probabilities[0],probabilities[2]\n".to_owned();
        for line in data.lines.iter().take(9) {
            let (first, third) = (line[10], line[12] + wrong);
            writeln!(golden, "{},{},{},{first},{third}", line[0], line[1], line[2]).unwrap();
        }
        let files = [
            ("manifest.toml", manifest.to_toml().unwrap().into_bytes()),
            ("model.linfa", model.to_bytes().unwrap()),
            ("golden.csv", golden.into_bytes()),
        ];
        Package::from_files(files.map(|(name, bytes)| (name.to_owned(), bytes)).into()).unwrap()
    };
    let validation = validate(&runtime(), &package(0.0)).unwrap();
    assert_eq!((validation.golden_rows, validation.has_score), (9, false));
    let error = validate(&runtime(), &package(0.25)).unwrap_err().to_string();
    assert!(
        error.starts_with("golden row 1 gives ") && error.contains("as probabilities[2]"),
        "{error}"
    );
}
