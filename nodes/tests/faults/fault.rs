//! The faults: how each is done to the cluster. [`Cluster::heal`] undoes them all.

use crate::cluster::Cluster;
use crate::damage;
use crate::process::Process;
use crate::proxy::Wire;
use crate::shim::{Control, Scope};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// Less than a leader keeps free, and enough to go on for a while.
const NEARLY_FULL_BYTES: u64 = 64 << 20;
/// A node looks at its disk every second.
const DISK_IS_SEEN_WITHIN: Duration = Duration::from_millis(1_500);
const HOUR_US: i64 = 3_600_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillLeader,
    KillFollower,
    KillAll,
    PauseLeader,
    PauseFollower,
    IsolateLeader,
    Bridge,
    LeaderHearsNothing,
    LeaderSaysNothing,
    Flapping,
    Delay,
    Reset,
    ByteFlip,
    Cable,
    HungSyncLeader,
    HungSyncFollower,
    SyncFailsLeader,
    SyncFailsWarehouse,
    FullLeader,
    FullFollower,
    ShortLeader,
    FilledLeader,
    ClockAhead,
    ClockBehind,
    PowerCut,
    BitRot,
}

/// In the order of the table.
pub(crate) const ALL: [Fault; 26] = [
    Fault::KillLeader,
    Fault::KillFollower,
    Fault::KillAll,
    Fault::PauseLeader,
    Fault::PauseFollower,
    Fault::IsolateLeader,
    Fault::Bridge,
    Fault::LeaderHearsNothing,
    Fault::LeaderSaysNothing,
    Fault::Flapping,
    Fault::Delay,
    Fault::Reset,
    Fault::ByteFlip,
    Fault::Cable,
    Fault::HungSyncLeader,
    Fault::HungSyncFollower,
    Fault::SyncFailsLeader,
    Fault::SyncFailsWarehouse,
    Fault::FullLeader,
    Fault::FullFollower,
    Fault::ShortLeader,
    Fault::FilledLeader,
    Fault::ClockAhead,
    Fault::ClockBehind,
    Fault::PowerCut,
    Fault::BitRot,
];

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "leader killed",
            Self::KillFollower => "follower killed",
            Self::KillAll => "all killed at once",
            Self::PauseLeader => "leader paused",
            Self::PauseFollower => "follower paused",
            Self::IsolateLeader => "leader cut off",
            Self::Bridge => "two nodes cut from each other",
            Self::LeaderHearsNothing => "leader sends, hears nothing",
            Self::LeaderSaysNothing => "leader hears, sends nothing",
            Self::Flapping => "leader's links flap",
            Self::Delay => "every link slow",
            Self::Reset => "leader's connections reset",
            Self::ByteFlip => "bits flipped on the way",
            Self::Cable => "leader's cable pulled",
            Self::HungSyncLeader => "leader's fsync hangs",
            Self::HungSyncFollower => "follower's fsync hangs",
            Self::SyncFailsLeader => "leader's log fsync fails once",
            Self::SyncFailsWarehouse => "leader's warehouse fsync fails once",
            Self::FullLeader => "leader's log: ENOSPC",
            Self::FullFollower => "follower: ENOSPC",
            Self::ShortLeader => "leader's disk nearly full",
            Self::FilledLeader => "leader's disk filled up",
            Self::ClockAhead => "leader's clock an hour ahead",
            Self::ClockBehind => "leader's clock an hour behind",
            Self::PowerCut => "leader's power cut, unsynced bytes lost",
            Self::BitRot => "a bit of a follower's log flipped",
        }
    }

    /// Why this machine or this program cannot have it.
    pub(crate) fn missing(self, cluster: &Cluster) -> Option<&'static str> {
        let needs_shim = matches!(
            self,
            Self::HungSyncLeader
                | Self::HungSyncFollower
                | Self::SyncFailsLeader
                | Self::SyncFailsWarehouse
                | Self::FullLeader
                | Self::FullFollower
                | Self::ClockAhead
                | Self::ClockBehind
                | Self::PowerCut
        );
        match self {
            Self::Cable if !cluster.ground.cable(1, true) => {
                Some("there are no cables on loopback")
            }
            Self::BitRot if !damage::can_rebuild() => Some("serve has no --rebuild"),
            Self::ShortLeader | Self::FilledLeader if cluster.nodes[0].volume.is_none() => {
                Some("no file systems of their own")
            }
            _ if needs_shim && cluster.nodes[0].control.is_none() => Some("no C compiler"),
            _ => None,
        }
    }

    /// How long the fault lasts.
    pub(crate) fn hold(self, dice: &mut ChaCha8Rng, is_long: bool) -> Duration {
        let between = |dice: &mut ChaCha8Rng, least: u64, most: u64| {
            Duration::from_millis(dice.random_range(least..=most))
        };
        match self {
            Self::KillLeader | Self::KillFollower => between(dice, 100, 1_500),
            Self::KillAll | Self::PowerCut | Self::BitRot => between(dice, 0, 300),
            // From a hiccup to long after everybody else has gone on; short pauses more often.
            Self::PauseLeader | Self::PauseFollower => {
                let most: f64 = if is_long { 30_000.0 } else { 8_000.0 };
                let power = dice.random_range(100_f64.ln()..most.ln());
                Duration::from_millis(power.exp() as u64)
            }
            Self::HungSyncLeader => between(dice, 3_000, if is_long { 15_000 } else { 5_000 }),
            _ => between(dice, 1_500, if is_long { 8_000 } else { 3_000 }),
        }
    }
}

/// What was done, to be asked afterwards whether it showed any effect.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) begun: Instant,
    pub(crate) node: u64,
    flipped_before: u64,
    hits_before: i64,
}

/// Does a fault; it goes on when this returns, for all but flapping, which takes its time.
pub(crate) async fn inject(
    fault: Fault,
    cluster: &Cluster,
    dice: &mut ChaCha8Rng,
    hold: Duration,
) -> Done {
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let follower = others[dice.random_range(0..others.len())];
    let node = match fault {
        Fault::KillFollower
        | Fault::PauseFollower
        | Fault::HungSyncFollower
        | Fault::FullFollower
        | Fault::BitRot => follower,
        _ => leader,
    };
    let hits_before = cluster.node(node).control.as_ref().map_or(0, Control::hits);
    let flipped_before = cluster.net.flipped();
    match fault {
        Fault::KillLeader | Fault::KillFollower => cluster.node(node).kill(),
        Fault::KillAll => cluster.nodes.iter().for_each(Process::kill),
        Fault::PauseLeader | Fault::PauseFollower => cluster.node(node).pause(true),
        Fault::IsolateLeader => between(cluster, leader, &others, Wire::Stall),
        Fault::Bridge => {
            let (a, b) = (follower, cluster.others(follower)[dice.random_range(0..others.len())]);
            cluster.net.set_both(a, b, Wire::Stall);
        }
        Fault::LeaderHearsNothing => {
            for other in &others {
                cluster.net.set(*other, leader, Wire::Stall);
            }
        }
        Fault::LeaderSaysNothing => {
            for other in &others {
                cluster.net.set(leader, *other, Wire::Stall);
            }
        }
        Fault::Flapping => flap(cluster, leader, &others, dice, hold).await,
        Fault::Delay => {
            let late = Wire::Delay(Duration::from_millis(20), Duration::from_millis(60));
            for id in cluster.ids() {
                between(cluster, id, &cluster.others(id), late);
            }
        }
        Fault::Reset => others.iter().for_each(|other| cluster.net.reset(leader, *other, true)),
        Fault::ByteFlip => between(cluster, leader, &others, Wire::Flip(0.05)),
        Fault::Cable => drop(cluster.ground.cable(leader, false)),
        Fault::ShortLeader => {
            squeeze(cluster, node, NEARLY_FULL_BYTES);
            tokio::time::sleep(DISK_IS_SEEN_WITHIN).await;
        }
        Fault::FilledLeader => squeeze(cluster, node, 0),
        Fault::PowerCut => damage::cut_power(cluster.node(node)).await,
        Fault::BitRot => damage::rot(cluster.node(node), dice).await,
        _ => steer(fault, cluster.node(node).control.as_ref().unwrap()),
    }
    Done { begun: Instant::now(), node, flipped_before, hits_before }
}

fn steer(fault: Fault, control: &Control) {
    match fault {
        Fault::HungSyncLeader | Fault::HungSyncFollower => control.hang(Scope::Everything),
        Fault::SyncFailsLeader => control.fail_one_sync(Scope::Log),
        Fault::SyncFailsWarehouse => control.fail_one_sync(Scope::Others),
        Fault::FullLeader => control.fill(Scope::Log),
        Fault::FullFollower => control.fill(Scope::Everything),
        Fault::ClockAhead => control.shift_clock(HOUR_US),
        Fault::ClockBehind => control.shift_clock(-HOUR_US),
        other => unreachable!("{other:?} is not the shim's"),
    }
}

fn squeeze(cluster: &Cluster, node: u64, leave_bytes: u64) {
    cluster.node(node).volume.as_ref().unwrap().squeeze(leave_bytes);
}

fn between(cluster: &Cluster, node: u64, others: &[u64], wire: Wire) {
    for other in others {
        cluster.net.set_both(node, *other, wire);
    }
}

/// Cuts and mends the leader's links by turns, each way by itself.
async fn flap(
    cluster: &Cluster,
    leader: u64,
    others: &[u64],
    dice: &mut ChaCha8Rng,
    hold: Duration,
) {
    let begun = Instant::now();
    while begun.elapsed() < hold {
        for other in others {
            for (from, to) in [(leader, *other), (*other, leader)] {
                let wire = if dice.random_bool(0.6) { Wire::Stall } else { Wire::Pass };
                cluster.net.set(from, to, wire);
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..700))).await;
    }
}

impl Done {
    /// True where the fault left a trace, or needs none to be sure that it was there.
    pub(crate) fn has_shown(&self, fault: Fault, cluster: &Cluster) -> bool {
        match fault {
            Fault::ByteFlip => cluster.net.flipped() > self.flipped_before,
            Fault::HungSyncLeader
            | Fault::HungSyncFollower
            | Fault::SyncFailsLeader
            | Fault::SyncFailsWarehouse
            | Fault::FullLeader
            | Fault::FullFollower
            | Fault::PowerCut => {
                let hits = cluster.node(self.node).control.as_ref().map_or(0, Control::hits);
                hits > self.hits_before
            }
            _ => true,
        }
    }
}
