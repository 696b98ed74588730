//! Nodes go and come back; nothing acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::nodes::{Group, LONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_goes_on_without_its_leader() {
    let mut group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    for serial in 0..20 {
        group.raft(leader).propose(Bytes::from(format!("a/{serial}"))).await.unwrap();
    }
    group.stop(leader).await;
    let other = *group.nodes.keys().next().unwrap();
    let killed = Instant::now();
    group.raft(other).propose(Bytes::from_static(b"a/after")).await.unwrap();
    let waited = killed.elapsed();
    assert!(waited < Duration::from_secs(4), "took {waited:?}");
    group.restart(leader).await;
    group.settle().await;
    assert_eq!(group.nodes[&leader].machine.sum("a"), 21);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_after_all_nodes_restart() {
    let mut group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    for serial in 0..50 {
        group.raft(leader).propose(Bytes::from(format!("a/{serial}"))).await.unwrap();
    }
    for id in 1..=3 {
        group.stop(id).await;
    }
    for id in 1..=3 {
        group.restart(id).await;
    }
    group.settle().await;
    for node in group.nodes.values() {
        assert_eq!(node.machine.sum("a"), 50);
    }
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_survive_leaders_that_come_and_go() {
    let mut group = Group::found(|_| {}).await;
    let over = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    // A writer on a node that stays up; the leader is always another one, or is moved away.
    let stays = group.follower().await;
    let writer = {
        let (raft, over, acknowledged) =
            (group.raft(stays).clone(), over.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut serial = 0_u64;
            while !over.load(Ordering::SeqCst) {
                let command = Bytes::from(format!("w/{serial}"));
                raft.propose_within(command, LONG).await.unwrap();
                serial += 1;
                acknowledged.store(serial, Ordering::SeqCst);
            }
        })
    };
    for _ in 0..3 {
        let mut leader = group.leader().await;
        if leader == stays {
            let to = group.follower().await;
            group.raft(leader).transfer_leader(to).await.unwrap();
            leader = to;
        }
        group.stop(leader).await;
        let before = acknowledged.load(Ordering::SeqCst);
        let deadline = Instant::now() + LONG;
        while acknowledged.load(Ordering::SeqCst) < before + 20 {
            assert!(Instant::now() < deadline, "no progress after the leader has gone");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        group.restart(leader).await;
    }
    over.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    group.settle().await;
    let sum = group.nodes[&stays].machine.sum("w");
    assert_eq!(sum, acknowledged.load(Ordering::SeqCst));
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_acknowledges_nothing() {
    let mut group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    let others: Vec<u64> = group.nodes.keys().copied().filter(|id| *id != leader).collect();
    for id in &others {
        group.stop(*id).await;
    }
    let alone = group.raft(leader);
    let short = Duration::from_millis(1500);
    assert!(alone.propose_within(Bytes::from_static(b"lost/1"), short).await.is_err());
    for id in others {
        group.restart(id).await;
    }
    group.raft(leader).propose(Bytes::from_static(b"kept/1")).await.unwrap();
    group.settle().await;
    assert_eq!(group.nodes[&leader].machine.sum("kept"), 1);
    group.shutdown().await;
}

/// Takes connections and closes them at once, as a process that is about to come up does.
fn count_dials(port: std::net::SocketAddr, dials: Arc<AtomicU64>) {
    let listener = std::net::TcpListener::bind(port).unwrap();
    std::thread::spawn(move || {
        for dialled in listener.incoming() {
            drop(dialled);
            dials.fetch_add(1, Ordering::SeqCst);
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_peer_is_dialled_with_pauses() {
    let mut group = Group::found(|_| {}).await;
    let (leader, dead) = (group.leader().await, group.follower().await);
    let dials = Arc::new(AtomicU64::new(0));
    group.stop(dead).await;
    count_dials(group.down[&dead].listen, dials.clone());
    group.raft(leader).propose(Bytes::from_static(b"a/1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let dials = dials.load(Ordering::SeqCst);
    // A heartbeat every 100 ms, and a few tries to append.
    assert!(dials > 0, "nobody has tried");
    assert!(dials < 100, "{dials} connections in two seconds");
    group.shutdown().await;
}
