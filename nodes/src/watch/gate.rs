//! Whether a version may be promoted, by what was seen of it and what its manifest asks for.

use super::measure::{calibration, ks, psi, rate};
use crate::node::Node;
use crate::state::watched::{Groups, WatchedVersion};
use models::{Package, WatchRules};

/// Groups smaller than this say nothing about a rate.
const GROUP_SCORES_MIN: u64 = 30;
/// Outcomes without which a calibration is not asked about, where the manifest names no number.
const OUTCOMES_MIN: u64 = 100;

/// Every reason against promoting this version, in one line; fine where nothing is asked for. The
/// rules are those of its manifest, and of the configuration where the manifest is silent.
pub(crate) async fn gate(node: &Node, model: &str, version: &str) -> Result<(), String> {
    let rules = match node.serving().in_memory(model, version) {
        Some(loaded) => loaded.manifest().watch.clone(),
        None => rules_of(node, model, version).await?,
    };
    let rules = node.config().watch.fill(&rules);
    let seen = node.machine().read().watched.version(model, version).cloned();
    let objections = objections(&rules, &seen.unwrap_or_default());
    if objections.is_empty() {
        return Ok(());
    }
    Err(format!("model {model} {version} may not be promoted: {}", objections.join("; ")))
}

/// Of a version that is not in memory here.
async fn rules_of(node: &Node, model: &str, version: &str) -> Result<WatchRules, String> {
    let blob = node.machine().read().model(model, version).map(|record| record.blob);
    let Some(blob) = blob else { return Ok(WatchRules::default()) };
    let path = node.raft().fetch_blob(&blob).await.map_err(|error| error.to_string())?;
    let read = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        let package = Package::from_bytes(&bytes).map_err(|error| error.to_string())?;
        Ok(package.manifest().watch.clone())
    });
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

pub(super) fn objections(rules: &WatchRules, seen: &WatchedVersion) -> Vec<String> {
    let window = seen.window();
    let wanted = rules.min_scores.unwrap_or(0);
    if window.scores < wanted {
        return vec![format!(
            "{} scores were seen, watch.min_scores is {wanted}: let it run as shadow first",
            window.scores
        )];
    }
    let mut said = Vec::new();
    let mut over = |name: &str, what: &str, found: Option<f64>, most: Option<f64>| {
        if let (Some(found), Some(most)) = (found, most)
            && found > most
        {
            said.push(format!("{name} of {what} is {found:.4}, watch.{name}_max is {most}"));
        }
    };
    if let Some(reference) = &seen.reference {
        over("psi", "the score", psi(&reference.score, &window.score_bins), rules.psi_max);
        over("ks", "the score", ks(&reference.score, &window.score_bins), rules.ks_max);
        for (bins, counts) in reference.features.iter().zip(&window.features) {
            over("psi", &bins.name, psi(bins, &counts.bins), rules.psi_max);
            over("ks", &bins.name, ks(bins, &counts.bins), rules.ks_max);
            over("missing", &bins.name, rate(counts.missing, window.scores), rules.missing_max);
            over("stale", &bins.name, rate(counts.stale, window.scores), rules.stale_max);
        }
    }
    let least = rules.min_outcomes.unwrap_or(OUTCOMES_MIN);
    let found = calibration(&seen.calibration);
    if let Some(found) = found.filter(|found| found.outcomes >= least) {
        over("ece", "the outcomes", Some(found.ece), rules.ece_max);
        over("brier", "the outcomes", Some(found.brier), rules.brier_max);
    } else if let Some(least) = rules.min_outcomes {
        let known = found.map_or(0, |found| found.outcomes);
        said.push(format!("{known} outcomes are known, watch.min_outcomes is {least}"));
    }
    said.extend(rules.group_ratio_min.and_then(|least| unequal(&seen.groups, least)));
    said
}

/// The column whose groups are selected most unequally, where that is more than allowed.
fn unequal(groups: &Groups, least: f64) -> Option<String> {
    let mut worst: Option<(f64, String)> = None;
    let mut columns: Vec<&String> = groups.keys().map(|(column, _)| column).collect();
    columns.dedup();
    for column in columns {
        let rates: Vec<f64> = groups
            .iter()
            .filter(|((known, _), counts)| known == column && counts.scores >= GROUP_SCORES_MIN)
            .filter_map(|(_, counts)| rate(counts.selected, counts.scores))
            .collect();
        let highest = rates.iter().copied().fold(0.0, f64::max);
        let lowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        if rates.len() < 2 || highest <= 0.0 {
            continue;
        }
        let ratio = lowest / highest;
        if ratio < least && worst.as_ref().is_none_or(|(known, _)| ratio < *known) {
            let said = format!(
                "groups of {column} are selected at {lowest:.4} to {highest:.4}, a ratio of {ratio:.4}; watch.group_ratio_min is {least}"
            );
            worst = Some((ratio, said));
        }
    }
    worst.map(|(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::watched::{Counts, FeatureCounts, GroupCounts, Reference};
    use crate::watch::reference::of_rows;
    use std::sync::Arc;

    fn seen(scores: &[u64], missing: u64) -> WatchedVersion {
        let rows: Vec<f32> = (0..1_000).map(|n| n as f32).collect();
        let own: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 1_000.0).collect();
        let reference: Reference = of_rows("golden.csv", &["a".to_owned()], &rows, &own);
        let counts = Counts {
            scores: scores.iter().sum(),
            score_bins: scores.to_vec(),
            features: vec![FeatureCounts { bins: vec![1; 40], missing, stale: 0 }],
            ..Counts::default()
        };
        WatchedVersion {
            reference: Some(Arc::new(reference)),
            now: counts,
            ..WatchedVersion::default()
        }
    }

    #[test]
    fn a_version_that_has_drifted_is_held_back() {
        let rules =
            WatchRules { psi_max: Some(0.25), missing_max: Some(0.1), ..Default::default() };
        assert_eq!(objections(&rules, &seen(&[25; 40], 0)), [""; 0]);
        let mut moved = vec![0; 40];
        moved[39] = 1_000;
        let said = objections(&rules, &seen(&moved, 500)).join("; ");
        assert!(said.contains("psi of the score"), "{said}");
        assert!(said.contains("missing of a is 0.5000"), "{said}");
        assert_eq!(objections(&WatchRules::default(), &seen(&moved, 500)), [""; 0]);
        let wants = WatchRules { min_scores: Some(2_000), ..rules };
        assert!(objections(&wants, &seen(&[25; 40], 0))[0].contains("as shadow first"));
    }

    /// 28.3 % against 9.3 %, as in the mortgage data of the Boston Fed.
    #[test]
    fn groups_that_are_treated_unequally_are_named() {
        let mut version = seen(&[25; 40], 0);
        for (value, scores, selected) in [("yes", 339, 96), ("no", 2_041, 189)] {
            let counts = GroupCounts { scores, selected, ..GroupCounts::default() };
            version.groups.insert(("afam".to_owned(), value.to_owned()), counts);
        }
        let rules = WatchRules { group_ratio_min: Some(0.8), ..WatchRules::default() };
        let said = objections(&rules, &version).join("; ");
        assert!(said.contains("0.0926 to 0.2832, a ratio of 0.3270"), "{said}");
    }
}
