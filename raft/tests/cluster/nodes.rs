//! Nodes with their folders, which outlive a restart.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use raft::{Config, Error, Member, Raft};
use tempfile::TempDir;

use crate::machine::Machine;

pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    pub(crate) raft: Raft,
    pub(crate) machine: Arc<Machine>,
    pub(crate) config: Config,
}

/// A group of nodes, some of which may be down.
pub(crate) struct Group {
    pub(crate) dir: TempDir,
    pub(crate) nodes: BTreeMap<u64, Node>,
    /// Where the nodes that are down will be again.
    pub(crate) down: BTreeMap<u64, Config>,
}

pub(crate) fn settings(dir: &TempDir, id: u64) -> Config {
    Config {
        node_id: id,
        dir: dir.path().join(id.to_string()),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        log_chunk_bytes: 16 << 10,
        ..Config::default()
    }
}

/// Starts a node and remembers its port.
pub(crate) async fn start(mut config: Config) -> Result<Node, Error> {
    let machine = Machine::new();
    let raft = Raft::start(config.clone(), machine.clone()).await?;
    config.listen = raft.local_addr();
    Ok(Node { raft, machine, config })
}

impl Group {
    /// Three founders.
    pub(crate) async fn found(adjust: impl Fn(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = BTreeMap::new();
        for id in 1..=3 {
            let mut config = settings(&dir, id);
            adjust(&mut config);
            nodes.insert(id, start(config).await.unwrap());
        }
        let group = Self { dir, nodes, down: BTreeMap::new() };
        let members = group.members();
        for node in group.nodes.values() {
            node.raft.bootstrap(members.clone()).await.unwrap();
        }
        group.leader().await;
        group
    }

    pub(crate) fn members(&self) -> BTreeMap<u64, Member> {
        self.nodes.iter().map(|(id, node)| (*id, node.member())).collect()
    }

    /// The leader all running nodes agree on.
    pub(crate) async fn leader(&self) -> u64 {
        let agreed = async {
            loop {
                let views: Vec<_> =
                    self.nodes.values().map(|node| node.raft.status().leader_id).collect();
                if let Some(Some(id)) = views.first()
                    && views.iter().all(|view| *view == Some(*id))
                    && self.nodes.contains_key(id)
                {
                    return *id;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, agreed).await.expect("a leader all agree on")
    }

    pub(crate) async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        *self.nodes.keys().find(|id| **id != leader).unwrap()
    }

    pub(crate) fn raft(&self, id: u64) -> &Raft {
        &self.nodes[&id].raft
    }

    pub(crate) async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        node.raft.shutdown().await.unwrap();
        self.down.insert(id, node.config);
    }

    pub(crate) async fn restart(&mut self, id: u64) {
        let config = self.down.remove(&id).unwrap();
        self.nodes.insert(id, start(config).await.unwrap());
    }

    /// Waits until every running node has applied what the leader has, and compares the states.
    pub(crate) async fn settle(&self) {
        let leader = self.leader().await;
        let index = self.raft(leader).linearize().await.unwrap();
        for node in self.nodes.values() {
            node.raft.wait_applied(index, LONG).await.unwrap();
        }
        let expected = self.nodes[&leader].machine.replicated();
        for (id, node) in &self.nodes {
            assert_eq!(node.machine.replicated(), expected, "state of node {id}");
        }
    }

    pub(crate) async fn shutdown(self) {
        for node in self.nodes.values() {
            node.raft.shutdown().await.unwrap();
        }
    }
}

impl Node {
    pub(crate) fn member(&self) -> Member {
        Member::new(self.raft.local_addr().to_string())
    }
}

/// Waits for a condition, and fails with its name if it does not come.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, waiting).await.is_ok(), "{what}");
}
