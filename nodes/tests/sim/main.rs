//! A cluster on a simulated network, disk and clock: one seed, one run, the same every time.
//!
//! `HEARTH_SEED=7 make sim` replays one seed and tells everything; `HEARTH_SIM_SEEDS` says how
//! many seeds to run.
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
mod node;
mod plan;
mod run;
mod seen;

use std::time::Instant;

use run::run;

#[expect(clippy::disallowed_methods, reason = "the edge of a test")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn one() {
    if setting("TRACE").is_some() {
        tracing_subscriber::fmt().with_env_filter("openraft=debug,raft=debug").without_time().with_ansi(false).init();
    }
    let (from, to) = (setting("FROM").unwrap_or(1), setting("TO").unwrap_or(1));
    let show = from == to;
    for seed in from..=to {
        let started = Instant::now();
        let outcome = run(seed, None, show);
        println!("{seed} {outcome:?} {:?}", started.elapsed());
    }
}
