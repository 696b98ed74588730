//! Logistic regression, least squares and the elastic net.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Axis};

use super::body::Body;
use super::family::Settings;
use super::first_file::flatten;
use super::fit::{Standard, failed};
use crate::Error;

const ITERATIONS_MAX: u64 = 1_000;
const GRADIENT_TOLERANCE: f64 = 1e-6;
/// The elastic net's, of its duality gap.
const GAP_TOLERANCE: f64 = 1e-8;
const STEPS_MAX: u32 = 100_000;
/// Standardised weights beyond this many standard deviations of the label come from features that
/// say the same.
const WEIGHT_MAX: f64 = 1e6;

pub(super) fn logistic(
    standard: &Standard,
    classes: usize,
    of_row: &[usize],
    l2: f64,
) -> Result<Body, Error> {
    let records = standard.records.clone();
    if classes == 2 {
        let labels = of_row.iter().map(|class| *class == 1).collect::<Vec<bool>>();
        let fitted = LogisticRegression::default()
            .alpha(l2)
            .max_iterations(ITERATIONS_MAX)
            .gradient_tolerance(GRADIENT_TOLERANCE)
            .fit(&Dataset::new(records, Array1::from_vec(labels)))
            .map_err(failed)?;
        let (weights, intercept) = flatten(&fitted, &standard.means, &standard.scales);
        return Ok(Body::Linear { weights, intercepts: vec![intercept] });
    }
    let fitted = MultiLogisticRegression::default()
        .alpha(l2)
        .max_iterations(ITERATIONS_MAX)
        .gradient_tolerance(GRADIENT_TOLERANCE)
        .fit(&Dataset::new(records, Array1::from_vec(of_row.to_vec())))
        .map_err(failed)?;
    let (mut weights, mut intercepts) = (Vec::new(), Vec::new());
    for class in 0..classes {
        let at = fitted.classes().iter().position(|each| *each == class);
        let at = at.ok_or_else(|| failed("linfa lost a class"))?;
        let column = fitted.params().column(at).to_vec();
        let (row, intercept) = standard.turn_back(&column, fitted.intercept()[at]);
        weights.extend(row);
        intercepts.push(intercept);
    }
    Ok(Body::Linear { weights, intercepts })
}

pub(super) fn least_squares(standard: &Standard, labels: &[f64]) -> Result<Body, Error> {
    // A column that never varied makes the system singular; its weight is 0.
    let kept: Vec<usize> = (0..standard.width()).filter(|at| standard.varied[*at]).collect();
    let same = || {
        failed(
            "some features say the same of every row, or there are too few rows; leave some out, or use family elastic-net",
        )
    };
    if labels.len() <= kept.len() {
        return Err(same());
    }
    let (mean, spread) = spread_of(labels);
    let mut weights = vec![0.0; standard.width()];
    if !kept.is_empty() {
        let records = standard.records.select(Axis(1), &kept);
        let targets: Vec<f64> = labels.iter().map(|label| (label - mean) / spread).collect();
        let fitted = LinearRegression::new()
            .fit(&Dataset::new(records, Array1::from_vec(targets)))
            .map_err(|_| same())?;
        for (at, weight) in kept.iter().zip(fitted.params()) {
            if !weight.is_finite() || weight.abs() > WEIGHT_MAX {
                return Err(same());
            }
            weights[*at] = weight * spread;
        }
    }
    let (weights, intercept) = standard.turn_back(&weights, mean);
    Ok(Body::Linear { weights, intercepts: vec![intercept] })
}

pub(super) fn elastic_net(
    standard: &Standard,
    labels: &[f64],
    settings: &Settings,
) -> Result<Body, Error> {
    let (mean, spread) = spread_of(labels);
    let targets: Vec<f64> = labels.iter().map(|label| (label - mean) / spread).collect();
    let fitted = ElasticNet::params()
        .penalty(settings.penalty)
        .l1_ratio(settings.l1_ratio)
        .tolerance(GAP_TOLERANCE)
        .max_iterations(STEPS_MAX)
        .fit(&Dataset::new(standard.records.clone(), Array1::from_vec(targets)))
        .map_err(failed)?;
    let weights: Vec<f64> = fitted.hyperplane().iter().map(|weight| weight * spread).collect();
    let (weights, intercept) = standard.turn_back(&weights, mean + fitted.intercept() * spread);
    Ok(Body::Linear { weights, intercepts: vec![intercept] })
}

/// Mean and standard deviation; 1 where all labels are the same.
fn spread_of(labels: &[f64]) -> (f64, f64) {
    let n = labels.len() as f64;
    let mean = labels.iter().sum::<f64>() / n;
    let variance = labels.iter().map(|label| (label - mean).powi(2)).sum::<f64>() / n;
    (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
}
