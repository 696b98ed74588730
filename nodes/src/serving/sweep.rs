//! Package files that no version in the registry names: of pushes that were refused or never got into
//! the log. Those that one names stay, retired or not: a recorded decision is replayed by its file.

use crate::node::Node;
use crate::service::reach_level;
use raft::ReadLevel;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_hours(1);
/// How long a file may wait for the command that names it.
const AGE: Duration = Duration::from_hours(24);

/// Never ends. A node that does not hear from its leader removes nothing: it may not know a name yet.
pub(crate) async fn sweep_packages(node: Arc<Node>) {
    let mut turn = tokio::time::interval(EVERY);
    loop {
        turn.tick().await;
        if reach_level(&node, ReadLevel::Linearizable).await.is_err() {
            continue;
        }
        let named = node.machine().read().files();
        match node.raft().sweep_blobs(named, AGE).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "package files that no version names are removed"),
            Err(error) => tracing::warn!(%error, "old package files are not removed"),
        }
    }
}
