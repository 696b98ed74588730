//! The models of a node, and scores by entity.

use super::archive::Archive;
use super::rows::no_view;
use super::{Loaded, Routed, Row, RowRules, Runs, Scored, ServingError, Shadows};
use crate::state::{State, Views};
use crate::validator::{Source, Validator, ValidatorLimits};
use crate::watch::{self, Counter, Groups};
use features::{Asked, EntityKind, FeatureVector, FeatureView};
use models::{Manifest, Outcome, Repository, Runtime, Verdict};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::io::Read as _;
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
    pub(super) archive: Mutex<Archive>,
    groups: Groups,
    pub(super) validator: Validator,
    /// What this node has found, by package: who took a push need not look again.
    verdicts: Mutex<BTreeMap<[u8; 32], Verdict>>,
    pub shadows: Shadows,
}

/// The longest document that is shown, in bytes; the package has it whole.
const DOCUMENT_BYTES_MAX: u64 = 64 * 1024;
/// Verdicts kept for a short while.
const VERDICTS_MAX: usize = 256;

impl Serving {
    /// Never fails: what is missing is said by every call that needs it, and the rest goes on.
    /// With the library comes whether our own evaluator may take models over from it.
    pub fn open(
        folder: &Path,
        (library, own_evaluator): (&Path, bool),
        groups: Groups,
        limits: ValidatorLimits,
    ) -> Self {
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
            archive: Mutex::default(),
            groups,
            validator: Validator::new(library, limits),
            verdicts: Mutex::default(),
            shadows: Shadows::default(),
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
        self.find(name, &state.registry.resolve(name, version)?.version)
    }

    /// A version that is in memory, or why it is not.
    pub(super) fn find(&self, name: &str, version: &str) -> Result<Arc<Loaded>, ServingError> {
        let key = (name.to_owned(), version.to_owned());
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

    /// The groups of people that scores are counted by.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn in_memory(&self, name: &str, version: &str) -> Option<Arc<Loaded>> {
        self.loaded.read().get(&(name.to_owned(), version.to_owned())).cloned()
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

    /// The loaded active models over an entity kind, with what stands beside each, by name.
    pub fn active_for(&self, state: &State, entity: &str) -> Vec<Routed> {
        let names: Vec<&str> = state.registry.names().collect();
        names
            .into_iter()
            .filter_map(|name| self.route(state, name, "").ok())
            .filter(|routed| {
                let stable = routed.stable();
                stable.view.is_some() && stable.manifest().entity == entity
            })
            .collect()
    }

    /// The row of the model's view for an entity, by the manifest's policy for what is missing.
    pub fn read_row(
        &self,
        state: &State,
        loaded: &Loaded,
        (entity, request): (&str, &[Option<f64>]),
    ) -> Result<Row, ServingError> {
        let view = loaded.view().ok_or_else(|| no_view(loaded))?;
        let rows = state.registers();
        let asked = Asked { key: entity, as_of_us: state.clock_us, rows, request };
        let mut vector = state.features.read_asked(view, &asked);
        if !vector.is_found() {
            let (kind, entity) = (view.entity().as_str().to_owned(), entity.to_owned());
            return Err(ServingError::UnknownEntity { kind, entity });
        }
        let FeatureVector { values, statuses, event_times_us, as_of_us, .. } = &mut vector;
        if loaded.rules().keep(values, statuses, event_times_us, *as_of_us).is_refused {
            let features = loaded.rules().refused(view.names(), statuses);
            let features = features.map(str::to_owned).collect();
            let (model, entity) = (loaded.name().to_owned(), entity.to_owned());
            return Err(ServingError::Missing { model, entity, features });
        }
        let groups = self.groups.of(state, loaded, entity);
        Ok(Row { entity: entity.to_owned(), vector, log_index: state.applied, groups })
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
        let (values, statuses) = (&row.vector.values, &row.vector.statuses);
        loaded.watch().observe(values, statuses, score, row.groups);
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

    /// Checks a package as it would be served, in a process of its own; called before it is let into
    /// the registry, and by every node for itself. An error is about this node.
    pub(crate) async fn validate(&self, blob: [u8; 32], source: Source) -> Verdict {
        let known = self.verdicts.lock().get(&blob).cloned();
        if let Some(known) = known {
            return known;
        }
        let verdict = match self.runtime() {
            Ok(_) => self.validator.validate(source).await,
            Err(error) => Verdict {
                outcome: Outcome::Unable,
                said: error.to_string(),
                checked_by: self.validator.checked_by(),
                golden_rows: 0,
                took_ms: 0,
                row_ns: 0,
                at_us: 0,
            },
        };
        // A refusal is looked at again: the machine may have been busy.
        if verdict.outcome == Outcome::Ready {
            let mut verdicts = self.verdicts.lock();
            if verdicts.len() >= VERDICTS_MAX {
                verdicts.clear();
            }
            verdicts.insert(blob, verdict.clone());
        }
        verdict
    }

    /// Whether the manifest names a view of ours as it is.
    pub(crate) fn check_manifest(manifest: &Manifest, views: &Views) -> Result<(), ServingError> {
        if manifest.view.is_empty() {
            return Ok(());
        }
        if views.fitting(&manifest.view, &manifest.entity, &manifest.features).is_some() {
            return Ok(());
        }
        let Some(view) = views.current(&manifest.view) else {
            let known: Vec<&str> = views.all_current().map(|view| view.name()).collect();
            let said = format!(
                "manifest.toml: unknown view {:?}: one of {}",
                manifest.view,
                known.join(", ")
            );
            return Err(ServingError::Invalid(said));
        };
        check_view(manifest, view)
    }

    pub(super) fn load(
        &self,
        package: &models::Package,
        view: Option<Arc<FeatureView>>,
    ) -> Result<Loaded, ServingError> {
        let repository =
            self.repository.as_ref().map_err(|error| ServingError::from(error.clone()))?;
        let manifest = package.manifest();
        match &view {
            Some(view) => check_view(manifest, view)?,
            None if manifest.view.is_empty() => {}
            None => {
                let said = format!("no version of view {} has its features", manifest.view);
                return Err(ServingError::Invalid(said));
            }
        }
        repository.store(package)?;
        let digests = package.digests();
        let files = package;
        let package =
            repository.load(self.runtime()?, &manifest.name, &manifest.version, &digests)?;
        let sha256 = crate::hex::decode32(&package.digests.model).unwrap_or_default();
        let rules = view.as_ref().map(|view| RowRules::of(&package.manifest, view));
        let (sha256_hex, rules) = (package.digests.model.clone(), rules.unwrap_or_default());
        let watch = watch_of(files, &package);
        Ok(Loaded { package, view, sha256, sha256_hex, rules, watch, runs: Runs::default() })
    }

    /// What stays in memory ends with the calls that use it.
    pub(super) fn unload(&self, name: &str, version: &str) {
        let key = (name.to_owned(), version.to_owned());
        self.failed.write().remove(&key);
        if self.loaded.write().remove(&key).is_some() {
            tracing::info!(model = name, version, "unloaded");
        }
        if let Ok(repository) = &self.repository
            && let Err(error) = repository.remove(name, version)
        {
            tracing::warn!(model = name, version, %error, "its unpacked files stay");
        }
    }

    /// A small file of a stored package, such as its card.
    pub(crate) fn document(&self, name: &str, version: &str, file: &str) -> Option<String> {
        let path = self.repository.as_ref().ok()?.folder().join(name).join(version).join(file);
        let read = std::fs::File::open(path).ok()?;
        let mut bytes = Vec::new();
        read.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What its scores are counted by.
fn watch_of(files: &models::Package, loaded: &models::Loaded) -> Counter {
    let reference = watch::of_package(files, loaded.model.as_ref());
    let manifest = &loaded.manifest;
    Counter::new(&manifest.features, watch::selected_min(manifest), reference)
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
