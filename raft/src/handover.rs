//! A node whose disk hangs must not lead: it hands over, and stands for no election meanwhile.
//!
//! The others can commit without the leader's disk, and its heartbeats need none, so nothing else
//! would take the office from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::log::Pending;
use crate::types::Core;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An heir that has not taken over by then is followed by the next one.
const TAKE_TIMEOUT: Duration = Duration::from_millis(700);
const TAKE_POLL: Duration = Duration::from_millis(10);

/// Whether the log has waited too long for its disk, and the index it waits for.
pub(crate) fn stalled(pending: &Pending, config: &Config) -> Option<u64> {
    let limit = Duration::from_millis(config.flush_stall_ms);
    pending.oldest().filter(|(waited, _)| *waited > limit).map(|(_, index)| index)
}

pub(crate) async fn run(
    core: Core,
    config: Arc<Config>,
    pending: Pending,
    mut stop: watch::Receiver<bool>,
) {
    let mut was_stalled = false;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let index = stalled(&pending, &config);
        if index.is_some() != was_stalled {
            was_stalled = index.is_some();
            // A vote could not be saved anyway; asking for votes would only disturb the others.
            core.runtime_config().elect(!was_stalled);
            tracing::warn!(stalled = was_stalled, "the disk under the log");
        }
        if let Some(index) = index {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = hand_over(&core, &config, index) => {}
            }
        }
    }
}

/// Tries the voters one after the other until this node leads no more.
async fn hand_over(core: &Core, config: &Config, index: u64) {
    for heir in heirs(core, config.node_id, index) {
        if !leads(core, config.node_id) {
            return;
        }
        tracing::warn!(heir, "handing the leadership over, for the disk here hangs");
        if core.trigger().transfer_leader(heir).await.is_err() {
            return;
        }
        let asked = Instant::now();
        while leads(core, config.node_id) && asked.elapsed() < TAKE_TIMEOUT {
            tokio::time::sleep(TAKE_POLL).await;
        }
    }
}

fn leads(core: &Core, node_id: u64) -> bool {
    core.metrics().borrow_watched().current_leader == Some(node_id)
}

/// Voters that have on disk what this node waits for, so their disks work; the one that has most
/// comes first. None if this node does not lead.
fn heirs(core: &Core, own: u64, index: u64) -> Vec<u64> {
    let metrics = core.metrics();
    let now = metrics.borrow_watched();
    let Some(replication) = now.replication.as_ref().filter(|_| now.current_leader == Some(own))
    else {
        return Vec::new();
    };
    let matched = now.membership_config.membership().voter_ids().filter_map(|id| {
        let matched = replication.get(&id).copied().flatten()?;
        Some((id, matched.index))
    });
    in_order(matched.collect(), own, index)
}

fn in_order(matched: BTreeMap<u64, u64>, own: u64, index: u64) -> Vec<u64> {
    let mut fit: Vec<_> =
        matched.into_iter().filter(|(id, has)| *id != own && *has >= index).collect();
    fit.sort_by_key(|(_, has)| std::cmp::Reverse(*has));
    fit.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::handle::Raft;
    use crate::member::Member;
    use crate::suite::Nothing;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn heirs_have_what_is_missing_here_and_the_fullest_log_first() {
        let matched = BTreeMap::from([(1, 9), (2, 7), (3, 8), (4, 5)]);
        assert_eq!(in_order(matched.clone(), 1, 7), [3, 2]);
        assert_eq!(in_order(matched, 1, 10), [0; 0]);
    }

    #[test]
    fn the_oldest_counts_until_it_is_answered() {
        let pending = Pending::default();
        assert_eq!(pending.oldest(), None);
        let first = pending.begin(5);
        let second = pending.begin(6);
        assert_eq!(pending.oldest().map(|(_, index)| index), Some(5));
        drop(first);
        assert_eq!(pending.oldest().map(|(_, index)| index), Some(6));
        drop(second);
        assert_eq!(pending.count(), 0);
    }

    async fn found(dir: &TempDir) -> BTreeMap<u64, Raft> {
        let mut nodes = BTreeMap::new();
        for node_id in 1..=3 {
            let dir = dir.path().join(node_id.to_string());
            // Long enough for a busy machine, whose disk may hang for a moment indeed.
            let config = Config { node_id, dir, flush_stall_ms: 1500, ..Config::default() };
            nodes.insert(node_id, Raft::start(config, Arc::new(Nothing)).await.unwrap());
        }
        let member = |raft: &Raft| Member::new(raft.local_addr().to_string());
        let members = nodes.iter().map(|(id, raft)| (*id, member(raft))).collect();
        nodes[&1].bootstrap(members).await.unwrap();
        nodes[&1].propose_within(Bytes::from_static(b"a"), LONG).await.unwrap();
        nodes
    }

    async fn leader_other_than(nodes: &BTreeMap<u64, Raft>, old: u64) -> u64 {
        let asked = nodes.values().find(|raft| raft.parts.config.node_id != old).unwrap();
        let mut leads = asked.leadership();
        let is_new = |now: &Option<u64>| now.is_some_and(|id| id != old);
        let found = tokio::time::timeout(LONG, leads.wait_for(is_new)).await.unwrap().unwrap();
        found.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_leader_whose_flush_is_not_answered_hands_over_and_is_not_elected_again() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = found(&dir).await;
        let old = leader_other_than(&nodes, 0).await;
        let hanging = nodes[&old].parts.hold.pending().begin(1);
        let hung = Instant::now();
        let new = leader_other_than(&nodes, old).await;
        let took = hung.elapsed();
        println!("handed over {took:?} after the disk hung, with a limit of 1.5 s");
        assert!(took > Duration::from_millis(1500), "{took:?}");
        assert!(took < Duration::from_millis(4500), "{took:?}");
        assert!(nodes[&old].status().log.flush_pending_ms >= 1500);
        nodes[&new].propose_within(Bytes::from_static(b"b"), LONG).await.unwrap();

        // It refuses to lead again, also when it is asked to.
        let asked = nodes[&new].transfer_leader(old).await;
        assert!(asked.is_err(), "{asked:?}");
        assert_ne!(leader_other_than(&nodes, 0).await, old);

        // With its disk back it may.
        drop(hanging);
        let works = async { while nodes[&new].transfer_leader(old).await.is_err() {} };
        tokio::time::timeout(LONG, works).await.unwrap();
        for raft in nodes.values() {
            raft.shutdown().await.unwrap();
        }
    }
}
