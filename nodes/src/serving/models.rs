//! The models of a node, and scores by entity.

use super::{Loaded, Row, Runs, Scored, ServingError};
use crate::state::{DecisionRecord, State};
use crate::views;
use features::{EntityKind, FeatureView};
use models::{Manifest, Missing, Repository, Runtime};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The models of this node.
#[derive(Debug)]
pub struct Serving {
    repository: Result<Repository, models::Error>,
    runtime: Result<Runtime, models::Error>,
    pub(super) loaded: RwLock<BTreeMap<(String, String), Arc<Loaded>>>,
    /// Why a version of the registry is not loaded here.
    pub(super) failed: RwLock<BTreeMap<(String, String), String>>,
}

impl Serving {
    /// Never fails: what is missing is said by every call that needs it, and the rest goes on.
    /// Without `own_evaluator` ONNX Runtime alone evaluates models.
    pub fn open(folder: &Path, library: &Path, own_evaluator: bool) -> Self {
        let runtime = Runtime::load(library);
        let runtime =
            if own_evaluator { runtime } else { runtime.map(Runtime::without_own_evaluator) };
        if let Err(error) = &runtime {
            tracing::error!(%error, "models are not served");
        }
        Self {
            repository: Repository::open(folder),
            runtime,
            loaded: RwLock::default(),
            failed: RwLock::default(),
        }
    }

    pub fn runtime(&self) -> Result<&Runtime, ServingError> {
        self.runtime.as_ref().map_err(|error| error.clone().into())
    }

    /// The version that answers: the one named, or the active one.
    pub fn resolve(
        &self,
        state: &State,
        name: &str,
        version: &str,
    ) -> Result<Arc<Loaded>, ServingError> {
        let version = state.registry.resolve(name, version)?;
        let key = (name.to_owned(), version.version.clone());
        if let Some(loaded) = self.loaded.read().get(&key) {
            return Ok(Arc::clone(loaded));
        }
        let why = self
            .failed
            .read()
            .get(&key)
            .cloned()
            .unwrap_or_else(|| "its file is on the way".to_owned());
        Err(ServingError::NotReady {
            said: format!("model {name} {} is not ready on this node: {why}", key.1),
        })
    }

    pub fn is_loaded(&self, name: &str, version: &str) -> bool {
        self.loaded.read().contains_key(&(name.to_owned(), version.to_owned()))
    }

    pub fn failure(&self, name: &str, version: &str) -> Option<String> {
        self.failed.read().get(&(name.to_owned(), version.to_owned())).cloned()
    }

    pub fn all_loaded(&self) -> Vec<Arc<Loaded>> {
        self.loaded.read().values().cloned().collect()
    }

    /// The loaded active models over an entity kind, by name.
    pub fn active_for(&self, state: &State, entity: &str) -> Vec<Arc<Loaded>> {
        let names: Vec<&str> = state.registry.names().collect();
        names
            .into_iter()
            .filter_map(|name| self.resolve(state, name, "").ok())
            .filter(|loaded| loaded.view.is_some() && loaded.manifest().entity == entity)
            .collect()
    }

    /// The row of the model's view for an entity, by the manifest's policy for what is missing.
    pub fn read_row(
        &self,
        state: &State,
        loaded: &Loaded,
        entity: &str,
    ) -> Result<Row, ServingError> {
        let Some(view) = loaded.view() else {
            let said = format!(
                "model {} has no feature view: send its features, not an entity",
                loaded.name()
            );
            return Err(ServingError::Invalid(said));
        };
        let vector = state.features.read(view, entity, state.clock_us, &state.rows.reader());
        if !vector.is_found() {
            let (kind, entity) = (view.entity().as_str().to_owned(), entity.to_owned());
            return Err(ServingError::UnknownEntity { kind, entity });
        }
        if loaded.manifest().missing == Missing::Refuse {
            let features: Vec<String> = vector.missing().map(str::to_owned).collect();
            if !features.is_empty() {
                return Err(ServingError::Missing { model: loaded.name().to_owned(), features });
            }
        }
        Ok(Row { entity: entity.to_owned(), vector, log_index: state.applied })
    }

    pub fn score_row(
        &self,
        loaded: &Loaded,
        row: Row,
        explain: bool,
    ) -> Result<Scored, ServingError> {
        let begun = Instant::now();
        let scores = loaded.model().score(&row.vector.values, 1);
        loaded.runs.count(begun, 1, scores.is_ok());
        let score = scores?.first().map(|score| f64::from(*score));
        let score =
            score.ok_or_else(|| ServingError::Failed("the model gave no score".to_owned()))?;
        let mut scored = Scored {
            score,
            band: loaded.manifest().band(score).unwrap_or_default().to_owned(),
            base: 0.0,
            link: "",
            contributions: Vec::new(),
            unexplained: None,
            log_index: row.log_index,
            row,
        };
        if explain {
            scored.explain(loaded)?;
        }
        Ok(scored)
    }

    /// The recorded features through the recorded version again.
    pub fn replay(&self, record: &DecisionRecord) -> Result<f64, ServingError> {
        let key = (record.model.clone(), record.version.clone());
        let loaded = self.loaded.read().get(&key).cloned();
        let loaded = loaded.ok_or_else(|| ServingError::NotReady {
            said: format!("model {} {} is not on this node", record.model, record.version),
        })?;
        if crate::hex::encode(&loaded.sha256) != record.model_sha256 {
            let said = format!(
                "model {} {} has another file than the decision was made with",
                record.model, record.version
            );
            return Err(ServingError::Failed(said));
        }
        let row: Vec<f32> = record.features.iter().map(|(_, value, ..)| *value).collect();
        let scores = loaded.model().score(&row, 1)?;
        scores
            .first()
            .map(|score| f64::from(*score))
            .ok_or_else(|| ServingError::Failed("the model gave no score".to_owned()))
    }

    /// Checks a package as it would be served; called before it is let into the registry.
    pub fn validate(&self, package: &models::Package) -> Result<models::Validation, ServingError> {
        let manifest = package.manifest();
        if !manifest.view.is_empty() {
            let Some(view) = views::find(&manifest.view) else {
                let known: Vec<&str> = views::all().iter().map(|view| view.name()).collect();
                let said = format!(
                    "manifest.toml: unknown view {:?}: one of {}",
                    manifest.view,
                    known.join(", ")
                );
                return Err(ServingError::Invalid(said));
            };
            check_view(manifest, view)?;
        }
        models::validate(self.runtime()?, package).map_err(|error| {
            match ServingError::from(error) {
                ServingError::Failed(said) => ServingError::Invalid(said),
                other => other,
            }
        })
    }

    pub(super) fn load(&self, package: &models::Package) -> Result<Loaded, ServingError> {
        let repository =
            self.repository.as_ref().map_err(|error| ServingError::from(error.clone()))?;
        repository.store(package)?;
        let manifest = package.manifest();
        let package = repository.load(
            self.runtime()?,
            &manifest.name,
            &manifest.version,
            &package.digests(),
        )?;
        let sha256 = crate::hex::decode32(&package.digests.model).unwrap_or_default();
        let view = views::find(&package.manifest.view).cloned();
        Ok(Loaded { package, view, sha256, runs: Runs::default() })
    }
}

/// A model reads a view's features by name and order.
fn check_view(manifest: &Manifest, view: &FeatureView) -> Result<(), ServingError> {
    let names: Vec<&str> = view.features().iter().map(|feature| feature.name.as_str()).collect();
    if view.entity() != manifest.entity.parse().unwrap_or(EntityKind::Resident)
        || names != manifest.features
    {
        let said = format!(
            "manifest.toml: view {} is of entity {} with features {}: name the same ones in the same order",
            manifest.view,
            view.entity().as_str(),
            names.join(", ")
        );
        return Err(ServingError::Invalid(said));
    }
    Ok(())
}
