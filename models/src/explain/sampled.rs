//! Shapley values of any model by sampled orders of its features.
//!
//! For each order, a row starts as a reference row and takes one feature after the other from the
//! row that is explained; each feature is credited with the change of the score. The orders come in
//! pairs, one the reverse of the other, which halves the noise. The changes of an order telescope:
//! base and contributions add up to the score exactly, however few orders are drawn.

use super::SplitMix;
use crate::{Error, Model};

/// Orders that are drawn: a run of the model has `ORDERS * (features + 1)` rows.
pub(super) const ORDERS: usize = 64;
const SEED: u64 = 0x5eed_0f0a_11e5;
/// Rows of one run of the model.
const VALUES_MAX: usize = 1 << 20;

pub(super) fn explain(
    model: &dyn Model,
    reference: &[f32],
    row: &[f32],
) -> Result<(f64, Vec<f64>), Error> {
    let width = row.len();
    let references: Vec<&[f32]> = reference.chunks_exact(width).collect();
    let mut dice = SplitMix::new(SEED);
    let mut order: Vec<usize> = (0..width).collect();
    let (mut base, mut contributions) = (0.0, vec![0.0; width]);
    let mut scores = Vec::new();
    for number in 0..ORDERS {
        if number % 2 == 0 {
            dice.shuffle(&mut order);
        } else {
            order.reverse();
        }
        // Both orders of a pair start from the same reference row; the rows are spread evenly.
        let from = references[number / 2 * references.len() / (ORDERS / 2)];
        steps(model, from, row, &order, &mut scores)?;
        base += f64::from(scores[0]);
        for (feature, pair) in order.iter().zip(scores.windows(2)) {
            contributions[*feature] += f64::from(pair[1]) - f64::from(pair[0]);
        }
    }
    for contribution in &mut contributions {
        *contribution /= ORDERS as f64;
    }
    Ok((base / ORDERS as f64, contributions))
}

/// The scores on the way from one row to the other, `features + 1` of them.
fn steps(
    model: &dyn Model,
    from: &[f32],
    to: &[f32],
    order: &[usize],
    scores: &mut Vec<f32>,
) -> Result<(), Error> {
    let width = from.len();
    let at_once = (VALUES_MAX / width).max(1);
    let mut now = from.to_vec();
    let mut rows = now.clone();
    let mut part = Vec::new();
    scores.clear();
    for (done, feature) in order.iter().enumerate() {
        now[*feature] = to[*feature];
        rows.extend_from_slice(&now);
        if rows.len() / width >= at_once || done + 1 == width {
            model.score_into(&rows, rows.len() / width, &mut part)?;
            scores.extend_from_slice(&part);
            rows.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, TensorSpec};

    /// `x0 + 2 x1 + x1 x2`.
    #[derive(Debug)]
    struct Product;

    impl Model for Product {
        fn inputs(&self) -> &[TensorSpec] {
            &[]
        }

        fn outputs(&self) -> &[TensorSpec] {
            &[]
        }

        fn infer(&self, _: &[Tensor], _: &[String]) -> Result<Vec<Tensor>, Error> {
            Ok(Vec::new())
        }

        fn score(&self, rows: &[f32], _: usize) -> Result<Vec<f32>, Error> {
            Ok(rows.chunks(3).map(|row| row[0] + 2.0 * row[1] + row[1] * row[2]).collect())
        }

        fn has_score(&self) -> bool {
            true
        }

        fn features(&self) -> usize {
            3
        }

        fn engine(&self) -> &'static str {
            "test"
        }
    }

    /// Orders in pairs are exact for products of two features.
    #[test]
    fn a_product_is_shared_by_its_factors() {
        let (base, contributions) = explain(&Product, &[0.0; 3], &[1.0, 2.0, 3.0]).unwrap();
        assert!(base.abs() < 1e-9);
        for (got, want) in contributions.iter().zip([1.0, 7.0, 3.0]) {
            assert!((got - want).abs() < 1e-9, "{contributions:?}");
        }
        let again = explain(&Product, &[0.0; 3], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(again, (base, contributions));
    }
}
