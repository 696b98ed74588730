//! A group that begins with the state of another one.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use raft::{BlobId, Config, Error, Member, Origin, Position, StateFile, StateMachine as _};
use tempfile::TempDir;

use crate::nodes::{Group, LONG, Node, settings, start};

/// A group with a state, saved to a file, and one of its blobs.
async fn saved(dir: &Path) -> (Position, BlobId, Vec<u8>) {
    let group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    let node = &group.nodes[&leader];
    for serial in 0..40 {
        node.raft.propose(Bytes::from(format!("a/{serial}"))).await.unwrap();
    }
    let fourth = start(settings(&group.dir, 7)).await.unwrap();
    node.raft.add_learner(7, fourth.member()).await.unwrap();
    node.raft.remove(7).await.unwrap();
    fourth.raft.shutdown().await.unwrap();
    let content = b"a file".to_vec();
    let blob = node.raft.put_blob(Bytes::from(content.clone())).await.unwrap();
    let at = {
        let state = node.machine.state.lock();
        let term = node.raft.status().term;
        Position { index: state.index, term, time_us: state.time_us }
    };
    node.raft.save_state(&dir.join("state"), at, node.machine.freeze()).unwrap();
    group.shutdown().await;
    (at, blob, content)
}

fn origin(dir: &Path, blobs: &[&str]) -> Origin {
    let file = StateFile::open(&dir.join("state")).unwrap();
    Origin {
        at: file.position(),
        ids: file.ids().clone(),
        blobs: blobs.iter().map(|name| dir.join(name)).collect(),
        state: Box::new(move |to| {
            let copied = file.read(|from| std::io::copy(from, to));
            copied.map(drop).map_err(std::io::Error::other)
        }),
    }
}

fn members(dir: &TempDir) -> BTreeMap<u64, (Config, Member)> {
    let ports: Vec<_> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let each = ports.iter().zip(1..).map(|(port, id)| {
        let address = port.local_addr().unwrap();
        let config = Config { listen: address, cluster_id: "second".into(), ..settings(dir, id) };
        (id, (config, Member::new(address.to_string())))
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_group_goes_on_from_the_state_of_an_old_one() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, blob, content) = saved(old.path()).await;
    std::fs::write(old.path().join("blob"), &content).unwrap();
    let founders = members(&new);
    let addresses: BTreeMap<_, _> =
        founders.iter().map(|(id, (_, member))| (*id, member.clone())).collect();
    let mut group = Group { dir: new, nodes: BTreeMap::new(), down: BTreeMap::new() };
    for (config, _) in founders.values() {
        raft::found(config, addresses.clone(), origin(old.path(), &["blob"])).await.unwrap();
        let again = raft::found(config, addresses.clone(), origin(old.path(), &[])).await;
        assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
        let seen = raft::inspect(config).unwrap();
        assert_eq!(seen.state.unwrap().position(), at);
        assert!(seen.blobs.contains(&blob));
    }
    for (id, (config, _)) in founders {
        let node = start(config).await.unwrap();
        // As every start does; the group is there already.
        node.raft.bootstrap(addresses.clone()).await.unwrap();
        group.nodes.insert(id, node);
    }
    group.settle().await;
    let leader = group.leader().await;
    for node in group.nodes.values() {
        assert_eq!(node.machine.sum("a"), 40);
        assert_eq!(node.machine.state.lock().restored, at.index);
        assert_eq!(node.raft.status().members.len(), 3);
        assert_eq!(std::fs::read(node.raft.blob_path(&blob).unwrap()).unwrap(), content);
    }
    assert!(group.raft(leader).status().term > at.term);
    // A repeat changes nothing, and what is new comes after what is old.
    let repeated = group.raft(leader).propose(Bytes::from_static(b"a/3")).await.unwrap();
    assert!(repeated.index > at.index && repeated.reply == "40", "{repeated:?}");
    group.raft(leader).propose(Bytes::from_static(b"a/40")).await.unwrap();
    let used = group.raft(leader).add_learner(7, Member::new("127.0.0.1:1")).await;
    assert!(matches!(used, Err(Error::Refused(_))), "an id of the old group: {used:?}");
    for id in 1..=3 {
        group.stop(id).await;
        group.restart(id).await;
    }
    group.settle().await;
    assert!(group.nodes.values().all(|node: &Node| node.machine.sum("a") == 41));
    group.raft(1).snapshot_within(LONG).await.unwrap();
    group.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_nodes_folder_is_read_whole_and_damage_is_named() {
    let mut group = Group::found(|_| {}).await;
    let leader = group.leader().await;
    for serial in 0..40 {
        let command = Bytes::from(format!("a/{serial}"));
        group.raft(leader).propose(command).await.unwrap();
    }
    let blob = group.raft(leader).put_blob(Bytes::from_static(b"a file")).await.unwrap();
    let index = group.raft(leader).snapshot_within(LONG).await.unwrap();
    let config = group.nodes[&leader].config.clone();
    let running = raft::inspect(&config);
    assert!(matches!(&running, Err(Error::Refused(said)) if said.contains("stop")), "{running:?}");
    let last = group.raft(leader).status().last_log_index;
    group.stop(leader).await;
    let seen = raft::inspect(&config).unwrap();
    assert!(seen.last >= Some(last) && seen.blobs.contains(&blob), "{seen:?}");
    assert!(seen.state.unwrap().position().index >= index);

    let mut files = Vec::new();
    for folder in ["log", "snapshots", "blobs"] {
        let entries = std::fs::read_dir(config.dir.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| path.metadata().unwrap().len() > 0);
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let found = raft::inspect(&config);
        let Err(Error::Damaged { file, .. }) = found else { panic!("{path:?}: {found:?}") };
        assert_eq!(file, path);
        std::fs::write(&path, &whole).unwrap();
    }
    raft::inspect(&config).unwrap();
    let stranger = Config { node_id: 9, ..config };
    assert!(matches!(raft::inspect(&stranger), Err(Error::Refused(_))));
    group.shutdown().await;
}
