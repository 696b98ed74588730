//! A cluster on a simulated network, disk and clock: one seed, one run, the same every time.
//!
//! `make sim` runs it. `HEARTH_SEED=7 make sim` replays one seed and tells everything;
//! `HEARTH_SIM_SEEDS` and `HEARTH_SIM_FROM` say how many seeds to run, and from where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod clients;
mod cluster;
mod faults;
mod laws;
mod machine;
mod mutations;
mod node;
mod plan;
mod process;
mod run;
mod seen;

use std::time::Instant;

use process::{MUTATION, OUTCOME, QUIET, SEED};
use raft::sim::Mutation;

const SEEDS: u64 = 24;

#[expect(clippy::disallowed_methods, reason = "the edge of a test")]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Option<u64> {
    let text = text(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: give a number")))
}

/// A seed that was asked for runs alone.
fn replays() -> bool {
    number(SEED).is_some()
}

/// The seed that `HEARTH_SEED` asks for.
#[test]
fn one_seed() {
    let Some(seed) = number(SEED) else { return };
    let mutation = text(MUTATION).map(|name| {
        let named = |each: &Mutation| format!("{each:?}") == name;
        Mutation::ALL.into_iter().find(named).unwrap_or_else(|| panic!("no mutation {name:?}"))
    });
    let show = text(QUIET).is_none();
    match run::run(seed, mutation, show) {
        Ok(report) => println!("{OUTCOME}{report:?}"),
        Err(broken) => {
            println!("{OUTCOME}{broken}");
            panic!("{broken}");
        }
    }
}

#[test]
fn every_seed_keeps_the_laws() {
    if replays() {
        return;
    }
    let from = number("HEARTH_SIM_FROM").unwrap_or(1);
    let count = number("HEARTH_SIM_SEEDS").unwrap_or(SEEDS);
    println!("seeds {from} to {}", from + count - 1);
    let started = Instant::now();
    let outcomes = process::run_many(from..from + count, None, |outcome| {
        println!("seed {}: {}", outcome.seed, outcome.told);
        false
    });
    let broken: Vec<_> = outcomes.into_iter().filter(|outcome| !outcome.held).collect();
    let per_second = count as f64 / started.elapsed().as_secs_f64();
    println!("{count} seeds, {per_second:.2} a second; {} broke a law", broken.len());
    for outcome in &broken {
        println!("replay with {SEED}={} make sim: {}", outcome.seed, outcome.told);
    }
    assert!(broken.is_empty());
}

/// To the last bit of everything that was seen.
#[test]
fn a_seed_repeats() {
    if replays() {
        return;
    }
    for seed in 1..=3 {
        let [first, second] = [process::run(seed, None), process::run(seed, None)];
        println!("seed {seed}: {}", first.told);
        assert!(first.told.contains("trace"), "{}", first.told);
        assert_eq!(first, second, "is this built with --cfg tokio_unstable, as make sim does?");
    }
}
