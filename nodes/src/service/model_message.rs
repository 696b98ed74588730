//! A version as callers see it.

use crate::node::Node;
use crate::proto::hearth::{ModelChange, ModelOnNode, ModelShadow, ModelVersion};
use crate::state::State;
use models::{CARD, Change, Compared, Killed, Manifest, Verdict, Version};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Line,
    /// With card, nodes and history.
    Whole,
}

pub(super) fn describe(
    node: &Node,
    name: &str,
    version: &str,
    detail: Detail,
) -> Option<ModelVersion> {
    let serving = node.serving();
    let ready = serving.is_loaded(name, version);
    let manifest = || {
        let text = serving.document(name, version, "manifest.toml")?;
        Manifest::parse(&text).ok()
    };
    // Files are read while nobody waits for the state.
    let (card, intended_use) = match detail {
        Detail::Line => (None, None),
        Detail::Whole => (
            serving.document(name, version, CARD),
            manifest().map(|manifest| manifest.intended_use),
        ),
    };
    let state = node.machine().read();
    let record = state.model(name, version)?;
    let known = state.registry.version(name, version).ok()?;
    let mut message = ModelVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        state: known.status.name().to_owned(),
        format: record.format.clone(),
        entity: record.entity.clone(),
        view: record.view.clone(),
        model_sha256: crate::hex::decode32(&record.digests.model).unwrap_or_default().to_vec(),
        package_sha256: record.blob.to_vec(),
        author: known.author.clone(),
        approver: known.approver.clone(),
        registered_us: known.pushed_us,
        changed_us: known.changed_us,
        features: record.features.clone(),
        ready,
        log_index: state.applied,
        share: u32::from(known.share),
        killed: state.registry.killed(name).map(killed).unwrap_or_default(),
        state_reason: known.reason.clone(),
        gates: known.gates.and(&node.config().models.gates).to_text(),
        intended_use: intended_use.unwrap_or_default(),
        card: card.unwrap_or_default(),
        shadow: (!known.compared.is_empty()).then(|| shadow(&known.compared)),
        ..ModelVersion::default()
    };
    if !ready && known.status.is_live() {
        let failure = serving.failure(name, version);
        message.reason = failure.unwrap_or_else(|| "on its way to this node".to_owned());
    }
    if detail == Detail::Whole {
        message.nodes = nodes(known);
        message.history = history(&state, name);
    }
    Some(message)
}

fn killed(killed: &Killed) -> String {
    match killed.reason.as_str() {
        "" => format!("by {}", killed.actor),
        reason => format!("by {}: {reason}", killed.actor),
    }
}

fn shadow(compared: &Compared) -> ModelShadow {
    let (shadow_us, active_us) = compared.row_us();
    ModelShadow {
        against: compared.against.clone(),
        rows: compared.rows,
        mean_difference: compared.mean_difference(),
        max_difference: compared.max_difference(),
        band_changes: compared.band_changes,
        errors: compared.errors,
        dropped: compared.dropped,
        shadow_us,
        active_us,
    }
}

/// Every node that has spoken, and every voter that has not.
fn nodes(known: &Version) -> Vec<ModelOnNode> {
    let spoken = known.verdicts.iter().map(|(node, verdict)| on_node(known, *node, verdict));
    let silent = known.voters.iter().filter(|node| !known.verdicts.contains_key(node));
    let silent = silent.map(|node| ModelOnNode {
        node: *node,
        outcome: "not ready".to_owned(),
        reason: "has not answered yet".to_owned(),
        voter: true,
        ..ModelOnNode::default()
    });
    let mut all: Vec<ModelOnNode> = spoken.chain(silent).collect();
    all.sort_by_key(|each| each.node);
    all
}

fn on_node(known: &Version, node: u64, verdict: &Verdict) -> ModelOnNode {
    ModelOnNode {
        node,
        outcome: verdict.outcome.name().to_owned(),
        reason: verdict.said.clone(),
        checked_by: verdict.checked_by.clone(),
        golden_rows: verdict.golden_rows,
        took_ms: verdict.took_ms,
        row_ns: verdict.row_ns,
        at_us: verdict.at_us,
        voter: known.voters.contains(&node),
    }
}

fn history(state: &State, name: &str) -> Vec<ModelChange> {
    let message = |change: &Change| ModelChange {
        seq: change.seq,
        version: change.version.clone(),
        action: change.action.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        actor: change.actor.clone(),
        at_us: change.at_us,
        reason: change.reason.clone(),
        share: u32::from(change.share),
        forced: change.forced,
        log_index: change.log_index,
    };
    state.registry.changes(name, 0).map(message).collect()
}
