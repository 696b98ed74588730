//! Follows the core: who leads, and whether it is still alive.

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use tokio::sync::watch;

use crate::types::Core;

/// Runs until the core ends. A core that ends without having been told to has failed.
pub(crate) async fn follow(
    core: Core,
    leader: watch::Sender<Option<u64>>,
    failed: watch::Sender<Option<String>>,
    stop: watch::Receiver<bool>,
) {
    let mut metrics = core.metrics();
    let why = loop {
        let (leads, state) = {
            let now = metrics.borrow_watched();
            (now.current_leader, now.running_state.clone())
        };
        leader.send_if_modified(|known| {
            let changed = *known != leads;
            *known = leads;
            changed
        });
        match state {
            Ok(()) => {}
            Err(Fatal::Stopped) if *stop.borrow() => break None,
            Err(fatal) => break Some(fatal.to_string()),
        }
        if metrics.changed().await.is_err() {
            let told = *stop.borrow();
            break (!told).then(|| "panicked".to_owned());
        }
    };
    leader.send_replace(None);
    if let Some(why) = why {
        tracing::error!(%why, "the consensus core has died");
        failed.send_replace(Some(why));
    }
}
