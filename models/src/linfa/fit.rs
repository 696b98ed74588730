//! From a table to a fitted model.

use ndarray::Array2;

use super::body::Body;
use super::family::{Family, Settings};
use super::file::Stored;
use super::table::{Table, Target};
use super::{LinfaModel, bayes, grow, linear, shapes};
use crate::Error;

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err as it stands")]
pub(super) fn failed(reason: impl ToString) -> Error {
    let reason = reason.to_string();
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::Model(format!("the fit failed: {line}"))
}

/// Fits a model of the family. The same table and settings give the same model.
pub fn fit(family: Family, table: &Table, settings: &Settings) -> Result<LinfaModel, Error> {
    settings.check(family, table.len(), table.width())?;
    if let Target::Classes { names, of_row } = table.target()
        && let Some(absent) = (0..names.len()).find(|class| !of_row.contains(class))
    {
        return Err(failed(format!(
            "no row to fit on is of class {}; hold fewer rows out, or take another seed",
            names[absent]
        )));
    }
    let standard = Standard::of(table);
    let body = match (family, table.target()) {
        (Family::Logistic, Target::Classes { names, of_row }) => {
            linear::logistic(&standard, names.len(), of_row, settings.l2)?
        }
        (Family::Bayes, Target::Classes { names, of_row }) => {
            bayes::fit(&standard, names.len(), of_row)?
        }
        (Family::Tree, Target::Classes { names, of_row }) => {
            Body::Trees(grow::tree(table, names.len(), of_row, settings)?)
        }
        (Family::Forest, Target::Classes { names, of_row }) => {
            Body::Trees(grow::forest(table, names.len(), of_row, settings)?)
        }
        (Family::Linear, Target::Numbers(labels)) => linear::least_squares(&standard, labels)?,
        (Family::ElasticNet, Target::Numbers(labels)) => {
            linear::elastic_net(&standard, labels, settings)?
        }
        (Family::KMeans, Target::Nothing) => shapes::k_means(&standard, settings)?,
        (Family::Pca, Target::Nothing) => shapes::pca(&standard, settings)?,
        _ => {
            let needs = match (family.has_label(), family.classifies()) {
                (true, true) => "a label of classes",
                (true, false) => "a label of numbers",
                (false, _) => "no label",
            };
            return Err(failed(format!("family {family} takes {needs}")));
        }
    };
    let mut stored = Stored::new(family, table.names(), (standard.means, standard.scales), body);
    if let Target::Classes { names, .. } = table.target() {
        stored.classes.clone_from(names);
    }
    LinfaModel::of(stored)
}

/// Fits the probability that a label is true; `rows` holds a row of `names.len()` values a label.
pub fn fit_logistic(
    rows: &[f32],
    labels: &[bool],
    names: &[&str],
    l2: f64,
) -> Result<LinfaModel, Error> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let classes = vec!["false".into(), "true".into()];
    let of_row = labels.iter().map(|label| usize::from(*label)).collect();
    let table = Table::new(names, rows.to_vec(), Target::Classes { names: classes, of_row })?;
    let settings = Settings { l2, ..Settings::default() };
    fit(Family::Logistic, &table, &settings)
}

/// Rows with mean 0 and standard deviation 1 in each column, and what they were before.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) records: Array2<f64>,
    pub(super) means: Vec<f64>,
    /// 1 for a feature that never varied.
    pub(super) scales: Vec<f64>,
    /// Whether each feature varied.
    pub(super) varied: Vec<bool>,
}

impl Standard {
    fn of(table: &Table) -> Self {
        let (n, width) = (table.len(), table.width());
        let mean = |at| table.column(at).sum::<f64>() / n as f64;
        let means: Vec<f64> = (0..width).map(mean).collect();
        let spreads: Vec<f64> = (means.iter().enumerate())
            .map(|(at, mean)| {
                let square = table.column(at).map(|value| (value - mean).powi(2)).sum::<f64>();
                (square / n as f64).sqrt()
            })
            .collect();
        let varied: Vec<bool> = (0..width)
            .map(|at| {
                let first = table.column(at).next();
                spreads[at] > 0.0 && table.column(at).any(|value| Some(value) != first)
            })
            .collect();
        let scales: Vec<f64> = spreads
            .iter()
            .zip(&varied)
            .map(|(spread, varied)| if *varied { *spread } else { 1.0 })
            .collect();
        let records = Array2::from_shape_fn((n, width), |(row, at)| {
            (f64::from(table.rows()[row * width + at]) - means[at]) / scales[at]
        });
        Self { records, means, scales, varied }
    }

    pub(super) fn width(&self) -> usize {
        self.means.len()
    }

    /// Weights of standardised rows, turned back for rows as they are.
    pub(super) fn turn_back(&self, weights: &[f64], intercept: f64) -> (Vec<f64>, f64) {
        let weights: Vec<f64> =
            weights.iter().zip(&self.scales).map(|(weight, scale)| weight / scale).collect();
        let mut intercept = intercept;
        for (weight, mean) in weights.iter().zip(&self.means) {
            intercept -= weight * mean;
        }
        (weights, intercept)
    }
}
