//! The linear operators of ONNX: LinearClassifier and LinearRegressor.
//!
//! ONNX Runtime multiplies matrices: for two rows and more, each sum runs over the features in order
//! by fused multiply-adds and takes the intercept last. One row alone takes another way there (the
//! sum is cut into the lanes of a vector) and gets other bits. Here every row gets those of a batch.

use super::file::Node;
use super::finish::{Label, Margin};
use super::transform::{Transform, logistic_rational, probit, softmax};
use crate::Link;

/// From so many classes on, ONNX Runtime takes another exponential.
const SOFTMAX_CLASSES_MAX: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// Row by row, one row of weights for each output.
    weights: Vec<f32>,
    intercepts: Vec<f32>,
    transform: Transform,
    width: usize,
    outputs: usize,
    classifier: bool,
}

impl Linear {
    /// `None` where the operator holds what is not evaluated here.
    pub(super) fn read(node: &Node<'_>, width: usize) -> Option<Self> {
        let weights = node.floats("coefficients").to_vec();
        let mut intercepts = node.floats("intercepts").to_vec();
        let transform = Transform::parse(node.text("post_transform").unwrap_or("NONE"))?;
        let classifier = node.op == "LinearClassifier";
        let rows = if classifier {
            intercepts.len()
        } else {
            usize::try_from(node.int("targets").unwrap_or(1)).ok()?
        };
        if intercepts.len() != rows {
            intercepts = vec![0.0; rows];
        }
        let labels =
            node.texts("classlabels_strings").len().max(node.ints("classlabels_ints").len());
        let outputs = if classifier { labels } else { rows };
        let known = match (classifier, rows) {
            (_, 0) => false,
            // One score that stands for both of two classes.
            (true, 1) => labels == 2 && transform != Transform::Probit,
            (true, rows) => labels == rows,
            (false, _) => true,
        };
        let exponential = transform == Transform::Softmax && rows > SOFTMAX_CLASSES_MAX;
        let sound = known && !exponential && weights.len() == rows * width;
        let linear = Self { weights, intercepts, transform, width, outputs, classifier };
        sound.then_some(linear)
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn run(&self, row: &[f32], outputs: &mut [f32]) -> Label {
        let rows = self.weights.chunks_exact(self.width).zip(&self.intercepts);
        for (output, (weights, intercept)) in outputs.iter_mut().zip(rows) {
            let products = row.iter().zip(weights);
            let sum = products.fold(0.0_f32, |sum, (value, weight)| value.mul_add(*weight, sum));
            *output = sum + intercept;
        }
        let label = self.label(outputs);
        self.transform(outputs);
        label
    }

    fn label(&self, outputs: &[f32]) -> Label {
        if !self.classifier {
            return Label::None;
        }
        if self.intercepts.len() == 1 {
            return Label::Class(usize::from(outputs[0] > 0.0));
        }
        let mut best = 0;
        for (at, output) in outputs.iter().enumerate() {
            if *output > outputs[best] {
                best = at;
            }
        }
        Label::Class(best)
    }

    fn transform(&self, outputs: &mut [f32]) {
        match outputs {
            [only] if self.transform == Transform::Probit => *only = probit(*only),
            [_] => {}
            [zero, one] if self.intercepts.len() == 1 => {
                *one = *zero;
                *zero = 1.0 - *zero;
            }
            several => match self.transform {
                Transform::Logistic => {
                    for each in several {
                        *each = logistic_rational(*each);
                    }
                }
                Transform::Softmax => softmax(several),
                other => other.apply(several),
            },
        }
    }

    /// The linear form of the score, which is output `column`, with a weight for each feature.
    pub(super) fn margin(&self, column: usize) -> Option<Margin> {
        let row = |at: usize| {
            self.weights[at * self.width..(at + 1) * self.width].iter().map(|each| f64::from(*each))
        };
        let intercept = |at: usize| f64::from(self.intercepts[at]);
        let one = |at: usize, link: Link| {
            Some(Margin { weights: row(at).collect(), base: intercept(at), link })
        };
        match (self.intercepts.len(), self.transform) {
            (1, Transform::Probit) => None,
            (1, _) => one(0, Link::Identity),
            (2, Transform::None) if self.classifier => one(column, Link::Identity),
            (2, Transform::Logistic) if self.classifier => one(column, Link::Logit),
            (2, Transform::Softmax) if self.classifier && column == 1 => Some(Margin {
                weights: row(1).zip(row(0)).map(|(one, zero)| one - zero).collect(),
                base: intercept(1) - intercept(0),
                link: Link::Logit,
            }),
            _ => None,
        }
    }
}
