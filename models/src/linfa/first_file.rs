//! Version 1 of the file: logistic regression of two classes, with linfa's own bytes beside the
//! weights that follow from them.

use linfa_logistic::FittedLogisticRegression;
use serde::Deserialize;

use super::body::Body;
use super::family::Family;
use super::file::Stored;

#[derive(Deserialize)]
struct First {
    linfa_version: String,
    kind: Kind,
    features: Vec<String>,
    means: Vec<f64>,
    scales: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
    /// `FittedLogisticRegression<f64, bool>` over standardised rows, in postcard.
    fitted: Vec<u8>,
}

#[derive(Deserialize)]
enum Kind {
    Logistic,
}

pub(super) fn read(body: &[u8]) -> Result<Stored, String> {
    let first: First = postcard::from_bytes(body).map_err(|error| error.to_string())?;
    let fitted: FittedLogisticRegression<f64, bool> =
        postcard::from_bytes(&first.fitted).map_err(|error| format!("linfa's part: {error}"))?;
    let (weights, intercept) = flatten(&fitted, &first.means, &first.scales);
    if weights != first.weights || intercept.to_bits() != first.intercept.to_bits() {
        return Err("its weights do not follow from linfa's; fit it again".into());
    }
    let Kind::Logistic = first.kind;
    Ok(Stored {
        linfa_version: first.linfa_version,
        family: Family::Logistic,
        features: first.features,
        classes: vec!["false".into(), "true".into()],
        means: first.means,
        scales: first.scales,
        body: Body::Linear { weights, intercepts: vec![intercept] },
    })
}

/// Weights for rows as they are. linfa calls the more frequent class positive, whatever its value:
/// the sign is taken from its label.
pub(super) fn flatten(
    fitted: &FittedLogisticRegression<f64, bool>,
    means: &[f64],
    scales: &[f64],
) -> (Vec<f64>, f64) {
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let weights: Vec<f64> =
        fitted.params().iter().zip(scales).map(|(weight, scale)| sign * weight / scale).collect();
    let mut intercept = sign * fitted.intercept();
    for (weight, mean) in weights.iter().zip(means) {
        intercept -= weight * mean;
    }
    (weights, intercept)
}
