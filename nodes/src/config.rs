//! The configuration of one node: every key typed, unknown keys refused with the nearest known one.

pub use crate::mqtt::Mqtt;
pub use crate::outbox::OutboxSettings;
use crate::state::Rules;
pub use crate::validator::ValidatorLimits;
use crate::watch::Groups;
use models::{Gates, WatchRules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration {file} cannot be read: {source}")]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("configuration {file}: {said}")]
    Invalid { file: PathBuf, said: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub listen: Listen,
    pub cluster: Cluster,
    #[serde(default)]
    pub native: Native,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub raft: Raft,
    #[serde(default)]
    pub watch: Watch,
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub outbox: OutboxSettings,
    /// Brokers that events are taken from, by the leader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mqtt: Vec<Mqtt>,
    /// The alert rules that a new cluster starts with; later ones go through the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Never given to another node, not even after this one was removed.
    pub id: u64,
    /// The district. One cluster will hold several.
    #[serde(default = "default_group")]
    pub group: String,
    pub cluster_id: String,
    /// Everything this node keeps.
    pub dir: PathBuf,
    /// Allows listening off loopback without TLS and tokens. Said loudly at every start.
    #[serde(default)]
    pub insecure: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub grpc: SocketAddr,
    pub flight: SocketAddr,
    pub raft: SocketAddr,
    pub http: SocketAddr,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The first members; later changes go through `hearth cluster`.
    pub members: Vec<Member>,
    /// Forms the cluster at the first start, from the lowest id among the members.
    #[serde(default = "default_true")]
    pub bootstrap: bool,
}

/// Addresses that the other nodes and clients reach this member by, `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub id: u64,
    pub grpc: String,
    pub flight: String,
    pub raft: String,
    pub http: String,
}

impl Member {
    /// The member as raft carries it: its own address, and the others as plain words.
    pub fn to_raft(&self) -> raft::Member {
        let meta = [("grpc", &self.grpc), ("flight", &self.flight), ("http", &self.http)];
        raft::Member {
            raft: self.raft.clone(),
            meta: meta.map(|(name, address)| (name.to_owned(), address.clone())).into(),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Native {
    /// Full path of ONNX Runtime's library; `ORT_DYLIB_PATH` wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<PathBuf>,
    /// ONNX Runtime alone evaluates models, even those for which our evaluator gives the same bits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_onnxruntime: bool,
}

/// Past any of these the answer is RESOURCE_EXHAUSTED or INVALID_ARGUMENT with the limit in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Events in one AppendRequest.
    pub events_per_request: usize,
    /// Bytes of one request to the gRPC port, and of a body to the HTTP port.
    pub request_bytes: usize,
    /// Bodies of events and rows that are read and worked on at once by the HTTP port.
    pub bodies_at_once: usize,
    /// Events and rows of all doors that are on their way into the log, in MiB.
    pub intake_mib: usize,
    /// Calls at once on one connection.
    pub calls_per_connection: usize,
    /// Entities in one ScoreMany.
    pub entities_per_request: usize,
    /// Rows in one ModelInfer.
    pub rows_per_request: usize,
    /// Inferences that are under way or wait, all together.
    pub inferences_in_flight: usize,
    /// Inferences of one priority that wait while more urgent ones come in.
    pub waiting_inferences: usize,
    /// DuckDB's memory, in MiB.
    pub warehouse_mib: usize,
    /// DuckDB's threads; 0 means one for each processor.
    pub warehouse_threads: usize,
    /// A query is stopped after this time.
    pub query_ms: u64,
}

/// How model files are taken in and promoted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Whoever pushed a version cannot approve it.
    pub four_eyes: bool,
    /// Refuses packages without `intended_use` or `card.md`, bare files among them.
    pub require_card: bool,
    /// Most that the packages of all versions may take together, on each node. They are never removed.
    pub packages_mib: u64,
    /// What a file may take while it is validated.
    pub validator: ValidatorLimits,
    /// Asked of every version beside its manifest's own.
    pub gates: Gates,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            four_eyes: true,
            require_card: false,
            packages_mib: 20 << 10,
            validator: ValidatorLimits::default(),
            gates: Gates::default(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raft {
    pub heartbeat_ms: u64,
    pub election_min_ms: u64,
    pub election_max_ms: u64,
    /// A snapshot after this much log.
    pub snapshot_mib: u64,
    pub snapshot_entries: u64,
    /// And after so long, if anything was applied since; 0 for never.
    pub snapshot_seconds: u64,
    /// The nodes write snapshots in turn, each for so long, until one has twice as much log; 0 for no
    /// turns.
    pub snapshot_turn_seconds: u64,
    /// How fast a snapshot is sent to a node that was away, in MiB a second; 0 for no limit.
    pub snapshot_mib_per_s: u64,
    /// Entries kept behind a snapshot for followers that were away.
    pub keep_entries: u64,
    /// A leader whose disk takes longer than this for one flush hands over.
    pub flush_stall_ms: u64,
    /// How often the replicas compare their whole states, at the most often.
    pub check_seconds: u64,
    /// By which `host:port` this node reaches the raft port of a peer, by that port's address in the
    /// membership, where the two differ: behind an address translation, for one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dial: BTreeMap<String, String>,
}

/// How models are watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// How often a node puts what it counted into the log.
    pub flush_ms: u64,
    /// The first scores of a version whose package has no background.csv or golden.csv of 200 rows:
    /// later ones are compared with them.
    pub reference_scores: usize,
    /// What a version must keep to be promoted, where its manifest does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_scores: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ks_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ece_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_ratio_min: Option<f64>,
    /// Columns of the registers whose values are groups of residents.
    pub groups: Vec<Group>,
    /// 99 of 100 events should be readable so soon after they came in.
    pub visible_goal_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    /// A path from the resident, such as `resident.household_id>household.type`.
    pub column: String,
    /// Lower ends of bands of whole years since the column's date; without them values are groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<i64>,
}

impl Default for Watch {
    fn default() -> Self {
        let group = |name: &str, column: &str, years: &[i64]| Group {
            name: name.to_owned(),
            column: column.to_owned(),
            years: years.to_vec(),
        };
        Self {
            flush_ms: 1_000,
            reference_scores: 1_000,
            min_scores: None,
            psi_max: None,
            ks_max: None,
            missing_max: None,
            ece_max: None,
            group_ratio_min: None,
            visible_goal_ms: 100,
            groups: vec![
                group("sex", "resident.sex", &[]),
                group("age", "resident.birth_ym", &[60, 70, 80, 90]),
                group("household", "resident.household_id>household.type", &[]),
            ],
        }
    }
}

impl Watch {
    /// A manifest's rules, with these where it is silent.
    pub(crate) fn fill(&self, own: &WatchRules) -> WatchRules {
        WatchRules {
            min_scores: own.min_scores.or(self.min_scores),
            psi_max: own.psi_max.or(self.psi_max),
            ks_max: own.ks_max.or(self.ks_max),
            missing_max: own.missing_max.or(self.missing_max),
            ece_max: own.ece_max.or(self.ece_max),
            group_ratio_min: own.group_ratio_min.or(self.group_ratio_min),
            ..own.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_per_request: 10_000,
            request_bytes: 8 << 20,
            bodies_at_once: 32,
            intake_mib: 64,
            calls_per_connection: 256,
            entities_per_request: 10_000,
            rows_per_request: 4_096,
            inferences_in_flight: 4_096,
            waiting_inferences: 1_024,
            warehouse_mib: 1_024,
            warehouse_threads: 0,
            query_ms: 30_000,
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_min_ms: 400,
            election_max_ms: 700,
            snapshot_mib: 256,
            snapshot_entries: 100_000,
            snapshot_seconds: 600,
            snapshot_turn_seconds: 15,
            snapshot_mib_per_s: 64,
            keep_entries: 20_000,
            flush_stall_ms: 1_000,
            check_seconds: 60,
            dial: BTreeMap::new(),
        }
    }
}

fn default_group() -> String {
    "main".to_owned()
}

fn default_true() -> bool {
    true
}

impl Config {
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(&text).map_err(|said| ConfigError::Invalid { file: file.to_owned(), said })
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| one_line(&error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.node.id == 0 {
            return Err("node.id must be 1 or more".to_owned());
        }
        if !self.cluster.members.is_empty()
            && self.cluster.members.iter().all(|member| member.id != self.node.id)
        {
            return Err(format!(
                "cluster.members has no member of id {}: add this node's own addresses",
                self.node.id
            ));
        }
        if self.raft.election_min_ms < self.raft.heartbeat_ms * 3
            || self.raft.election_max_ms <= self.raft.election_min_ms
        {
            return Err(
                "raft: election_min_ms must be at least 3 heartbeats and election_max_ms above it"
                    .to_owned(),
            );
        }
        if self.raft.check_seconds == 0 || self.raft.flush_stall_ms == 0 {
            return Err("raft: check_seconds and flush_stall_ms must be 1 or more".to_owned());
        }
        if self.watch.flush_ms < 100 || !(200..=4_000).contains(&self.watch.reference_scores) {
            return Err(
                "watch: flush_ms must be 100 or more, reference_scores from 200 to 4000".to_owned()
            );
        }
        Groups::new(&self.watch.groups)?;
        self.models.gates.check().map_err(|said| format!("models.{said}"))?;
        if self.models.validator.seconds == 0 || self.models.validator.memory_mib < 256 {
            return Err(
                "models.validator: seconds must be 1 or more and memory_mib 256 or more".to_owned()
            );
        }
        if self.limits.intake_mib == 0 || self.limits.bodies_at_once == 0 {
            return Err("limits: intake_mib and bodies_at_once must be 1 or more".to_owned());
        }
        crate::mqtt::check(&self.mqtt)?;
        let is_address = |text: &str| {
            text.rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let mut dialled = self.raft.dial.iter().flat_map(|(from, to)| [from, to]);
        if let Some(wrong) = dialled.find(|address| !is_address(address)) {
            return Err(format!("raft.dial: {wrong:?} is not host:port"));
        }
        for (name, address) in [
            ("grpc", self.listen.grpc),
            ("flight", self.listen.flight),
            ("raft", self.listen.raft),
            ("http", self.listen.http),
        ] {
            if !address.ip().is_loopback() && !self.node.insecure {
                return Err(format!(
                    "listen.{name} = {address} is off loopback without TLS and tokens: listen on 127.0.0.1, or set node.insecure = true on a network that nobody else reaches"
                ));
            }
        }
        self.outbox.check(self.node.insecure)
    }
}

/// The parser's word in one line; an unknown key with the nearest known one.
fn one_line(error: &toml::de::Error) -> String {
    let message = error.message().trim().to_owned();
    let Some(rest) = message.strip_prefix("unknown field `") else { return message };
    let Some((unknown, known)) = rest.split_once('`') else { return message };
    let nearest = known.split('`').skip(1).step_by(2).max_by(|a, b| {
        strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b))
    });
    match nearest {
        Some(nearest) => format!("unknown key `{unknown}`: did you mean `{nearest}`?"),
        None => format!("unknown key `{unknown}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [node]
        id = 1
        cluster_id = "c"
        dir = "d"
        [listen]
        grpc = "127.0.0.1:1"
        flight = "127.0.0.1:2"
        raft = "127.0.0.1:3"
        http = "127.0.0.1:4"
        [cluster]
        members = []
    "#;

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert!(Config::parse(GOOD).is_ok());
        let said = Config::parse(&GOOD.replace("dir =", "dirr =")).unwrap_err();
        assert_eq!(said, "unknown key `dirr`: did you mean `dir`?");
        let said = Config::parse(&GOOD.replace("flight =", "fligth =")).unwrap_err();
        assert!(said.contains("did you mean `flight`?"), "{said}");
    }

    #[test]
    fn peers_may_have_other_addresses_from_here() {
        let dial = |to: &str| format!("{GOOD}\n[raft.dial]\n\"node2:7003\" = \"{to}\"\n");
        let config = Config::parse(&dial("10.0.0.2:9")).unwrap();
        assert_eq!(config.raft.dial["node2:7003"], "10.0.0.2:9");
        let said = Config::parse(&dial("10.0.0.2")).unwrap_err();
        assert!(said.contains("raft.dial") && said.contains("host:port"), "{said}");
    }

    #[test]
    fn off_loopback_needs_a_word() {
        let open = GOOD.replace("127.0.0.1:1", "0.0.0.0:1");
        let said = Config::parse(&open).unwrap_err();
        assert!(said.contains("insecure"), "{said}");
        assert!(Config::parse(&open.replace("id = 1", "id = 1\ninsecure = true")).is_ok());
    }
}
