//! What stands before the sums and after them, feature by feature.

use std::collections::BTreeMap;

use super::file::Node;

/// Changes each feature alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Scale { offsets: Vec<f32>, factors: Vec<f32> },
    Impute { missing: f32, values: Vec<f32> },
    Multiply(Vec<f32>),
    Add(Vec<f32>),
    Divide(Vec<f32>),
    Subtract(Vec<f32>),
}

impl Step {
    /// The steps that a node takes, none for a node that changes nothing; `None` where it is unknown.
    pub(super) fn read(
        node: &Node<'_>,
        constants: &BTreeMap<&str, Vec<f32>>,
        width: usize,
    ) -> Option<Vec<Self>> {
        const FLOAT: i64 = 1;
        let fits = |values: &[f32]| [1, width].contains(&values.len());
        let constant = || {
            let values = constants.get(node.inputs.get(1)?)?;
            fits(values).then(|| values.clone())
        };
        let step = match node.op {
            "Identity" => return Some(Vec::new()),
            "Cast" if node.int("to") == Some(FLOAT) => return Some(Vec::new()),
            "Scaler" => {
                let offsets = node.floats("offset").to_vec();
                let factors = node.floats("scale").to_vec();
                (offsets.len() == factors.len() && fits(&factors)).then_some(())?;
                Self::Scale { offsets, factors }
            }
            "Imputer" => {
                let values = node.floats("imputed_value_floats").to_vec();
                fits(&values).then_some(())?;
                let missing = *node.floats("replaced_value_float").first()?;
                Self::Impute { missing, values }
            }
            "Mul" => Self::Multiply(constant()?),
            "Add" => Self::Add(constant()?),
            "Div" => Self::Divide(constant()?),
            "Sub" => Self::Subtract(constant()?),
            _ => return None,
        };
        Some(vec![step])
    }

    #[expect(
        clippy::float_cmp,
        reason = "the value that stands for a missing one, in all its bits"
    )]
    pub(super) fn apply(&self, row: &mut [f32]) {
        let each = |row: &mut [f32], values: &[f32], change: fn(f32, f32) -> f32| {
            for (value, other) in row.iter_mut().zip(values.iter().cycle()) {
                *value = change(*value, *other);
            }
        };
        match self {
            Self::Scale { offsets, factors } => {
                let pairs = offsets.iter().zip(factors).cycle();
                for (value, (offset, factor)) in row.iter_mut().zip(pairs) {
                    *value = (*value - offset) * factor;
                }
            }
            Self::Impute { missing, values } => {
                for (value, instead) in row.iter_mut().zip(values.iter().cycle()) {
                    if value == missing || (value.is_nan() && missing.is_nan()) {
                        *value = *instead;
                    }
                }
            }
            Self::Multiply(factors) => each(row, factors, |value, factor| value * factor),
            Self::Add(summands) => each(row, summands, |value, summand| value + summand),
            Self::Divide(divisors) => each(row, divisors, |value, divisor| value / divisor),
            Self::Subtract(summands) => each(row, summands, |value, summand| value - summand),
        }
    }

    /// Roughly the value that becomes `value`: where to look for the edges of a tree.
    pub(super) fn invert(&self, feature: usize, value: f32) -> f32 {
        let of = |values: &[f32]| values[feature % values.len()];
        match self {
            Self::Scale { offsets, factors } => value / of(factors) + of(offsets),
            Self::Impute { .. } => value,
            Self::Multiply(factors) => value / of(factors),
            Self::Add(summands) => value - of(summands),
            Self::Divide(divisors) => value * of(divisors),
            Self::Subtract(summands) => value + of(summands),
        }
    }
}

/// Changes the outputs of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Post {
    Multiply(f32),
    /// By the sum of their absolute values.
    Normalize,
}

impl Post {
    pub(super) fn read(node: &Node<'_>, constants: &BTreeMap<&str, Vec<f32>>) -> Option<Vec<Self>> {
        match node.op {
            "Identity" => Some(Vec::new()),
            "Mul" => match constants.get(node.inputs.get(1)?)?.as_slice() {
                [factor] => Some(vec![Self::Multiply(*factor)]),
                _ => None,
            },
            "Normalizer" if node.text("norm") == Some("L1") => Some(vec![Self::Normalize]),
            _ => None,
        }
    }

    pub(super) fn apply(self, outputs: &mut [f32]) {
        match self {
            Self::Multiply(factor) => outputs.iter_mut().for_each(|output| *output *= factor),
            Self::Normalize => {
                let sum = outputs.iter().fold(0.0_f32, |sum, output| sum + output.abs());
                if sum != 0.0 {
                    for output in outputs {
                        *output /= sum;
                    }
                }
            }
        }
    }
}
