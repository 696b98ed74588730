//! On the leader: residents whose features moved, through every active model, back into the log.

use crate::node::Node;
use crate::serving::Loaded;
use crate::state::{Command, ScoreAlert, ScoreRecord, Severity};
use std::sync::Arc;
use std::time::Duration;

/// Residents scored in one round; one round is one command.
const RESIDENTS_PER_ROUND: usize = 512;
const PAUSE: Duration = Duration::from_millis(100);
/// Reasons kept with a score.
const REASONS_MAX: usize = 5;

pub(crate) async fn run(node: Arc<Node>) {
    let mut applied = node.machine().watch_applied();
    loop {
        tokio::time::sleep(PAUSE).await;
        if !node.raft().is_leader() {
            // Nothing to do until something is applied, by whoever leads.
            if applied.changed().await.is_err() {
                return;
            }
            continue;
        }
        let round = {
            let node = Arc::clone(&node);
            tokio::task::spawn_blocking(move || score_round(&node)).await.unwrap_or_default()
        };
        let Some(round) = round else { continue };
        if let Err(error) = node.propose(&round).await {
            tracing::warn!(%error, "scores were not recorded; these residents are scored again");
        }
    }
}

/// Scores of everybody who is due, by every active model; nothing where nobody or no model is.
fn score_round(node: &Node) -> Option<Command> {
    let now_us = node.raft().now_us();
    let (residents, models, read_index) = {
        let state = node.machine().read();
        let residents = state.due_residents(now_us, RESIDENTS_PER_ROUND);
        if residents.is_empty() {
            return None;
        }
        (residents, node.serving().active_for(&state, "resident"), state.applied)
    };
    if models.is_empty() {
        return None;
    }
    let pairs =
        models.iter().flat_map(|model| residents.iter().map(move |resident| (model, resident)));
    let scores =
        pairs.filter_map(|(model, resident)| score(node, model, resident, now_us)).collect();
    Some(Command::RecordScores { residents, read_index, scores })
}

fn score(node: &Node, model: &Arc<Loaded>, resident: &str, now_us: i64) -> Option<ScoreRecord> {
    let row = node.serving().read_row(&node.machine().read(), model, resident).ok()?;
    let feature_hash = row.hash();
    let scored = match node.serving().score_row(model, row, model.explains_exactly()) {
        Ok(scored) => scored,
        Err(error) => {
            tracing::warn!(model = model.name(), %error, "a resident could not be scored");
            return None;
        }
    };
    let wanted = model.manifest().alert.as_ref().filter(|alert| scored.score >= alert.min_score);
    let mut reasons = scored.contributions.clone();
    reasons.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    reasons.truncate(REASONS_MAX);
    Some(ScoreRecord {
        resident_key: resident.to_owned(),
        model: model.name().to_owned(),
        version: model.version().to_owned(),
        model_sha256: crate::hex::encode(&model.sha256()),
        score: scored.score,
        band: scored.band.clone(),
        reasons,
        feature_hash,
        read_index: scored.log_index,
        scored_us: now_us,
        alert: wanted.map(|alert| ScoreAlert {
            kind: alert.kind.clone(),
            severity: Severity::parse(&alert.severity).unwrap_or(Severity::Minor),
        }),
    })
}
