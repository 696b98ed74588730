//! From sums to outputs, in single precision and in the order in which ONNX Runtime's CPU kernels do
//! it (`ml_common.h`, `tree_ensemble_aggregator.h` and `mlas/lib/logistic.cpp` of version 1.20 and
//! later; the bits are compared at every load).

use std::f32::consts::{PI, SQRT_2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            _ => return None,
        })
    }

    /// By its number in the operator TreeEnsemble.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|at| {
            [Self::None, Self::Softmax, Self::Logistic, Self::SoftmaxZero, Self::Probit]
                .get(at)
                .copied()
        })
    }

    /// Of two or more outputs of trees.
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => values.iter_mut().for_each(|value| *value = logistic(*value)),
            Self::Softmax => softmax(values),
            Self::SoftmaxZero => softmax_zero(values),
            Self::Probit => values.iter_mut().for_each(|value| *value = probit(*value)),
        }
    }
}

pub(super) fn logistic(value: f32) -> f32 {
    let upper = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - upper } else { upper }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(-f32::MAX, |most, value| if *value > most { *value } else { most })
}

pub(super) fn softmax(values: &mut [f32]) {
    let most = largest(values);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - most).exp();
        sum += *value;
    }
    for value in values {
        *value /= sum;
    }
}

/// Zeros stay zeros.
fn softmax_zero(values: &mut [f32]) {
    const ZERO: f32 = 0.000_000_1;
    let most = largest(values);
    let factor = (-most).exp();
    let mut sum = 0.0;
    for value in values.iter_mut() {
        if *value > ZERO || *value < -ZERO {
            *value = (*value - most).exp();
            sum += *value;
        } else {
            *value *= factor;
        }
    }
    for value in values {
        *value /= sum;
    }
}

pub(super) fn probit(value: f32) -> f32 {
    SQRT_2 * erf_inverse(2.0 * value - 1.0)
}

/// Winitzki 2008, with a = 0.147.
fn erf_inverse(value: f32) -> f32 {
    const A: f32 = 0.147;
    let sign = if value < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - value) * (1.0 + value)).ln();
    let v = 2.0 / (PI * A) + 0.5 * log;
    let v2 = 1.0 / A * log;
    sign * (-v + (v * v - v2).sqrt()).sqrt()
}

/// The rational approximation that linear classifiers are given, with fused multiply-adds.
pub(super) fn logistic_rational(value: f32) -> f32 {
    const LIMIT: f32 = 18.0;
    const ODD: [f32; 5] = [4.370_31e-11, 1.156_273_2e-7, 6.085_749e-5, 0.008_513_771, 0.248_287_95];
    const EVEN: [f32; 6] =
        [6.102_473_7e-13, 5.761_021_4e-9, 6.291_068e-6, 0.001_701_988_2, 0.116_817_65, 0.993_151_9];
    let value = value.clamp(-LIMIT, LIMIT);
    let squared = value * value;
    let polynomial = |factors: &[f32]| {
        let mut sum = factors[0];
        for factor in &factors[1..] {
            sum = sum.mul_add(squared, *factor);
        }
        sum
    };
    let odd = polynomial(&ODD) * value;
    let probability = odd / polynomial(&EVEN) + 0.5;
    // Cut below, but not above: ONNX Runtime's may be a little more than 1.
    if probability < 0.0 { 0.0 } else { probability }
}
