//! What a simulated node runs on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use openraft::rt::deterministic_rng::DeterministicRng;

use super::disk::Disk;

/// openraft draws its election timeouts from the seed of the simulation.
pub(crate) type Runtime = DeterministicRng<openraft::impls::TokioRuntime>;

/// Runs everything below a future on one seed. A simulation polls it once, around all its hosts.
pub async fn seeded<F: Future>(seed: u64, future: F) -> F::Output {
    Runtime::scope(seed, future).await
}

/// The machine under one node; it outlives the node's crashes.
#[derive(Debug, Clone, Default)]
pub struct Host {
    pub disk: Disk,
    /// How far the host's clock is from the others'.
    pub skew_us: Arc<AtomicI64>,
}

impl Host {
    pub(crate) fn now_us(&self) -> i64 {
        let since = turmoil::since_epoch().unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX) + self.skew_us.load(Ordering::Relaxed)
    }
}
