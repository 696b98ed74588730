//! One version of one model in memory, and how often it ran.

use features::FeatureView;
use models::{Explainer, Explanation, Loaded as Package, Manifest, Method, Model};
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

    /// What each feature of a row added to its score.
    pub fn explain(&self, row: &[f32]) -> Result<Explanation, models::Error> {
        self.package.explain(row)
    }

    /// Whether an explanation costs little beside the row's other work: exact ones do.
    pub fn explains_exactly(&self) -> bool {
        let method = Explainer::method(&self.package.explainer);
        matches!(method, Some(Method::Linear | Method::TreeShap))
    }

    /// The space in which base and contributions of an explanation add up to the score.
    pub fn link(&self) -> &'static str {
        self.package.explainer.link(self.package.model.as_ref()).as_str()
    }

    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
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
