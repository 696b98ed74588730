//! What was watched, as Prometheus text. The series are bounded: of the versions counted last, and
//! the first features of each.

use super::measure::{calibration, ks, mean, psi, rate};
use super::tables::{SCORE, watched};
use crate::node::Node;
use crate::state::watched::WatchedVersion;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const VERSIONS_MAX: usize = 16;
const FEATURES_MAX: usize = 64;

/// Name, help and kind of every series, in the order in which they are told.
const SERIES: [(&str, &str, &str); 15] = [
    ("hearth_model_scores_total", "Scores counted.", "counter"),
    ("hearth_model_score_mean", "Mean of the newest scores.", "gauge"),
    ("hearth_model_drift_psi", "Population stability index against the reference.", "gauge"),
    ("hearth_model_drift_ks", "Kolmogorov-Smirnov distance from the reference.", "gauge"),
    ("hearth_model_missing_rate", "Share of the newest scores without the feature.", "gauge"),
    ("hearth_model_stale_rate", "Share of the newest scores with a stale value.", "gauge"),
    ("hearth_model_group_scores_total", "Scores counted of a group.", "counter"),
    ("hearth_model_group_score_mean", "Mean score of a group.", "gauge"),
    ("hearth_model_group_selected_rate", "Share of a group's scores that select.", "gauge"),
    ("hearth_model_group_outcomes_total", "Outcomes known of a group.", "counter"),
    ("hearth_model_group_outcome_rate", "Share of a group's outcomes that came true.", "gauge"),
    ("hearth_model_outcomes_total", "Outcomes known.", "counter"),
    ("hearth_model_brier", "Mean squared distance of score and outcome.", "gauge"),
    ("hearth_model_ece", "Expected calibration error, ten bins.", "gauge"),
    ("hearth_model_scores_skipped_total", "Scores of this node that were not compared.", "counter"),
];

type Lines = BTreeMap<&'static str, String>;

pub(crate) fn expose(node: &Node) -> String {
    let mut versions = watched(node);
    versions.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.counted_us));
    versions.truncate(VERSIONS_MAX);
    let group = &node.config().node.group;
    let mut lines = Lines::new();
    for ((model, version), seen) in &versions {
        let labels = format!("group=\"{group}\",model=\"{model}\",version=\"{version}\"");
        of_version(&mut lines, &labels, seen);
        if let Some(loaded) = node.serving().in_memory(model, version) {
            put(
                &mut lines,
                "hearth_model_scores_skipped_total",
                &labels,
                loaded.watch().skipped() as f64,
            );
        }
    }
    let mut text = String::new();
    for (name, help, kind) in SERIES {
        if let Some(lines) = lines.get(name) {
            // Writing into a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
    }
    text
}

fn put(lines: &mut Lines, name: &'static str, labels: &str, value: impl Into<Option<f64>>) {
    if let Some(value) = value.into() {
        let _ = writeln!(lines.entry(name).or_default(), "{name}{{{labels}}} {value}");
    }
}

fn of_version(lines: &mut Lines, labels: &str, seen: &WatchedVersion) {
    let window = seen.window();
    put(lines, "hearth_model_scores_total", labels, seen.total as f64);
    put(lines, "hearth_model_score_mean", labels, mean(window.score_sum, window.scores));
    if let Some(reference) = &seen.reference {
        let of_score = format!("{labels},feature=\"{SCORE}\"");
        put(lines, "hearth_model_drift_psi", &of_score, psi(&reference.score, &window.score_bins));
        put(lines, "hearth_model_drift_ks", &of_score, ks(&reference.score, &window.score_bins));
        let features = reference.features.iter().zip(&window.features).take(FEATURES_MAX);
        for (bins, counts) in features {
            let labels = format!("{labels},feature=\"{}\"", escaped(&bins.name));
            put(lines, "hearth_model_drift_psi", &labels, psi(bins, &counts.bins));
            put(lines, "hearth_model_drift_ks", &labels, ks(bins, &counts.bins));
            let (missing, stale) =
                (rate(counts.missing, window.scores), rate(counts.stale, window.scores));
            put(lines, "hearth_model_missing_rate", &labels, missing);
            put(lines, "hearth_model_stale_rate", &labels, stale);
        }
    }
    for ((column, value), counts) in &seen.groups {
        let labels =
            format!("{labels},column=\"{}\",value=\"{}\"", escaped(column), escaped(value));
        put(lines, "hearth_model_group_scores_total", &labels, counts.scores as f64);
        let score = mean(counts.score_sum, counts.scores);
        put(lines, "hearth_model_group_score_mean", &labels, score);
        let selected = rate(counts.selected, counts.scores);
        put(lines, "hearth_model_group_selected_rate", &labels, selected);
        put(lines, "hearth_model_group_outcomes_total", &labels, counts.outcomes as f64);
        let came_true = rate(counts.positives, counts.outcomes);
        put(lines, "hearth_model_group_outcome_rate", &labels, came_true);
    }
    if let Some(found) = calibration(&seen.calibration) {
        put(lines, "hearth_model_outcomes_total", labels, found.outcomes as f64);
        put(lines, "hearth_model_brier", labels, found.brier);
        put(lines, "hearth_model_ece", labels, found.ece);
    }
}

/// A value of a label in the exposition format.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::watched::GroupCounts;

    #[test]
    fn each_series_is_told_once_with_its_labels() {
        let mut seen = WatchedVersion { total: 7, ..WatchedVersion::default() };
        let counts = GroupCounts { scores: 4, score_sum: 1_000_000_000, ..GroupCounts::default() };
        seen.groups.insert(("sex".to_owned(), "a\"b".to_owned()), counts);
        let mut lines = Lines::new();
        of_version(&mut lines, "model=\"m\"", &seen);
        assert_eq!(
            lines["hearth_model_scores_total"],
            "hearth_model_scores_total{model=\"m\"} 7\n"
        );
        assert_eq!(
            lines["hearth_model_group_score_mean"],
            "hearth_model_group_score_mean{model=\"m\",column=\"sex\",value=\"a\\\"b\"} 0.25\n"
        );
        assert!(lines.keys().all(|name| SERIES.iter().any(|(known, ..)| known == name)));
    }
}
