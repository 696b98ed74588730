//! Settings of one node of one group.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// Largest command accepted.
pub const COMMAND_MAX_BYTES: usize = 8 << 20;
/// Largest message between nodes.
pub const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// Log read for one message; a single entry may be larger, up to the batch limit.
pub(crate) const APPEND_MAX_BYTES: usize = 8 << 20;
/// Largest entry the log reads back; a batch has at most COMMAND_MAX_BYTES and its framing.
pub(crate) const ENTRY_MAX_BYTES: usize = 32 << 20;
/// Piece of a snapshot or blob in one message.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Largest blob.
pub const BLOB_MAX_BYTES: usize = 256 << 20;
/// Largest snapshot file accepted from a peer.
pub(crate) const SNAPSHOT_MAX_BYTES: u64 = 64 << 30;
/// Piece of a snapshot; small, so that little is lost when the way is cut.
pub(crate) const SNAPSHOT_PIECE_BYTES: usize = 256 << 10;
/// Slowest pace of a snapshot: a piece must not look like a stall.
const SNAPSHOT_PACE_MIN: u64 = 64 << 10;
/// Entries in one append message.
pub(crate) const APPEND_MAX_ENTRIES: u64 = 1024;

#[derive(Debug, Clone)]
pub struct Config {
    pub node_id: u64,
    /// The group this log belongs to; a node refuses peers of another group.
    pub group: String,
    pub cluster_id: String,
    /// Everything the node keeps is below this folder.
    pub dir: PathBuf,
    /// Address of the peer port; port 0 takes a free one (see `Raft::local_addr`).
    pub listen: SocketAddr,
    /// By which `host:port` this node reaches a peer, by the peer's address in the membership, where
    /// the two differ: behind an address translation, or with other names inside than outside.
    pub dial: BTreeMap<String, String>,
    pub heartbeat_ms: u64,
    /// A follower stands for election when it has not heard of the leader for `election_max_ms`
    /// (nobody may vote before that) and then a random time between min and max.
    pub election_min_ms: u64,
    pub election_max_ms: u64,
    /// A snapshot is made after this much log since the last one, by bytes or by entries.
    pub snapshot_bytes: u64,
    pub snapshot_entries: u64,
    /// And after this time, if anything was applied since; 0 sets no time.
    pub snapshot_seconds: u64,
    /// The nodes begin snapshots in turn, each for so long, while less than twice as much log is there;
    /// 0 sets no turns.
    pub snapshot_turn_ms: u64,
    /// Entries kept before the snapshot, so that a follower that was away for a while catches up
    /// from the log.
    pub keep_entries: u64,
    /// A snapshot transfer and its installation have to end within this time.
    pub snapshot_timeout_ms: u64,
    /// Most bytes of a snapshot sent to one node in a second, so that a node that catches up does
    /// not hurt the leader; 0 sets no limit.
    pub snapshot_bytes_per_s: u64,
    /// Log is purged in whole chunks of this size.
    pub log_chunk_bytes: usize,
    /// Payloads of recent entries kept in memory.
    pub log_cache_bytes: usize,
    /// A leader whose log has waited longer than this for its disk hands over to another voter.
    pub flush_stall_ms: u64,
    /// A leader with less free disk than this refuses commands.
    pub disk_reserve_bytes: u64,
    /// Most commands in one entry.
    pub batch_commands_max: usize,
    /// An entry is closed when it has this many bytes.
    pub batch_bytes_max: usize,
    /// Entries on their way at the same time.
    pub entries_in_flight: usize,
    /// Calls that may wait to be proposed; more are refused.
    pub propose_queue_max: usize,
    pub propose_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    #[cfg(feature = "sim")]
    pub sim: crate::sim::Host,
}

impl Default for Config {
    /// Fit for a cluster on one machine; kill the leader and another takes over within two seconds.
    fn default() -> Self {
        Self {
            node_id: 1,
            group: "main".into(),
            cluster_id: "dev".into(),
            dir: PathBuf::from("data/raft"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dial: BTreeMap::new(),
            heartbeat_ms: 100,
            election_min_ms: 400,
            election_max_ms: 700,
            snapshot_bytes: 1 << 30,
            snapshot_entries: 200_000,
            snapshot_seconds: 600,
            snapshot_turn_ms: 0,
            keep_entries: 20_000,
            snapshot_timeout_ms: 600_000,
            snapshot_bytes_per_s: 64 << 20,
            log_chunk_bytes: 64 << 20,
            log_cache_bytes: 128 << 20,
            flush_stall_ms: 1_000,
            disk_reserve_bytes: 256 << 20,
            batch_commands_max: 4096,
            batch_bytes_max: 1 << 20,
            entries_in_flight: 2,
            propose_queue_max: 65_536,
            propose_timeout_ms: 10_000,
            connect_timeout_ms: 1_000,
            #[cfg(feature = "sim")]
            sim: crate::sim::Host::default(),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Refused(format!("raft config: {why}")));
        if self.group.is_empty() || self.cluster_id.is_empty() {
            return refuse("group and cluster_id must not be empty");
        }
        let plain = |name: &str| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
        if !plain(&self.group) || !plain(&self.cluster_id) {
            return refuse("group and cluster_id take at most 64 printable ASCII letters");
        }
        if self.batch_commands_max == 0
            || self.batch_bytes_max == 0
            || self.entries_in_flight == 0
            || self.propose_queue_max == 0
        {
            return refuse("batch, in-flight and queue limits must be above 0");
        }
        if self.batch_bytes_max > COMMAND_MAX_BYTES {
            return refuse("batch_bytes_max is larger than the largest command");
        }
        if self.log_chunk_bytes == 0 || self.snapshot_bytes == 0 || self.snapshot_entries == 0 {
            return refuse("log_chunk_bytes and the snapshot thresholds must be above 0");
        }
        if self.flush_stall_ms == 0 {
            return refuse("flush_stall_ms must be above 0");
        }
        if (1..SNAPSHOT_PACE_MIN).contains(&self.snapshot_bytes_per_s) {
            return refuse("snapshot_bytes_per_s is 0 (no limit) or at least 65536");
        }
        Ok(())
    }

    pub(crate) fn consensus(&self) -> Result<openraft::Config, Error> {
        openraft::Config {
            cluster_name: format!("{}/{}", self.cluster_id, self.group),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            install_snapshot_timeout: self.snapshot_timeout_ms,
            max_payload_entries: APPEND_MAX_ENTRIES,
            // Snapshots are triggered by bytes and entries, see `compaction`.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.keep_entries,
            enable_pre_vote: Some(true),
            // The state is in memory: a restarted leader must win an election first.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            ..openraft::Config::default()
        }
        .validate()
        .map_err(|e| Error::Refused(format!("raft config: {e}")))
    }

    pub(crate) fn propose_timeout(&self) -> Duration {
        Duration::from_millis(self.propose_timeout_ms)
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn snapshot_dir(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    pub(crate) fn blob_dir(&self) -> PathBuf {
        self.dir.join("blobs")
    }
}
