//! Snapshots, purged logs, and nodes that were away for long.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use raft::Config;

use crate::nodes::{Group, LONG, eventually, settings, start};

fn eager(config: &mut Config) {
    config.snapshot_entries = 50;
    config.keep_entries = 10;
}

async fn fill(group: &Group, name: &str, count: u64) {
    let leader = group.leader().await;
    for serial in 0..count {
        let command = Bytes::from(format!("{name}/{serial}"));
        group.raft(leader).propose(command).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_catches_up_by_snapshot() {
    let mut group = Group::found(eager).await;
    fill(&group, "a", 5).await;
    let away = group.follower().await;
    let seen = group.raft(away).status().last_log_index;
    group.stop(away).await;
    fill(&group, "b", 200).await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    eventually("the log is purged", || raft.status().purged > seen + 20).await;
    group.restart(away).await;
    group.settle().await;
    let node = &group.nodes[&away];
    assert_eq!((node.machine.sum("a"), node.machine.sum("b")), (5, 200));
    assert!(node.machine.state.lock().restored > seen, "it came as a snapshot");

    // And it lasts.
    group.stop(away).await;
    group.restart(away).await;
    fill(&group, "c", 5).await;
    group.settle().await;
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_starts_from_a_snapshot() {
    let mut group = Group::found(eager).await;
    fill(&group, "a", 150).await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    eventually("the log is purged", || raft.status().purged > 20).await;
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    raft.add_learner(4, fourth.member()).await.unwrap();
    group.nodes.insert(4, fourth);
    group.settle().await;
    assert!(group.nodes[&4].machine.state.lock().restored > 0);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_restarts_from_snapshots() {
    let mut group = Group::found(eager).await;
    fill(&group, "a", 120).await;
    for id in 1..=3 {
        let raft = group.raft(id).clone();
        eventually("every node has a snapshot", || raft.status().snapshot_index > 0).await;
    }
    let time = group.nodes[&1].machine.replicated().2;
    for id in 1..=3 {
        group.stop(id).await;
    }
    for id in 1..=3 {
        group.restart(id).await;
    }
    group.settle().await;
    for node in group.nodes.values() {
        assert_eq!(node.machine.sum("a"), 120);
        assert!(node.machine.state.lock().restored > 0);
        assert!(node.machine.replicated().2 >= time);
    }
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_snapshot_goes_beyond_what_derived_stores_hold() {
    let group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    let node = &group.nodes[&leader];
    node.machine.durable.store(0, Ordering::SeqCst);
    fill(&group, "a", 30).await;
    node.raft.snapshot_now().await.unwrap();
    fill(&group, "b", 30).await;
    assert_eq!(node.raft.status().snapshot_index, 0);
    node.machine.durable.store(u64::MAX, Ordering::SeqCst);
    eventually("the snapshot is declared", || node.raft.status().snapshot_index > 0).await;
    group.shutdown().await;
}

#[tokio::test]
async fn time_alone_makes_a_snapshot_if_anything_was_applied() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings(&dir, 1);
    config.snapshot_seconds = 1;
    config.keep_entries = 0;
    let node = start(config).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    let written = node.raft.propose(Bytes::from_static(b"a/1")).await.unwrap();
    let covered = || node.raft.status().snapshot_index >= written.index;
    eventually("a snapshot after a second", covered).await;
    eventually("the log is purged", || node.raft.status().purged >= written.index).await;
    // Nothing is applied, so nothing is made: a second one would be a new file.
    let files = || {
        let dir = std::fs::read_dir(node.config.dir.join("snapshots")).unwrap();
        dir.map(|e| e.unwrap().metadata().unwrap().modified().unwrap()).collect::<Vec<_>>()
    };
    let before = files();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(files(), before);
    node.raft.shutdown().await.unwrap();
}

/// Else a node that dies every few minutes never makes one, and takes longer to come back each time.
#[tokio::test]
async fn a_restart_does_not_put_a_snapshot_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings(&dir, 1);
    config.snapshot_seconds = 3;
    let mut node = start(config).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    let written = node.raft.propose(Bytes::from_static(b"a/1")).await.unwrap();
    let began = std::time::Instant::now();
    while node.raft.status().snapshot_index < written.index {
        assert!(began.elapsed() < LONG, "no snapshot, however often it is started");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        if node.raft.status().snapshot_index < written.index {
            node.raft.shutdown().await.unwrap();
            node = start(node.config.clone()).await.unwrap();
        }
    }
    node.raft.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(settings(&dir, 1)).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    node.raft.propose(Bytes::from_static(b"a/1")).await.unwrap();
    let folder = node.config.dir.join("snapshots");
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, b"in the way").unwrap();
    node.raft.snapshot_now().await.unwrap();
    eventually("the failure is counted", || node.raft.status().snapshot_failures == 1).await;
    node.raft.propose(Bytes::from_static(b"a/2")).await.unwrap();
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    node.raft.snapshot_now().await.unwrap();
    eventually("the next one works", || node.raft.status().snapshot_index > 0).await;
    node.raft.shutdown().await.unwrap();
}
