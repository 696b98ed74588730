//! Gaussian naive Bayes.

use std::collections::BTreeMap;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_bayes::GaussianNb;
use ndarray::Array1;
use serde::Deserialize;

use super::body::Body;
use super::fit::{Standard, failed};
use crate::Error;

/// linfa keeps its numbers private; these are its fields as serde writes them, in order.
#[derive(Deserialize)]
struct Fitted {
    class_info: BTreeMap<usize, ClassInfo>,
}

#[derive(Deserialize)]
struct ClassInfo {
    #[expect(dead_code, reason = "it stands before the others in the bytes")]
    class_count: usize,
    prior: f64,
    theta: Array1<f64>,
    sigma: Array1<f64>,
}

pub(super) fn fit(standard: &Standard, classes: usize, of_row: &[usize]) -> Result<Body, Error> {
    let dataset = Dataset::new(standard.records.clone(), Array1::from_vec(of_row.to_vec()));
    let fitted = GaussianNb::params().fit(&dataset).map_err(failed)?;
    let bytes = postcard::to_stdvec(&fitted).map_err(failed)?;
    let fitted: Fitted = postcard::from_bytes(&bytes).map_err(failed)?;
    let (mut priors, mut means, mut variances) = (Vec::new(), Vec::new(), Vec::new());
    for class in 0..classes {
        let info = fitted.class_info.get(&class).ok_or_else(|| failed("linfa lost a class"))?;
        priors.push(info.prior);
        for (at, (mean, variance)) in info.theta.iter().zip(&info.sigma).enumerate() {
            means.push(mean * standard.scales[at] + standard.means[at]);
            variances.push(variance * standard.scales[at].powi(2));
        }
    }
    Ok(Body::Bayes { priors, means, variances })
}
