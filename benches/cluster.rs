//! A local cluster of the built program, with a small district in it.

use anyhow::Context as _;
use benches::{Feed, registers};
use nodes::client::Client;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// 10,002 devices.
pub(crate) const HOMES: u32 = 3_334;
const ROWS_PER_INGEST: usize = 5_000;
/// Events before anything is measured: about five a device.
const EVENTS_BEFORE: usize = 50_000;
const EVENTS_PER_REQUEST: usize = 1_000;
/// Ports that `hearth dev` takes: ten a node.
const PORTS: u16 = 30;
const ATTEMPTS: usize = 5;

/// Stops with this.
#[derive(Debug)]
pub(crate) struct Cluster {
    child: Child,
    /// The leader's addresses.
    pub(crate) grpc: String,
    flight: String,
    /// The processes of the nodes, the leader's first.
    pub(crate) pids: Vec<u32>,
}

impl Cluster {
    /// Starts `hearth dev` in the folder; the models that come with the program are active.
    pub(crate) fn start(nodes: usize, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program()?)
            .args(["dev", "--nodes", &nodes.to_string(), "--dir"])
            .arg(folder.join(format!("cluster-{nodes}")))
            .args(["--base-port", &free_ports()?.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let said = child.stdout.take().context("hearth dev says nothing")?;
        BufReader::new(said).read_line(&mut line)?;
        let mut cluster =
            Self { child, grpc: String::new(), flight: String::new(), pids: Vec::new() };
        let ready: Value = serde_json::from_str(&line).context("hearth dev did not start")?;
        let all = ready["nodes"].as_array().context("no nodes")?;
        let leader = all.iter().find(|node| node["id"] == ready["leader"]).context("no leader")?;
        let text = |name: &str| leader[name].as_str().map(str::to_owned).context("no address");
        let mut nodes: Vec<_> = all.iter().collect();
        nodes.sort_by_key(|node| node["id"] != ready["leader"]);
        let pids = nodes.iter().map(|node| node["pid"].as_u64().map(|pid| pid as u32));
        cluster.pids = pids.collect::<Option<_>>().context("no processes")?;
        cluster.grpc = text("grpc")?;
        cluster.flight = text("flight")?;
        Ok(cluster)
    }

    /// Runs the program's own command line against the leader.
    #[allow(dead_code, reason = "not every bench needs it")]
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output =
            Command::new(program()?).args(arguments).env("HEARTH_ADDR", &self.grpc).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "hearth {}: {said}", arguments.join(" "));
        Ok(())
    }

    /// Registers, and events that end at `now_us`.
    pub(crate) async fn fill(&self, now_us: i64) -> anyhow::Result<()> {
        let mut flight = flight::Client::connect(&format!("http://{}", self.flight)).await?;
        for (table, rows) in registers(0..HOMES) {
            for part in rows.chunks(ROWS_PER_INGEST) {
                flight.ingest_rows(table.name, part).await?;
            }
        }
        let mut feed = Feed::new(HOMES, 0, "before");
        let all = feed.take(EVENTS_BEFORE);
        let begin_us = now_us - feed.now_us();
        let client = Client::new(&self.grpc)?;
        for part in all.chunks(EVENTS_PER_REQUEST) {
            let later = |event: &features::Event| {
                let mut message = nodes::proto::hearth::Event::from(event.clone());
                message.event_time_us += begin_us;
                message
            };
            client.append(part.iter().map(later).collect()).await?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Asked to end, it ends its nodes before itself.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// `HEARTH_BIN`, else the program beside the benches.
#[expect(clippy::disallowed_methods, reason = "which program is measured")]
fn program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("HEARTH_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().and_then(Path::parent).map(|folder| folder.join("hearth"));
    beside
        .filter(|path| path.exists())
        .context("there is no release build of hearth: run `make bench`")
}

/// The first of enough ports in a row that nobody listens on.
fn free_ports() -> anyhow::Result<u16> {
    for _ in 0..ATTEMPTS {
        let base = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut ports = (base..=u16::MAX).take(PORTS.into());
        if base < u16::MAX - PORTS
            && ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        {
            return Ok(base);
        }
    }
    anyhow::bail!("no {PORTS} free ports in a row were found")
}
