//! A network that swallows, and a state that fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::{Error, Member};

use crate::nodes::{Group, LONG, settings, start};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_swallows_everything_holds_nobody_up() {
    let mut group = Group::found(|_| {}).await;
    // A fourth voter behind a way that can be blocked.
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let proxy = Proxy::to(fourth.raft.local_addr()).await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    raft.add_learner(4, Member::new(proxy.address.to_string())).await.unwrap();
    raft.promote(4).await.unwrap();
    group.nodes.insert(4, fourth);
    group.settle().await;

    proxy.block(true);
    let blocked = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut serial = 0;
    while blocked.elapsed() < Duration::from_secs(6) {
        let asked = Instant::now();
        raft.propose_within(Bytes::from(format!("a/{serial}")), LONG).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        serial += 1;
    }
    assert!(slowest < Duration::from_secs(2), "a proposal took {slowest:?}");
    assert!(group.nodes[&4].machine.sum("a") < serial, "the block does block");

    proxy.block(false);
    group.settle().await;
    assert_eq!(group.nodes[&4].machine.sum("a"), serial);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_state_machine_is_reported_and_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(settings(&dir, 1)).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    node.raft.propose(Bytes::from_static(b"a/1")).await.unwrap();
    let asked = Instant::now();
    let refused = node.raft.propose(Bytes::from_static(b"panic")).await.unwrap_err();
    assert!(matches!(refused, Error::Fatal(_)), "{refused}");
    assert!(!refused.is_retryable());
    assert!(asked.elapsed() < Duration::from_secs(5), "it is known at once");
    let why = tokio::time::timeout(LONG, node.raft.failed()).await.unwrap();
    assert!(why.contains("state machine"), "{why}");
    let after = node.raft.propose(Bytes::from_static(b"a/2")).await.unwrap_err();
    assert!(matches!(after, Error::Fatal(_)), "{after}");
}
