//! A cluster on a simulated network, disk and clock: one seed, one run, the same every time.
//!
//! `make sim` runs it. `HEARTH_SEED=7 make sim` replays one seed and tells everything;
//! `HEARTH_SIM_SEEDS` and `HEARTH_SIM_FROM` say how many seeds to run, and from where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at once, and tells what it does"
)]

mod clients;
mod cluster;
mod faults;
mod laws;
mod machine;
mod mutations;
mod node;
mod plan;
mod run;
mod seen;

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use run::{Break, Report, run};

const SEEDS: u64 = 24;
/// Seeds run side by side; each has a thread of its own.
const WORKERS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "the edge of a test")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: give a number")))
}

#[test]
fn every_seed_keeps_the_laws() {
    if let Some(seed) = setting("HEARTH_SEED") {
        let outcome = run(seed, None, true);
        println!("seed {seed}: {outcome:?}");
        return assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
    let from = setting("HEARTH_SIM_FROM").unwrap_or(1);
    let count = setting("HEARTH_SIM_SEEDS").unwrap_or(SEEDS);
    println!("seeds {from} to {}", from + count - 1);
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let breaks: Vec<Break> = thread::scope(|scope| {
        let work = || {
            let mut breaks = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + count {
                    return breaks;
                }
                match run(seed, None, false) {
                    Ok(report) => println!("seed {seed}: {report:?}"),
                    Err(broken) => {
                        println!("{broken}");
                        breaks.push(broken);
                    }
                }
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let per_second = count as f64 / started.elapsed().as_secs_f64();
    println!("{count} seeds, {per_second:.2} a second, {} break a law", breaks.len());
    assert!(breaks.is_empty(), "{}", breaks[0]);
}

/// On one thread, on another, and in another process.
#[test]
fn a_seed_repeats() {
    if setting("HEARTH_SEED").is_some() {
        return;
    }
    for seed in 1..=2 {
        let first = run(seed, None, false);
        let second = thread::spawn(move || run(seed, None, false)).join().unwrap();
        let why = "is this built with --cfg tokio_unstable, as make sim does?";
        assert_eq!(first, second, "seed {seed} differs within a process; {why}");
        let other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "every_seed_keeps_the_laws", "--nocapture"])
            .env("HEARTH_SEED", seed.to_string())
            .output()
            .unwrap();
        let told = String::from_utf8(other.stdout).unwrap();
        let trace = format!("seed {seed}: {:?}", Ok::<Report, Break>(first.unwrap()));
        assert!(told.contains(&trace), "seed {seed} differs in another process; {why}");
    }
}
