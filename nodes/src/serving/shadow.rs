//! Versions in shadow: scored for a share of the active version's entities, after the caller has its
//! answer, and compared with it.
//!
//! The queue is short and never waited for: what does not fit is dropped and counted.

use super::{Loaded, Routed, Sent, Serving, ServingError};
use crate::node::Node;
use crate::state::Command;
use models::{Compared, NANO, Tensor};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Answers that wait for their shadow.
const QUEUE_MAX: usize = 1_024;
/// Rows in them.
const ROWS_MAX: usize = 65_536;
/// Answers compared at a stretch; then as long a pause as it took, so that shadows never have more
/// than half a processor.
const STRETCH: usize = 64;
/// Pairs of versions that are counted.
const PAIRS_MAX: usize = 256;
/// How often a node tells what it has compared.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often it says the same again where nobody answered.
const TELL_ATTEMPTS: usize = 5;

/// Model, version in shadow, active version.
type Pair = (String, String, String);

/// What a version has answered, for its shadow to be asked as well.
#[derive(Debug)]
struct Answered {
    shadow: Arc<Loaded>,
    active: Arc<Loaded>,
    asked: Asked,
    scores: Vec<f32>,
    took: Duration,
}

#[derive(Debug)]
pub(crate) enum Asked {
    /// Rows of features, whose they are where that is known, and what came with the call where the
    /// version in shadow has another view.
    Rows { values: Vec<f32>, entities: Vec<String>, sent: Result<Sent, String> },
    /// The inputs of the file itself.
    Inputs(Vec<Tensor>),
}

/// An answer that may have a shadow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    pub(crate) routed: &'a Routed,
    pub(crate) answered: &'a Arc<Loaded>,
    /// Rows of features, one after the other.
    pub(crate) values: &'a [f32],
    pub(crate) scores: &'a [f32],
    /// What came with the call, as the view of the version that answered takes it.
    pub(crate) sent: &'a Sent,
    pub(crate) took: Duration,
}

impl Serving {
    /// Hands on the rows of those entities whose bucket is in the shadow.
    pub(crate) fn shade<'a>(&self, beside: &Beside<'_>, entities: impl Iterator<Item = &'a str>) {
        if !beside.routed.has_shadow() {
            return;
        }
        let width = beside.values.len() / beside.scores.len().max(1);
        let (mut values, mut own, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Vec::new();
        let mut shadow = None;
        let rows = beside.values.chunks_exact(width.max(1)).zip(beside.scores);
        for (place, (entity, (row, score))) in entities.zip(rows).enumerate() {
            // An entity that nobody knows has no score.
            let found = beside.routed.shadow_of(entity.as_bytes(), beside.answered);
            if score.is_nan() || found.is_none() {
                continue;
            }
            shadow = found;
            values.extend_from_slice(row);
            own.push(entity.to_owned());
            places.push(place);
            scores.push(*score);
        }
        if let Some(shadow) = shadow {
            let sent = match (beside.answered.view(), shadow.view()) {
                (Some(from), Some(to)) => beside.sent.translated(&places, from, to),
                _ => Ok(Sent::default()),
            };
            self.offer(beside, shadow, (Asked::Rows { values, entities: own, sent }, scores));
        }
    }

    pub(crate) fn offer(
        &self,
        beside: &Beside<'_>,
        shadow: &Arc<Loaded>,
        (asked, scores): (Asked, Vec<f32>),
    ) {
        // The time of the rows that go on, of that of all.
        let share = scores.len() as f64 / beside.scores.len().max(1) as f64;
        self.shadows.offer(Answered {
            shadow: Arc::clone(shadow),
            active: Arc::clone(beside.answered),
            asked,
            scores,
            took: beside.took.mul_f64(share),
        });
    }
}

/// The answers on their way into the shadow, and what came of those that were.
#[derive(Debug)]
pub struct Shadows {
    queue: mpsc::Sender<Answered>,
    waiting: Mutex<Option<mpsc::Receiver<Answered>>>,
    rows: AtomicUsize,
    /// Since this node has started.
    totals: Mutex<BTreeMap<Pair, Compared>>,
    /// Since this node last told.
    untold: Mutex<BTreeMap<Pair, Compared>>,
}

impl Default for Shadows {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        Self {
            queue,
            waiting: Mutex::new(Some(waiting)),
            rows: AtomicUsize::new(0),
            totals: Mutex::default(),
            untold: Mutex::default(),
        }
    }
}

impl Shadows {
    /// Never waits.
    fn offer(&self, answered: Answered) {
        let rows = answered.scores.len();
        let pair = pair_of(&answered);
        let fits = self.rows.fetch_add(rows, Ordering::Relaxed) + rows <= ROWS_MAX;
        if !fits || self.queue.try_send(answered).is_err() {
            self.rows.fetch_sub(rows, Ordering::Relaxed);
            self.count(&pair, &Compared { dropped: rows as u64, ..Compared::default() });
        }
    }

    fn count(&self, pair: &Pair, seen: &Compared) {
        for sums in [&self.totals, &self.untold] {
            let mut sums = sums.lock();
            let sum = sums
                .entry(pair.clone())
                .or_insert_with(|| Compared { against: pair.2.clone(), ..Compared::default() });
            sum.add(&Compared { against: pair.2.clone(), ..seen.clone() });
            if sums.len() > PAIRS_MAX {
                sums.pop_first();
            }
        }
    }

    /// What this node has compared since it started, by model and version in shadow.
    pub fn totals(&self) -> BTreeMap<(String, String), Compared> {
        let mut totals: BTreeMap<(String, String), Compared> = BTreeMap::new();
        for ((name, version, _), seen) in &*self.totals.lock() {
            let sum = totals.entry((name.clone(), version.clone())).or_default();
            sum.against.clone_from(&seen.against);
            sum.add(seen);
        }
        totals
    }
}

fn pair_of(answered: &Answered) -> Pair {
    let Answered { shadow, active, .. } = answered;
    (shadow.name().to_owned(), shadow.version().to_owned(), active.version().to_owned())
}

/// Asks the shadows, off everybody's way.
pub(crate) async fn compare_shadows(node: Arc<Node>) {
    let Some(mut waiting) = node.serving().shadows.waiting.lock().take() else { return };
    let mut some = Vec::with_capacity(STRETCH);
    while waiting.recv_many(&mut some, STRETCH).await > 0 {
        let begun = Instant::now();
        let (shared, stretch) = (Arc::clone(&node), std::mem::take(&mut some));
        let work = move || {
            for answered in stretch {
                let shadows = &shared.serving().shadows;
                shadows.rows.fetch_sub(answered.scores.len(), Ordering::Relaxed);
                shadows.count(&pair_of(&answered), &compare(&shared, &answered));
            }
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::warn!("a shadow broke off");
        }
        tokio::time::sleep(begun.elapsed()).await;
    }
}

fn compare(node: &Node, answered: &Answered) -> Compared {
    let Answered { shadow, active, scores, took, .. } = answered;
    let begun = Instant::now();
    let outcome = run(node, answered);
    let shadow_ns = begun.elapsed().as_nanos() as u64;
    if let Err(error) = &outcome {
        let (model, version) = (shadow.name(), shadow.version());
        tracing::debug!(model, version, %error, "a version in shadow gave no answer");
    }
    let Some(own) = outcome.ok().filter(|own| own.len() == scores.len()) else {
        return Compared { errors: scores.len() as u64, ..Compared::default() };
    };
    let mut seen = Compared {
        rows: scores.len() as u64,
        shadow_ns,
        active_ns: took.as_nanos() as u64,
        ..Compared::default()
    };
    for (own, given) in own.iter().zip(scores) {
        let (own, given) = (f64::from(*own), f64::from(*given));
        // As far apart as can be told, where one of them is no number.
        let nano = ((own - given).abs() * NANO).min(1e18);
        let nano = if nano.is_nan() { 1_000_000_000_000_000_000 } else { nano as u64 };
        seen.difference_nano = seen.difference_nano.saturating_add(nano);
        seen.max_difference_nano = seen.max_difference_nano.max(nano);
        seen.band_changes +=
            u64::from(shadow.manifest().band(own) != active.manifest().band(given));
    }
    seen
}

/// The scores of the version in shadow for what the active one was asked.
fn run(node: &Node, answered: &Answered) -> Result<Vec<f32>, ServingError> {
    let Answered { shadow, active, asked, scores, .. } = answered;
    let (values, entities, sent) = match asked {
        Asked::Inputs(inputs) => {
            let wanted = ["score".to_owned()];
            let tensors = shadow.model().infer(inputs, &wanted)?;
            let score = tensors.into_iter().next().map(|tensor| tensor.data);
            return match score {
                Some(models::Data::Fp32(scores)) => Ok(scores),
                _ => Err(ServingError::Failed("the shadow gave no score".to_owned())),
            };
        }
        Asked::Rows { values, entities, sent } => (values, entities, sent),
    };
    let view = |loaded: &Loaded| loaded.view().map(|view| view.fingerprint().to_owned());
    if view(shadow) == view(active) {
        let own = shadow.model().score(values, scores.len())?;
        shadow.watch().observe_rows(values, &own);
        return Ok(own);
    }
    if entities.is_empty() {
        let said = "the caller sent rows of another view, and not whose they are";
        return Err(ServingError::Invalid(said.to_owned()));
    }
    // Another view: its own rows, as they are by now.
    let sent = sent.as_ref().map_err(|said| ServingError::Invalid(said.clone()))?;
    let mut own = Vec::new();
    for (at, entity) in entities.iter().enumerate() {
        let asked = (entity.as_str(), sent.row(at));
        let row = node.serving().read_row(&node.machine().read(), shadow, asked)?;
        own.extend_from_slice(&row.vector.values);
    }
    let scores = shadow.model().score(&own, entities.len())?;
    shadow.watch().observe_rows(&own, &scores);
    Ok(scores)
}

/// Puts what was compared into the log, where all nodes' figures add up.
pub(crate) async fn tell_shadows(node: Arc<Node>) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let untold = std::mem::take(&mut *node.serving().shadows.untold.lock());
        for ((name, version, _), compared) in untold {
            // One id for all attempts: it counts once, whoever leads meanwhile.
            let command = node.encode(&Command::CompareModel { name, version, compared });
            for _ in 0..TELL_ATTEMPTS {
                match node.propose_bytes(command.clone()).await {
                    Err(error) if error.is_retryable() => {}
                    Err(error) => {
                        tracing::warn!(%error, "shadow figures were lost");
                        break;
                    }
                    Ok(_) => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_once_and_stay_in_the_totals() {
        let shadows = Shadows::default();
        let pair = |active: &str| ("m".to_owned(), "2".to_owned(), active.to_owned());
        let rows = |rows| Compared { rows, ..Compared::default() };
        shadows.count(&pair("1"), &rows(3));
        shadows.count(&pair("1"), &rows(4));
        let told = std::mem::take(&mut *shadows.untold.lock());
        assert_eq!(told[&pair("1")].rows, 7);
        shadows.count(&pair("1"), &rows(1));
        assert_eq!(shadows.untold.lock()[&pair("1")].rows, 1);
        let key = ("m".to_owned(), "2".to_owned());
        assert_eq!(shadows.totals()[&key].rows, 8);
        assert_eq!(shadows.totals()[&key].against, "1");
    }
}
