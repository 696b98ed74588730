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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use crate::config::Config;
    use crate::error::Error;
    use crate::handle::Raft;
    use crate::suite::Nothing;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_of_the_core_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { dir: dir.path().to_owned(), ..Config::default() };
        let raft = Raft::start(config, Arc::new(Nothing)).await.unwrap();
        drop(raft.parts.core.with_raft_state(|_| panic!("as the test wants")).await);
        let why = tokio::time::timeout(Duration::from_secs(10), raft.failed()).await.unwrap();
        assert!(why.contains("panicked"), "{why}");
        let refused = raft.propose(Bytes::from_static(b"a")).await;
        assert!(matches!(refused, Err(Error::Fatal(_))), "{refused:?}");
    }
}
