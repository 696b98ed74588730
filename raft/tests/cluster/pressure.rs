//! Snapshots and purges while writers press.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft::Config;
use tokio::task::JoinSet;

use crate::nodes::{Group, LONG};

/// Small entries, many of them, and hardly any log kept.
fn harsh(config: &mut Config) {
    config.batch_commands_max = 2;
    config.entries_in_flight = 16;
    config.snapshot_entries = 100;
    config.keep_entries = 5;
    config.log_chunk_bytes = 64 << 10;
}

async fn press(length: Duration) {
    let mut group = Group::found(harsh).await;
    let over = Arc::new(AtomicBool::new(false));
    let total = Arc::new(AtomicU64::new(0));
    let stays = group.leader().await;
    let mut writers = JoinSet::new();
    for writer in 0..32 {
        let (raft, over, total) = (group.raft(stays).clone(), over.clone(), total.clone());
        writers.spawn(async move {
            let mut serial = 0;
            while !over.load(Ordering::Relaxed) {
                let command = format!("w/{writer}-{serial}-{:0900}", 0);
                raft.propose_within(command.into(), LONG).await.unwrap();
                serial += 1;
                total.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let ends = Instant::now() + length;
    while Instant::now() < ends {
        let away = *group.nodes.keys().find(|id| **id != stays).unwrap();
        group.stop(away).await;
        tokio::time::sleep(length / 10).await;
        group.restart(away).await;
        tokio::time::sleep(length / 10).await;
        for node in group.nodes.values() {
            let failed = tokio::time::timeout(Duration::ZERO, node.raft.failed()).await;
            assert!(failed.is_err(), "node {:?}: {failed:?}", node.raft);
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    group.settle().await;
    let total = total.load(Ordering::Relaxed);
    assert_eq!(group.nodes[&stays].machine.sum("w"), total);
    let status = group.raft(stays).status();
    println!("{total} commands in {length:?}; {status:?}");
    assert!(status.purged > 100, "the log was purged meanwhile");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_and_purges_under_load_stop_no_node() {
    press(length()).await;
}

/// Five seconds, or `HEARTH_PRESSURE_S` for rare interleavings.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is not a setting of the product"
)]
fn length() -> Duration {
    let asked = std::env::var("HEARTH_PRESSURE_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(5))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_recovers() {
    let group = Group::found(|config| {
        config.propose_queue_max = 4;
        config.entries_in_flight = 1;
        config.batch_commands_max = 1;
    })
    .await;
    let leader = group.leader().await;
    let mut calls = JoinSet::new();
    for serial in 0..200 {
        let raft = group.raft(leader).clone();
        calls.spawn(async move { raft.propose(Bytes::from(format!("q/{serial}"))).await });
    }
    let (mut done, mut refused) = (0, 0);
    while let Some(outcome) = calls.join_next().await {
        match outcome.unwrap() {
            Ok(_) => done += 1,
            Err(raft::Error::Overloaded { limit: 4 }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    group.raft(leader).propose(Bytes::from_static(b"q/last")).await.unwrap();
    assert_eq!(group.nodes[&leader].machine.sum("q"), done + 1);
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_short_of_disk_refuses_and_stays_in_office() {
    let group = Group::found(|config| config.disk_reserve_bytes = u64::MAX).await;
    let leader = group.leader().await;
    let refused = group.raft(leader).propose(Bytes::from_static(b"d/1")).await.unwrap_err();
    assert!(matches!(refused, raft::Error::DiskFull { .. }), "{refused}");
    let follower = group.follower().await;
    let forwarded = group.raft(follower).propose(Bytes::from_static(b"d/1")).await.unwrap_err();
    assert!(forwarded.to_string().contains("disk"), "{forwarded}");
    group.raft(follower).linearize().await.unwrap();
    group.shutdown().await;
}
