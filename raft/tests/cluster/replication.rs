//! Commands reach every node once, from wherever they are proposed.

use std::time::Duration;

use bytes::Bytes;
use raft::Error;

use crate::nodes::{Group, LONG, settings, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_from_every_node_are_applied_everywhere() {
    let group = Group::found(|_| {}).await;
    for serial in 0..10 {
        for (id, node) in &group.nodes {
            let command = Bytes::from(format!("a/{id}-{serial}"));
            let applied = node.raft.propose(command).await.unwrap();
            assert!(applied.index > 0);
        }
    }
    group.settle().await;
    for node in group.nodes.values() {
        assert_eq!(node.machine.sum("a"), 30);
        let status = node.raft.status();
        assert_eq!(status.members.len(), 3);
        assert!(status.applied_time_us > 1_700_000_000_000_000);
        assert!(node.raft.member(2).is_some());
    }
    let leader = group.leader().await;
    assert!(group.raft(leader).is_leader());
    let status = group.raft(leader).status();
    assert!(status.members.iter().all(|m| m.matched_index.is_some()), "{status:?}");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiting_commands_share_entries() {
    let group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    let before = group.raft(leader).status().last_log_index;
    let mut calls = tokio::task::JoinSet::new();
    for serial in 0..2000 {
        let raft = group.raft(1 + serial % 3).clone();
        calls.spawn(async move { raft.propose(Bytes::from(format!("b/{serial}"))).await });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
    group.settle().await;
    assert_eq!(group.nodes[&leader].machine.sum("b"), 2000);
    let entries = group.raft(leader).status().last_log_index - before;
    assert!(entries < 500, "{entries} entries for 2000 commands");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_reads_what_was_acknowledged_elsewhere() {
    let group = Group::found(|_| {}).await;
    let follower = group.follower().await;
    let leader = group.leader().await;
    for serial in 0..50 {
        let command = Bytes::from(format!("c/{serial}"));
        group.raft(leader).propose(command).await.unwrap();
        group.raft(follower).linearize().await.unwrap();
        assert_eq!(group.nodes[&follower].machine.sum("c"), serial + 1);
    }
    let far = group.raft(follower).wait_applied(u64::MAX, Duration::from_millis(20)).await;
    assert!(matches!(far, Err(Error::DeadlineExceeded { .. })));
    group.shutdown().await;
}

#[tokio::test]
async fn without_a_group_nothing_is_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(settings(&dir, 1)).await.unwrap();
    let waiting = Duration::from_millis(100);
    let refused = node.raft.propose_within(Bytes::from_static(b"x/1"), waiting).await.unwrap_err();
    assert!(matches!(refused, Error::DeadlineExceeded { .. }), "{refused}");
    let huge = Bytes::from(vec![0; raft::COMMAND_MAX_BYTES + 1]);
    assert!(matches!(node.raft.propose(huge).await, Err(Error::TooLarge { .. })));
    node.raft.shutdown().await.unwrap();
    let stopped = node.raft.propose_within(Bytes::from_static(b"x/1"), waiting).await.unwrap_err();
    assert!(matches!(stopped, Error::Stopped), "{stopped}");
}

#[tokio::test]
async fn one_node_is_a_group_too_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(settings(&dir, 1)).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    node.raft.bootstrap([(1, node.member())].into()).await.unwrap();
    for serial in 0..20 {
        node.raft.propose(Bytes::from(format!("d/{serial}"))).await.unwrap();
    }
    node.raft.shutdown().await.unwrap();
    let again = start(node.config).await.unwrap();
    again.raft.linearize().await.unwrap();
    assert_eq!(again.machine.sum("d"), 20);
    again.raft.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_refused() {
    let group = Group::found(|_| {}).await;
    let mut config = settings(&group.dir, 9);
    config.cluster_id = "other".into();
    let stranger = start(config).await.unwrap();
    let leader = group.leader().await;
    group.raft(leader).add_learner(9, stranger.member()).await.unwrap();
    let index = group.raft(leader).propose(Bytes::from_static(b"e/1")).await.unwrap().index;
    let short = Duration::from_millis(600);
    assert!(stranger.raft.wait_applied(index, short).await.is_err());
    assert_eq!(stranger.raft.status().term, 0);
    group.raft(leader).remove(9).await.unwrap();
    stranger.raft.shutdown().await.unwrap();
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_command_does_not_wait_for_the_others() {
    let group = Group::found(|config| {
        config.entries_in_flight = 1;
        config.batch_commands_max = 1;
    })
    .await;
    for from in [group.leader().await, group.follower().await] {
        let raft = group.raft(from);
        let mut calls = tokio::task::JoinSet::new();
        for serial in 0..300 {
            let raft = raft.clone();
            let command = Bytes::from(format!("u/{from}-{serial}"));
            calls.spawn(async move { raft.propose_within(command, LONG).await.unwrap().index });
        }
        tokio::task::yield_now().await;
        let urgent = Bytes::from(format!("u/{from}-urgent"));
        let first = raft.propose_urgent(urgent, LONG).await.unwrap().index;
        let mut later = 0;
        while let Some(index) = calls.join_next().await {
            later += usize::from(index.unwrap() > first);
        }
        assert!(later > 150, "{later} of 300 came after the urgent one");
    }
    group.shutdown().await;
}
