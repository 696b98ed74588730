//! Appends at a steady rate, whatever the answers take, each sent again until it is acknowledged.

use benches::Feed;
use nodes::client::Client;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// 20,000 events a second: 100 events every 5 ms.
pub(crate) const EVENTS: usize = 100;
const PERIOD: Duration = Duration::from_millis(5);

/// What calls took, from when they should have been sent.
#[derive(Debug, Default)]
pub(crate) struct Took {
    calls: Vec<(Instant, Duration)>,
    /// Events that were sent, whatever how often.
    pub(crate) different: u64,
}

impl Took {
    pub(crate) fn push(&mut self, due: Instant, took: Duration) {
        self.calls.push((due, took));
    }

    pub(crate) fn within(&self, from: Instant, length: Duration) -> impl Iterator<Item = Duration> {
        let calls = self.calls.iter();
        calls.filter(move |(due, _)| *due >= from && *due < from + length).map(|(_, took)| *took)
    }
}

/// p50, p99 and the longest, in milliseconds.
pub(crate) fn quantiles(took: impl Iterator<Item = Duration>) -> String {
    let mut took: Vec<f64> = took.map(|took| took.as_secs_f64() * 1e3).collect();
    took.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len().saturating_sub(1) as f64 * share).round() as usize);
    let shown =
        [0.5, 0.99, 1.0].map(|share| at(share).map_or("-".to_owned(), |ms| format!("{ms:.1}")));
    shown.join(", ")
}

pub(crate) struct Steady {
    feed: Feed,
}

impl Steady {
    /// In the time of the day: as many events a second as are sent.
    pub(crate) fn new(homes: u32) -> Self {
        let step_us = PERIOD.as_micros() as i64 / EVENTS as i64;
        Self { feed: Feed::new(homes, nodes::clock::now_us(), "steady").every(step_us) }
    }

    pub(crate) async fn run(
        mut self,
        clients: watch::Receiver<Client>,
        until: Instant,
    ) -> anyhow::Result<Took> {
        let (mut took, mut open) = (Took::default(), JoinSet::new());
        let mut due = Instant::now();
        while due < until {
            let events: Vec<_> = self.feed.take(EVENTS).into_iter().map(Into::into).collect();
            tokio::time::sleep_until(due.into()).await;
            let clients = clients.clone();
            open.spawn(async move {
                let client = clients.borrow().clone();
                let answer = client.append(events).await?;
                anyhow::ensure!(answer.rejected.is_empty(), "{:?}", answer.rejected);
                Ok((due, due.elapsed()))
            });
            while let Some(done) = open.try_join_next() {
                let (due, length) = done??;
                took.push(due, length);
            }
            due += PERIOD;
        }
        while let Some(done) = open.join_next().await {
            let (due, length) = done??;
            took.push(due, length);
        }
        took.different = self.feed.sent();
        Ok(took)
    }
}
