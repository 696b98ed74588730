//! A network that swallows, and a state that fails.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::{Error, Member};

use crate::nodes::{Group, LONG, eventually, settings, start};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_arrives_although_the_way_is_cut_again_and_again() {
    let mut group = Group::found(|config| config.keep_entries = 1).await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    // Noise, so that the snapshot is as large as it looks: 20 MB.
    let mut noise = 88_172_645_463_325_252_u64;
    for serial in 0..20 {
        let mut command = format!("n/{serial}-");
        while command.len() < 1 << 20 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            write!(command, "{noise:x}").unwrap();
        }
        raft.propose_within(command.into(), LONG).await.unwrap();
    }
    raft.snapshot_now().await.unwrap();
    eventually("the log is purged", || raft.status().purged > 10).await;

    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let proxy = Proxy::to(fourth.raft.local_addr()).await;
    raft.add_learner(4, Member::new(proxy.address.to_string())).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        proxy.cut();
    }
    group.nodes.insert(4, fourth);
    group.settle().await;
    assert!(group.nodes[&4].machine.state.lock().restored > 0);
    let left = std::fs::read_dir(group.nodes[&4].config.dir.join("snapshots")).unwrap();
    assert_eq!(left.count(), 1, "no half snapshot is left behind");
    group.shutdown().await;
}
