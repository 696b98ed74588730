//! Appends at a steady rate, whatever the answers take.

use benches::Feed;
use nodes::proto::hearth::{AppendResponse, Event};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// 20,000 events a second: 100 events every 5 ms.
pub(crate) const EVENTS: usize = 100;
pub(crate) const PERIOD: Duration = Duration::from_millis(5);

/// One call, from when it should have been sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) due: Instant,
    pub(crate) took: Duration,
}

pub(crate) async fn run<F>(
    feed: &mut Feed,
    until: Instant,
    append: impl Fn(Vec<Event>) -> F,
) -> anyhow::Result<Vec<Call>>
where
    F: Future<Output = anyhow::Result<AppendResponse>> + Send + 'static,
{
    let (mut calls, mut open) = (Vec::new(), JoinSet::new());
    let mut due = Instant::now();
    while due < until {
        let events = feed.take(EVENTS).into_iter().map(Into::into).collect();
        tokio::time::sleep_until(due.into()).await;
        let answer = append(events);
        open.spawn(async move {
            let answer = answer.await?;
            anyhow::ensure!(answer.rejected.is_empty(), "{:?}", answer.rejected);
            Ok(Call { due, took: due.elapsed() })
        });
        while let Some(done) = open.try_join_next() {
            calls.push(done??);
        }
        due += PERIOD;
    }
    while let Some(done) = open.join_next().await {
        calls.push(done??);
    }
    Ok(calls)
}

/// p50, p99 and the longest, in milliseconds.
pub(crate) fn quantiles<'a>(calls: impl IntoIterator<Item = &'a Call>) -> [f64; 3] {
    let took = calls.into_iter().map(|call| call.took.as_secs_f64() * 1e3);
    let mut took: Vec<f64> = took.collect();
    took.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len().saturating_sub(1) as f64 * share).round() as usize);
    [0.5, 0.99, 1.0].map(|share| at(share).copied().unwrap_or(f64::NAN))
}
