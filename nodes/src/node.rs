//! The composition root: builds the parts of one node, runs them, and takes them down in reverse.

use crate::checker;
use crate::config::Config;
use crate::derived::Derived;
use crate::doors::Doors;
use crate::letterbox;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::outbox::{self, Webhook};
use crate::quarantine::Quarantine;
use crate::serving::Serving;
use crate::state::{Command, Reply, RulePush, Rules};
use crate::watch::{self as watching, Groups};
use crate::{admission, backup, exit, mqtt, native, rebuild, scorer};
use bytes::Bytes;
use flight::Warehouse;
use parking_lot::Mutex;
use raft::Raft;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// How often the leader lets the log's clock move when nothing else does.
const TICK: Duration = Duration::from_millis(500);
/// How often it looks whether a timer is due.
const TIMER_LOOK: Duration = Duration::from_millis(100);

/// How long a node that stops tries to hand the leadership on; peers that stop too never take it.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Raft(#[from] raft::Error),
    #[error(transparent)]
    Warehouse(#[from] flight::Error),
    #[error("{0}")]
    Quarantined(String),
    #[error("{0}")]
    Start(String),
}

impl NodeError {
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Raft(raft::Error::Damaged { .. })
            | Self::Quarantined(_)
            | Self::Warehouse(flight::Error::Damaged { .. } | flight::Error::Newer { .. }) => {
                exit::DAMAGED
            }
            Self::Listen { .. } | Self::Raft(_) | Self::Warehouse(_) => exit::UNAVAILABLE,
            Self::Start(_) => exit::REFUSED,
        }
    }
}

/// One running node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    raft: Raft,
    machine: Arc<Machine>,
    serving: Arc<Serving>,
    gate: admission::Gate,
    lane: admission::Lane,
    warehouse: Arc<Warehouse>,
    webhook: Option<Arc<Webhook>>,
    metrics: Metrics,
    doors: Doors,
    recorded: watch::Receiver<u64>,
    /// Random, so that no two starts of any node give out the same ids, whatever their clocks say.
    salt: u64,
    ids: AtomicU64,
    quarantine: Quarantine,
    /// One backup at a time is taken from a node.
    backups: Arc<Semaphore>,
    /// How long the last hashing of the state took, in microseconds.
    check_us: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    recorder: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Node {
    pub async fn start(config: Config) -> Result<Arc<Self>, NodeError> {
        let dir = config.node.dir.clone();
        std::fs::create_dir_all(&dir)
            .map_err(|error| NodeError::Start(format!("{}: {error}", dir.display())))?;
        let webhook = Webhook::open(&config.outbox).map_err(NodeError::Start)?.map(Arc::new);
        backup::refuse_unfinished(&dir).map_err(NodeError::Start)?;
        let id = raft::resolve_id(&raft_dir(&config), config.node.id)?;
        let quarantine = Quarantine::open(&dir).map_err(NodeError::Quarantined)?;
        let Derived { warehouse, machine, recorder, recorded, points, peers } =
            Derived::open(&config)?;
        let shared = Arc::clone(&machine) as Arc<dyn raft::StateMachine>;
        let raft = match Raft::start(raft_config(&config, id), shared).await {
            Ok(raft) => raft,
            Err(error) => {
                // The recorder ends with its queue and closes the warehouse: the folder is free.
                drop((machine, warehouse));
                drop(tokio::task::spawn_blocking(move || recorder.join()).await);
                return Err(error.into());
            }
        };
        let serving = Serving::open(
            &dir.join("models"),
            (
                &native::onnxruntime(config.native.onnxruntime.as_deref()),
                !config.native.only_onnxruntime,
            ),
            Groups::new(&config.watch.groups).map_err(NodeError::Start)?,
            config.models.validator,
        );
        let gate = admission::Gate::new(
            config.limits.inferences_in_flight,
            config.limits.waiting_inferences,
        );
        let lane = admission::Lane::new(config.limits.waiting_inferences);
        let (doors, dropped_in) = Doors::open(&config);
        let node = Arc::new(Self {
            config,
            gate,
            lane,
            raft,
            machine,
            serving: Arc::new(serving),
            warehouse,
            webhook,
            metrics: Metrics::default(),
            doors,
            recorded,
            salt: RandomState::new().build_hasher().finish(),
            ids: AtomicU64::new(1),
            quarantine,
            backups: Arc::new(Semaphore::new(1)),
            check_us: AtomicU64::new(0),
            tasks: Mutex::default(),
            recorder: Mutex::new(Some(recorder)),
        });
        node.bootstrap().await?;
        let mut tasks = vec![
            tokio::spawn(checker::report(Arc::clone(&node), points)),
            tokio::spawn(letterbox::empty(Arc::clone(&node), dropped_in)),
            tokio::spawn(follow_members(Arc::clone(&node), peers)),
        ];
        tasks.extend(node.start_tasks());
        node.tasks.lock().extend(tasks);
        Ok(node)
    }

    /// What a node does by itself for as long as it runs.
    fn start_tasks(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let node = self;
        let mut tasks = vec![tokio::spawn(tick(Arc::clone(node)))];
        if node.id() != node.config.node.id {
            tasks.push(tokio::spawn(rebuild::take_place(Arc::clone(node))));
        }
        tasks.push(tokio::spawn(checker::ask(Arc::clone(node))));
        tokio::spawn(checker::obey(Arc::clone(node)));
        tasks.extend(mqtt::start(node));
        tasks.push(tokio::spawn(scorer::run(Arc::clone(node))));
        tasks.push(tokio::spawn(outbox::run(Arc::clone(node))));
        tasks.push(tokio::spawn(watching::run(Arc::clone(node))));
        tasks.push(tokio::spawn(crate::serving::follow_registry(Arc::clone(node))));
        tasks.push(tokio::spawn(crate::serving::compare_shadows(Arc::clone(node))));
        tasks.push(tokio::spawn(crate::serving::tell_shadows(Arc::clone(node))));
        tasks.push(tokio::spawn(crate::serving::sweep_packages(Arc::clone(node))));
        tasks
    }

    /// The member with the lowest id forms the cluster; on a node that has a log this does nothing.
    async fn bootstrap(&self) -> Result<(), NodeError> {
        let members = &self.config.cluster.members;
        let first = members.iter().map(|member| member.id).min();
        if !self.config.cluster.bootstrap || first != Some(self.id()) {
            return Ok(());
        }
        let members = members.iter().map(|member| (member.id, member.to_raft())).collect();
        Ok(self.raft.bootstrap(members).await?)
    }

    /// Proposes a command on whichever node leads and waits for its answer.
    pub async fn propose(&self, command: &Command) -> Result<(u64, Reply), raft::Error> {
        self.propose_bytes(self.encode(command)).await
    }

    /// [`Node::propose`] for a command that is bytes already.
    pub async fn propose_bytes(&self, command: Vec<u8>) -> Result<(u64, Reply), raft::Error> {
        let begun = Instant::now();
        let applied = self.raft.propose(Bytes::from(command)).await?;
        self.metrics.committed(begun.elapsed().as_micros() as u64);
        let reply = Reply::decode(&applied.reply)
            .map_err(|error| raft::Error::Refused(error.to_string()))?;
        Ok((applied.index, reply))
    }

    /// What a second carrying-out would harm gets an id: a proposal is repeated when leaders change.
    pub(crate) fn encode(&self, command: &Command) -> Vec<u8> {
        match command {
            Command::IngestEvents { .. }
            | Command::RecordScores { .. }
            | Command::Tick
            | Command::CheckState { .. }
            | Command::ReportState { .. }
            | Command::ReportModel(_)
            | Command::RecordDeliveries(_)
            | Command::RecordDeadLetters(_)
            | Command::Once { .. } => command.encode(),
            Command::UpsertRows { .. }
            | Command::SetRules(_)
            | Command::PushRules(_)
            | Command::RegisterModel(_)
            | Command::ChangeModel { .. }
            | Command::PushModel(_)
            | Command::StepModel(_)
            | Command::CompareModel { .. }
            | Command::ActOnAlert { .. }
            | Command::StepCase(_)
            | Command::SetLinkage { .. }
            | Command::SetRoster { .. }
            | Command::RecordDecision(_)
            | Command::RecordReview(_)
            | Command::RecordOutcome { .. }
            | Command::RecordNamedOutcome { .. }
            | Command::RecordWatch(_)
            | Command::DeclareFeed(_)
            | Command::IngestRows { .. }
            | Command::FeedRows { .. }
            | Command::PushView { .. }
            | Command::RetireView { .. }
            | Command::BeginSilence(_)
            | Command::EndSilence { .. } => {
                let running = self.ids.fetch_add(1, Ordering::Relaxed);
                let id = u128::from(self.salt) << 64 | u128::from(running);
                Command::Once { id, command: Box::new(command.clone()) }.encode()
            }
        }
    }

    /// The id this node has in the cluster: the configured one, unless it was rebuilt.
    pub fn id(&self) -> u64 {
        self.raft.id()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn shared_machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    pub fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// The door of every inference.
    pub fn gate(&self) -> &admission::Gate {
        &self.gate
    }

    /// Where long runs go.
    pub(crate) fn lane(&self) -> &admission::Lane {
        &self.lane
    }

    pub fn warehouse(&self) -> &Arc<Warehouse> {
        &self.warehouse
    }

    /// Where notices go, if that is configured.
    pub(crate) fn webhook(&self) -> Option<&Arc<Webhook>> {
        self.webhook.as_ref()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    pub(crate) fn backups(&self) -> &Arc<Semaphore> {
        &self.backups
    }

    /// How long the last hashing of the whole state took.
    pub(crate) fn check_took(&self) -> Duration {
        Duration::from_micros(self.check_us.load(Ordering::Relaxed))
    }

    pub(crate) fn check_took_for(&self, took: Duration) {
        self.check_us.store(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// Why this node answers nobody, if it does not.
    pub fn quarantined(&self) -> Option<&str> {
        self.quarantine.why()
    }

    pub(crate) async fn out_of_service(&self) {
        self.quarantine.settled().await;
    }

    /// Answers nobody from now on; hands the leadership on and leaves the voting to the others.
    pub(crate) async fn quarantine(&self, why: &str) {
        self.quarantine.begin(why);
        tracing::error!(
            why,
            "this node is out of service; rebuild it from its peers: hearth serve --config FILE --rebuild"
        );
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.leave().await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        self.quarantine.settle();
    }

    pub fn watch_recorded(&self) -> watch::Receiver<u64> {
        self.recorded.clone()
    }

    /// An id that no other node and no earlier start of this one gives out.
    pub fn fresh_id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}-{:x}", self.salt, self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Hands the leadership on, so that clients wait for no election.
    pub async fn leave(&self) {
        let status = self.raft.status();
        if status.leader_id != Some(status.node_id) {
            return;
        }
        let voters = status.members.iter().filter(|member| member.id != status.node_id);
        let heir = voters
            .filter(|member| member.role == raft::Role::Follower)
            .max_by_key(|member| member.matched_index);
        let Some(heir) = heir else { return };
        match tokio::time::timeout(LEAVE_WITHIN, self.raft.transfer_leader(heir.id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(to = heir.id, %error, "the leadership was not handed on");
            }
            Err(_) => tracing::warn!(to = heir.id, "the leadership was not handed on in time"),
        }
    }

    /// Stops everything, the recorder last, so that what was applied is recorded.
    pub async fn close(self: Arc<Self>) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        // The recorder ends by itself with the process; what it has not written is in the log.
        let recorder = self.recorder.lock().take();
        drop(recorder);
    }
}

fn raft_dir(config: &Config) -> PathBuf {
    config.node.dir.join("raft")
}

/// A node that began anew runs under another id than the configured one.
pub(crate) fn raft_config(config: &Config, id: u64) -> raft::Config {
    raft::Config {
        node_id: id,
        group: config.node.group.clone(),
        cluster_id: config.node.cluster_id.clone(),
        dir: raft_dir(config),
        listen: config.listen.raft,
        heartbeat_ms: config.raft.heartbeat_ms,
        election_min_ms: config.raft.election_min_ms,
        election_max_ms: config.raft.election_max_ms,
        snapshot_bytes: config.raft.snapshot_mib << 20,
        snapshot_entries: config.raft.snapshot_entries,
        snapshot_seconds: config.raft.snapshot_seconds,
        snapshot_turn_ms: config.raft.snapshot_turn_seconds.saturating_mul(1_000),
        snapshot_bytes_per_s: config.raft.snapshot_mib_per_s << 20,
        keep_entries: config.raft.keep_entries,
        flush_stall_ms: config.raft.flush_stall_ms,
        dial: config.raft.dial.clone(),
        ..raft::Config::default()
    }
}

/// The rules of the configuration, where the log has not said better ones yet: a cluster that has
/// none but the built-in ones takes them, and a later version always counts more.
fn wanted_rules<'a>(config: &'a Config, known: &Rules) -> Option<&'a Rules> {
    let wanted = config.rules.as_ref()?;
    let is_new = wanted.version > known.version
        || (wanted.version == known.version && *known == Rules::default() && wanted != known);
    is_new.then_some(wanted)
}

/// On the leader, lets the clock of an idle log move, so that timers fire.
async fn tick(node: Arc<Node>) {
    let mut every = tokio::time::interval(TIMER_LOOK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if !node.raft.is_leader() {
            continue;
        }
        let rules = wanted_rules(&node.config, &node.machine.read().rules).cloned();
        if let Some(rules) = rules {
            let version = rules.version;
            let push = RulePush::new(&rules, "node.toml", "the rules of the configuration");
            match node.propose(&Command::PushRules(Box::new(push))).await {
                Ok(_) => tracing::info!(version, "the rules of the configuration are in force"),
                Err(error) => tracing::debug!(%error, "the rules were not committed"),
            }
            continue;
        }
        let now_us = node.raft.now_us();
        let (clock_us, timer_us) = {
            let state = node.machine.read();
            (state.clock_us, state.next_timer_us())
        };
        let is_due = timer_us.is_some_and(|timer_us| timer_us <= now_us);
        if !is_due && now_us - clock_us < TICK.as_micros() as i64 {
            continue;
        }
        if let Err(error) = node.propose(&Command::Tick).await {
            tracing::debug!(%error, "a tick was not committed");
        }
    }
}

/// Keeps the peers' Flight addresses in step with the membership.
async fn follow_members(node: Arc<Node>, peers: Arc<Mutex<Vec<String>>>) {
    let mut leadership = node.raft.leadership();
    while leadership.changed().await.is_ok() {
        let status = node.raft.status();
        let others = status.members.iter().filter(|member| member.id != status.node_id);
        let known: Vec<String> =
            others.filter_map(|member| member.member.meta.get("flight").cloned()).collect();
        if !known.is_empty() {
            *peers.lock() = known;
        }
    }
}
