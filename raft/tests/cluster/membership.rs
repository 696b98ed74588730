//! Nodes join, vote, lead and leave.

use bytes::Bytes;
use raft::{Error, Member, Role};

use crate::nodes::{Group, LONG, eventually, settings, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_votes_and_leaves() {
    let mut group = Group::found(|_| {}).await;
    for serial in 0..20 {
        group.raft(1).propose(Bytes::from(format!("a/{serial}"))).await.unwrap();
    }
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    // Asked of a follower, done by the leader.
    let follower = group.follower().await;
    let asked = group.raft(follower).clone();
    asked.add_learner(4, fourth.member()).await.unwrap();
    asked.add_learner(4, fourth.member()).await.unwrap();
    let other = asked.add_learner(4, Member::new("127.0.0.1:1")).await;
    assert!(matches!(other, Err(Error::Refused(_))), "{other:?}");
    group.nodes.insert(4, fourth);
    group.settle().await;
    assert_eq!(group.nodes[&4].machine.sum("a"), 20);
    assert_eq!(role(&group, 4).await, Some(Role::Learner));

    asked.promote(4).await.unwrap();
    assert_eq!(role(&group, 4).await, Some(Role::Follower));
    asked.transfer_leader(4).await.unwrap();
    assert_eq!(group.leader().await, 4);
    let away = group.follower().await;
    group.raft(4).transfer_leader(away).await.unwrap();
    assert_eq!(group.leader().await, away);

    asked.demote(4).await.unwrap();
    assert_eq!(role(&group, 4).await, Some(Role::Learner));
    asked.remove(4).await.unwrap();
    asked.remove(4).await.unwrap();
    assert_eq!(role(&group, 4).await, None);
    let gone = group.nodes.remove(&4).unwrap();
    gone.raft.shutdown().await.unwrap();
    let unknown = asked.promote(4).await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");
    asked.propose_within(Bytes::from_static(b"a/last"), LONG).await.unwrap();
    group.settle().await;
    group.shutdown().await;
}

/// Removes a fourth node and returns the refusal when its id is asked for again.
async fn refusal(group: &Group, id: u64) -> String {
    let member = Member::new("127.0.0.1:1");
    let follower = group.follower().await;
    match group.raft(follower).add_learner(id, member).await {
        Err(Error::Refused(why)) => why,
        other => panic!("id {id}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_never_used_again() {
    let mut group = Group::found(|config| config.keep_entries = 1).await;
    let raft = group.raft(1).clone();
    raft.add_learner(7, Member::new("127.0.0.1:1")).await.unwrap();
    raft.remove(7).await.unwrap();
    assert!(refusal(&group, 7).await.ends_with("the next free one is 8"));
    // A gap may be filled.
    raft.add_learner(5, Member::new("127.0.0.1:1")).await.unwrap();
    raft.remove(5).await.unwrap();
    assert!(refusal(&group, 5).await.ends_with("the next free one is 8"));

    // Another leader knows it, after a restart, from the log alone.
    let leader = group.leader().await;
    group.stop(leader).await;
    group.leader().await;
    assert!(refusal(&group, 7).await.contains("never used again"));
    group.restart(leader).await;

    // And from a snapshot, once the log is gone; also a node that got it from another.
    group.settle().await;
    for id in 1..=3 {
        let raft = group.raft(id).clone();
        raft.snapshot_now().await.unwrap();
        eventually("the log is purged", || raft.status().purged > 3).await;
    }
    let fourth = start(settings(&group.dir, 8)).await.unwrap();
    group.raft(1).add_learner(8, fourth.member()).await.unwrap();
    group.nodes.insert(8, fourth);
    group.settle().await;
    assert!(group.nodes[&8].machine.state.lock().restored > 0, "it came as a snapshot");
    for id in [1, 2, 3, 8] {
        group.stop(id).await;
    }
    for id in [1, 2, 3, 8] {
        group.restart(id).await;
    }
    group.settle().await;
    for node in group.nodes.values() {
        assert_eq!(node.raft.status().next_id, 9, "{:?}", node.raft);
    }
    group.raft(8).promote(8).await.unwrap();
    group.raft(8).transfer_leader(8).await.unwrap();
    group.leader().await;
    assert!(refusal(&group, 7).await.ends_with("the next free one is 9"));
    group.shutdown().await;
}

async fn role(group: &Group, id: u64) -> Option<Role> {
    let leader = group.leader().await;
    let status = group.raft(leader).status();
    status.members.iter().find(|m| m.id == id).map(|m| m.role)
}
