//! Closed loops and what they took.

use futures::future::try_join_all;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long the calls of one loop took.
#[derive(Debug)]
pub(crate) struct Taken {
    sorted_us: Vec<f64>,
    whole: Duration,
}

impl Taken {
    pub(crate) fn new(mut took: Vec<Duration>, whole: Duration) -> Self {
        took.sort_unstable();
        Self { sorted_us: took.iter().map(|each| each.as_secs_f64() * 1e6).collect(), whole }
    }

    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        let last = self.sorted_us.len().saturating_sub(1);
        let at = (last as f64 * quantile).round() as usize;
        self.sorted_us.get(at).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sorted_us.len() as f64 / self.whole.as_secs_f64()
    }
}

/// Each lane calls again as soon as it was answered; fails with the first call that does.
pub(crate) async fn closed_loop<F, Error>(
    lanes: usize,
    calls: usize,
    call: impl Fn(usize) -> F,
) -> Result<Taken, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let begun = Instant::now();
    let call = &call;
    let lanes = (0..lanes).map(|lane| async move {
        let mut took = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begun = Instant::now();
            call(lane).await?;
            took.push(begun.elapsed());
        }
        Ok(took)
    });
    let took = try_join_all(lanes).await?.concat();
    Ok(Taken::new(took, begun.elapsed()))
}

/// The middle of several repetitions of one figure.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
