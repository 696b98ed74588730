//! Reads of several levels on a follower whose ways are cut.

use std::time::Duration;

use bytes::Bytes;
use raft::{Error, Member, Raft, ReadLevel};

use crate::nodes::{Group, LONG};
use crate::proxy::Proxy;

const SHORT: Duration = Duration::from_millis(600);
const AGE: Duration = Duration::from_millis(300);

/// Node 1 leads and node 3 follows, and each of them is reached through a proxy.
async fn group() -> (Group, Proxy, Proxy) {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = std::collections::BTreeMap::new();
    for id in 1..=3 {
        nodes.insert(id, crate::nodes::start(crate::nodes::settings(&dir, id)).await.unwrap());
    }
    let group = Group { dir, nodes, down: std::collections::BTreeMap::new() };
    let to_leader = Proxy::to(group.raft(1).local_addr()).await;
    let to_follower = Proxy::to(group.raft(3).local_addr()).await;
    let mut members = group.members();
    members.insert(1, Member::new(to_leader.address.to_string()));
    members.insert(3, Member::new(to_follower.address.to_string()));
    // Alone it stands for election at once, and nobody against it.
    group.raft(1).bootstrap(members).await.unwrap();
    assert_eq!(group.leader().await, 1);
    group.settle().await;
    (group, to_leader, to_follower)
}

async fn write(raft: &Raft, command: &'static str) -> u64 {
    raft.propose_within(Bytes::from_static(command.as_bytes()), LONG).await.unwrap().index
}

async fn refused(raft: &Raft, level: ReadLevel) {
    let outcome = raft.read_index_at(level, SHORT).await;
    let late = matches!(outcome, Err(Error::DeadlineExceeded { .. }));
    assert!(late, "{level:?}: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_level_holds_what_it_says() {
    let (group, _to_leader, _to_follower) = group().await;
    let follower = group.raft(3);
    for serial in 0..20_u32 {
        let command = Bytes::from(format!("a/{serial}"));
        let index = group.raft(1).propose_within(command, LONG).await.unwrap().index;
        let levels = [ReadLevel::Linearizable, ReadLevel::AtLeast(index)];
        let level = levels[serial as usize % 2];
        assert!(follower.read_index_at(level, LONG).await.unwrap() >= index);
        assert_eq!(group.nodes[&3].machine.sum("a"), u64::from(serial) + 1);
    }
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_cannot_ask_the_leader() {
    let (group, to_leader, _to_follower) = group().await;
    let follower = group.raft(3);
    follower.linearize().await.unwrap();
    // The leader's way to the follower stays open.
    to_leader.block(true);
    let local = follower.read_index_at(ReadLevel::Local, SHORT).await.unwrap();
    let old = ReadLevel::Within(Duration::from_mins(5));
    assert!(follower.read_index_at(old, SHORT).await.unwrap() >= local);
    let index = write(group.raft(1), "b/1").await;
    assert!(follower.read_index_at(ReadLevel::AtLeast(index), LONG).await.unwrap() >= index);
    tokio::time::sleep(AGE).await;
    refused(follower, ReadLevel::Within(AGE)).await;
    refused(follower, ReadLevel::Linearizable).await;
    to_leader.block(false);
    assert!(follower.read_index_at(ReadLevel::Within(AGE), LONG).await.unwrap() >= index);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hears_nothing() {
    let (group, _to_leader, to_follower) = group().await;
    let follower = group.raft(3);
    follower.linearize().await.unwrap();
    // Its own way to the leader stays open.
    to_follower.block(true);
    let index = write(group.raft(1), "b/1").await;
    tokio::time::sleep(AGE).await;
    refused(follower, ReadLevel::Linearizable).await;
    refused(follower, ReadLevel::Within(AGE)).await;
    refused(follower, ReadLevel::AtLeast(index)).await;
    assert!(follower.read_index_at(ReadLevel::Local, SHORT).await.unwrap() < index);
    to_follower.block(false);
    assert!(follower.read_index_at(ReadLevel::Linearizable, LONG).await.unwrap() >= index);
    assert_eq!(group.nodes[&3].machine.sum("b"), 1);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_both_ways() {
    let (group, to_leader, to_follower) = group().await;
    group.raft(1).linearize().await.unwrap();
    to_leader.block(true);
    to_follower.block(true);
    // Node 2 still hears the leader, so it has a quorum and goes on.
    let index = write(group.raft(1), "b/1").await;
    assert!(group.raft(1).read_index_at(ReadLevel::Linearizable, LONG).await.unwrap() >= index);
    refused(group.raft(3), ReadLevel::Linearizable).await;
    to_leader.block(false);
    to_follower.block(false);
    group.settle().await;
    group.shutdown().await;
}
