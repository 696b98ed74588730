//! Three processes of the built program; they stop with this.

use anyhow::Context as _;
use benches::registers;
use nodes::client::Client;
use nodes::config::{Cluster, Config, Limits, Listen, Member, Models, Native, Node, Raft, Watch};
use nodes::proto::hearth::Visible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const NODES: usize = 3;
const ROWS_PER_INGEST: usize = 5_000;
const HOMES_AT_ONCE: u32 = 30_000;
const READY_WITHIN: Duration = Duration::from_mins(1);
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Trio {
    pub(crate) members: Vec<Member>,
    configs: Vec<PathBuf>,
    pub(crate) children: Vec<Child>,
}

impl Trio {
    pub(crate) async fn start(folder: &Path, raft: &Raft) -> anyhow::Result<Self> {
        let members: Vec<Member> = (1..=NODES as u64).map(member).collect::<anyhow::Result<_>>()?;
        let mut nodes = Self { members, configs: Vec::new(), children: Vec::new() };
        for node in 0..NODES {
            let file = write_config(folder, &nodes.members, node, raft)?;
            nodes.configs.push(file);
            let child = nodes.child(node)?;
            nodes.children.push(child);
        }
        let begun = Instant::now();
        while nodes.leader().await.is_err() {
            anyhow::ensure!(begun.elapsed() < READY_WITHIN, "the nodes found no leader");
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(nodes)
    }

    fn child(&self, node: usize) -> anyhow::Result<Child> {
        let log = self.configs[node].with_extension("log");
        Ok(Command::new(program()?)
            .args(["serve", "--config"])
            .arg(&self.configs[node])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::options().create(true).append(true).open(log)?)
            .spawn()?)
    }

    pub(crate) fn spawn(&mut self, node: usize) -> anyhow::Result<()> {
        self.children[node] = self.child(node)?;
        Ok(())
    }

    pub(crate) fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        self.children[node].kill()?;
        self.children[node].wait()?;
        Ok(())
    }

    pub(crate) async fn leader(&self) -> anyhow::Result<usize> {
        let all: Vec<&str> = self.members.iter().map(|member| member.grpc.as_str()).collect();
        let status = Client::new(&all.join(","))?.status().await?;
        let found = self.members.iter().position(|member| member.id == status.leader_id);
        found.context("no leader")
    }

    /// The registers of so many homes.
    pub(crate) async fn fill(&self, homes: u32) -> anyhow::Result<()> {
        let leader = &self.members[self.leader().await?];
        let mut flight = flight::Client::connect(&format!("http://{}", leader.flight)).await?;
        for from in (0..homes).step_by(HOMES_AT_ONCE as usize) {
            for (table, rows) in registers(from..homes.min(from + HOMES_AT_ONCE)) {
                for part in rows.chunks(ROWS_PER_INGEST) {
                    flight.ingest_rows(table.name, part).await?;
                }
            }
        }
        Ok(())
    }

    /// How soon events could be read at each node in the last minute, by its own counting.
    pub(crate) async fn visible(&self) -> anyhow::Result<Vec<(u64, Visible)>> {
        let mut told = Vec::new();
        for member in &self.members {
            let status = Client::new(&member.grpc)?.status().await?;
            let counted = status.visible.into_iter().filter(|each| each.events > 0);
            told.extend(counted.map(|each| (member.id, each)));
        }
        Ok(told)
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn write_config(
    folder: &Path,
    members: &[Member],
    node: usize,
    raft: &Raft,
) -> anyhow::Result<PathBuf> {
    let member = &members[node];
    let home = folder.join(format!("node{}", member.id));
    std::fs::create_dir_all(&home)?;
    let config = Config {
        node: Node {
            id: member.id,
            group: "main".to_owned(),
            cluster_id: "bench".to_owned(),
            dir: home.clone(),
            insecure: false,
        },
        listen: Listen {
            grpc: member.grpc.parse()?,
            flight: member.flight.parse()?,
            raft: member.raft.parse()?,
            http: member.http.parse()?,
        },
        cluster: Cluster { members: members.to_vec(), bootstrap: true },
        native: Native::default(),
        limits: Limits { warehouse_mib: 512, warehouse_threads: 1, ..Limits::default() },
        raft: raft.clone(),
        outbox: nodes::config::OutboxSettings::default(),
        mqtt: Vec::new(),
        rules: None,
        models: Models::default(),
        watch: Watch::default(),
    };
    let file = home.join("node.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    Ok(file)
}

fn member(id: u64) -> anyhow::Result<Member> {
    // All four are held until the last is found, so that none comes twice.
    let held = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let text = |at: usize| addresses.get(at).map(SocketAddr::to_string).unwrap_or_default();
    Ok(Member { id, grpc: text(0), flight: text(1), raft: text(2), http: text(3) })
}

#[expect(clippy::disallowed_methods, reason = "which program is measured")]
fn program() -> anyhow::Result<PathBuf> {
    std::env::var_os("HEARTH_BIN")
        .map(PathBuf::from)
        .context("run `make bench`, which sets HEARTH_BIN")
}
