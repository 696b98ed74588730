//! Versions for replays: a decision is run again by the very file that made it, long retired or not.

use super::follow::bring_in;
use super::{Loaded, ServingError};
use crate::node::Node;
use crate::state::DecisionRecord;
use std::collections::VecDeque;
use std::sync::Arc;

/// Versions kept in memory only because a decision of theirs was replayed.
const KEPT: usize = 4;

/// The versions replayed last, the newest first.
#[derive(Debug, Default)]
pub(super) struct Archive {
    kept: VecDeque<Arc<Loaded>>,
}

impl Archive {
    fn find(&mut self, sha256: &str) -> Option<Arc<Loaded>> {
        let at = self.kept.iter().position(|each| each.sha256_hex() == sha256)?;
        let found = self.kept.remove(at)?;
        self.kept.push_front(Arc::clone(&found));
        Some(found)
    }

    fn keep(&mut self, loaded: Arc<Loaded>) {
        self.kept.push_front(loaded);
        self.kept.truncate(KEPT);
    }
}

/// What running a decision again gave.
#[derive(Debug)]
pub struct Replayed {
    pub score: f64,
    pub band: String,
    pub base: f64,
    pub contributions: Vec<f64>,
}

/// The version that made a decision: in memory, or fetched from where packages are kept.
pub(crate) async fn version_of(
    node: &Arc<Node>,
    record: &DecisionRecord,
) -> Result<Arc<Loaded>, ServingError> {
    let serving = node.serving();
    let served = serving.in_memory(&record.model, &record.version);
    if let Some(loaded) = served.filter(|loaded| loaded.sha256_hex() == record.model_sha256) {
        return Ok(loaded);
    }
    if let Some(loaded) = serving.archive.lock().find(&record.model_sha256) {
        return Ok(loaded);
    }
    let blob = crate::hex::decode32(&record.package_sha256).ok_or_else(|| {
        ServingError::Failed(format!("decision {} names no package", record.decision_id))
    })?;
    let loaded = Arc::new(bring_in(node, &blob).await?);
    if loaded.sha256_hex() != record.model_sha256 {
        let said = format!(
            "the package of model {} {} has another model file than the decision was made with",
            record.model, record.version
        );
        return Err(ServingError::Failed(said));
    }
    serving.archive.lock().keep(Arc::clone(&loaded));
    Ok(loaded)
}

/// The recorded features through the recorded version again.
pub(crate) fn replay(loaded: &Loaded, record: &DecisionRecord) -> Result<Replayed, ServingError> {
    let row: Vec<f32> = record.features.iter().map(|reading| reading.value).collect();
    let scores = loaded.model().score(&row, 1)?;
    let score = scores
        .first()
        .map(|score| f64::from(*score))
        .ok_or_else(|| ServingError::Failed("the model gave no score".to_owned()))?;
    let (mut base, mut contributions) = (0.0, Vec::new());
    if !record.contributions.is_empty() {
        let explained = loaded.explain(&row)?;
        (base, contributions) = (explained.base, explained.contributions);
    }
    let band = loaded.manifest().band(score).unwrap_or_default().to_owned();
    Ok(Replayed { score, band, base, contributions })
}
