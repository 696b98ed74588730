//! Figures to look at, not to pass or fail by. Run by hand:
//! `cargo test -p raft --test cluster --release -- --ignored --nocapture figures`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::nodes::{Group, LONG};

fn percentile(sorted: &[Duration], part: usize) -> Duration {
    sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn commands_a_second() {
    let group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    for callers in [1, 16, 64] {
        let length = Duration::from_secs(5);
        let mut calls = JoinSet::new();
        for caller in 0..callers {
            let raft = group.raft(leader).clone();
            calls.spawn(async move {
                let started = Instant::now();
                let mut waits = Vec::new();
                while started.elapsed() < length {
                    let serial = waits.len();
                    let commands = (0..500)
                        .map(|part| {
                            Bytes::from(format!("f/{callers}-{caller}-{serial}-{part:040}"))
                        })
                        .collect();
                    let asked = Instant::now();
                    raft.propose_many(commands, LONG).await.unwrap();
                    waits.push(asked.elapsed());
                }
                waits
            });
        }
        let mut waits = Vec::new();
        while let Some(done) = calls.join_next().await {
            waits.extend(done.unwrap());
        }
        waits.sort();
        println!(
            "{callers} callers: {} commands/s, p50 {:?}, p99 {:?}, log {:?}",
            waits.len() as u64 * 500 / length.as_secs(),
            percentile(&waits, 50),
            percentile(&waits, 99),
            group.raft(leader).status().log,
        );
    }
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn from_the_death_of_a_leader_to_the_next_acknowledgement() {
    let mut group = Group::found(|_| {}).await;
    let mut waits = Vec::new();
    for round in 0..20 {
        let leader = group.leader().await;
        let other = group.follower().await;
        let raft = group.raft(other).clone();
        group.stop(leader).await;
        let killed = Instant::now();
        raft.propose_within(Bytes::from(format!("k/{round}")), LONG).await.unwrap();
        waits.push(killed.elapsed());
        group.restart(leader).await;
        group.settle().await;
    }
    waits.sort();
    println!("p50 {:?}, max {:?}", percentile(&waits, 50), percentile(&waits, 99));
    group.shutdown().await;
}
