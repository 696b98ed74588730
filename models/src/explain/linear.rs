//! Linear models: each feature adds its weight times its distance from the mean.

use crate::Error;

/// The means of the columns, summed in the order of the rows.
pub(super) fn means(rows: &[f32], width: usize) -> Vec<f64> {
    let mut means = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += f64::from(*value);
        }
    }
    let count = (rows.len() / width).max(1) as f64;
    for mean in &mut means {
        *mean /= count;
    }
    means
}

pub(super) fn base(weights: &[f64], means: &[f64], intercept: f64) -> f64 {
    weights.iter().zip(means).fold(intercept, |base, (weight, mean)| base + weight * mean)
}

pub(super) fn contributions(
    weights: &[f64],
    means: &[f64],
    row: &[f32],
) -> Result<Vec<f64>, Error> {
    if let Some(at) = row.iter().position(|value| !value.is_finite()) {
        return Err(Error::Tensor(format!(
            "feature {at} of the row is not a finite number; send a default instead"
        )));
    }
    let each = weights.iter().zip(means).zip(row);
    Ok(each.map(|((weight, mean), value)| weight * (f64::from(*value) - mean)).collect())
}
