//! One node: its files, its process, and what can be done to either.

use crate::shim::Control;
use crate::volume::Volume;
use nodes::client::cluster_client;
use nodes::config::Member;
use nodes::proto::hearth::{StatusRequest, StatusResponse};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};

/// A supervisor starts a process that ended by itself anew after this time.
const RESTART_AFTER: Duration = Duration::from_millis(200);
/// What the node keeps, in its folder.
pub(crate) const DATA: &str = "disk/data";
const STATUS_WITHIN: Duration = Duration::from_millis(1_500);

#[derive(Debug, Default)]
struct Life {
    child: Option<Child>,
    /// Nobody starts it: it was killed by the test.
    down: bool,
    ended: Option<Instant>,
    /// Exit codes of ends that nobody asked for.
    exits: Vec<i32>,
    starts: u64,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) home: PathBuf,
    pub(crate) control: Option<Control>,
    pub(crate) volume: Option<Volume>,
    command: Mutex<Command>,
    life: Mutex<Life>,
    channel: Channel,
    flight: Channel,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    pub(crate) fn new(
        member: &Member,
        home: PathBuf,
        control: Option<Control>,
        volume: Option<Volume>,
        command: Command,
    ) -> Self {
        let lazy = |address: &str| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            endpoint.connect_timeout(Duration::from_millis(500)).tcp_nodelay(true).connect_lazy()
        };
        Self {
            id: member.id,
            channel: lazy(&member.grpc),
            flight: lazy(&member.flight),
            home,
            control,
            volume,
            command: Mutex::new(command),
            life: Mutex::default(),
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn flight(&self) -> flight::Client {
        flight::Client::from_channel(self.flight.clone())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join(DATA)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("node.log")).unwrap_or_default()
    }

    /// The last lines that the node wrote.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    pub(crate) fn start(&self) {
        let mut life = self.life.lock();
        life.down = false;
        if life.child.is_none() {
            self.spawn(&mut life);
        }
    }

    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.command.lock().get_args().any(|argument| argument == word)
    }

    /// Every start from now on has this word more.
    pub(crate) fn add_word(&self, word: &str) {
        self.command.lock().arg(word);
    }

    fn spawn(&self, life: &mut Life) {
        let log = self.home.join("node.log");
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = self.command.lock();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        life.child = Some(command.spawn().unwrap());
        life.ended = None;
        life.starts += 1;
    }

    /// Ends the process at once, as a power cut would, and keeps it down.
    pub(crate) fn kill(&self) {
        let mut life = self.life.lock();
        life.down = true;
        if let Some(mut child) = life.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops or continues the process.
    pub(crate) fn pause(&self, paused: bool) {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let life = self.life.lock();
        if let Some(child) = &life.child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// What a supervisor does, to be called often: starts anew what ended by itself.
    pub(crate) fn supervise(&self) {
        let mut life = self.life.lock();
        if let Some(status) = life.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
            life.child = None;
            life.ended = Some(Instant::now());
            let code = status.code().unwrap_or(-1);
            life.exits.push(code);
            println!("    node {} ended by itself with {code}", self.id);
        }
        let is_due = life.ended.is_some_and(|ended| ended.elapsed() >= RESTART_AFTER);
        if life.child.is_none() && !life.down && is_due {
            self.spawn(&mut life);
        }
    }

    /// Exit codes of ends that nobody asked for, so far.
    pub(crate) fn exits(&self) -> Vec<i32> {
        self.life.lock().exits.clone()
    }

    pub(crate) fn runs(&self) -> bool {
        self.life.lock().child.is_some()
    }

    /// How often the process was started: what it says about itself begins anew each time.
    pub(crate) fn starts(&self) -> u64 {
        self.life.lock().starts
    }

    pub(crate) async fn status(&self) -> Option<StatusResponse> {
        let mut client = cluster_client(self.channel());
        let asked = tokio::time::timeout(STATUS_WITHIN, client.status(StatusRequest {}));
        Some(asked.await.ok()?.ok()?.into_inner())
    }
}
