//! A node whose data are damaged refuses to start, and rebuilds itself from its peers when told to.

use crate::gather::motions;
use crate::local::{Cluster, Process, eventually};
use crate::tables::{event_counts, number};
use std::fs;
use std::path::{Path, PathBuf};

const EVENTS: u64 = 200;

/// The newest chunk of the log.
fn newest_chunk(node: &Process) -> PathBuf {
    let dir = node.home.join("data/raft/log");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "wal")).max().unwrap()
}

/// Flips a bit well before the end, where no torn write can have been.
fn flip(file: &Path) -> usize {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() * 3 / 5;
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
    at
}

/// Ids and roles as a node knows them.
async fn members(node: &Process) -> Option<Vec<(u64, bool)>> {
    let status = node.status().await?;
    Some(status.members.iter().map(|member| (member.id, member.role != "learner")).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_node_refuses_and_takes_its_own_place_anew() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client();
    let first = client.append(motions("before", 0..EVENTS)).await.unwrap();
    let sick = cluster.follower().await;
    let old = cluster.nodes[sick].id;
    cluster.nodes[sick].wait_recorded(first.log_index).await;
    cluster.nodes[sick].kill();
    let chunk = newest_chunk(&cluster.nodes[sick]);
    let at = flip(&chunk);

    cluster.nodes[sick].start();
    let code = eventually("the node refuses", async || cluster.nodes[sick].ended()).await;
    let said = cluster.nodes[sick].log();
    assert_eq!(code, nodes::exit::DAMAGED, "{said}");
    let line = said.lines().rev().find(|line| line.contains("is damaged")).unwrap();
    assert!(line.contains(chunk.to_str().unwrap()) && line.contains("--rebuild"), "{line}");
    let offset = line.split("at byte ").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next();
    assert!(offset.unwrap().parse::<usize>().unwrap() <= at, "flipped {at}: {line}");

    let second = client.append(motions("between", 0..EVENTS)).await.unwrap();
    cluster.nodes[sick].start_with(&["--rebuild"]);
    let want: Vec<_> = (1..=4).filter(|id| *id != old).map(|id| (id, true)).collect();
    eventually("the node votes again, under a new id", async || {
        members(&cluster.nodes[sick]).await.filter(|members| *members == want)
    })
    .await;
    assert_eq!(cluster.nodes[sick].status().await.unwrap().node_id, 4);

    // Two of three go on, one of them the rebuilt one, and it holds everything once.
    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    let third = client.append(motions("after", 0..EVENTS)).await.unwrap();
    assert!(second.log_index > first.log_index && third.log_index > second.log_index);
    let node = &cluster.nodes[sick];
    node.wait_recorded(third.log_index).await;
    for source in ["before", "between", "after"] {
        let counts = event_counts(node, third.log_index, source).await;
        assert_eq!(counts.len() as u64, EVENTS, "{source}");
    }
    let rows = number(node, third.log_index, "SELECT count(*) FROM sensor_event").await;
    assert_eq!(rows as u64, 3 * EVENTS);

    // It is itself again after a restart, with the same file and the same words.
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    cluster.nodes[sick].kill();
    cluster.nodes[sick].start_with(&["--rebuild"]);
    assert_eq!(cluster.nodes[sick].wait_up().await.node_id, 4);
}
