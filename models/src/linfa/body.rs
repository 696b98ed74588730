//! The numbers of a fitted model, and what they make of a row.

use serde::{Deserialize, Serialize};

use super::trees::Trees;

/// In the file by position: new ones come last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Body {
    /// One row of weights for each intercept, for rows as they are.
    Linear {
        weights: Vec<f64>,
        intercepts: Vec<f64>,
    },
    Trees(Trees),
    /// Class by feature, for rows as they are.
    Bayes {
        priors: Vec<f64>,
        means: Vec<f64>,
        variances: Vec<f64>,
    },
    /// Centre by feature, of standardised rows.
    Centres(Vec<f64>),
    /// Component by feature, of standardised rows, and the share of the variance each explains.
    Plane {
        components: Vec<f64>,
        explained: Vec<f64>,
    },
}

/// Sums in the order of the features, always.
pub(super) fn dot(start: f64, weights: &[f64], row: &[f32]) -> f64 {
    weights.iter().zip(row).fold(start, |sum, (weight, value)| sum + weight * f64::from(*value))
}

pub(super) fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Logits to probabilities, in place; the largest is taken off first, so none overflows.
pub(super) fn softmax(logits: &mut [f64]) {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - most).exp();
        sum += *logit;
    }
    for each in logits {
        *each /= sum;
    }
}

/// Per class: the log of the prior and of the normal density of every feature, up to one constant.
pub(super) fn bayes_logits(
    priors: &[f64],
    means: &[f64],
    variances: &[f64],
    row: &[f32],
    into: &mut [f64],
) {
    let width = row.len();
    for (class, logit) in into.iter_mut().enumerate() {
        let at = class * width;
        let mut sum = priors[class].ln();
        for (feature, value) in row.iter().enumerate() {
            let (mean, variance) = (means[at + feature], variances[at + feature]);
            let off = f64::from(*value) - mean;
            sum -= 0.5 * ((2.0 * std::f64::consts::PI * variance).ln() + off * off / variance);
        }
        *logit = sum;
    }
}

/// Euclidean distance to each centre.
pub(super) fn distances(centres: &[f64], row: &[f64], into: &mut [f64]) {
    for (centre, distance) in centres.chunks_exact(row.len()).zip(into) {
        let square: f64 = centre.iter().zip(row).map(|(a, b)| (a - b) * (a - b)).sum();
        *distance = square.sqrt();
    }
}

/// The place of a row in the plane, and its distance from the plane.
pub(super) fn project(components: &[f64], row: &[f64], into: &mut [f64]) -> f64 {
    let mut rest: f64 = row.iter().map(|value| value * value).sum();
    for (component, place) in components.chunks_exact(row.len()).zip(into) {
        *place = component.iter().zip(row).map(|(a, b)| a * b).sum();
        rest -= *place * *place;
    }
    rest.max(0.0).sqrt()
}
