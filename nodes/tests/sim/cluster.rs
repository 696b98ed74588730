//! The simulated hosts with their disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use raft::Role;
use raft::sim::{Disk, Host, Speed};
use tempfile::TempDir;
use turmoil::Sim;

use crate::node::{Answer, Answers, Node, Question, config, member, name};
use crate::plan::Plan;
use crate::seen::{Journal, Seen};

/// The simulation begins at this time, in seconds since 1970.
const EPOCH_S: u64 = 1_700_000_000;

#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: BTreeMap<u64, Node>,
    down: BTreeSet<u64>,
    joined: BTreeSet<u64>,
    next_number: u64,
    answers: Answers,
    pub(crate) journal: Journal,
    _dir: TempDir,
}

/// A simulated network with a cluster on it.
pub(crate) fn build(plan: &Plan) -> (Sim<'static>, Cluster) {
    let mut sim = turmoil::Builder::new()
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S))
        .rng_seed(plan.seed)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(0))
        .max_message_latency(Duration::from_millis(plan.latency_max_ms))
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    let dir = tempfile::tempdir().unwrap();
    let founders: BTreeMap<_, _> = (1..=plan.founders).map(|id| (id, member(id))).collect();
    let (journal, answers) = (Journal::default(), Answers::default());
    let mut nodes = BTreeMap::new();
    for id in plan.nodes() {
        let speed = Speed { most_ms: plan.flush_max_ms, ..Speed::default() };
        let told = journal.clone();
        let watcher = Box::new(move |event| told.note(id, Seen::Disk(event)));
        let host = Host { disk: Disk::new(plan.seed ^ id, speed, watcher), ..Host::default() };
        let mut config = config(id, dir.path().join(name(id)), &host);
        config.snapshot_entries = plan.snapshot_entries;
        config.keep_entries = plan.keep_entries;
        config.snapshot_turn_ms = plan.snapshot_turn_ms;
        let node = Node {
            id,
            host,
            door: Arc::default(),
            config,
            founders: if id <= plan.founders { founders.clone() } else { BTreeMap::new() },
            answers: answers.clone(),
            journal: journal.clone(),
        };
        nodes.insert(id, node.clone());
        sim.host(name(id), move || node.clone().run());
    }
    let cluster = Cluster {
        nodes,
        down: BTreeSet::new(),
        joined: BTreeSet::new(),
        next_number: 0,
        answers,
        journal,
        _dir: dir,
    };
    (sim, cluster)
}

impl Cluster {
    pub(crate) fn did(&self, what: String) {
        self.journal.note(0, Seen::Did(what));
    }

    pub(crate) fn host(&self, node: u64) -> &Host {
        &self.nodes[&node].host
    }

    pub(crate) fn disk(&self, node: u64) -> &Disk {
        &self.host(node).disk
    }

    /// Nodes whose door is open.
    pub(crate) fn up(&self) -> Vec<u64> {
        self.nodes.values().filter(|node| node.door.lock().is_some()).map(|node| node.id).collect()
    }

    /// Takes a node's power; false if it is down already.
    pub(crate) fn crash(&mut self, node: u64, sim: &mut Sim<'_>) -> bool {
        if !self.down.insert(node) {
            return false;
        }
        self.did(format!("crash {node}"));
        sim.crash(name(node));
        self.disk(node).crash();
        drop(self.nodes[&node].door.lock().take());
        true
    }

    pub(crate) fn start(&mut self, node: u64, sim: &mut Sim<'_>) {
        if self.down.remove(&node) {
            sim.bounce(name(node));
        }
    }

    /// Leaves a question at a node; 0 if nobody is there.
    pub(crate) fn ask(&mut self, node: u64, question: Question) -> u64 {
        self.next_number += 1;
        self.ask_as(self.next_number, node, question)
    }

    pub(crate) fn ask_as(&self, number: u64, node: u64, question: Question) -> u64 {
        let door = self.nodes[&node].door.lock();
        if !matches!(question, Question::Propose(..) | Question::Read) {
            self.did(format!("ask {node} for {question:?}"));
        }
        match &*door {
            Some(door) if door.questions.send((number, question)).is_ok() => number,
            _ => 0,
        }
    }

    pub(crate) fn next_number(&mut self) -> &mut u64 {
        &mut self.next_number
    }

    pub(crate) fn take_answers(&self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut self.answers.lock())
    }

    /// Voters and learners as a node sees them.
    pub(crate) fn members(&self, node: u64) -> Option<(Vec<u64>, Vec<u64>)> {
        let door = self.nodes[&node].door.lock();
        let members = door.as_ref()?.raft.status().members;
        let (learners, voters): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.role == Role::Learner);
        let ids = |members: Vec<raft::MemberStatus>| members.into_iter().map(|m| m.id).collect();
        Some((ids(voters), ids(learners)))
    }

    pub(crate) fn was_member(&self, node: u64) -> bool {
        self.joined.contains(&node)
    }

    pub(crate) fn joins(&mut self, node: u64) {
        self.joined.insert(node);
    }

    /// The leader that a node which leads says it is.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.nodes
            .values()
            .filter_map(|node| {
                let door = node.door.lock();
                let status = door.as_ref()?.raft.status();
                (status.role == Role::Leader).then_some((status.term, node.id))
            })
            .max()
            .map(|(_, id)| id)
    }

    pub(crate) fn applied(&self, node: u64) -> u64 {
        self.nodes[&node].door.lock().as_ref().map_or(0, |door| door.raft.status().applied)
    }

    /// Shows the laws a node's whole state.
    pub(crate) fn settle(&self, node: u64) {
        if let Some(door) = &*self.nodes[&node].door.lock() {
            self.journal.note(node, door.machine.settled());
        }
    }

    pub(crate) fn look_at_status(&self) {
        for (id, node) in &self.nodes {
            if let Some(door) = &*node.door.lock() {
                let now = door.raft.status();
                self.journal.note(
                    *id,
                    Seen::Status {
                        term: now.term,
                        last: now.last_log_index,
                        committed: now.committed,
                        applied: now.applied,
                        snapshot: now.snapshot_index,
                        purged: now.purged,
                    },
                );
            }
        }
    }
}
