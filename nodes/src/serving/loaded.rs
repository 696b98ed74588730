//! One version of one model in memory, and how often it ran.

use crate::watch::Counter;
use features::FeatureView;
use models::{Loaded as Package, Manifest, Model};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Runs of one model on this node, as Triton's statistics count them.
#[derive(Debug, Default)]
pub struct Runs {
    pub success: AtomicU64,
    pub success_ns: AtomicU64,
    pub fail: AtomicU64,
    pub fail_ns: AtomicU64,
    pub rows: AtomicU64,
    pub last_ms: AtomicU64,
}

impl Runs {
    pub(crate) fn count(&self, begun: Instant, rows: u64, good: bool) {
        let ns = begun.elapsed().as_nanos() as u64;
        let (count, sum) =
            if good { (&self.success, &self.success_ns) } else { (&self.fail, &self.fail_ns) };
        count.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(ns, Ordering::Relaxed);
        if good {
            self.rows.fetch_add(rows, Ordering::Relaxed);
        }
        self.last_ms.store(crate::clock::now_us() as u64 / 1_000, Ordering::Relaxed);
    }
}

/// One version of one model, ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub(super) package: Package,
    pub(super) view: Option<Arc<FeatureView>>,
    pub(super) sha256: [u8; 32],
    pub(super) watch: Counter,
    pub runs: Runs,
}

impl Loaded {
    pub fn name(&self) -> &str {
        &self.package.manifest.name
    }

    pub fn version(&self) -> &str {
        &self.package.manifest.version
    }

    pub fn manifest(&self) -> &Manifest {
        &self.package.manifest
    }

    pub fn model(&self) -> &Arc<dyn Model> {
        &self.package.model
    }

    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// What is counted of its scores.
    pub fn watch(&self) -> &Counter {
        &self.watch
    }

    pub fn view(&self) -> Option<&Arc<FeatureView>> {
        self.view.as_ref()
    }

    /// What turned the score into a band.
    pub fn policy(&self) -> String {
        let bands: Vec<String> = self
            .manifest()
            .bands
            .iter()
            .map(|band| format!("{}>={}", band.name, band.min_score))
            .collect();
        format!("{} {} bands {}", self.name(), self.version(), bands.join(" "))
    }
}
