//! When to make a snapshot: after so many bytes or entries of log, or so much time with any.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::adapter::Progress;
use crate::config::Config;
use crate::types::Core;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause after a snapshot that could not be made.
const RETRY_AFTER: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    core: Core,
    config: Arc<Config>,
    progress: Arc<Progress>,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0;
    loop {
        let failed = progress.snapshot_failures.load(Ordering::Relaxed);
        let again = failed != failures;
        failures = failed;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(if again { RETRY_AFTER } else { LOOK_EVERY }) => {}
        }
        let bytes = progress.bytes.load(Ordering::Relaxed);
        let entries = progress.entries.load(Ordering::Relaxed);
        let limit = Duration::from_secs(config.snapshot_seconds);
        let late = !limit.is_zero() && entries > 0 && progress.since_snapshot() >= limit;
        let many = bytes >= config.snapshot_bytes || entries >= config.snapshot_entries;
        let due = again || late || many;
        // A request while one is being built changes nothing.
        if due && core.trigger().snapshot().await.is_err() {
            return;
        }
    }
}
