//! k-means and principal components: what the rows look like, without a label.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use linfa_linalg::eigh::{EigSort, EighInto};
use rand_chacha_linfa::ChaCha8Rng;
use rand_chacha_linfa::rand_core::SeedableRng;

use super::body::Body;
use super::family::Settings;
use super::fit::{Standard, failed};
use crate::Error;

const RUNS: usize = 10;
const ITERATIONS_MAX: u64 = 300;
const TOLERANCE: f64 = 1e-6;

pub(super) fn k_means(standard: &Standard, settings: &Settings) -> Result<Body, Error> {
    let draw = ChaCha8Rng::seed_from_u64(settings.seed);
    let fitted = KMeans::params_with_rng(settings.clusters, draw)
        .n_runs(RUNS)
        .max_n_iterations(ITERATIONS_MAX)
        .tolerance(TOLERANCE)
        .fit(&DatasetBase::from(standard.records.clone()))
        .map_err(failed)?;
    // The largest cluster is number 0.
    let sizes = fitted.cluster_count();
    let mut order: Vec<usize> = (0..settings.clusters).collect();
    order.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]).then(a.cmp(b)));
    Ok(Body::Centres(order.iter().flat_map(|at| fitted.centroids().row(*at).to_vec()).collect()))
}

/// By the eigenvectors of the correlations. linfa-reduction's own PCA is not used: without BLAS its
/// truncated decomposition stops early (it gave .33 and .10 of a variance of which .69 and .30 are right).
pub(super) fn pca(standard: &Standard, settings: &Settings) -> Result<Body, Error> {
    let records = &standard.records;
    let correlations = records.t().dot(records) / records.nrows() as f64;
    let total: f64 = correlations.diag().sum();
    if total <= 0.0 {
        return Err(failed("no feature varies"));
    }
    let (values, vectors) = correlations.eigh_into().map_err(failed)?.sort_eig_desc();
    let (mut components, mut explained) = (Vec::new(), Vec::new());
    for (value, vector) in values.iter().zip(vectors.columns()).take(settings.components) {
        components.extend(with_sign(vector.to_vec()));
        explained.push(value.max(0.0) / total);
    }
    Ok(Body::Plane { components, explained })
}

/// A component has no sign of its own: the entry that is largest without its sign is positive.
fn with_sign(mut component: Vec<f64>) -> Vec<f64> {
    let largest = component
        .iter()
        .copied()
        .fold(0.0_f64, |most, each| if each.abs() > most.abs() { each } else { most });
    if largest < 0.0 {
        for each in &mut component {
            *each = -*each;
        }
    }
    component
}
