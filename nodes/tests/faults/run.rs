//! One run: a cluster under load, fault after fault, and everything checked on the way and at the end.

use crate::cluster::{Cluster, PATIENCE};
use crate::fault::{self, Fault};
use crate::load::{self, Book};
use crate::oracle::Wrong;
use crate::proxy::Wire;
use crate::table::{Runs, Table};
use crate::{agreement, registers, watch};
use nodes::config::Raft;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

const NODES: u64 = 3;
const SENDERS: u64 = 3;
const REGISTER_CLIENTS: u64 = 3;
/// Acknowledged events of a round before its fault comes.
const WARM_EVENTS: usize = 40;
/// In long runs some faults come on top of this.
const A_LITTLE_SLOW: Wire = Wire::Delay(Duration::from_millis(3), Duration::from_millis(15));
const PROBE_EVERY: Duration = Duration::from_millis(25);
const LOG_CLOCK_SQL: &str = "SELECT epoch_us(max(recv_ts)) - epoch_us(now()) FROM sensor_event";
/// The newest event is a few seconds old when this is asked.
const LOG_CLOCK_OFF_MAX: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(25);

/// Snapshots come often, and who was away for a few seconds gets one.
fn settings() -> Raft {
    Raft { snapshot_entries: 400, snapshot_turn_seconds: 1, keep_entries: 50, ..Raft::default() }
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) book: Arc<Book>,
    pub(crate) table: Table,
    pub(crate) dice: ChaCha8Rng,
    pub(crate) is_long: bool,
    begun: Instant,
    /// When rounds began, and with which fault.
    rounds: Vec<(u64, Fault)>,
    wrong: Wrong,
    load: Vec<JoinHandle<()>>,
    watcher: JoinHandle<u64>,
}

impl Run {
    pub(crate) async fn start(seed: u64, is_long: bool) -> Self {
        let cluster = Arc::new(Cluster::start(NODES, seed, &settings()).await);
        let book = Book::new();
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut load = Vec::new();
        for _ in 0..SENDERS {
            let sender = load::send(Arc::clone(&cluster), Arc::clone(&book), dice.random());
            load.push(tokio::spawn(sender));
        }
        for _ in 0..REGISTER_CLIENTS {
            let (cluster, book) = (Arc::clone(&cluster), Arc::clone(&book));
            load.push(tokio::spawn(registers::client(cluster, book, dice.random())));
        }
        let watcher = tokio::spawn(watch::watch(Arc::clone(&cluster), Arc::clone(&book)));
        Self {
            cluster,
            book,
            table: Table::default(),
            dice,
            is_long,
            begun: Instant::now(),
            rounds: Vec::new(),
            wrong: Wrong::default(),
            load,
            watcher,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// One fault from warming up to level again; false where the cluster did not come back.
    pub(crate) async fn round(&mut self, fault: Fault) -> bool {
        let number = self.rounds.len() as u64 + 1;
        self.rounds.push((self.book.now(), fault));
        self.book.round.store(number, Ordering::Relaxed);
        self.warm(number).await;
        let hold = fault.hold(&mut self.dice, self.is_long);
        let cluster = Arc::clone(&self.cluster);
        let done = fault::inject(fault, &cluster, &mut self.dice, hold).await;
        let slow = self.is_long && self.dice.random_ratio(1, 4);
        if slow {
            cluster.net.disturb(A_LITTLE_SLOW);
        }
        let first = tokio::spawn(first_write(Arc::clone(&cluster), Arc::clone(&self.book)));
        if fault != Fault::Flapping {
            tokio::time::sleep(hold).await;
        }
        let has_shown = done.has_shown(fault, &cluster);
        cluster.heal();
        let first = first.await.unwrap().map(|at| at.duration_since(done.begun));
        let level = cluster.level().await;
        let node = done.node;
        let runs = self.table.of(fault);
        runs.count += 1;
        runs.shown += usize::from(has_shown);
        runs.recoveries.extend(first);
        runs.levels.extend(level.as_ref().ok());
        let is_back = first.is_some() && level.is_ok();
        let came = first.map_or("no write".to_owned(), |first| format!("first write {first:.1?}"));
        let levelled = level.map_or_else(|why| why, |level| format!("level {level:.1?}"));
        println!(
            "  {:6.1} s  round {number}: {} (node {node}, {hold:.1?}{}{}): {came}, {levelled}",
            self.begun.elapsed().as_secs_f32(),
            fault.name(),
            if slow { ", all links slow" } else { "" },
            if has_shown { "" } else { ", NO EFFECT" },
        );
        if !is_back {
            self.wrong.others.push(format!("stuck after {}: {came}, {levelled}", fault.name()));
            return self.start_over().await;
        }
        let wrong = self.check_tables(Some(number)).await;
        self.note(wrong);
        true
    }

    /// What an operator does when a cluster does not recover by itself: starts every process anew, so
    /// that one defect does not hide the next.
    async fn start_over(&self) -> bool {
        for node in self.cluster.nodes.iter() {
            node.kill();
            node.start();
        }
        self.cluster.level().await.is_ok()
    }

    async fn warm(&self, number: u64) {
        let begun = Instant::now();
        while self.book.appends.lock().acknowledged(Some(number)).len() < WARM_EVENTS {
            assert!(begun.elapsed() < PATIENCE, "nothing is acknowledged in round {number}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn note(&mut self, wrong: Wrong) {
        if !wrong.is_empty() {
            println!("    WRONG: {wrong:?}");
        }
        self.wrong.merge(wrong);
    }

    /// Every acknowledged event of a round, or of all, is in every node's table once.
    async fn check_tables(&self, round: Option<u64>) -> Wrong {
        let (acknowledged, index) = {
            let appends = self.book.appends.lock();
            (appends.acknowledged(round), appends.highest_index())
        };
        let mut wrong = Wrong::default();
        for node in self.cluster.nodes.iter() {
            match agreement::counts(node, index, round).await {
                Ok(rows) => {
                    let found = self.book.appends.lock().check_table(round, &acknowledged, &rows);
                    if !found.is_empty() {
                        println!("    WRONG: node {}'s table at index {index}", node.id);
                    }
                    wrong.merge(found);
                }
                Err(why) => wrong.others.push(format!("node {}: {why}", node.id)),
            }
        }
        wrong
    }

    /// Ends the load, checks everything, and fills in the table. Gives what is wrong.
    pub(crate) async fn finish(&mut self) -> Wrong {
        self.book.stop();
        for task in self.load.drain(..) {
            task.await.unwrap();
        }
        let compared = (&mut self.watcher).await.unwrap();
        if let Err(why) = self.cluster.level().await {
            self.wrong.others.push(why);
            return self.attribute();
        }
        self.wrong.others.extend(agreement::differences(&self.cluster).await);
        let tables = self.check_tables(None).await;
        self.note(tables);
        let answers = self.book.appends.lock().check_answers();
        self.note(answers);
        let seen = std::mem::take(&mut *self.book.wrong.lock());
        self.note(seen);
        let (windows, stale, others) = self.book.check_registers();
        self.note(Wrong { stale, others, ..Wrong::default() });
        let (batches, attempts) = {
            let appends = self.book.appends.lock();
            (appends.batches.len(), appends.attempts.len())
        };
        // Rounds with wrong clocks have passed: the log's clock must not have stayed where they were.
        let ahead_us =
            load::number(self.cluster.node(1), "local", LOG_CLOCK_SQL).await.unwrap_or(0);
        if ahead_us.unsigned_abs() > LOG_CLOCK_OFF_MAX.as_micros() as u64 {
            let said = format!("the log's clock is {} s ahead", ahead_us / 1_000_000);
            self.wrong.others.push(said);
        }
        println!(
            "\n{batches} batches in {attempts} attempts, {} reads checked, {windows} histories of registers searched, {compared} states compared; processes that ended by themselves: {:?}",
            self.book.reads.load(Ordering::Relaxed),
            self.cluster.exits(),
        );
        self.attribute()
    }

    /// Puts the events of each round, and what is wrong with them, to its fault.
    fn attribute(&mut self) -> Wrong {
        let appends = self.book.appends.lock();
        let acknowledged = appends.acknowledged(None);
        for (round, ids) in &appends.batches {
            let Some((_, fault)) = round.checked_sub(1).and_then(|at| self.rounds.get(at as usize))
            else {
                continue;
            };
            let runs: &mut Runs = self.table.of(*fault);
            let of = |set: &BTreeSet<String>| ids.iter().filter(|id| set.contains(*id)).count();
            runs.acknowledged += of(&acknowledged);
            runs.lost += of(&self.wrong.lost);
            runs.duplicated += of(&self.wrong.duplicated);
        }
        for said in &self.wrong.stale {
            // A time stands in what is said of registers and answers; else it is the last round's.
            let begun = said.split_once("begun: ").and_then(|(_, rest)| {
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
            });
            let round = self.rounds.iter().rev().find(|(at, _)| begun.is_none_or(|us| *at <= us));
            if let Some((_, fault)) = round {
                self.table.of(*fault).stale += 1;
            }
        }
        self.cluster.is_good.store(self.wrong.is_empty(), Ordering::Relaxed);
        std::mem::take(&mut self.wrong)
    }
}

/// When a write that was begun from now on is acknowledged first: one is tried every few milliseconds,
/// through one node after the other.
async fn first_write(cluster: Arc<Cluster>, book: Arc<Book>) -> Option<Instant> {
    let mut tries = JoinSet::new();
    let mut every = tokio::time::interval(PROBE_EVERY);
    let begun = Instant::now();
    let mut next = 0;
    while begun.elapsed() < PATIENCE {
        tokio::select! {
            _ = every.tick() => {
                let (cluster, book) = (Arc::clone(&cluster), Arc::clone(&book));
                let at = next % cluster.nodes.len();
                next += 1;
                tries.spawn(async move { book.probe(&cluster.nodes[at]).await });
            }
            Some(done) = tries.join_next() => {
                if done.unwrap_or(false) {
                    return Some(Instant::now());
                }
            }
        }
    }
    None
}
