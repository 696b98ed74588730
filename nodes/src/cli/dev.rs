//! `hearth dev`: a local cluster, each node a child process.

use super::output::Failure;
use super::serve::PARENT_PIPE;
use crate::client::{Client, cluster_client};
use crate::config::{
    Cluster, Config, Limits, Listen, Member, Models, Native, Node, OutboxSettings, Raft, Watch,
};
use crate::proto::hearth::StatusRequest;
use crate::{exit, native};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Nodes of a local cluster at most.
const NODES_MAX: u16 = 9;
/// Ports between one node and the next.
const PORT_STEP: u16 = 10;
/// How long all nodes together may take to be ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How often the processes are looked after.
const SUPERVISE_EVERY: Duration = Duration::from_millis(500);
/// How long a node may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
    /// How many nodes, 1 to 9
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: u16,
    /// Where the nodes keep their data; an existing cluster there goes on
    #[arg(long, default_value = ".data/dev")]
    pub(crate) dir: PathBuf,
    /// Node i has its ports at base + 10 (i - 1): grpc, flight, raft, http
    #[arg(long, default_value_t = 7400)]
    pub(crate) base_port: u16,
    /// Starts a node again when its process dies
    #[arg(long)]
    pub(crate) supervise: bool,
    /// Does not push the models that come with the program
    #[arg(long)]
    pub(crate) bare: bool,
    /// Where notices to people go, such as `http://127.0.0.1:9100/` of deploy/notify/webhook.py
    #[arg(long, requires = "webhook_secret")]
    pub(crate) webhook: Option<String>,
    /// The file with the key that notices are signed by
    #[arg(long)]
    pub(crate) webhook_secret: Option<PathBuf>,
}

impl DevArgs {
    fn outbox(&self) -> anyhow::Result<OutboxSettings> {
        let secret_file = self.webhook_secret.as_ref().map(std::path::absolute).transpose()?;
        Ok(OutboxSettings {
            webhook: self.webhook.clone(),
            secret_file,
            ..OutboxSettings::default()
        })
    }
}

/// A local cluster; its processes end when this is dropped.
#[derive(Debug)]
pub(crate) struct DevCluster {
    nodes: Vec<DevNode>,
}

#[derive(Debug)]
struct DevNode {
    config: PathBuf,
    member: Member,
    child: Child,
}

/// The ready line, in the order in which it is documented.
#[derive(Serialize)]
struct ReadyLine<'a> {
    ready: bool,
    leader: u64,
    nodes: Vec<ReadyNode<'a>>,
}

#[derive(Serialize)]
struct ReadyNode<'a> {
    id: u64,
    pid: Option<u32>,
    grpc: &'a str,
    flight: &'a str,
    raft: &'a str,
    http: &'a str,
    config: &'a Path,
}

pub(crate) async fn run(args: DevArgs) -> anyhow::Result<i32> {
    let mut cluster = DevCluster::start(&args).await?;
    println!("{}", cluster.ready_line().await?);
    tokio::select! {
        () = told_to_stop() => {}
        failed = cluster.supervise(), if args.supervise => failed?,
    }
    cluster.stop().await;
    Ok(exit::DONE)
}

pub(crate) async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

impl DevCluster {
    /// Starts every node and returns when all of them serve and a leader is known.
    pub(crate) async fn start(args: &DevArgs) -> anyhow::Result<Self> {
        if args.nodes == 0 || args.nodes > NODES_MAX {
            return Err(Failure::usage(format!("--nodes takes 1 to {NODES_MAX}")).into());
        }
        std::fs::create_dir_all(&args.dir)
            .with_context(|| format!("{} cannot be made", args.dir.display()))?;
        let dir = args.dir.canonicalize()?;
        let members = (1..=args.nodes)
            .map(|id| member(args.base_port, id))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for member in &members {
            check_free(member)?;
        }
        let program = std::env::current_exe()?;
        let mut cluster = Self { nodes: Vec::new() };
        for member in &members {
            let config = write_config(&dir, member, &members, args.outbox()?)?;
            let child = spawn(&program, &config, false)?;
            cluster.nodes.push(DevNode { config, member: member.clone(), child });
        }
        cluster.wait_ready().await?;
        // Without its models a cluster still takes events, raises alerts and answers SQL.
        if !args.bare
            && let Err(error) = crate::shipped::push_all(&cluster.client()?).await
        {
            eprintln!("hearth: the shipped models are not served: {error:#}");
        }
        Ok(cluster)
    }

    pub(crate) fn addresses(&self) -> String {
        self.nodes.iter().map(|node| node.member.grpc.clone()).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.addresses())?)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.nodes.iter().map(|node| &node.member)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for node in &mut self.nodes {
            let client = Client::new(&node.member.grpc)?;
            loop {
                if let Some(status) = node.child.try_wait()? {
                    let log = node.config.with_file_name("node.log");
                    let last = std::fs::read_to_string(&log).unwrap_or_default();
                    let last = last.lines().last().unwrap_or("no word of it in its log").to_owned();
                    anyhow::bail!(
                        "node {} ended with {status}: {last} (whole log: {})",
                        node.member.id,
                        log.display()
                    );
                }
                let known = client.call_once(|channel| async move {
                    Ok(cluster_client(channel)
                        .status(StatusRequest {})
                        .await?
                        .into_inner()
                        .leader_id)
                });
                if known.await.is_ok_and(|leader| leader > 0) {
                    break;
                }
                if begun.elapsed() > READY_WITHIN {
                    anyhow::bail!(
                        "node {} was not ready within {} s: see {}",
                        node.member.id,
                        READY_WITHIN.as_secs(),
                        node.config.with_file_name("node.log").display()
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// The one line of JSON that says that all is ready, and where.
    async fn ready_line(&self) -> anyhow::Result<String> {
        let status = self.client()?.status().await?;
        let nodes = self.nodes.iter().map(|node| ReadyNode {
            id: node.member.id,
            pid: node.child.id(),
            grpc: &node.member.grpc,
            flight: &node.member.flight,
            raft: &node.member.raft,
            http: &node.member.http,
            config: &node.config,
        });
        let line = ReadyLine { ready: true, leader: status.leader_id, nodes: nodes.collect() };
        Ok(serde_json::to_string(&line)?)
    }

    /// Starts nodes again whose process has died; ends only with an error.
    async fn supervise(&mut self) -> anyhow::Result<()> {
        let program = std::env::current_exe()?;
        loop {
            for node in &mut self.nodes {
                if let Some(status) = node.child.try_wait()? {
                    eprintln!(
                        "hearth: node {} ended with {status}; it is started again",
                        node.member.id
                    );
                    // Damaged data are what the others are for.
                    let rebuilds = status.code() == Some(exit::DAMAGED);
                    node.child = spawn(&program, &node.config, rebuilds)?;
                }
            }
            tokio::time::sleep(SUPERVISE_EVERY).await;
        }
    }

    /// Ends every node by closing its standard input, then by force.
    pub(crate) async fn stop(mut self) {
        for node in &mut self.nodes {
            drop(node.child.stdin.take());
        }
        for node in &mut self.nodes {
            if tokio::time::timeout(STOP_WITHIN, node.child.wait()).await.is_err() {
                let _ = node.child.kill().await;
            }
        }
    }
}

fn member(base_port: u16, id: u16) -> anyhow::Result<Member> {
    let base = PORT_STEP
        .checked_mul(id - 1)
        .and_then(|step| base_port.checked_add(step))
        .filter(|base| *base < u16::MAX - 3);
    let base = base.ok_or_else(|| {
        Failure::usage(format!("--base-port {base_port} leaves no room for node {id}"))
    })?;
    let address = |offset: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, base + offset)).to_string();
    Ok(Member {
        id: u64::from(id),
        grpc: address(0),
        flight: address(1),
        raft: address(2),
        http: address(3),
    })
}

fn check_free(member: &Member) -> anyhow::Result<()> {
    for address in [&member.grpc, &member.flight, &member.raft, &member.http] {
        if let Err(error) = TcpListener::bind(address) {
            let said = format!(
                "{address} cannot be listened on ({error}): stop what runs there or choose another --base-port"
            );
            return Err(Failure::refused(said).into());
        }
    }
    Ok(())
}

fn write_config(
    dir: &Path,
    member: &Member,
    members: &[Member],
    outbox: OutboxSettings,
) -> anyhow::Result<PathBuf> {
    let home = dir.join(format!("node{}", member.id));
    std::fs::create_dir_all(&home)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let config = Config {
        node: Node {
            id: member.id,
            group: "main".to_owned(),
            cluster_id: "dev".to_owned(),
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
        native: Native { onnxruntime: Some(native::onnxruntime(None)), ..Native::default() },
        limits: Limits {
            warehouse_mib: 512,
            // The nodes share the machine. A thread too many waits actively for the others' work.
            warehouse_threads: processors.div_ceil(members.len().max(1)),
            ..Limits::default()
        },
        raft: Raft::default(),
        watch: Watch::default(),
        // Nobody has a name here, so nobody can be asked for a second one.
        models: Models { four_eyes: false, ..Models::default() },
        outbox,
        mqtt: Vec::new(),
        rules: None,
    };
    let file = home.join("node.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    Ok(file)
}

fn spawn(program: &Path, config: &Path, rebuilds: bool) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(config.with_file_name("node.log"))?;
    Command::new(program)
        .args(["serve", "--config"])
        .arg(config)
        .args(rebuilds.then_some("--rebuild"))
        .env(PARENT_PIPE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))
}
