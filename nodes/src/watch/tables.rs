//! What was watched, as rows for SQL and as a message.

use super::gate::gate;
use super::measure::{calibration, ks, mean, psi, rate};
use crate::node::Node;
use crate::proto::hearth::{CalibrationBin, Drift, GroupRate, ModelWatch, WatchRequest};
use crate::state::watched::{CALIBRATION_BINS, WatchedVersion};
use flight::{CalibrationRow, DriftRow, GroupRow};
use std::sync::Arc;
use tonic::Status;

/// A version, and what was seen of it.
pub(crate) type Seen = ((String, String), Arc<WatchedVersion>);

/// Every version, without holding the state for longer than it takes to name them.
pub(crate) fn watched(node: &Node) -> Vec<Seen> {
    let state = node.machine().read();
    state.watched.iter().map(|(key, seen)| (key.clone(), Arc::clone(seen))).collect()
}

/// How the score itself is called among the features.
pub(super) const SCORE: &str = "score";

/// The score first, then the features.
pub(crate) fn drift_rows(watched: &[Seen]) -> Vec<DriftRow> {
    let mut rows = Vec::new();
    for ((model, version), seen) in watched {
        let window = seen.window();
        let row = |feature: &str| DriftRow {
            model: model.clone(),
            version: version.clone(),
            feature: feature.to_owned(),
            scores: window.scores,
            scores_total: seen.total,
            reference: seen.reference.as_ref().map_or_else(String::new, |each| each.source.clone()),
            reference_rows: seen.reference.as_ref().map_or(0, |each| each.rows),
            counted_us: seen.counted_us,
            ..DriftRow::default()
        };
        let Some(reference) = &seen.reference else {
            rows.push(row(SCORE));
            continue;
        };
        rows.push(DriftRow {
            psi: psi(&reference.score, &window.score_bins),
            ks: ks(&reference.score, &window.score_bins),
            mean: mean(window.score_sum, window.scores),
            ..row(SCORE)
        });
        for (bins, counts) in reference.features.iter().zip(&window.features) {
            rows.push(DriftRow {
                psi: psi(bins, &counts.bins),
                ks: ks(bins, &counts.bins),
                missing_rate: rate(counts.missing, window.scores),
                stale_rate: rate(counts.stale, window.scores),
                ..row(&bins.name)
            });
        }
    }
    rows
}

pub(crate) fn group_rows(watched: &[Seen]) -> Vec<GroupRow> {
    let mut rows = Vec::new();
    for ((model, version), seen) in watched {
        for ((column, value), counts) in &seen.groups {
            rows.push(GroupRow {
                model: model.clone(),
                version: version.clone(),
                column: column.clone(),
                value: value.clone(),
                scores: counts.scores,
                score_mean: mean(counts.score_sum, counts.scores),
                selected: counts.selected,
                selected_rate: rate(counts.selected, counts.scores),
                outcomes: counts.outcomes,
                positives: counts.positives,
                outcome_rate: rate(counts.positives, counts.outcomes),
            });
        }
    }
    rows
}

pub(crate) fn calibration_rows(watched: &[Seen]) -> Vec<CalibrationRow> {
    let mut rows = Vec::new();
    for ((model, version), seen) in watched {
        let Some(all) = calibration(&seen.calibration) else { continue };
        for (bin, tenth) in seen.calibration.iter().enumerate() {
            rows.push(CalibrationRow {
                model: model.clone(),
                version: version.clone(),
                score_from: bin as f64 / CALIBRATION_BINS as f64,
                score_to: (bin + 1) as f64 / CALIBRATION_BINS as f64,
                outcomes: tenth.outcomes,
                score_mean: mean(tenth.score_sum, tenth.outcomes),
                outcome_rate: mean(tenth.observed_sum, tenth.outcomes),
                brier: Some(all.brier),
                ece: Some(all.ece),
                outcomes_total: all.outcomes,
            });
        }
    }
    rows
}

/// One version whole; the active one where none is named.
pub(crate) async fn message(node: &Node, asked: &WatchRequest) -> Result<ModelWatch, Status> {
    let (version, seen) = {
        let state = node.machine().read();
        let version = match asked.version.as_str() {
            "" => state.registry.active(&asked.model).map(|active| active.version.clone()),
            named => state.model(&asked.model, named).map(|record| record.version.clone()),
        };
        let version = version.ok_or_else(|| {
            Status::not_found(format!("no model {:?} of version {:?}", asked.model, asked.version))
        })?;
        let seen = state.watched.version(&asked.model, &version).cloned();
        (version, seen.unwrap_or_default())
    };
    let gate = gate(node, &asked.model, &version).await.err();
    Ok(ModelWatch {
        model: asked.model.clone(),
        version,
        may_be_promoted: gate.is_none(),
        gate: gate.unwrap_or_default(),
        ..described(&seen)
    })
}

fn described(seen: &WatchedVersion) -> ModelWatch {
    let window = seen.window();
    let found = calibration(&seen.calibration);
    let mut drift = Vec::new();
    if let Some(reference) = &seen.reference {
        drift.push(Drift {
            feature: SCORE.to_owned(),
            scores: window.scores,
            psi: psi(&reference.score, &window.score_bins).unwrap_or_default(),
            ks: ks(&reference.score, &window.score_bins).unwrap_or_default(),
            ..Drift::default()
        });
        drift.extend(reference.features.iter().zip(&window.features).map(|(bins, counts)| Drift {
            feature: bins.name.clone(),
            scores: window.scores,
            psi: psi(bins, &counts.bins).unwrap_or_default(),
            ks: ks(bins, &counts.bins).unwrap_or_default(),
            missing_rate: rate(counts.missing, window.scores).unwrap_or_default(),
            stale_rate: rate(counts.stale, window.scores).unwrap_or_default(),
        }));
    }
    let group =
        |((column, value), counts): (&(String, String), &crate::state::watched::GroupCounts)| {
            GroupRate {
                column: column.clone(),
                value: value.clone(),
                scores: counts.scores,
                score_mean: mean(counts.score_sum, counts.scores).unwrap_or_default(),
                selected_rate: rate(counts.selected, counts.scores).unwrap_or_default(),
                outcomes: counts.outcomes,
                outcome_rate: rate(counts.positives, counts.outcomes).unwrap_or_default(),
            }
        };
    let tenths = seen.calibration.iter().enumerate().filter(|(_, tenth)| tenth.outcomes > 0);
    ModelWatch {
        scores: seen.total,
        window_scores: window.scores,
        reference: seen.reference.as_ref().map_or_else(String::new, |each| each.source.clone()),
        reference_rows: seen.reference.as_ref().map_or(0, |each| each.rows),
        drift,
        groups: seen.groups.iter().map(group).collect(),
        calibration: tenths
            .map(|(bin, tenth)| CalibrationBin {
                from: bin as f64 / CALIBRATION_BINS as f64,
                to: (bin + 1) as f64 / CALIBRATION_BINS as f64,
                outcomes: tenth.outcomes,
                score_mean: mean(tenth.score_sum, tenth.outcomes).unwrap_or_default(),
                outcome_rate: mean(tenth.observed_sum, tenth.outcomes).unwrap_or_default(),
            })
            .collect(),
        outcomes: found.map_or(0, |found| found.outcomes),
        brier: found.map_or(0.0, |found| found.brier),
        ece: found.map_or(0.0, |found| found.ece),
        ..ModelWatch::default()
    }
}
