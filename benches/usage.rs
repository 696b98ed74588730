//! Which process used how much of the processors, by the kernel's books.

use anyhow::Context as _;
use std::time::Instant;

/// The kernel counts in hundredths of a second where user programs read it.
const TICK_US: f64 = 10_000.0;

/// The books at one moment.
#[derive(Debug)]
pub(crate) struct Usage {
    taken: Instant,
    /// Of each process, this one last, in microseconds.
    own_us: Vec<f64>,
    machine_us: f64,
}

/// What was used between two moments.
#[derive(Debug)]
pub(crate) struct Used {
    /// Of each process, this one last, in microseconds.
    pub(crate) own_us: Vec<f64>,
    /// The share of all processors that somebody else had.
    pub(crate) others: f64,
}

impl Usage {
    /// Of these processes and of this one.
    pub(crate) fn now(pids: &[u32]) -> anyhow::Result<Self> {
        let own = std::process::id();
        let own_us: anyhow::Result<_> =
            pids.iter().chain([&own]).map(|pid| process_us(*pid)).collect();
        Ok(Self { taken: Instant::now(), own_us: own_us?, machine_us: machine_us()? })
    }

    pub(crate) fn until(&self, later: &Self) -> Used {
        let own_us: Vec<f64> =
            later.own_us.iter().zip(&self.own_us).map(|(later, sooner)| later - sooner).collect();
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let wall_us = later.taken.duration_since(self.taken).as_secs_f64() * 1e6 * cores;
        let all_us = later.machine_us - self.machine_us;
        Used { others: ((all_us - own_us.iter().sum::<f64>()) / wall_us).max(0.0), own_us }
    }
}

/// User and system time of a process and all its threads, also of those that have ended.
fn process_us(pid: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * TICK_US)
}

/// What all processors did but idle and wait; the last two columns are counted in the first already.
fn machine_us() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty stat")?;
    let ticks = line.split_whitespace().skip(1).take(8).map(str::parse::<f64>);
    let ticks = ticks.collect::<Result<Vec<f64>, _>>()?;
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().sum::<f64>() - idle) * TICK_US)
}
