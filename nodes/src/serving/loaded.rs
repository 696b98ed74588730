//! One version of one model in memory.

use super::{RowRules, Runs};
use features::FeatureView;
use models::{Digests, Loaded as Package, Manifest, Model};
use std::sync::Arc;

/// One version of one model, ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub(super) package: Package,
    pub(super) view: Option<Arc<FeatureView>>,
    pub(super) sha256: [u8; 32],
    pub(super) sha256_hex: String,
    pub(super) rules: RowRules,
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

    pub(crate) fn digests(&self) -> &Digests {
        &self.package.digests
    }

    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    pub fn sha256_hex(&self) -> &str {
        &self.sha256_hex
    }

    /// What becomes of a row with gaps.
    pub fn rules(&self) -> &RowRules {
        &self.rules
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
