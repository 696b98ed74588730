use std::path::PathBuf;

use models::{LogisticModel, Model, fit_logistic};

use super::{assert_near, folder, table};

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
    let stored = LogisticModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(stored, model);
}

/// Published coefficients of real data: GLOW500, fracture within a year.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test finds its data where the user put it")]
fn published_coefficients_are_found_again() {
    let data = std::env::var_os("HEARTH_DATA")
        .map_or_else(|| folder().join("../../shared/data"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(data.join("oracles/GLOW500.txt")) else {
        eprintln!("skipped: no oracles/GLOW500.txt under HEARTH_DATA ({})", data.display());
        return;
    };
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
