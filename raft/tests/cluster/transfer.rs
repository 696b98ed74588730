//! Snapshots on their way to a node: cut, slowed down, taken up again.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use raft::{Config, Member, Raft};

use crate::nodes::{Group, LONG, eventually, settings, start};
use crate::proxy::Proxy;

/// A group with a snapshot of about `mib / 2` MiB and no log before it, and the leader.
async fn group_with_snapshot(mib: usize, adjust: impl Fn(&mut Config)) -> (Group, Raft, PathBuf) {
    let group = Group::found(|config| {
        config.keep_entries = 1;
        adjust(config);
    })
    .await;
    let leader = group.leader().await;
    let raft = group.raft(leader).clone();
    // Noise in hex, which becomes half as long.
    let mut noise = 88_172_645_463_325_252_u64;
    for serial in 0..mib {
        let mut command = format!("n/{serial}-");
        while command.len() < 1 << 20 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            write!(command, "{noise:016x}").unwrap();
        }
        raft.propose_within(command.into(), LONG).await.unwrap();
    }
    raft.snapshot_now().await.unwrap();
    eventually("the log is purged", || raft.status().purged > mib as u64 / 2).await;
    let folder = group.nodes[&leader].config.dir.join("snapshots");
    let file = files(&folder).pop().unwrap();
    (group, raft, file)
}

fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_is_cut_goes_on_where_it_was() {
    let (mut group, raft, file) = group_with_snapshot(40, |_| {}).await;
    let size = std::fs::metadata(file).unwrap().len();
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let proxy = Proxy::to(fourth.raft.local_addr()).await;
    proxy.cut_at([10, 50, 99].map(|percent| size * percent / 100));
    raft.add_learner(4, Member::new(proxy.address.to_string())).await.unwrap();
    group.nodes.insert(4, fourth);
    let restored = || group.nodes[&4].machine.state.lock().restored > 0;
    eventually("the snapshot is restored", restored).await;
    group.settle().await;
    let (sent, cuts_left) = proxy.sent();
    println!("{sent} bytes went over the way for a snapshot of {size}");
    assert_eq!(cuts_left, 0);
    assert!(sent >= size);
    assert!(sent < size * 13 / 10, "{sent} bytes for a snapshot of {size}");
    let left = files(&group.nodes[&4].config.dir.join("snapshots"));
    assert_eq!(left.len(), 1, "no half snapshot is left behind");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_within_a_transfer_goes_on_with_it() {
    let (mut group, raft, file) = group_with_snapshot(40, |_| {}).await;
    let size = std::fs::metadata(file).unwrap().len();
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let proxy = Proxy::to(fourth.raft.local_addr()).await;
    group.nodes.insert(4, fourth);
    proxy.cut_at([size / 2]);
    raft.add_learner(4, Member::new(proxy.address.to_string())).await.unwrap();
    eventually("half of it is there", || proxy.sent().1 == 0).await;
    proxy.block(true);
    group.stop(4).await;
    group.restart(4).await;
    proxy.block(false);
    group.settle().await;
    let (sent, _) = proxy.sent();
    assert!(sent < size * 13 / 10, "{sent} bytes for a snapshot of {size}");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_arrives_although_the_way_is_cut_again_and_again() {
    let (mut group, raft, _) = group_with_snapshot(20, |_| {}).await;
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let proxy = Proxy::to(fourth.raft.local_addr()).await;
    raft.add_learner(4, Member::new(proxy.address.to_string())).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        proxy.cut();
    }
    group.nodes.insert(4, fourth);
    group.settle().await;
    assert!(group.nodes[&4].machine.state.lock().restored > 0);
    let left = files(&group.nodes[&4].config.dir.join("snapshots"));
    assert_eq!(left.len(), 1, "no half snapshot is left behind");
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_keeps_its_pace() {
    let pace = 4 << 20;
    let slow = |config: &mut Config| config.snapshot_bytes_per_s = pace;
    let (mut group, raft, file) = group_with_snapshot(16, slow).await;
    let size = std::fs::metadata(file).unwrap().len();
    let fourth = start(settings(&group.dir, 4)).await.unwrap();
    let began = Instant::now();
    raft.add_learner(4, fourth.member()).await.unwrap();
    group.nodes.insert(4, fourth);
    group.settle().await;
    let least = Duration::from_secs_f64((size - (256 << 10)) as f64 / pace as f64);
    assert!(began.elapsed() >= least, "{size} bytes in {:?}", began.elapsed());
    group.shutdown().await;
}
