//! Faults: three processes under load whose links, disks, clocks and lives are taken away and given
//! back, with every operation written down and checked.
//!
//! `make faults` runs three minutes of it, `make faults-long` thirty. `SEED` repeats the order of
//! faults of an earlier run, `HEARTH_FAULTS_S` says for how long, `HEARTH_FAULTS_ONLY` names faults
//! by parts of their names, `HEARTH_FAULTS_NET=loopback` does without network namespaces.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test may stop at once, and tells its steps one after the other"
)]

mod agreement;
mod cluster;
mod damage;
mod fault;
mod ground;
mod linear;
mod load;
mod oracle;
mod plan;
mod process;
mod proxy;
mod registers;
mod run;
mod shim;
mod table;
mod volume;
mod watch;

use fault::Fault;
use plan::Plan;
use run::Run;
use std::time::Duration;

const SHORT_S: u64 = 180;
const KILLS: u64 = 200;
const LEADER_KILL_P99_MAX: Duration = Duration::from_secs(2);

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

fn seed() -> u64 {
    let seed = setting("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed} (set it to repeat the order of faults)");
    seed
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// The faults that this machine can have, less those that were not asked for.
fn faults(run: &Run) -> Vec<Fault> {
    let only = std::env::var("HEARTH_FAULTS_ONLY").unwrap_or_default();
    let wanted = |fault: &Fault| only.split(',').any(|part| fault.name().contains(part.trim()));
    let possible = |fault: &Fault| match fault.missing(&run.cluster) {
        Some(why) => {
            println!("left out: {}: {why}", fault.name());
            false
        }
        None => true,
    };
    fault::ALL.into_iter().filter(wanted).filter(possible).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "three minutes and more: make faults"]
async fn fault_after_fault_loses_nothing() {
    let seed = seed();
    let wanted = Duration::from_secs(setting("HEARTH_FAULTS_S").unwrap_or(SHORT_S));
    let mut run = Run::start(seed, wanted > Duration::from_secs(2 * SHORT_S)).await;
    let mut plan = Plan::new(faults(&run), &mut run.dice);
    while !plan.is_through() || run.elapsed() < wanted {
        let fault = plan.next(&mut run.dice);
        if !run.round(fault).await {
            break;
        }
    }
    let wrong = run.finish().await;
    let text = format!(
        "{}\nSeed {seed}, {} build, {} s, {} nodes, {}.\n",
        run.table.markdown(),
        profile(),
        run.elapsed().as_secs(),
        run.cluster.nodes.len(),
        run.cluster.ground.name(),
    );
    table::publish("table.md", &text);
    assert!(wrong.is_empty(), "SEED={seed}: {wrong:#?}");
    assert!(run.table.idle().is_empty(), "SEED={seed}: without effect: {:?}", run.table.idle());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes: make faults-long"]
async fn the_leader_is_killed_200_times() {
    let seed = seed();
    let kills = setting("HEARTH_KILLS").unwrap_or(KILLS);
    let mut run = Run::start(seed, false).await;
    for _ in 0..kills {
        if !run.round(Fault::KillLeader).await {
            break;
        }
    }
    let wrong = run.finish().await;
    let text = format!(
        "{}\nSeed {seed}, {} build, {} s, {}.\n",
        run.table.markdown(),
        profile(),
        run.elapsed().as_secs(),
        run.cluster.ground.name(),
    );
    table::publish("kills.md", &text);
    assert!(wrong.is_empty(), "SEED={seed}: {wrong:#?}");
    let recoveries = &run.table.of(Fault::KillLeader).recoveries;
    let p99: u128 = table::percentile(recoveries, 99).parse().unwrap();
    assert!(p99 <= LEADER_KILL_P99_MAX.as_millis(), "SEED={seed}: p99 {p99} ms");
}
