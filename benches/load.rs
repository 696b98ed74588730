//! The same stream of events for every system, in the batches that the system takes best, and what each
//! run of it took.

use crate::cluster::HOMES;
use crate::disk;
use crate::latency::{Taken, middle};
use crate::usage::{Usage, Used};
use benches::Feed;
use nodes::proto::hearth::Event;
use std::fmt::Write as _;
use std::path::Path;

pub(crate) const REPETITIONS: usize = 3;
/// The first requests find out how many the next ones may be.
const FIRST_CALLS: usize = 4;
const WARM_UP_S: f64 = 0.4;
const RUN_S: f64 = 2.0;
/// Events of one run, so that they fit into memory beside the servers.
const EVENTS_MAX: usize = 400_000;
/// Every event of the run is younger than this; a week-old one would count as a backfill.
const SPAN_US: i64 = 12 * 3_600_000_000;

/// Something that makes events durable.
pub(crate) trait System {
    type Request;

    /// The servers' processes.
    fn pids(&self) -> &[u32];

    /// Made before the clock starts.
    fn request(&self, events: Vec<Event>, load: &Load) -> Self::Request;

    /// Sends them all, so many at a time, and waits for every answer.
    async fn send(
        &mut self,
        requests: Vec<Self::Request>,
        in_flight: usize,
    ) -> anyhow::Result<Taken>;
}

/// How a system is asked.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) system: String,
    pub(crate) durability: String,
    /// What one request is.
    pub(crate) request: &'static str,
    /// In one request.
    pub(crate) events: usize,
    /// The server sees a request's events as one value.
    pub(crate) opaque: bool,
    pub(crate) in_flight: usize,
}

/// One closed loop.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) events_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    servers_us: f64,
    client_us: f64,
    /// The share of all processors that somebody else had.
    pub(crate) others: f64,
    flush: Taken,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) load: Load,
    pub(crate) runs: Vec<Run>,
}

/// From the first event on, the same ones for each system.
pub(crate) fn stream(now_us: i64) -> Feed {
    Feed::new(HOMES, now_us - SPAN_US, "peers")
}

pub(crate) async fn measure<S: System>(
    system: &mut S,
    feed: &mut Feed,
    load: Load,
    folder: &Path,
) -> anyhow::Result<Row> {
    let least = load.in_flight * FIRST_CALLS;
    let most = (EVENTS_MAX / load.events).max(least);
    let mut calls = least;
    for seconds in [WARM_UP_S, RUN_S] {
        let taken = system.send(make(system, feed, &load, calls), load.in_flight).await?;
        calls = ((taken.per_second() * seconds) as usize).clamp(least, most);
    }
    let mut runs = Vec::new();
    for _ in 0..REPETITIONS {
        let flush = disk::flushes(folder)?;
        let requests = make(system, feed, &load, calls);
        let before = Usage::now(system.pids())?;
        let taken = system.send(requests, load.in_flight).await?;
        let used = before.until(&Usage::now(system.pids())?);
        runs.push(Run::new(&load, calls, &taken, &used, flush));
    }
    Ok(Row { load, runs })
}

fn make<S: System>(system: &S, feed: &mut Feed, load: &Load, calls: usize) -> Vec<S::Request> {
    let whole = calls - calls % load.in_flight;
    let mut events = || feed.take(load.events).into_iter().map(Into::into).collect();
    (0..whole).map(|_| system.request(events(), load)).collect()
}

impl Run {
    fn new(load: &Load, calls: usize, taken: &Taken, used: &Used, flush: Taken) -> Self {
        let events = ((calls - calls % load.in_flight) * load.events) as f64;
        let client_us = used.own_us.last().copied().unwrap_or_default();
        let all_us: f64 = used.own_us.iter().sum();
        Self {
            events_per_second: taken.per_second() * load.events as f64,
            p50_us: taken.quantile_us(0.5),
            p99_us: taken.quantile_us(0.99),
            servers_us: (all_us - client_us) / events,
            client_us: client_us / events,
            others: used.others,
            flush,
        }
    }
}

impl Row {
    /// Least, middle and most of the runs.
    pub(crate) fn of(&self, figure: impl Fn(&Run) -> f64) -> [f64; 3] {
        let all = || self.runs.iter().map(&figure);
        let least = all().fold(f64::INFINITY, f64::min);
        [least, middle(all().collect()), all().fold(0.0, f64::max)]
    }
}

/// Markdown: one line a load.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = "| system | durable by | one request | in flight | events/s | p50 ms | p99 ms | \
                    processor us an event, servers + client | others had | fdatasync p50, p99 ms |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let Load { system, durability, request, in_flight, .. } = &row.load;
        let of = |figure: fn(&Run) -> f64| row.of(figure);
        let [flush_p50, flush_p99] =
            [0.5, 0.99].map(|share| row.of(|run| run.flush.quantile_us(share))[1]);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {system} | {durability} | {request} | {in_flight} | {} | {} | {} | {:.1} + {:.1} | \
             {:.0} % | {:.2}, {:.2} |",
            spread(of(|run| run.events_per_second), rate),
            spread(of(|run| run.p50_us), ms),
            spread(of(|run| run.p99_us), ms),
            of(|run| run.servers_us)[1],
            of(|run| run.client_us)[1],
            of(|run| run.others)[2] * 100.0,
            flush_p50 / 1_000.0,
            flush_p99 / 1_000.0,
        );
    }
    text
}

fn spread(figures: [f64; 3], show: fn(f64) -> String) -> String {
    figures.map(show).join(" / ")
}

fn rate(per_second: f64) -> String {
    if per_second < 1_000.0 {
        format!("{per_second:.0}")
    } else {
        format!("{:.1} k", per_second / 1_000.0)
    }
}

fn ms(us: f64) -> String {
    format!("{:.1}", us / 1_000.0)
}
