//! One seed from beginning to end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nodes::state::Command;
use parking_lot::Mutex;
use raft::sim::{DiskEvent, Mutation, mutate, seeded};
use turmoil::Sim;

use crate::clients::Clients;
use crate::cluster::{Cluster, build};
use crate::faults::Faults;
use crate::laws::{self, Law};
use crate::machine::digest;
use crate::node::Question;
use crate::plan::Plan;
use crate::seen::{Seen, Sight};

const STATUS_EVERY_MS: u64 = 10;
/// Everything is well again within this time after the last fault.
const RECOVERY_MS: u64 = 30_000;

/// What broke, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) seed: u64,
    pub(crate) at_ms: u64,
    pub(crate) law: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at_ms, law, what } = self;
        write!(
            out,
            "seed {seed} at {at_ms} ms breaks {law}: {what}; replay: HEARTH_SEED={seed} make sim"
        )
    }
}

/// What a seed came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Over everything that was seen: equal for equal seeds.
    pub(crate) trace: u64,
    pub(crate) sights: u64,
    pub(crate) acked: u64,
    pub(crate) reads: u64,
    pub(crate) faults: u64,
    pub(crate) leaders: u64,
    pub(crate) restores: u64,
    pub(crate) ended_ms: u64,
}

/// Runs a seed on this thread. With `show` it tells everything it sees.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>, show: bool) -> Result<Report, Break> {
    let run = || {
        mutate(mutation);
        let simulated = async { Run::new(seed, show).go() };
        futures::executor::block_on(seeded(seed, simulated))
    };
    let usual = std::panic::take_hook();
    let first = Arc::new(Mutex::new(None));
    let told = first.clone();
    std::panic::set_hook(Box::new(move |panic| {
        told.lock().get_or_insert(panic.to_string());
        usual(panic);
    }));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let what = first.lock().take().unwrap_or_default().replace('\n', " ");
        Err(Break { seed, at_ms: 0, law: "no panic", what })
    })
}

struct Run {
    seed: u64,
    show: bool,
    plan: Plan,
    sim: Sim<'static>,
    cluster: Cluster,
    clients: Clients,
    faults: Faults,
    laws: Vec<Box<dyn Law>>,
    report: Report,
    now_ms: u64,
    /// The last command of all: its question, and where it was applied.
    probe: u64,
    probed: Option<u64>,
}

impl Run {
    fn new(seed: u64, show: bool) -> Self {
        let plan = Plan::of(seed);
        if show {
            println!("{plan:?}");
        }
        let (sim, cluster) = build(&plan);
        Self {
            seed,
            show,
            sim,
            cluster,
            clients: Clients::new(&plan),
            faults: Faults::new(&plan),
            laws: laws::all(),
            report: Report::default(),
            now_ms: 0,
            probe: 0,
            probed: None,
            plan,
        }
    }

    fn go(mut self) -> Result<Report, Break> {
        while self.now_ms < self.plan.chaos_ms {
            self.step()?;
            self.faults.step(self.now_ms, &mut self.sim, &mut self.cluster);
            let up = self.cluster.up();
            let questions = self.clients.ask(self.now_ms, &up, self.cluster.next_number());
            for (number, node, question) in questions {
                self.cluster.ask_as(number, node, question);
            }
        }
        self.faults.end(&mut self.sim, &mut self.cluster);
        self.recover()?;
        self.report.acked = self.clients.acked;
        self.report.reads = self.clients.reads;
        self.report.faults = self.faults.count;
        self.report.ended_ms = self.now_ms;
        Ok(self.report)
    }

    /// One millisecond.
    fn step(&mut self) -> Result<(), Break> {
        if let Err(error) = self.sim.step() {
            return Err(self.broken("no error", error.to_string()));
        }
        self.now_ms += 1;
        self.cluster.look_at_disks();
        if self.now_ms.is_multiple_of(STATUS_EVERY_MS) {
            self.cluster.look_at_status();
        }
        self.judge()
    }

    fn judge(&mut self) -> Result<(), Break> {
        for (node, seen) in self.cluster.journal.take() {
            self.see(node, seen)?;
        }
        for (number, answer) in self.cluster.take_answers() {
            if number == self.probe
                && let Ok((index, _)) = &answer
            {
                self.probed = Some(*index);
            }
            if let Some(seen) = self.clients.answered(self.now_ms, number, &answer) {
                self.see(0, seen)?;
            }
        }
        Ok(())
    }

    fn see(&mut self, node: u64, seen: Seen) -> Result<(), Break> {
        let sight = Sight { at_ms: self.now_ms, node, seen };
        if self.show && !matches!(sight.seen, Seen::Status { .. }) {
            println!("{:>6} ms  {:>2}  {:?}", sight.at_ms, sight.node, sight.seen);
        }
        self.report.trace = digest((self.report.trace, &sight));
        self.report.sights += 1;
        for law in &mut self.laws {
            if let Err(what) = law.judge(&sight) {
                let law = law.name();
                return Err(self.broken(law, what));
            }
        }
        match sight.seen {
            Seen::Disk(DiskEvent::Voted { to, granted, .. }) => {
                self.report.leaders += u64::from(granted && to == node);
                if self.now_ms < self.plan.chaos_ms {
                    self.faults.voted(node, self.now_ms, &mut self.sim, &mut self.cluster);
                }
            }
            Seen::Restored { .. } => self.report.restores += 1,
            _ => {}
        }
        Ok(())
    }

    fn broken(&self, law: &'static str, what: String) -> Break {
        Break { seed: self.seed, at_ms: self.now_ms, law, what }
    }

    /// Without faults the group finds a leader, takes a command, and all members come to one state.
    fn recover(&mut self) -> Result<(), Break> {
        let until = self.now_ms + RECOVERY_MS;
        let tick = Bytes::from(Command::Tick.encode());
        while self.now_ms < until {
            if self.now_ms.is_multiple_of(500)
                && self.probed.is_none()
                && let Some(leader) = self.cluster.leader()
            {
                let question = Question::Propose(tick.clone(), Duration::from_secs(2));
                self.probe = self.cluster.ask(leader, question);
            }
            self.step()?;
            if self.probed.is_some_and(|index| self.settled(index)) {
                return self.judge();
            }
        }
        let how_far = match self.probed {
            Some(index) => format!("not all members came to {index} in {RECOVERY_MS} ms"),
            None => format!("no command got through in {RECOVERY_MS} ms"),
        };
        Err(self.broken("recovery", how_far))
    }

    /// Shows every member's state once all of them have come as far.
    fn settled(&self, index: u64) -> bool {
        let Some((voters, learners)) =
            self.cluster.leader().and_then(|leader| self.cluster.members(leader))
        else {
            return false;
        };
        let members = || voters.iter().chain(&learners);
        if members().any(|node| self.cluster.applied(*node) < index) {
            return false;
        }
        members().for_each(|node| self.cluster.settle(*node));
        true
    }
}
