//! Keeps what is in memory in step with the replicated registry.

use super::{Loaded, ServingError};
use crate::node::Node;
use crate::state::ModelRecord;
use std::sync::Arc;
use std::time::Duration;

/// Pause before a model file that is not here yet is asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// Loads every version that the registry lets answer, and fetches files that are not here.
pub(crate) async fn follow_registry(node: Arc<Node>) {
    let mut applied = node.machine().watch_applied();
    loop {
        let wanted: Vec<ModelRecord> = {
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
            match bring_in(&node, &record.blob).await {
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

/// A package by its content address, from this node's disk or a peer's, into memory.
pub(super) async fn bring_in(node: &Arc<Node>, blob: &[u8; 32]) -> Result<Loaded, ServingError> {
    let path = match node.raft().blob_path(blob) {
        Some(path) => path,
        None => node
            .raft()
            .fetch_blob(blob)
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
