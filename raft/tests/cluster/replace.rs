//! A lost voter is replaced by the same machine under a new id.

use std::time::Duration;

use bytes::Bytes;
use raft::{Config, Error, Member, resolve_id, start_over};

use crate::nodes::{Group, LONG, settings, start};

async fn write(group: &Group, name: &str, count: u64) {
    let leader = group.leader().await;
    for serial in 0..count {
        let command = Bytes::from(format!("{name}/{serial}"));
        group.raft(leader).propose_within(command, LONG).await.unwrap();
    }
}

/// Flips a bit in the middle of the first chunk.
fn damage_log(config: &Config) -> std::path::PathBuf {
    let chunks = std::fs::read_dir(config.dir.join("log")).unwrap();
    let chunk = chunks
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "wal"))
        .min()
        .unwrap();
    let mut bytes = std::fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    chunk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_voter_comes_back_under_a_new_id() {
    let mut group = Group::found(|_| {}).await;
    write(&group, "a", 100).await;
    let lost = group.follower().await;
    group.stop(lost).await;
    let config = group.down.remove(&lost).unwrap();
    let chunk = damage_log(&config);
    let refused = start(config.clone()).await.err().unwrap();
    let said = refused.to_string();
    let Error::Damaged { file, offset: Some(offset), .. } = refused else { panic!("{said}") };
    assert_eq!(file, chunk);
    assert!(said.contains(&format!("at byte {offset} ")) && said.contains("--rebuild"), "{said}");
    write(&group, "b", 50).await;

    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    let new_id = raft.status().next_id;
    assert_eq!(new_id, 4);
    let early = raft.replace(lost, new_id).await;
    assert!(matches!(early, Err(Error::Refused(_))), "{early:?}");
    let moved = start_over(&config, new_id).unwrap();
    assert!(moved.join("log").exists());
    let id = resolve_id(&config.dir, config.node_id).unwrap();
    assert_eq!(id, new_id);
    let node = start(Config { node_id: id, ..config.clone() }).await.unwrap();
    // What its configuration asks for at every start must not found a second group.
    node.raft.bootstrap([(lost, node.member())].into()).await.unwrap();
    assert_eq!(node.raft.status().members, []);
    raft.add_learner(id, node.member()).await.unwrap();
    group.nodes.insert(id, node);
    group.settle().await;
    group.raft(id).replace(lost, id).await.unwrap();
    // Asking once more changes nothing.
    raft.replace(lost, id).await.unwrap();

    // Two of the three voters are enough, so the new one has to be one.
    let other = *group.nodes.keys().find(|other| **other != id).unwrap();
    group.stop(other).await;
    write(&group, "c", 50).await;
    group.restart(other).await;
    group.settle().await;
    let machine = &group.nodes[&id].machine;
    assert_eq!([machine.sum("a"), machine.sum("b"), machine.sum("c")], [100, 50, 50]);

    let back = group.raft(id).add_learner(lost, Member::new("127.0.0.1:1")).await;
    assert!(matches!(&back, Err(Error::Refused(why)) if why.contains("next free one is 5")));
    let ids: Vec<u64> = group.raft(id).status().members.iter().map(|m| m.id).collect();
    assert!(!ids.contains(&lost), "{ids:?}");
    // The old configuration under its old id is refused by its own folder.
    group.stop(id).await;
    assert!(matches!(start(config).await, Err(Error::Refused(_))));
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_lags_replaces_nobody() {
    let mut group = Group::found(|config| {
        config.batch_commands_max = 1;
        config.entries_in_flight = 64;
    })
    .await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    raft.add_learner(4, Member::new("127.0.0.1:1")).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for serial in 0..1100 {
        let raft = raft.clone();
        calls.spawn(async move { raft.propose_within(format!("a/{serial}").into(), LONG).await });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
    let away = group.follower().await;
    let refused = raft.replace(away, 4).await.unwrap_err().to_string();
    assert!(refused.contains("entries behind, 1000 are allowed"), "{refused}");
    let unknown = raft.replace(away, 5).await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");

    // The leader itself can be replaced, too.
    let fifth = start(settings(&group.dir, 5)).await.unwrap();
    raft.add_learner(5, fifth.member()).await.unwrap();
    group.nodes.insert(5, fifth);
    raft.remove(4).await.unwrap();
    group.settle().await;
    raft.replace(leader, 5).await.unwrap();
    let gone = group.nodes.remove(&leader).unwrap();
    let after = *group.nodes.keys().next().unwrap();
    let late = Duration::from_secs(15);
    group.raft(after).propose_within(Bytes::from_static(b"b/1"), late).await.unwrap();
    assert_ne!(group.leader().await, leader);
    gone.raft.shutdown().await.unwrap();
    group.shutdown().await;
}
