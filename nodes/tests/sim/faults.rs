//! What goes wrong, when, and for how long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use raft::sim::Speed;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use turmoil::Sim;

use crate::cluster::Cluster;
use crate::node::{Question, name};
use crate::plan::{Plan, dice};

#[derive(Debug, Clone, Copy)]
enum Fault {
    Crash,
    CrashAll,
    Isolate,
    IsolateLeader,
    Split,
    OneWay,
    Hold,
    SlowDisk,
    SlowLink,
    Skew,
    Snapshot,
    Transfer,
    Membership,
}

/// How often each comes.
const WEIGHTS: [(Fault, u32); 13] = [
    (Fault::Crash, 20),
    (Fault::CrashAll, 3),
    (Fault::Isolate, 6),
    (Fault::IsolateLeader, 10),
    (Fault::Split, 8),
    (Fault::OneWay, 10),
    (Fault::Hold, 8),
    (Fault::SlowDisk, 8),
    (Fault::SlowLink, 6),
    (Fault::Skew, 5),
    (Fault::Snapshot, 6),
    (Fault::Transfer, 10),
    (Fault::Membership, 14),
];
/// A clock may be wrong by so much.
const SKEW_MAX_US: i64 = 3_600_000_000;

#[derive(Debug)]
enum Undo {
    Start(u64),
    Mend(u64, u64),
    Disk(u64),
    Link(u64, u64),
}

#[derive(Debug)]
pub(crate) struct Faults {
    plan: Plan,
    dice: ChaCha8Rng,
    next_ms: u64,
    undo: Vec<(u64, Undo)>,
    pub(crate) count: u64,
}

impl Faults {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            dice: dice(plan.seed, 3),
            // The group has to come up first.
            next_ms: 1_500,
            undo: Vec::new(),
            count: 0,
        }
    }

    /// What is due now.
    pub(crate) fn step(&mut self, now_ms: u64, sim: &mut Sim<'_>, cluster: &mut Cluster) {
        self.undo_due(now_ms, sim, cluster);
        if now_ms < self.next_ms {
            return;
        }
        let mean = self.plan.fault_every_ms;
        self.next_ms = now_ms + self.dice.random_range(mean / 4..=mean * 7 / 4);
        let fault = WEIGHTS
            .choose_weighted(&mut self.dice, |(_, weight)| *weight)
            .map_or(Fault::Crash, |(fault, _)| *fault);
        self.count += 1;
        self.strike(fault, now_ms, sim, cluster);
    }

    /// A voter that goes down with its vote still wet.
    pub(crate) fn voted(
        &mut self,
        node: u64,
        now_ms: u64,
        sim: &mut Sim<'_>,
        cluster: &mut Cluster,
    ) {
        if self.dice.random_range(0..self.plan.crash_at_vote_one_in) == 0 {
            self.crash(node, now_ms, sim, cluster);
        }
    }

    /// Everything is mended at once.
    pub(crate) fn end(&mut self, sim: &mut Sim<'_>, cluster: &mut Cluster) {
        self.undo_due(u64::MAX, sim, cluster);
    }

    fn undo_due(&mut self, now_ms: u64, sim: &mut Sim<'_>, cluster: &mut Cluster) {
        while let Some(at) = self.undo.iter().position(|(due_ms, _)| *due_ms <= now_ms) {
            let (_, undo) = self.undo.remove(at);
            cluster.did(format!("undo {undo:?}"));
            match undo {
                Undo::Start(node) => cluster.start(node, sim),
                Undo::Mend(a, b) => sim.release(name(a), name(b)),
                Undo::Disk(node) => cluster.disk(node).set_speed(self.usual_disk()),
                Undo::Link(a, b) => {
                    let usual = Duration::from_millis(self.plan.latency_max_ms);
                    sim.set_link_max_message_latency(name(a), name(b), usual);
                }
            }
        }
    }

    fn usual_disk(&self) -> Speed {
        Speed { most_ms: self.plan.flush_max_ms, ..Speed::default() }
    }

    fn strike(&mut self, fault: Fault, now_ms: u64, sim: &mut Sim<'_>, cluster: &mut Cluster) {
        let mut nodes: Vec<u64> = self.plan.nodes().collect();
        nodes.shuffle(&mut self.dice);
        let node = nodes[0];
        let until = now_ms + self.dice.random_range(100..=1_500);
        match fault {
            Fault::Crash => self.crash(node, now_ms, sim, cluster),
            Fault::CrashAll => {
                for node in nodes {
                    self.crash(node, now_ms, sim, cluster);
                }
            }
            Fault::IsolateLeader => {
                let leader = cluster.leader().unwrap_or(node);
                nodes.retain(|other| *other != leader);
                self.cut(&[leader], &nodes, until, sim, cluster);
            }
            Fault::Isolate => self.cut(&nodes[..1], &nodes[1..], until, sim, cluster),
            Fault::Split => {
                let half = self.dice.random_range(1..nodes.len());
                self.cut(&nodes[..half], &nodes[half..], until, sim, cluster);
            }
            Fault::OneWay => {
                cluster.did(format!("cut {node} off from sending"));
                for other in &nodes[1..] {
                    sim.partition_oneway(name(node), name(*other));
                    self.undo.push((until, Undo::Mend(node, *other)));
                }
            }
            Fault::Hold => {
                cluster.did(format!("hold messages between {node} and {}", nodes[1]));
                sim.hold(name(node), name(nodes[1]));
                self.undo.push((until, Undo::Mend(node, nodes[1])));
            }
            Fault::SlowDisk => {
                let slow_ms = self.dice.random_range(50..=800);
                cluster.did(format!("disk {node} takes {slow_ms} ms"));
                let speed = Speed { least_ms: slow_ms, most_ms: slow_ms, ..Speed::default() };
                cluster.disk(node).set_speed(speed);
                self.undo.push((until, Undo::Disk(node)));
            }
            Fault::SlowLink => {
                let slow = Duration::from_millis(self.dice.random_range(50..=400));
                cluster.did(format!("link {node} to {} takes {slow:?}", nodes[1]));
                sim.set_link_max_message_latency(name(node), name(nodes[1]), slow);
                self.undo.push((until, Undo::Link(node, nodes[1])));
            }
            Fault::Skew => {
                let skew_us = self.dice.random_range(-SKEW_MAX_US..=SKEW_MAX_US);
                cluster.did(format!("clock {node} is {skew_us} us off"));
                cluster.host(node).skew_us.store(skew_us, Ordering::Relaxed);
            }
            Fault::Snapshot => drop(cluster.ask(node, Question::Snapshot)),
            Fault::Transfer => drop(cluster.ask(node, Question::Transfer(nodes[1]))),
            Fault::Membership => self.change_members(node, cluster),
        }
    }

    fn crash(&mut self, node: u64, now_ms: u64, sim: &mut Sim<'_>, cluster: &mut Cluster) {
        if cluster.crash(node, sim) {
            let until = now_ms + self.dice.random_range(20..=2_000);
            self.undo.push((until, Undo::Start(node)));
        }
    }

    fn cut(
        &mut self,
        left: &[u64],
        right: &[u64],
        until: u64,
        sim: &Sim<'_>,
        cluster: &mut Cluster,
    ) {
        // Held, what was sent arrives in the end, as TCP sends again what was lost; dropped, every
        // connection is dead for good.
        let held = self.dice.random_range(0..3) > 0;
        cluster.did(format!("cut {left:?} from {right:?}, held: {held}"));
        for a in left {
            for b in right {
                if held {
                    sim.hold(name(*a), name(*b));
                } else {
                    sim.partition(name(*a), name(*b));
                }
                self.undo.push((until, Undo::Mend(*a, *b)));
            }
        }
    }

    /// Asks any node for a change that makes sense as that node sees the group.
    fn change_members(&mut self, asked: u64, cluster: &mut Cluster) {
        let Some((voters, learners)) = cluster.members(asked) else { return };
        let outside: Vec<u64> = self
            .plan
            .nodes()
            .filter(|id| *id > self.plan.founders && !cluster.was_member(*id))
            .collect();
        let mut changes: Vec<Question> = Vec::new();
        changes.extend(outside.iter().map(|id| Question::AddLearner(*id)));
        changes.extend(learners.iter().map(|id| Question::Promote(*id)));
        if voters.len() > 2 {
            changes.extend(voters.choose(&mut self.dice).map(|id| Question::Demote(*id)));
        }
        // Who is removed never comes back: enough have to stay.
        if voters.len() > 3 {
            changes.extend(voters.choose(&mut self.dice).map(|id| Question::Remove(*id)));
        }
        let Some(change) = changes.choose(&mut self.dice).cloned() else { return };
        if let Question::AddLearner(id) = change {
            cluster.joins(id);
        }
        cluster.ask(asked, change);
    }
}
