//! One version of one model in memory.

use super::{RowRules, Runs};
use crate::watch::Counter;
use features::FeatureView;
use models::{Digests, Explainer, Explanation, Loaded as Package, Manifest, Method, Model};
use std::sync::Arc;

/// One version of one model, ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub(super) package: Package,
    pub(super) view: Option<Arc<FeatureView>>,
    pub(super) sha256: [u8; 32],
    pub(super) sha256_hex: String,
    pub(super) rules: RowRules,
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

    /// `n` rows of features as the inputs of the model's own file.
    pub(crate) fn inputs_of(
        &self,
        rows: &[f32],
        n: usize,
    ) -> Result<Vec<models::Tensor>, models::Error> {
        self.package.inputs_of(rows, n)
    }

    /// The rows of features that inputs of the model's own file hold.
    pub(crate) fn rows_of(&self, inputs: &[models::Tensor]) -> Option<Vec<f32>> {
        self.package.rows_of(inputs)
    }

    pub fn model(&self) -> &Arc<dyn Model> {
        &self.package.model
    }

    pub(crate) fn digests(&self) -> &Digests {
        &self.package.digests
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

    /// What is counted of its scores.
    pub fn watch(&self) -> &Counter {
        &self.watch
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
