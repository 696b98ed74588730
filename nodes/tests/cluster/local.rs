//! A cluster of real processes on free ports, each with its own configuration file and folder.

use crate::turn::Turn;
use nodes::client::{Client, cluster_client};
use nodes::config::{
    Cluster as Membership, Config, Limits, Listen, Member, Models, Mqtt, Native, Node,
    OutboxSettings, Raft, Watch,
};
use nodes::proto::hearth::{StatusRequest, StatusResponse};
use nodes::state::Rules;
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Endpoint};

/// What every start and catching-up may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(25);
const STARTS_MAX: usize = 5;
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hearth");

/// Asks again until there is an answer; fails with what was waited for.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, &mut ask).await
}

pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// One node and the process that runs it, if one does.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) member: Member,
    pub(crate) config: PathBuf,
    pub(crate) home: PathBuf,
    library: Option<PathBuf>,
    child: Option<Child>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.member.grpc))
            .unwrap()
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(20))
            .connect_lazy()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Memory that the process holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process_id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Ends the process at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the process; its words go to `node.log`, behind what stands there.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(crate) fn start_with(&mut self, more: &[&str]) {
        assert!(self.child.is_none(), "node {} runs already", self.id);
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(&self.config).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(library) = &self.library {
            command.env("ORT_DYLIB_PATH", library);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// The exit status, where the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status.code().unwrap_or(-1))
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.home.join("node.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) async fn status(&self) -> Option<StatusResponse> {
        let mut client = cluster_client(self.channel());
        let asked = tokio::time::timeout(Duration::from_secs(2), client.status(StatusRequest {}));
        Some(asked.await.ok()?.ok()?.into_inner())
    }

    /// Waits until the node answers and knows a leader. A port that somebody else took while the
    /// node was down is waited for.
    pub(crate) async fn wait_up(&mut self) -> StatusResponse {
        let begun = Instant::now();
        loop {
            if let Some(code) = self.ended() {
                assert!(code == 4 && begun.elapsed() < PATIENCE, "{code}: {}", self.log());
                self.start();
            }
            match self.status().await {
                Some(status) if status.leader_id > 0 => return status,
                _ => assert!(begun.elapsed() < PATIENCE, "node {}: {}", self.id, self.log()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the node has applied and recorded everything up to an index.
    pub(crate) async fn wait_recorded(&self, index: u64) -> StatusResponse {
        eventually(&format!("node {} records index {index}", self.id), async || {
            self.status().await.filter(|status| status.recorded_index >= index)
        })
        .await
    }

    /// Status line number and body of a page of the HTTP port.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(&self.member.http).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").await;
        let line = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().unwrap()
    }
}

/// How a cluster differs from the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: u64,
    pub(crate) raft: Raft,
    pub(crate) limits: Limits,
    pub(crate) watch: Watch,
    pub(crate) models: Models,
    pub(crate) outbox: OutboxSettings,
    pub(crate) mqtt: Vec<Mqtt>,
    pub(crate) rules: Option<Rules>,
    /// ONNX Runtime's file of the node with this id.
    pub(crate) library: Option<(u64, PathBuf)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            nodes: 3,
            raft: Raft::default(),
            limits: Limits { warehouse_mib: 256, ..Limits::default() },
            watch: Watch::default(),
            models: Models::default(),
            outbox: OutboxSettings::default(),
            mqtt: Vec::new(),
            rules: None,
            library: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Process>,
    _dir: TempDir,
    _turn: Turn,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::shaped(Shape::default()).await
    }

    pub(crate) async fn shaped(shape: Shape) -> Self {
        let turn = tokio::task::spawn_blocking(Turn::take).await.unwrap();
        for _ in 0..STARTS_MAX {
            let dir = tempfile::tempdir().unwrap();
            let mut nodes = lay_out(dir.path(), &shape);
            for node in &mut nodes {
                node.start();
            }
            if all_up(&mut nodes).await {
                return Self { nodes, _dir: dir, _turn: turn };
            }
        }
        panic!("no free ports in {STARTS_MAX} attempts");
    }

    pub(crate) fn addresses(&self) -> String {
        self.nodes.iter().map(|node| node.member.grpc.clone()).collect::<Vec<_>>().join(",")
    }

    /// A client that goes to any node.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.addresses()).unwrap()
    }

    /// The position of the node that the others, and itself, call their leader.
    pub(crate) async fn leader(&self) -> usize {
        eventually("a leader", async || {
            for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.runs()) {
                if node.status().await.is_some_and(|status| status.leader_id == node.id) {
                    return Some(at);
                }
            }
            None
        })
        .await
    }

    pub(crate) async fn follower(&self) -> usize {
        let leader = self.leader().await;
        (0..self.nodes.len()).rev().find(|at| *at != leader).unwrap()
    }

    /// The state's hash at one index that all nodes passed at the same moment.
    pub(crate) async fn same_state(&self) -> u64 {
        eventually("one index with one hash on every node", async || {
            let mut seen = Vec::new();
            for node in &self.nodes {
                let status = node.status().await?;
                seen.push((status.state_hash_index, status.state_hash));
            }
            let first = seen.first()?;
            if seen.iter().any(|(index, _)| *index != first.0) {
                return None;
            }
            assert!(first.1.iter().any(|byte| *byte != 0), "a hash of nothing");
            assert!(seen.iter().all(|each| each == first), "the states differ: {seen:?}");
            Some(first.0)
        })
        .await
    }

    /// Runs the command line against the cluster.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        hearth(arguments, &self.addresses()).await
    }
}

/// Runs the command line; it gets a minute.
pub(crate) async fn hearth(arguments: &[&str], addresses: &str) -> Output {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(arguments).env("HEARTH_ADDR", addresses).env("USER", "tester");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), command.output());
    output.await.unwrap_or_else(|_| panic!("{arguments:?} did not end")).unwrap()
}

async fn all_up(nodes: &mut [Process]) -> bool {
    let begun = Instant::now();
    for node in nodes {
        while node.status().await.is_none_or(|status| status.leader_id == 0) {
            match node.ended() {
                Some(4) => return false,
                Some(code) => panic!("node {} ended with {code}: {}", node.id, node.log()),
                None => {}
            }
            assert!(begun.elapsed() < PATIENCE, "node {} is not up: {}", node.id, node.log());
            tokio::time::sleep(PAUSE).await;
        }
    }
    true
}

/// Free ports, folders and configuration files; the ports are let go when this returns.
pub(crate) fn lay_out(dir: &Path, shape: &Shape) -> Vec<Process> {
    let mut held = Vec::new();
    let mut free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        held.push(listener);
        address
    };
    let members: Vec<Member> = (1..=shape.nodes)
        .map(|id| Member { id, grpc: free(), flight: free(), raft: free(), http: free() })
        .collect();
    members.iter().map(|member| node(dir, member, &members, shape)).collect()
}

fn node(dir: &Path, member: &Member, members: &[Member], shape: &Shape) -> Process {
    let home = dir.join(format!("node{}", member.id));
    std::fs::create_dir_all(&home).unwrap();
    let config = Config {
        node: Node {
            id: member.id,
            group: "main".to_owned(),
            cluster_id: format!("test-{}", members[0].raft),
            dir: home.join("data"),
            insecure: false,
        },
        listen: Listen {
            grpc: member.grpc.parse().unwrap(),
            flight: member.flight.parse().unwrap(),
            raft: member.raft.parse().unwrap(),
            http: member.http.parse().unwrap(),
        },
        cluster: Membership { members: members.to_vec(), bootstrap: true },
        native: Native::default(),
        limits: shape.limits.clone(),
        raft: shape.raft.clone(),
        watch: shape.watch.clone(),
        models: shape.models.clone(),
        outbox: shape.outbox.clone(),
        mqtt: shape.mqtt.clone(),
        rules: shape.rules.clone(),
    };
    let file = home.join("node.toml");
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    File::create(home.join("node.log")).unwrap();
    let library = shape.library.clone().filter(|(id, _)| *id == member.id).map(|(_, path)| path);
    Process { id: member.id, member: member.clone(), config: file, home, library, child: None }
}
