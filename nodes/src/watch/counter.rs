//! What this node counts of one version's scores, until it says so in the log.
//!
//! Scores come from many threads, so the counts are atomics; each score is counted once, in one
//! delta.

use super::groups::{CODES, Codes, Groups};
use super::reference::{FEATURES_MAX, bin, of_rows};
use crate::state::watched::{
    Bins, Counts, FeatureCounts, GROUP_COLUMNS_MAX, GroupCounts, Reference, UNIT,
};
use features::Status;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Scores that wait for something to be compared with.
const WAITING_MAX: usize = 4_096;
/// A score beyond this is summed as this.
const SCORE_MAX: f64 = 1e6;

#[derive(Debug)]
pub struct Counter {
    names: Vec<String>,
    selected_min: f64,
    cut: OnceLock<Cut>,
    waiting: Mutex<Vec<Waiting>>,
    /// Scores that came while too many waited.
    skipped: AtomicU64,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Waiting {
    values: Vec<f32>,
    statuses: Vec<Status>,
    score: f64,
}

/// The bins, once it is known where they are cut.
#[derive(Debug)]
struct Cut {
    reference: Arc<Reference>,
    scores: AtomicU64,
    score_sum: AtomicI64,
    score: Vec<AtomicU64>,
    features: Vec<Feature>,
}

#[derive(Debug)]
struct Feature {
    bins: Vec<AtomicU64>,
    missing: AtomicU64,
    stale: AtomicU64,
}

#[derive(Debug, Default)]
struct Group {
    scores: AtomicU64,
    score_sum: AtomicI64,
    selected: AtomicU64,
}

fn zeros(bins: &Bins) -> Vec<AtomicU64> {
    bins.counts.iter().map(|_| AtomicU64::new(0)).collect()
}

fn take(of: &AtomicU64) -> u64 {
    of.swap(0, Ordering::Relaxed)
}

fn units(score: f64) -> i64 {
    (score.clamp(-SCORE_MAX, SCORE_MAX) * UNIT).round() as i64
}

impl Counter {
    /// With what its package brings along, if it does.
    pub fn new(names: &[String], selected_min: f64, reference: Option<Reference>) -> Self {
        let counter = Self {
            names: names.to_vec(),
            selected_min,
            cut: OnceLock::new(),
            waiting: Mutex::default(),
            skipped: AtomicU64::new(0),
            groups: (0..GROUP_COLUMNS_MAX * CODES).map(|_| Group::default()).collect(),
        };
        if let Some(reference) = reference {
            counter.compare_with(Arc::new(reference), 0);
        }
        counter
    }

    /// Counts one score and the row that it was made from. `statuses` may be empty: all present.
    pub fn observe(&self, values: &[f32], statuses: &[Status], score: f64, groups: Codes) {
        if !score.is_finite() {
            return;
        }
        let selected = u64::from(score >= self.selected_min);
        let sum = units(score);
        for (column, code) in groups.iter() {
            if let Some(group) = self.groups.get(column * CODES + code) {
                group.scores.fetch_add(1, Ordering::Relaxed);
                group.score_sum.fetch_add(sum, Ordering::Relaxed);
                group.selected.fetch_add(selected, Ordering::Relaxed);
            }
        }
        match self.cut.get() {
            Some(cut) => cut.count(values, statuses, score),
            None => self.wait(values, statuses, score),
        }
    }

    /// Rows of which no more is known than their values.
    pub fn observe_rows(&self, values: &[f32], scores: &[f32]) {
        let width = values.len() / scores.len().max(1);
        for (row, score) in values.chunks_exact(width.max(1)).zip(scores) {
            self.observe(row, &[], f64::from(*score), Codes::default());
        }
    }

    fn wait(&self, values: &[f32], statuses: &[Status], score: f64) {
        let mut waiting = self.waiting.lock();
        if let Some(cut) = self.cut.get() {
            return cut.count(values, statuses, score);
        }
        if waiting.len() >= WAITING_MAX {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let values = values.iter().take(FEATURES_MAX).copied().collect();
        let statuses = statuses.iter().take(FEATURES_MAX).copied().collect();
        waiting.push(Waiting { values, statuses, score });
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(super) fn reference(&self) -> Option<&Arc<Reference>> {
        self.cut.get().map(|cut| &cut.reference)
    }

    /// The first scores as what later ones are compared with, once there are so many.
    pub(super) fn first(&self, count: usize) -> Option<Reference> {
        let waiting = self.waiting.lock();
        let width = waiting.first()?.values.len();
        let first: Vec<&Waiting> =
            waiting.iter().filter(|each| each.values.len() == width).take(count).collect();
        if first.len() < count {
            return None;
        }
        let rows: Vec<f32> = first.iter().flat_map(|each| each.values.iter().copied()).collect();
        let scores: Vec<f64> = first.iter().map(|each| each.score).collect();
        Some(of_rows("first scores", &self.names, &rows, &scores))
    }

    /// Cuts the bins for good. The first `own` of those that wait are the reference itself.
    pub(super) fn compare_with(&self, reference: Arc<Reference>, own: usize) {
        let mut waiting = self.waiting.lock();
        let feature = |bins: &Bins| Feature {
            bins: zeros(bins),
            missing: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        };
        let cut = Cut {
            scores: AtomicU64::new(0),
            score_sum: AtomicI64::new(0),
            score: zeros(&reference.score),
            features: reference.features.iter().map(feature).collect(),
            reference,
        };
        for each in waiting.drain(..).skip(own) {
            cut.count(&each.values, &each.statuses, each.score);
        }
        // Whoever waits for the lock finds the bins.
        drop(self.cut.set(cut));
    }

    /// What was counted since the last call.
    pub(super) fn drain(&self) -> Counts {
        self.cut.get().map_or_else(Counts::default, Cut::drain)
    }

    pub(super) fn drain_groups(&self, names: &Groups) -> Vec<((String, String), GroupCounts)> {
        let mut drained = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            if group.scores.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let Some(name) = names.name(at / CODES, at % CODES) else { continue };
            let counts = GroupCounts {
                scores: take(&group.scores),
                score_sum: group.score_sum.swap(0, Ordering::Relaxed),
                selected: take(&group.selected),
                ..GroupCounts::default()
            };
            drained.push((name, counts));
        }
        drained
    }
}

impl Cut {
    fn count(&self, values: &[f32], statuses: &[Status], score: f64) {
        self.scores.fetch_add(1, Ordering::Relaxed);
        self.score_sum.fetch_add(units(score), Ordering::Relaxed);
        if let Some(place) = self.score.get(bin(&self.reference.score.edges, score)) {
            place.fetch_add(1, Ordering::Relaxed);
        }
        let columns = self.features.iter().zip(&self.reference.features).zip(values);
        for (at, ((feature, bins), value)) in columns.enumerate() {
            let status = statuses.get(at).copied().unwrap_or(Status::Present);
            match status {
                Status::Default | Status::NotFound => {
                    feature.missing.fetch_add(1, Ordering::Relaxed);
                }
                Status::Stale | Status::Partial => {
                    feature.stale.fetch_add(1, Ordering::Relaxed);
                }
                Status::Present => {}
            }
            let value = f64::from(*value);
            if value.is_nan() {
                if status == Status::Present {
                    feature.missing.fetch_add(1, Ordering::Relaxed);
                }
            } else if let Some(place) = feature.bins.get(bin(&bins.edges, value)) {
                place.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn drain(&self) -> Counts {
        let feature = |feature: &Feature| FeatureCounts {
            bins: feature.bins.iter().map(take).collect(),
            missing: take(&feature.missing),
            stale: take(&feature.stale),
        };
        Counts {
            scores: take(&self.scores),
            score_sum: self.score_sum.swap(0, Ordering::Relaxed),
            score_bins: self.score.iter().map(take).collect(),
            features: self.features.iter().map(feature).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    fn observe(counter: &Counter, from: usize, count: usize) {
        for n in from..from + count {
            let row = [n as f32, (n % 2) as f32];
            let statuses =
                [Status::Present, if n % 4 == 0 { Status::Default } else { Status::Stale }];
            counter.observe(&row, &statuses, n as f64 / 1_000.0, Codes::default());
        }
    }

    #[test]
    fn the_first_scores_are_what_later_ones_are_compared_with() {
        let counter = Counter::new(&names(), 0.5, None);
        observe(&counter, 0, 199);
        assert_eq!(counter.first(200), None);
        observe(&counter, 199, 101);
        let reference = counter.first(200).unwrap();
        assert_eq!(
            (reference.rows, reference.features[1].counts.as_slice()),
            (200, &[100, 100, 0][..])
        );
        assert_eq!(counter.drain(), Counts::default());
        counter.compare_with(Arc::new(reference), 200);
        observe(&counter, 300, 100);
        let counts = counter.drain();
        assert_eq!(counts.scores, 200);
        assert_eq!(counts.features[1].bins, [100, 100, 0]);
        assert_eq!((counts.features[1].missing, counts.features[1].stale), (50, 150));
        assert_eq!(counts.features[0].bins.last(), Some(&200));
        assert_eq!(counts.score_sum, (200..400).map(|n| n * 1_000_000).sum::<i64>());
        assert_eq!(counter.drain().scores, 0);
    }

    #[test]
    fn threads_lose_no_score() {
        let counter = Counter::new(&names(), 0.5, None);
        observe(&counter, 0, 200);
        counter.compare_with(Arc::new(counter.first(200).unwrap()), 200);
        let mut sum = Counts::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| observe(&counter, 0, 5_000))).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                sum.add(&counter.drain());
            }
        });
        sum.add(&counter.drain());
        assert_eq!(sum.scores, 20_000);
        assert_eq!(sum.score_bins.iter().sum::<u64>(), 20_000);
        assert_eq!(sum.features[0].bins.iter().sum::<u64>(), 20_000);
    }

    #[test]
    fn memory_is_bounded_while_nothing_is_known() {
        let counter = Counter::new(&names(), 0.5, None);
        observe(&counter, 0, WAITING_MAX + 7);
        assert_eq!(counter.waiting.lock().len(), WAITING_MAX);
        assert_eq!(take(&counter.skipped), 7);
    }
}
