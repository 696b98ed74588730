//! What was counted of every model version's scores: exact counts that add up over nodes, restarts and
//! leaders. Nodes count on their own and put what they counted into the log (`crate::watch`); here it
//! is only added.

use super::{ObservedRecord, Reply, State};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Versions that are watched; past it the one that was quiet longest goes.
const VERSIONS_MAX: usize = 32;
/// Drift is of the newest scores: between one and two times as many as this.
pub const WINDOW_SCORES: u64 = 10_000;
/// Group columns of a version, and values of a column; the rest counts as `other`.
pub const GROUP_COLUMNS_MAX: usize = 8;
pub const GROUP_VALUES_MAX: usize = 32;
/// The value of whoever has none of the first values.
pub const OTHER: &str = "other";
/// Bins of the calibration, each a tenth of the scores from 0 to 1.
pub const CALIBRATION_BINS: usize = 10;
/// Sums are whole numbers of this part, so that the order of adding does not matter.
pub const UNIT: f64 = 1e9;

/// How one column of the reference is cut: bin `i` holds `edges[i - 1] < value <= edges[i]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bins {
    pub name: String,
    /// Rising; there is one bin more than edges.
    pub edges: Vec<f64>,
    /// For each bin the tenth of the reference that it belongs to, for the PSI.
    pub tenths: Vec<u8>,
    /// Rows of the reference in each bin.
    pub counts: Vec<u64>,
}

/// What a version's scores are compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// background.csv, golden.csv, or first scores.
    pub source: String,
    pub rows: u64,
    pub features: Vec<Bins>,
    pub score: Bins,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureCounts {
    pub bins: Vec<u64>,
    pub missing: u64,
    pub stale: u64,
}

/// Counts of some scores. They add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub scores: u64,
    /// Sum of the scores, in units of 1e-9.
    pub score_sum: i64,
    pub score_bins: Vec<u64>,
    pub features: Vec<FeatureCounts>,
}

impl Counts {
    pub fn add(&mut self, more: &Self) {
        self.scores += more.scores;
        self.score_sum = self.score_sum.saturating_add(more.score_sum);
        add_all(&mut self.score_bins, &more.score_bins);
        if self.features.len() < more.features.len() {
            self.features.resize(more.features.len(), FeatureCounts::default());
        }
        for (own, more) in self.features.iter_mut().zip(&more.features) {
            add_all(&mut own.bins, &more.bins);
            own.missing += more.missing;
            own.stale += more.stale;
        }
    }
}

fn add_all(own: &mut Vec<u64>, more: &[u64]) {
    if own.len() < more.len() {
        own.resize(more.len(), 0);
    }
    for (own, more) in own.iter_mut().zip(more) {
        *own += more;
    }
}

/// One value of a group column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCounts {
    pub scores: u64,
    /// In units of 1e-9.
    pub score_sum: i64,
    /// Scores at or above the manifest's threshold.
    pub selected: u64,
    pub outcomes: u64,
    /// Of these, where it came true.
    pub positives: u64,
}

impl GroupCounts {
    pub fn add(&mut self, more: &Self) {
        self.scores += more.scores;
        self.score_sum = self.score_sum.saturating_add(more.score_sum);
        self.selected += more.selected;
        self.outcomes += more.outcomes;
        self.positives += more.positives;
    }
}

/// One tenth of the scores from 0 to 1 whose outcome is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenth {
    pub outcomes: u64,
    /// Sums of score, outcome and squared distance, in units of 1e-9.
    pub score_sum: i64,
    pub observed_sum: i64,
    pub squared_sum: i64,
}

/// By group column and value.
pub type Groups = BTreeMap<(String, String), GroupCounts>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchedVersion {
    pub reference: Option<Arc<Reference>>,
    /// Scores ever counted.
    pub total: u64,
    /// The newest scores, in two halves: when the second is full, the first goes.
    pub before: Counts,
    pub now: Counts,
    pub groups: Groups,
    pub calibration: [Tenth; CALIBRATION_BINS],
    /// The log's time of the last count.
    pub counted_us: i64,
}

impl WatchedVersion {
    /// The newest scores.
    pub fn window(&self) -> Counts {
        let mut all = self.before.clone();
        all.add(&self.now);
        all
    }

    fn add(&mut self, more: &Counts) {
        if self.now.scores >= WINDOW_SCORES {
            self.before = std::mem::take(&mut self.now);
        }
        self.total += more.scores;
        self.now.add(more);
    }

    fn group(&mut self, column: &str, value: &str) -> Option<&mut GroupCounts> {
        let key = (column.to_owned(), value.to_owned());
        if !self.groups.contains_key(&key) {
            let values = self.groups.keys().filter(|(known, _)| known == column).count();
            if values == 0 {
                let mut columns: Vec<&String> =
                    self.groups.keys().map(|(known, _)| known).collect();
                columns.dedup();
                if columns.len() >= GROUP_COLUMNS_MAX {
                    return None;
                }
            }
            if values >= GROUP_VALUES_MAX {
                return Some(self.groups.entry((column.to_owned(), OTHER.to_owned())).or_default());
            }
        }
        Some(self.groups.entry(key).or_default())
    }
}

/// What a node counted of one version since it last said so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WatchDelta {
    pub model: String,
    pub version: String,
    /// Sets what the version is compared with, where nothing is set yet.
    pub reference: Option<Reference>,
    pub counts: Counts,
    pub groups: Vec<((String, String), GroupCounts)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    versions: OrdMap<(String, String), Arc<WatchedVersion>>,
}

impl Watched {
    pub fn version(&self, model: &str, version: &str) -> Option<&Arc<WatchedVersion>> {
        self.versions.get(&(model.to_owned(), version.to_owned()))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&(String, String), &Arc<WatchedVersion>)> {
        self.versions.iter()
    }

    fn at(&mut self, model: &str, version: &str, now_us: i64) -> &mut WatchedVersion {
        let key = (model.to_owned(), version.to_owned());
        if !self.versions.contains_key(&key) && self.versions.len() >= VERSIONS_MAX {
            let quiet = self.versions.iter().min_by_key(|(_, each)| each.counted_us);
            if let Some(quiet) = quiet.map(|(key, _)| key.clone()) {
                self.versions.remove(&quiet);
            }
        }
        let found = Arc::make_mut(self.versions.entry(key).or_default());
        found.counted_us = found.counted_us.max(now_us);
        found
    }

    /// An outcome of 0 to 1 counts for the calibration and for the groups of whom it is about. It
    /// takes the place of `before`, where that was said of the same.
    pub(super) fn observe_outcome(
        &mut self,
        of: &ObservedRecord,
        groups: &[(String, String)],
        before: Option<f64>,
    ) {
        let counts = |observed: &f64| (0.0..=1.0).contains(observed);
        if let Some(before) = before.filter(counts) {
            self.count_outcome(of, before, groups, -1);
        }
        if counts(&of.observed) {
            self.count_outcome(of, of.observed, groups, 1);
        }
    }

    /// `times` is 1, or -1 to take back what was counted.
    fn count_outcome(
        &mut self,
        of: &ObservedRecord,
        observed: f64,
        groups: &[(String, String)],
        times: i64,
    ) {
        if of.version.is_empty() {
            return;
        }
        let version = self.at(&of.model, &of.version, 0);
        for (column, value) in groups {
            if let Some(group) = version.group(column, value) {
                group.outcomes = group.outcomes.saturating_add_signed(times);
                let positives = times * i64::from(observed >= 0.5);
                group.positives = group.positives.saturating_add_signed(positives);
            }
        }
        if (0.0..=1.0).contains(&of.score) {
            let bins = CALIBRATION_BINS;
            let tenth = ((of.score * bins as f64) as usize).min(bins - 1);
            let units = |value: f64| times * (value * UNIT).round() as i64;
            let tenth = &mut version.calibration[tenth];
            tenth.outcomes = tenth.outcomes.saturating_add_signed(times);
            tenth.score_sum += units(of.score);
            tenth.observed_sum += units(observed);
            tenth.squared_sum += units((of.score - observed) * (of.score - observed));
        }
    }
}

impl State {
    pub(crate) fn record_watch(&mut self, deltas: &[WatchDelta]) -> Reply {
        let now_us = self.clock_us;
        for delta in deltas {
            // What is not in the registry is not watched: nobody fills the memory with names.
            if self.model(&delta.model, &delta.version).is_none() {
                continue;
            }
            let version = self.watched.at(&delta.model, &delta.version, now_us);
            if let (None, Some(reference)) = (&version.reference, &delta.reference) {
                version.reference = Some(Arc::new(reference.clone()));
            }
            version.add(&delta.counts);
            for ((column, value), counts) in &delta.groups {
                if let Some(group) = version.group(column, value) {
                    group.add(counts);
                }
            }
        }
        Reply::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(scores: u64) -> Counts {
        Counts { scores, score_bins: vec![scores], ..Counts::default() }
    }

    #[test]
    fn a_window_holds_the_newest_scores() {
        let mut version = WatchedVersion::default();
        for _ in 0..35 {
            version.add(&counts(1_000));
            let window = version.window();
            assert!(window.scores <= 2 * WINDOW_SCORES, "{}", window.scores);
            assert_eq!(window.score_bins[0], window.scores);
            assert!(version.total < WINDOW_SCORES || window.scores >= WINDOW_SCORES);
        }
        assert_eq!(version.total, 35_000);
    }

    #[test]
    fn versions_and_groups_are_bounded() {
        let mut watched = Watched::default();
        for n in 0..VERSIONS_MAX + 5 {
            watched.at("m", &n.to_string(), n as i64);
        }
        assert_eq!(watched.versions.len(), VERSIONS_MAX);
        assert!(watched.version("m", "0").is_none() && watched.version("m", "36").is_some());
        let version = watched.at("m", "36", 99);
        for column in 0..GROUP_COLUMNS_MAX + 3 {
            for value in 0..GROUP_VALUES_MAX + 9 {
                if let Some(group) = version.group(&format!("c{column}"), &value.to_string()) {
                    group.scores += 1;
                }
            }
        }
        assert_eq!(version.groups.len(), GROUP_COLUMNS_MAX * (GROUP_VALUES_MAX + 1));
        assert_eq!(version.groups[&("c0".to_owned(), OTHER.to_owned())].scores, 9);
    }

    #[test]
    fn outcomes_fill_tenths_and_groups() {
        let mut watched = Watched::default();
        let of = |score, observed| ObservedRecord {
            model: "m".to_owned(),
            version: "1".to_owned(),
            score,
            observed,
            ..ObservedRecord::default()
        };
        let group = [("sex".to_owned(), "2".to_owned())];
        for (score, observed) in [(0.05, 0.0), (0.95, 1.0), (1.0, 0.0), (0.5, 7.0)] {
            watched.observe_outcome(&of(score, observed), &group, None);
        }
        let version = watched.version("m", "1").unwrap();
        assert_eq!(version.calibration[0].outcomes, 1);
        assert_eq!(version.calibration[9].outcomes, 2);
        assert_eq!(version.calibration[9].squared_sum, 1_002_500_000);
        let group = &version.groups[&("sex".to_owned(), "2".to_owned())];
        assert_eq!((group.outcomes, group.positives), (3, 1));
    }
}
