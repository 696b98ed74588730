//! The receiver of notices that stands in `deploy/notify`, as a process of its own.

use crate::local::{PATIENCE, eventually};
use nodes::config::OutboxSettings;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug)]
pub(crate) struct Notifier {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Notifier {
    /// A folder, a key and a port; nothing listens there yet.
    pub(crate) fn prepared() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), KEY).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { dir, port, child: None }
    }

    pub(crate) async fn started() -> Self {
        let mut notifier = Self::prepared();
        notifier.start();
        notifier.wait_up().await;
        notifier
    }

    pub(crate) fn settings(&self) -> OutboxSettings {
        OutboxSettings {
            webhook: Some(format!("http://127.0.0.1:{}/notices", self.port)),
            secret_file: Some(self.dir.path().join("key")),
            timeout_ms: 2_000,
            ..OutboxSettings::default()
        }
    }

    fn sent_file(&self) -> PathBuf {
        self.dir.path().join("sent.ndjson")
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new("python3");
        command.arg(root.join("deploy/notify/webhook.py"));
        command.args(["--port", &self.port.to_string(), "--secret-file"]);
        command.arg(self.dir.path().join("key")).arg("--sent").arg(self.sent_file());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    pub(crate) async fn wait_up(&self) {
        eventually("the notifier", async || TcpStream::connect(("127.0.0.1", self.port)).ok())
            .await;
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Every notice that was handed on, in order.
    pub(crate) fn sent(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.sent_file()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The notices of an alert once there are so many.
    pub(crate) async fn wait_for(&self, alert_id: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} notices of {alert_id} within {PATIENCE:?}");
        eventually(&what, async || {
            let sent = self.sent().into_iter().map(|line| line["notice"].clone());
            let of: Vec<Value> = sent.filter(|notice| notice["alert_id"] == alert_id).collect();
            (of.len() >= count).then_some(of)
        })
        .await
    }

    /// How often each notice was handed on.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in self.sent() {
            *counts.entry(line["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        counts
    }
}
