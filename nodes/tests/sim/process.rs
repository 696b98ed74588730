//! One seed in a process of its own: libraries draw some of their choices from counters that a
//! process keeps, and a seed has to find them as they were. A seed that hangs can be ended, too.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raft::sim::Mutation;

pub(crate) const SEED: &str = "HEARTH_SEED";
pub(crate) const MUTATION: &str = "HEARTH_SIM_MUTATION";
/// If set, only the outcome is told.
pub(crate) const QUIET: &str = "HEARTH_SIM_QUIET";
/// What a run came to stands on the line that begins so.
pub(crate) const OUTCOME: &str = "outcome: ";
/// A seed takes seconds; one that takes so long does not end.
const SEED_TIMEOUT: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(10);
/// Seeds run side by side.
const WORKERS: usize = 2;

/// What a seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) held: bool,
    pub(crate) told: String,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>) -> Outcome {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_seed", "--nocapture"])
        .env(SEED, seed.to_string())
        .env(QUIET, "1")
        .env(MUTATION, mutation.map_or_else(String::new, |each| format!("{each:?}")))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let held = ended(&mut child);
    let text = reading.join().unwrap().unwrap_or_default();
    let told = text.lines().find_map(|line| line.strip_prefix(OUTCOME));
    let told = told.unwrap_or("it hung, or the process died without a word").to_owned();
    Outcome { seed, held, told }
}

/// Waits for the end; true if it was a good one.
fn ended(child: &mut Child) -> bool {
    let started = Instant::now();
    while started.elapsed() < SEED_TIMEOUT {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        thread::sleep(POLL);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

/// Runs seeds until they are through or `enough` says so of one.
pub(crate) fn run_many(
    seeds: std::ops::Range<u64>,
    mutation: Option<Mutation>,
    enough: impl Fn(&Outcome) -> bool + Sync,
) -> Vec<Outcome> {
    let next = AtomicU64::new(seeds.start);
    let mut outcomes: Vec<Outcome> = thread::scope(|scope| {
        let work = || {
            let mut outcomes = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return outcomes;
                }
                let outcome = run(seed, mutation);
                if enough(&outcome) {
                    next.store(seeds.end, Ordering::Relaxed);
                }
                outcomes.push(outcome);
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}
