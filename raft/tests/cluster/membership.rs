//! Nodes join, vote, lead and leave.

use bytes::Bytes;
use raft::{Error, Member, Role};

use crate::nodes::{Group, LONG, settings, start};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_told_to_hand_over_to_itself_goes_on() {
    let group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    for other in group.nodes.keys().filter(|id| **id != leader) {
        group.raft(leader).demote(*other).await.unwrap();
    }
    group.raft(leader).transfer_leader(leader).await.unwrap();
    group.raft(leader).propose(Bytes::from_static(b"a/1")).await.unwrap();
    group.settle().await;
    group.shutdown().await;
}

async fn role(group: &Group, id: u64) -> Option<Role> {
    let leader = group.leader().await;
    let status = group.raft(leader).status();
    status.members.iter().find(|m| m.id == id).map(|m| m.role)
}
