//! Models that are in memory, the rows they read, and the scores that come out.

use crate::node::Node;
use crate::proto::hearth::{Contribution, ScoreResponse};
use crate::state::{DecisionRecord, State};
use crate::views;
use features::{EntityKind, FeatureVector, FeatureView};
use models::{Loaded as Package, Manifest, Missing, Model, Repository, Runtime};
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The space in which `base` and contributions add up to the score.
const LINK: &str = "logit";
/// Pause before a model file that is not here yet is asked for again.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, thiserror::Error)]
pub enum ServingError {
    #[error("{said}")]
    NotFound { said: String },
    #[error("{said}")]
    NotReady { said: String },
    #[error("{entity:?} is no {kind} that the registers or events know")]
    UnknownEntity { kind: String, entity: String },
    #[error("{model} is not run with missing features, by its manifest: {}", features.join(", "))]
    Missing { model: String, features: Vec<String> },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

impl From<models::Error> for ServingError {
    fn from(error: models::Error) -> Self {
        let said = error.to_string();
        match error {
            models::Error::NotFound(_) => Self::NotFound { said },
            models::Error::Illegal(_) | models::Error::Runtime { .. } => Self::NotReady { said },
            models::Error::Tensor(_) | models::Error::NoScore(_) | models::Error::Limit(_) => {
                Self::Invalid(said)
            }
            _ => Self::Failed(said),
        }
    }
}

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
    package: Package,
    view: Option<Arc<FeatureView>>,
    sha256: [u8; 32],
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

/// A row as a model reads it, with what is known about each value.
#[derive(Clone, Debug)]
pub struct Row {
    pub entity: String,
    pub vector: FeatureVector,
    pub log_index: u64,
}

impl Row {
    /// Hash over the view and the values' bits.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.vector.fingerprint.as_bytes());
        for value in &self.vector.values {
            hash.update(value.to_bits().to_le_bytes());
        }
        crate::hex::encode(&hash.finalize()[..16])
    }
}

/// A score with everything it was made from.
#[derive(Clone, Debug)]
pub struct Scored {
    pub row: Row,
    pub score: f64,
    pub band: String,
    pub base: f64,
    /// Feature, value, contribution; empty where none were asked for or the model has no exact ones.
    pub contributions: Vec<(String, f64, f64)>,
    pub log_index: u64,
}

impl Scored {
    pub fn to_message(&self, loaded: &Loaded) -> ScoreResponse {
        let reason = |feature: &str| {
            loaded
                .manifest()
                .reasons
                .get(feature)
                .map(|reason| format!("{} / {}", reason.zh, reason.en))
        };
        ScoreResponse {
            entity: self.row.entity.clone(),
            model: loaded.name().to_owned(),
            version: loaded.version().to_owned(),
            model_sha256: loaded.sha256.to_vec(),
            score: self.score,
            band: self.band.clone(),
            contributions: self
                .contributions
                .iter()
                .map(|(feature, value, contribution)| Contribution {
                    reason: reason(feature).unwrap_or_default(),
                    feature: feature.clone(),
                    value: *value,
                    contribution: *contribution,
                })
                .collect(),
            base: self.base,
            link: if self.contributions.is_empty() {
                String::new()
            } else {
                LINK.to_owned()
            },
            log_index: self.log_index,
            oldest_feature_us: self.row.vector.oldest_us().unwrap_or(0),
            missing_features: self.row.vector.missing().map(str::to_owned).collect(),
            decision_id: String::new(),
            error: String::new(),
        }
    }

    pub fn to_record(&self, loaded: &Loaded) -> DecisionRecord {
        let vector = &self.row.vector;
        let readings = vector
            .names
            .iter()
            .zip(&vector.values)
            .zip(&vector.event_times_us)
            .zip(&vector.statuses);
        DecisionRecord {
            entity: self.row.entity.clone(),
            model: loaded.name().to_owned(),
            version: loaded.version().to_owned(),
            model_sha256: crate::hex::encode(&loaded.sha256),
            score: self.score,
            band: self.band.clone(),
            base: self.base,
            link: LINK.to_owned(),
            contributions: self.contributions.clone(),
            features: readings
                .map(|(((name, value), time_us), status)| {
                    (name.clone(), *value, *time_us, status.as_str().to_owned())
                })
                .collect(),
            read_index: self.log_index,
            ..DecisionRecord::default()
        }
    }
}

/// The models of this node.
#[derive(Debug)]
pub struct Serving {
    repository: Result<Repository, models::Error>,
    runtime: Result<Runtime, models::Error>,
    loaded: RwLock<BTreeMap<(String, String), Arc<Loaded>>>,
    /// Why a version of the registry is not loaded here.
    failed: RwLock<BTreeMap<(String, String), String>>,
}

impl Serving {
    /// Never fails: what is missing is said by every call that needs it, and the rest goes on.
    pub fn open(folder: &Path, library: &Path) -> Self {
        let runtime = Runtime::load(library);
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
        let vector = state.features.read(view, entity, state.clock_us, &state.rows);
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
        let explained =
            if explain { loaded.model().contributions(&row.vector.values) } else { None };
        let (base, parts) = explained.unwrap_or_default();
        let contributions = row.vector.names.iter().zip(&row.vector.values).zip(parts);
        Ok(Scored {
            score,
            band: loaded.manifest().band(score).unwrap_or_default().to_owned(),
            base,
            contributions: contributions
                .map(|((name, value), part)| (name.clone(), f64::from(*value), part))
                .collect(),
            log_index: row.log_index,
            row,
        })
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

    fn load(&self, package: &models::Package) -> Result<Loaded, ServingError> {
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

/// Loads every version that the registry lets answer, and fetches files that are not here.
pub(crate) async fn follow_registry(node: Arc<Node>) {
    let mut applied = node.machine().watch_applied();
    loop {
        let wanted: Vec<crate::state::ModelRecord> = {
            let state = node.machine().read();
            let serving = node.serving();
            let missing =
                state.models().filter(|record| !serving.is_loaded(&record.name, &record.version));
            missing
                .filter(|record| state.registry.resolve(&record.name, &record.version).is_ok())
                .cloned()
                .collect()
        };
        let mut failed = false;
        for record in wanted {
            let key = (record.name.clone(), record.version.clone());
            match bring_in(&node, &record).await {
                Ok(loaded) => {
                    tracing::info!(model = record.name, version = record.version, "loaded");
                    node.serving().failed.write().remove(&key);
                    node.serving().loaded.write().insert(key, Arc::new(loaded));
                }
                Err(error) => {
                    failed = true;
                    let said = error.to_string();
                    let before = node.serving().failed.write().insert(key, said.clone());
                    if before.as_ref() != Some(&said) {
                        tracing::error!(
                            model = record.name,
                            version = record.version,
                            error = said,
                            "not ready"
                        );
                    }
                }
            }
        }
        if failed {
            tokio::time::sleep(RETRY).await;
        } else if applied.changed().await.is_err() {
            return;
        }
    }
}

async fn bring_in(
    node: &Arc<Node>,
    record: &crate::state::ModelRecord,
) -> Result<Loaded, ServingError> {
    let path = match node.raft().blob_path(&record.blob) {
        Some(path) => path,
        None => node
            .raft()
            .fetch_blob(&record.blob)
            .await
            .map_err(|error| ServingError::NotReady { said: error.to_string() })?,
    };
    let serving = Arc::clone(node.serving());
    let work = move || {
        let bytes = std::fs::read(&path)
            .map_err(|error| ServingError::Failed(format!("{}: {error}", path.display())))?;
        serving.load(&models::Package::from_bytes(&bytes)?)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ServingError::Failed(error.to_string())))
}
