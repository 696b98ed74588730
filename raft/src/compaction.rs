//! When to make a snapshot: after so many bytes or entries of log, or so much time with any, or when
//! somebody asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::adapter::Progress;
use crate::config::Config;
use crate::error::Error;
use crate::handle::Raft;
use crate::types::Core;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause after a snapshot that could not be made.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How often one who waits for a snapshot looks, and asks again: a request while another one is
/// being made is lost.
const WAIT_POLL: Duration = Duration::from_millis(20);
const ASK_AGAIN: u32 = 50;

impl Raft {
    /// Makes a snapshot of everything that is applied now, and returns its index once it is kept.
    pub async fn snapshot_within(&self, timeout: Duration) -> Result<u64, Error> {
        let status = self.status();
        let waiting = async {
            let mut looks = 0;
            loop {
                let now = self.status();
                if now.snapshot_index >= status.applied {
                    return Ok(now.snapshot_index);
                }
                if now.snapshot_failures > status.snapshot_failures {
                    let said = "the snapshot could not be written; the node's log says why";
                    return Err(Error::Refused(said.into()));
                }
                if looks % ASK_AGAIN == 0 {
                    self.snapshot_now().await?;
                }
                looks += 1;
                tokio::time::sleep(WAIT_POLL).await;
            }
        };
        tokio::time::timeout(timeout, waiting).await.unwrap_or(Err(Error::DeadlineExceeded {
            what: "a snapshot",
            waited_ms: timeout.as_millis() as u64,
        }))
    }
}

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
