//! Files beside the log.

use bytes::Bytes;
use raft::Error;
use std::fs::File;
use std::time::Duration;

use crate::nodes::Group;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_on_a_majority_and_the_rest_can_fetch_it() {
    let mut group = Group::found(|_| {}).await;
    let away = group.follower().await;
    group.stop(away).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let content = Bytes::from(content);
    let leader = group.leader().await;
    let id = group.raft(leader).put_blob(content.clone()).await.unwrap();
    assert_eq!(group.raft(leader).put_blob(content.clone()).await.unwrap(), id);
    for node in group.nodes.values() {
        let path = node.raft.blob_path(&id).expect("on both nodes of the majority");
        assert_eq!(std::fs::read(path).unwrap(), content);
    }
    group.restart(away).await;
    assert_eq!(group.raft(away).blob_path(&id), None);
    let path = group.raft(away).fetch_blob(&id).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert!(group.raft(away).fetch_blob(&[0; 32]).await.is_err());
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_does_not_claim_to_keep_a_blob() {
    let mut group = Group::found(|_| {}).await;
    let stays = group.follower().await;
    for id in 1..=3 {
        if id != stays {
            group.stop(id).await;
        }
    }
    let refused = group.raft(stays).put_blob(Bytes::from_static(b"content")).await;
    assert!(refused.as_ref().is_err_and(Error::is_retryable), "{refused:?}");
    let huge = Bytes::from(vec![0; raft::BLOB_MAX_BYTES + 1]);
    assert!(matches!(group.raft(stays).put_blob(huge).await, Err(Error::TooLarge { .. })));
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_names_is_removed_when_it_is_old() {
    const DAY: Duration = Duration::from_hours(24);
    let group = Group::found(|_| {}).await;
    let raft = group.raft(group.leader().await);
    let named = raft.put_blob(Bytes::from_static(b"named")).await.unwrap();
    let loose = raft.put_blob(Bytes::from_static(b"loose")).await.unwrap();
    let again = raft.put_blob(Bytes::from_static(b"again")).await.unwrap();
    let sweep = async || raft.sweep_blobs([named].into(), DAY).await.unwrap();
    assert_eq!(sweep().await, 0);
    for id in [named, loose, again] {
        let file = File::open(raft.blob_path(&id).unwrap()).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - 2 * DAY).unwrap();
    }
    // Who brings a file again gets the whole time for naming it.
    raft.put_blob(Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(sweep().await, 1);
    assert_eq!(raft.blob_path(&loose), None);
    assert!(raft.blob_path(&named).is_some() && raft.blob_path(&again).is_some());
    group.shutdown().await;
}
