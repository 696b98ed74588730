//! Other people's servers as processes: Redis, and MLServer with ONNX Runtime alone or behind Feast. What
//! `deploy/peers/fetch-serving` has fetched lies in the folder `HEARTH_RIVALS`.

use anyhow::Context as _;
use nodes::proto::inference::ModelReadyRequest;
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use serde_json::{Value, json};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_mins(2);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// What MLServer runs, and what fills Feast; they stand beside this file.
const RUNTIME: &str = include_str!("runtime.py");
const FEAST_FILL: &str = include_str!("feast_fill.py");

/// A process; ends with this.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// What it says goes to a file beside its folder.
    fn start(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let said = File::create(folder.with_extension("said"))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let program = command.get_program().to_owned();
        let child =
            command.spawn().with_context(|| format!("{} is not there", program.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "where the rivals are")]
fn rivals() -> PathBuf {
    std::env::var_os("HEARTH_RIVALS").map_or_else(|| PathBuf::from(".native/rivals"), PathBuf::from)
}

fn python(program: &str) -> anyhow::Result<Command> {
    let path = rivals().join("python/bin").join(program);
    anyhow::ensure!(path.exists(), "{} is not there: deploy/peers/fetch-serving", path.display());
    Ok(Command::new(path))
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    pub(crate) port: u16,
    pub(crate) version: String,
}

impl Redis {
    /// In memory only; on the PATH or as it was fetched.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let fetched = rivals().join("bin/redis-server");
        let program = if fetched.exists() { fetched } else { PathBuf::from("redis-server") };
        let said = Command::new(&program).arg("--version").output();
        let said = String::from_utf8(said.context("redis-server is not there")?.stdout)?;
        let version = said.split("v=").nth(1).and_then(|rest| rest.split(' ').next());
        let version = version.unwrap_or_default().to_owned();
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        let process = Process::start(command, &folder.join("redis"))?;
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            anyhow::ensure!(begun.elapsed() < START_MAX, "redis-server did not start");
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(Self { process, port, version })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Makes a Feast repository and writes the rows of a CSV file into its store in Redis.
pub(crate) fn fill_feast(folder: &Path, redis: &Redis, rows: &Path) -> anyhow::Result<PathBuf> {
    let script = folder.join("feast_fill.py");
    std::fs::write(&script, FEAST_FILL)?;
    let repository = folder.join("feast");
    let mut command = python("python")?;
    command.args(["-W", "ignore"]).arg(script).arg(&repository).arg(redis.port.to_string());
    let ran = command.arg(rows).env("FEAST_USAGE", "False").output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status.success(), "Feast: {}", said.lines().last().unwrap_or_default());
    Ok(repository)
}

/// One model behind MLServer.
#[derive(Debug)]
pub(crate) struct MlServer {
    process: Process,
    pub(crate) address: String,
}

impl MlServer {
    /// `model` is the name of a class of the runtime; `more` what that wants to know beside the file.
    pub(crate) async fn start(
        folder: &Path,
        model: &str,
        file: &Path,
        more: Value,
    ) -> anyhow::Result<Self> {
        let home = folder.join(model);
        std::fs::create_dir(&home)?;
        std::fs::write(home.join("runtime.py"), RUNTIME)?;
        let (grpc, http, metrics) = (free_port()?, free_port()?, free_port()?);
        // Parallel workers cost a hop between processes; for models this small none is faster.
        let settings = json!({
            "host": "127.0.0.1", "grpc_port": grpc, "http_port": http, "metrics_port": metrics,
            "parallel_workers": 0, "debug": false
        });
        std::fs::write(home.join("settings.json"), settings.to_string())?;
        let settings = json!({
            "name": model, "implementation": format!("runtime.{model}"),
            "parameters": { "uri": file, "version": "1", "extra": more }
        });
        std::fs::write(home.join("model-settings.json"), settings.to_string())?;
        let mut command = python("mlserver")?;
        command.args(["start", "."]).current_dir(&home).env("PYTHONPATH", &home);
        let process = Process::start(command, &home)?;
        let server = Self { process, address: format!("127.0.0.1:{grpc}") };
        let begun = Instant::now();
        while !server.is_ready(model).await {
            let said = home.with_extension("said");
            anyhow::ensure!(
                begun.elapsed() < START_MAX,
                "MLServer did not start: {}",
                said.display()
            );
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(server)
    }

    async fn is_ready(&self, model: &str) -> bool {
        let address = format!("http://{}", self.address);
        let Ok(mut client) = GrpcInferenceServiceClient::connect(address).await else {
            return false;
        };
        let request = ModelReadyRequest { name: model.to_owned(), ..ModelReadyRequest::default() };
        client.model_ready(request).await.is_ok_and(|answer| answer.into_inner().ready)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
