//! The cluster under test: processes on a ground, wires between them, a supervisor beside them.

use crate::ground::Ground;
use crate::process::{DATA, Process};
use crate::proxy::Net;
use crate::shim::{self, Control};
use crate::volume::{self, Volume};
use nodes::config::{
    Cluster as Membership, Config, Limits, Listen, Member, Native, Node, Raft, Watch,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// What a start and catching up may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);
const SUPERVISE_EVERY: Duration = Duration::from_millis(20);
const PROGRAM: &str = env!("CARGO_BIN_EXE_hearth");

/// Fields go in this order: processes, then wires, then the ground they stand on.
#[derive(Debug)]
pub(crate) struct Cluster {
    supervisor: JoinHandle<()>,
    pub(crate) nodes: Arc<Vec<Process>>,
    pub(crate) net: Net,
    pub(crate) ground: Ground,
    dir: TempDir,
    /// Set at the end of a run that found nothing.
    pub(crate) is_good: AtomicBool,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.supervisor.abort();
        for node in self.nodes.iter() {
            node.kill();
        }
        if !self.is_good.load(Ordering::Relaxed) {
            // What the nodes wrote is worth more than a clean folder.
            self.dir.disable_cleanup(true);
            println!("the nodes' folders are kept in {}", self.dir.path().display());
        }
    }
}

impl Cluster {
    pub(crate) async fn start(count: u64, seed: u64, raft: &Raft) -> Self {
        let ground = Ground::prepare(count);
        println!("net: {}", ground.name());
        volume::sweep();
        let prefix = format!("{}{}-", volume::FOLDER, std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        let shim = shim::compile(dir.path());
        let members: Vec<(Member, [SocketAddr; 4])> = (1..=count)
            .map(|id| {
                let ports = ground.ports(id);
                let [grpc, flight, raft, http] = ports.map(|port| port.to_string());
                (Member { id, grpc, flight, raft, http }, ports)
            })
            .collect();
        let targets: BTreeMap<u64, SocketAddr> =
            members.iter().map(|(member, ports)| (member.id, ports[2])).collect();
        let net = Net::between(ground.host(), &targets, seed).await;
        let nodes = members
            .iter()
            .map(|member| {
                let dial = doors(&net, member.0.id, &targets);
                let raft = Raft { dial, ..raft.clone() };
                lay_out(dir.path(), member, &members, raft, &ground, shim.as_deref())
            })
            .collect();
        let nodes: Arc<Vec<Process>> = Arc::new(nodes);
        for node in nodes.iter() {
            node.start();
        }
        let supervised = Arc::clone(&nodes);
        let supervisor = tokio::spawn(async move {
            loop {
                supervised.iter().for_each(Process::supervise);
                tokio::time::sleep(SUPERVISE_EVERY).await;
            }
        });
        let cluster = Self { supervisor, nodes, net, ground, dir, is_good: AtomicBool::new(false) };
        cluster.level().await.unwrap();
        cluster
    }

    pub(crate) fn node(&self, id: u64) -> &Process {
        &self.nodes[id as usize - 1]
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub(crate) fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    /// The place of the node that calls itself leader, in the highest term. A node that was rebuilt
    /// has another id in the cluster than its place here.
    pub(crate) async fn leader(&self) -> u64 {
        let begun = Instant::now();
        loop {
            let running = self.nodes.iter().filter(|node| node.runs());
            let asked = running.map(async |node| Some((node.id, node.status().await?)));
            let statuses = futures::future::join_all(asked).await.into_iter().flatten();
            let leaders = statuses.filter(|(_, status)| status.leader_id == status.node_id);
            if let Some((place, _)) = leaders.max_by_key(|(_, status)| status.term) {
                return place;
            }
            assert!(begun.elapsed() < PATIENCE, "no leader within {PATIENCE:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Everything is whole again: wires, disks, clocks, cables; what is stopped or down goes on.
    pub(crate) fn heal(&self) {
        self.net.heal();
        for node in self.nodes.iter() {
            self.ground.cable(node.id, true);
            if let Some(control) = &node.control {
                control.heal();
            }
            if let Some(volume) = &node.volume {
                volume.release();
            }
            node.pause(false);
            node.start();
        }
    }

    /// Waits until all nodes follow one leader and have applied and recorded what it had committed
    /// when it was asked; tells what is missing when they do not come that far in time.
    pub(crate) async fn level(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        let mut goal = None;
        loop {
            let asked = self.nodes.iter().map(Process::status);
            let statuses: Vec<_> = futures::future::join_all(asked).await;
            let known: Vec<_> = statuses.iter().flatten().collect();
            let leader = known.iter().map(|status| (status.term, status.leader_id)).max();
            let is_one = known.len() == self.nodes.len()
                && known.iter().all(|s| s.leader_id > 0 && Some((s.term, s.leader_id)) == leader);
            if is_one {
                let committed = known.iter().map(|status| status.committed_index).max();
                let goal = *goal.get_or_insert(committed.unwrap_or(0));
                let at_goal = |s: &&&_| {
                    let s: &nodes::proto::hearth::StatusResponse = s;
                    s.applied_index >= goal && s.recorded_index >= goal
                };
                if known.iter().filter(at_goal).count() == known.len() {
                    return Ok(begun.elapsed());
                }
            }
            if begun.elapsed() > PATIENCE {
                let seen: Vec<String> = self
                    .nodes
                    .iter()
                    .zip(&statuses)
                    .map(|(node, status)| match status {
                        None => format!("node {} does not answer: {}", node.id, node.last_words(3)),
                        Some(s) => format!(
                            "node {}: term {} leader {} committed {} applied {} recorded {}",
                            node.id,
                            s.term,
                            s.leader_id,
                            s.committed_index,
                            s.applied_index,
                            s.recorded_index
                        ),
                    })
                    .collect();
                return Err(format!("not level within {PATIENCE:?}: {}", seen.join("; ")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How often any process ended by itself.
    pub(crate) fn exits(&self) -> Vec<(u64, Vec<i32>)> {
        self.nodes.iter().map(|node| (node.id, node.exits())).collect()
    }
}

/// What a node dials in place of the others' raft ports.
fn doors(net: &Net, id: u64, raft: &BTreeMap<u64, SocketAddr>) -> BTreeMap<String, String> {
    let own = net.doors.iter().filter(|((from, _), _)| *from == id);
    own.map(|((_, to), door)| (raft[to].to_string(), door.to_string())).collect()
}

fn lay_out(
    dir: &Path,
    (member, ports): &(Member, [SocketAddr; 4]),
    members: &[(Member, [SocketAddr; 4])],
    raft: Raft,
    ground: &Ground,
    shim: Option<&Path>,
) -> Process {
    let home = dir.join(format!("node{}", member.id));
    let (disk, data) = (home.join("disk"), home.join(DATA));
    std::fs::create_dir_all(&disk).unwrap();
    let volume = Volume::mount(&home.join("disk.image"), &disk);
    if let Err(why) = &volume {
        println!("node {} has no disk of its own: {why}", member.id);
    }
    std::fs::create_dir_all(&data).unwrap();
    let [grpc, flight, raft_port, http] = *ports;
    let config = Config {
        node: Node {
            id: member.id,
            group: "main".to_owned(),
            cluster_id: format!("faults-{}", std::process::id()),
            dir: data.clone(),
            insecure: matches!(ground, Ground::Namespaces(_)),
        },
        listen: Listen { grpc, flight, raft: raft_port, http },
        cluster: Membership {
            members: members.iter().map(|(member, _)| member.clone()).collect(),
            bootstrap: true,
        },
        native: Native::default(),
        limits: Limits { warehouse_mib: 256, ..Limits::default() },
        raft,
        watch: Watch::default(),
        models: nodes::config::Models::default(),
        outbox: nodes::config::OutboxSettings::default(),
        mqtt: Vec::new(),
        rules: None,
    };
    let file = home.join("node.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    let mut command = ground.command(member.id, PROGRAM);
    command.arg("serve").arg("--config").arg(&file);
    let control = shim.map(|library| {
        let control = Control::create(home.join("shim.control"));
        command.env("LD_PRELOAD", library);
        command.env("HEARTH_SHIM_CONTROL", &control.path).env("HEARTH_SHIM_PREFIX", &data);
        control
    });
    Process::new(member, home, control, volume.ok(), command)
}
