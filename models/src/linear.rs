//! Logistic regression: fitted by linfa, kept in a versioned file, evaluated as one dot product.
//!
//! File: `HLIN`, a version byte, the postcard form of [`Stored`], and the SHA-256 of all before it.
//! linfa's own bytes are kept inside for provenance; what is evaluated are the flat weights, and
//! loading checks that the one follows from the other.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::{FittedLogisticRegression, LogisticRegression};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::digest::{DIGEST_BYTES, sha256};
use crate::score::{SCORE, check_rows};
use crate::{Data, Datatype, Error, Link, Model, Structure, Tensor, TensorSpec};

const MAGIC: &[u8; 4] = b"HLIN";
const FILE_VERSION: u8 = 1;
const LINFA_VERSION: &str = "0.8.1";
/// The largest model.linfa, in bytes.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
const ITERATIONS_MAX: u64 = 1000;
const FEATURES: &str = "features";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    linfa_version: String,
    kind: Kind,
    features: Vec<String>,
    /// Of the training rows: the reference of the contributions, and of the standardisation.
    means: Vec<f64>,
    /// Standard deviations; 1 for a feature that never varied.
    scales: Vec<f64>,
    /// For rows as they are, not standardised.
    weights: Vec<f64>,
    intercept: f64,
    /// `FittedLogisticRegression<f64, bool>` over standardised rows, in postcard.
    fitted: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Logistic,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogisticModel {
    stored: Stored,
    inputs: [TensorSpec; 1],
    outputs: [TensorSpec; 1],
}

/// Fits the probability that a label is true. `rows` holds `labels.len()` rows of `names.len()`
/// values; `l2` weighs the squared weights (of standardised features) against the summed log-loss.
pub fn fit_logistic(
    rows: &[f32],
    labels: &[bool],
    names: &[&str],
    l2: f64,
) -> Result<LogisticModel, Error> {
    let failed = |reason: String| Error::Model(format!("the fit failed: {reason}"));
    let (n, width) = (labels.len(), names.len());
    if width == 0 || n == 0 {
        return Err(failed("it needs features and rows".into()));
    }
    check_rows(rows.len(), n, Some(width))?;
    let (means, scales) = measure(rows, n, width);
    let standard = rows.iter().enumerate().map(|(at, value)| {
        let column = at % width;
        (f64::from(*value) - means[column]) / scales[column]
    });
    let records = Array2::from_shape_vec((n, width), standard.collect())
        .map_err(|error| failed(error.to_string()))?;
    let dataset = Dataset::new(records, Array1::from_vec(labels.to_vec()));
    let fitted = LogisticRegression::default()
        .alpha(l2)
        .max_iterations(ITERATIONS_MAX)
        .gradient_tolerance(1e-6)
        .fit(&dataset)
        .map_err(|error| failed(error.to_string()))?;
    let (weights, intercept) = flatten(&fitted, &means, &scales);
    let fitted = postcard::to_stdvec(&fitted).map_err(|error| failed(error.to_string()))?;
    LogisticModel::of(Stored {
        linfa_version: LINFA_VERSION.into(),
        kind: Kind::Logistic,
        features: names.iter().map(|name| (*name).to_owned()).collect(),
        means,
        scales,
        weights,
        intercept,
        fitted,
    })
}

fn measure(rows: &[f32], n: usize, width: usize) -> (Vec<f64>, Vec<f64>) {
    let column = |at: usize| rows.iter().skip(at).step_by(width).map(|value| f64::from(*value));
    let means: Vec<f64> = (0..width).map(|at| column(at).sum::<f64>() / n as f64).collect();
    let scales = (means.iter().enumerate())
        .map(|(at, mean)| {
            let variance = column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
            if variance > 0.0 { variance.sqrt() } else { 1.0 }
        })
        .collect();
    (means, scales)
}

/// linfa calls the more frequent class positive, whatever its value: the sign is taken from its label.
fn flatten(
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

impl LogisticModel {
    fn of(stored: Stored) -> Result<Self, Error> {
        let width = stored.features.len();
        let columns = [&stored.means, &stored.scales, &stored.weights];
        let finite = columns
            .iter()
            .all(|column| column.len() == width && column.iter().all(|value| value.is_finite()));
        if width == 0 || !finite || !stored.intercept.is_finite() {
            return Err(Error::Model(
                "model.linfa: a weight is missing or not a finite number; fit it again".into(),
            ));
        }
        Ok(Self {
            inputs: [TensorSpec::new(FEATURES, Datatype::Fp32, [-1, width as i64])],
            outputs: [TensorSpec::new(SCORE, Datatype::Fp32, [-1, 1])],
            stored,
        })
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = [MAGIC.as_slice(), &[FILE_VERSION]].concat();
        let body = postcard::to_stdvec(&self.stored)
            .map_err(|error| Error::Model(format!("model.linfa: {error}")))?;
        bytes.extend_from_slice(&body);
        let digest = sha256(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Model(format!("model.linfa: {reason}"));
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Error::Limit(format!(
                "model.linfa has {} bytes; at most {FILE_BYTES_MAX} are taken",
                bytes.len()
            )));
        }
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| wrong("not a linfa model file; write it with fit_logistic"))?;
        let (content, digest) = bytes
            .split_at_checked(bytes.len().saturating_sub(DIGEST_BYTES))
            .filter(|(content, _)| content.len() > MAGIC.len())
            .ok_or_else(|| wrong("the file is cut short"))?;
        if sha256(content) != digest {
            return Err(wrong("the file is damaged: its SHA-256 does not fit its content"));
        }
        match rest.first() {
            Some(&FILE_VERSION) => {}
            other => {
                return Err(wrong(&format!(
                    "version {other:?} of the file is not known; update hearth"
                )));
            }
        }
        let stored: Stored = postcard::from_bytes(&content[MAGIC.len() + 1..])
            .map_err(|error| wrong(&error.to_string()))?;
        let fitted: FittedLogisticRegression<f64, bool> = postcard::from_bytes(&stored.fitted)
            .map_err(|error| wrong(&format!("linfa's part: {error}")))?;
        let model = Self::of(stored)?;
        let (weights, intercept) = flatten(&fitted, &model.stored.means, &model.stored.scales);
        if weights != model.stored.weights
            || intercept.to_bits() != model.stored.intercept.to_bits()
        {
            return Err(wrong("its weights do not follow from linfa's; fit it again"));
        }
        Ok(model)
    }

    pub fn feature_names(&self) -> &[String] {
        &self.stored.features
    }

    pub fn weights(&self) -> &[f64] {
        &self.stored.weights
    }

    pub fn intercept(&self) -> f64 {
        self.stored.intercept
    }

    /// Sums in the order of the features, always.
    fn logit(&self, row: &[f32]) -> f64 {
        let mut sum = self.stored.intercept;
        for (weight, value) in self.stored.weights.iter().zip(row) {
            sum += weight * f64::from(*value);
        }
        sum
    }

    fn check_finite(&self, rows: &[f32]) -> Result<(), Error> {
        let Some(at) = rows.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let width = self.stored.features.len();
        let (row, name) = (at / width, &self.stored.features[at % width]);
        Err(Error::Tensor(format!(
            "feature `{name}` of row {row} is not a finite number; send a default instead"
        )))
    }
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

impl Model for LogisticModel {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor], wanted: &[String]) -> Result<Vec<Tensor>, Error> {
        let [spec] = &self.inputs;
        let [input] = inputs else {
            return Err(Error::Tensor(format!(
                "the model takes one input {spec}, got {}",
                inputs.len()
            )));
        };
        if input.name != spec.name {
            return Err(Error::Tensor(format!(
                "the model has no input `{}`; it takes {spec}",
                input.name
            )));
        }
        spec.check(input)?;
        if let Some(name) = wanted.iter().find(|name| *name != SCORE) {
            return Err(Error::Tensor(format!(
                "the model has no output `{name}`; it has {}",
                self.outputs[0]
            )));
        }
        let Data::Fp32(rows) = &input.data else {
            return Err(Error::Tensor(format!("input {spec} holds other data")));
        };
        let scores = self.score(rows, input.rows())?;
        Ok(vec![Tensor::new(SCORE, [scores.len() as i64, 1], Data::Fp32(scores))?])
    }

    fn score(&self, rows: &[f32], n: usize) -> Result<Vec<f32>, Error> {
        let width = check_rows(rows.len(), n, Some(self.stored.features.len()))?;
        self.check_finite(rows)?;
        Ok(rows.chunks_exact(width).map(|row| logistic(self.logit(row)) as f32).collect())
    }

    fn has_score(&self) -> bool {
        true
    }

    fn features(&self) -> usize {
        self.stored.features.len()
    }

    fn engine(&self) -> &'static str {
        "linfa"
    }

    fn structure(&self) -> Structure<'_> {
        let Stored { weights, means, intercept, .. } = &self.stored;
        Structure::Linear { weights, intercept: *intercept, means: Some(means), link: Link::Logit }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Explainer;

    fn fitted(labels: impl Fn(f32) -> bool) -> LogisticModel {
        let rows: Vec<f32> =
            (0..60).flat_map(|at| [at as f32, (at * 7 % 11) as f32 * 100.0, 3.0]).collect();
        let noisy = |at: i32| if at % 9 == 0 { !labels(at as f32) } else { labels(at as f32) };
        let labels: Vec<bool> = (0..60).map(noisy).collect();
        fit_logistic(&rows, &labels, &["up", "noise", "constant"], 1.0).unwrap()
    }

    proptest! {
        #[test]
        fn base_and_contributions_add_up_to_the_logit(up in -1e4_f32..1e4, noise in -1e4_f32..1e4, third in -10.0_f32..10.0) {
            let model = fitted(|at| at > 40.0);
            let row = [up, noise, third];
            let logit = Explainer::new(&model, &[]).explain(&model, &row).unwrap().total();
            prop_assert!((logit - model.logit(&row)).abs() <= 1e-9 * (1.0 + logit.abs()));
        }
    }

    #[test]
    fn the_true_label_is_scored_whether_rare_or_frequent() {
        for model in [fitted(|at| at > 40.0), fitted(|at| at > 20.0)] {
            let scores = model.score(&[0.0, 500.0, 3.0, 59.0, 500.0, 3.0], 2).unwrap();
            assert!(scores[0] < 0.3 && scores[1] > 0.7, "{scores:?}");
        }
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let bytes = fitted(|at| at > 30.0).to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(LogisticModel::from_bytes(&flipped).is_err(), "byte {at} flipped");
            assert!(LogisticModel::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_named() {
        let model = fitted(|at| at > 30.0);
        let error = model.score(&[1.0, 2.0, 3.0, 4.0, f32::NAN, 3.0], 2).unwrap_err().to_string();
        assert!(error.starts_with("feature `noise` of row 1"), "{error}");
        assert!(Explainer::new(&model, &[]).explain(&model, &[1.0, f32::INFINITY, 3.0]).is_err());
    }

    #[test]
    fn a_fit_without_two_classes_is_refused() {
        let error = fit_logistic(&[1.0, 2.0], &[true, true], &["a"], 1.0).unwrap_err().to_string();
        assert!(error.starts_with("the fit failed: "), "{error}");
        assert!(fit_logistic(&[1.0], &[true, false], &["a"], 1.0).is_err());
        assert!(fit_logistic(&[f32::NAN, 2.0], &[true, false], &["a"], 1.0).is_err());
    }
}
