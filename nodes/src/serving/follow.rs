//! Keeps what is in memory in step with the replicated registry: fetches, validates and loads what may
//! come to answer, says so in the log, and lets go of what was retired.
//!
//! A version is loaded before its node says that it is ready, so that no later step waits for a file.

use super::{Loaded, ServingError};
use crate::checker::voters;
use crate::node::Node;
use crate::state::{Command, ModelRecord, ModelReport};
use crate::validator::Source;
use models::{Outcome, Package, Verdict};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// A node says its verdict again for so long; after that the registry is looked at anew.
const REPORT_ATTEMPTS: usize = 20;

type Key = (String, String);

/// What has to be done here, by one look at the registry.
#[derive(Default)]
struct Work {
    revision: u64,
    take_in: Vec<(Arc<ModelRecord>, Option<Verdict>)>,
    let_go: Vec<Key>,
}

/// Loads every version that the registry may let answer, and unloads the rest.
pub(crate) async fn follow_registry(node: Arc<Node>) {
    let mut applied = node.machine().watch_applied();
    let mut busy: BTreeSet<Key> = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut seen = None;
    loop {
        let work = look(&node, seen);
        for (name, version) in &work.let_go {
            node.serving().unload(name, version);
        }
        for (record, own) in work.take_in {
            let key = (record.name.clone(), record.version.clone());
            if busy.insert(key.clone()) {
                let node = Arc::clone(&node);
                tasks.spawn(async move {
                    let again = take_in(&node, &record, own).await.is_err();
                    if again {
                        tokio::time::sleep(RETRY).await;
                    }
                    key
                });
            }
        }
        seen = Some(work.revision);
        tokio::select! {
            Some(done) = tasks.join_next() => {
                match done {
                    Ok(key) => { busy.remove(&key); }
                    // Nobody knows whose task it was: all are looked at again.
                    Err(_) => busy.clear(),
                }
                seen = None;
            }
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

fn look(node: &Node, seen: Option<u64>) -> Work {
    let state = node.machine().read();
    let revision = state.registry.revision();
    let mut work = Work { revision, ..Work::default() };
    if seen == Some(revision) {
        return work;
    }
    let serving = node.serving();
    let own_word = serving.validator.checked_by();
    for record in state.models() {
        let Ok(known) = state.registry.version(&record.name, &record.version) else { continue };
        let loaded = serving.in_memory(&record.name, &record.version);
        let is_same = loaded
            .as_ref()
            .is_some_and(|loaded| loaded.digests().package == record.digests.package);
        if !known.status.is_live() || (loaded.is_some() && !is_same) {
            if loaded.is_some() || serving.failure(&record.name, &record.version).is_some() {
                work.let_go.push((record.name.clone(), record.version.clone()));
            }
            if !known.status.is_live() {
                continue;
            }
        }
        let own = known.verdicts.get(&node.id());
        let is_told = own.is_some_and(|own| {
            own.outcome == Outcome::Refused
                || (own.outcome == Outcome::Ready && own.checked_by == own_word)
        });
        let is_rejected = own.is_some_and(|own| own.outcome == Outcome::Refused);
        if is_rejected || (is_same && is_told) {
            continue;
        }
        work.take_in.push((Arc::clone(record), own.cloned()));
    }
    work
}

/// An error where it should be tried again.
async fn take_in(
    node: &Arc<Node>,
    record: &ModelRecord,
    own: Option<Verdict>,
) -> Result<(), ServingError> {
    let key = (record.name.clone(), record.version.clone());
    let outcome = look_and_load(node, record, own.as_ref()).await;
    let verdict = match outcome {
        Ok(verdict) => verdict,
        Err(error) => {
            not_ready(node, key, &error.to_string());
            return Err(error);
        }
    };
    if verdict.outcome == Outcome::Ready {
        node.serving().failed.write().remove(&key);
    } else {
        not_ready(node, key, &verdict.said);
    }
    let is_news = own.as_ref().is_none_or(|own| {
        own.outcome != verdict.outcome
            || own.checked_by != verdict.checked_by
            || own.said != verdict.said
    });
    if is_news {
        report(node, record, verdict.clone()).await?;
    }
    match verdict.outcome {
        Outcome::Unable => Err(ServingError::NotReady { said: verdict.said }),
        Outcome::Ready | Outcome::Refused => Ok(()),
    }
}

fn not_ready(node: &Node, key: Key, said: &str) {
    let (model, version) = key.clone();
    let before = node.serving().failed.write().insert(key, said.to_owned());
    if before.as_deref() != Some(said) {
        tracing::error!(model, version, error = said, "not ready");
    }
}

/// The verdict of this node; with a good one the version is in memory.
async fn look_and_load(
    node: &Arc<Node>,
    record: &ModelRecord,
    own: Option<&Verdict>,
) -> Result<Verdict, ServingError> {
    let serving = node.serving();
    let path = package_path(node, &record.blob).await?;
    let own_word = serving.validator.checked_by();
    // Found good by this program and library before; a restart need not look again.
    let known = own.filter(|own| own.outcome == Outcome::Ready && own.checked_by == own_word);
    let verdict = match known {
        Some(known) => known.clone(),
        None => serving.validate(record.blob, Source::File(path)).await,
    };
    if verdict.outcome == Outcome::Ready && !serving.is_loaded(&record.name, &record.version) {
        let loaded = Arc::new(bring_in(node, &record.blob).await?);
        let key = (record.name.clone(), record.version.clone());
        serving.loaded.write().insert(key, loaded);
        tracing::info!(model = record.name, version = record.version, "loaded");
    }
    Ok(verdict)
}

async fn package_path(node: &Node, blob: &[u8; 32]) -> Result<PathBuf, ServingError> {
    match node.raft().blob_path(blob) {
        Some(path) => Ok(path),
        None => node
            .raft()
            .fetch_blob(blob)
            .await
            .map_err(|error| ServingError::NotReady { said: error.to_string() }),
    }
}

/// A package by its content address, from this node's disk or a peer's, into memory.
pub(super) async fn bring_in(node: &Arc<Node>, blob: &[u8; 32]) -> Result<Loaded, ServingError> {
    let path = package_path(node, blob).await?;
    let serving = Arc::clone(node.serving());
    let node = Arc::clone(node);
    let work = move || {
        let bytes = std::fs::read(&path)
            .map_err(|error| ServingError::Failed(format!("{}: {error}", path.display())))?;
        let package = Package::from_bytes(&bytes)?;
        let manifest = package.manifest();
        let view = {
            let state = node.machine().read();
            let bound = state.views.of_model(&manifest.view, &manifest.name, &manifest.version);
            let fits = || state.views.fitting(&manifest.view, &manifest.entity, &manifest.features);
            bound.or_else(fits).cloned()
        };
        serving.load(&package, view)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ServingError::Failed(error.to_string())))
}

async fn report(
    node: &Arc<Node>,
    record: &ModelRecord,
    verdict: Verdict,
) -> Result<(), ServingError> {
    let command = Command::ReportModel(Box::new(ModelReport {
        name: record.name.clone(),
        version: record.version.clone(),
        blob: record.blob,
        node: node.id(),
        verdict,
        voters: voters(node),
    }));
    let mut last = String::new();
    for _ in 0..REPORT_ATTEMPTS {
        match node.propose(&command).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_retryable() => last = error.to_string(),
            Err(error) => return Err(ServingError::Failed(error.to_string())),
        }
    }
    Err(ServingError::NotReady { said: last })
}
