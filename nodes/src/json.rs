//! Protocol messages as JSON, with the protocol's field names.

use crate::proto::hearth::{
    Alert, Decision, Event, FeatureReading, ObservedOutcome, ScoreResponse, Silence, StatusResponse,
};
use features::civil;
use features::table::Cell;
use flight::Portrait;
use serde_json::{Map, Value, json};

/// An event as [`features::Event`] reads it.
pub(crate) fn event(event: &Event) -> Value {
    json!({
        "event_id": event.event_id, "device_id": event.device_id, "kind": event.kind,
        "event_time_us": event.event_time_us, "value": event.value, "unit": event.unit,
        "source": event.source, "boot_id": event.boot_id, "seq": event.seq,
        "attributes": event.attributes.iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

pub(crate) fn alert(alert: &Alert) -> Value {
    json!({
        "alert_id": alert.alert_id, "kind": alert.kind, "severity": alert.severity,
        "dwelling_id": alert.dwelling_id, "resident_key": alert.resident_key, "region": alert.region,
        "condition": alert.condition, "work": alert.work, "level": alert.level,
        "raised_us": alert.raised_us, "due_us": alert.due_us, "closed_us": alert.closed_us,
        "evidence": alert.evidence, "model": alert.model, "version": alert.version,
        "decision_id": alert.decision_id, "outcome": alert.outcome, "log_index": alert.log_index,
        "history": alert.history.iter().map(|step| json!({
            "from": step.from, "to": step.to, "actor": step.actor, "at_us": step.at_us,
            "reason": step.reason, "log_index": step.log_index, "actor_role": step.actor_role,
            "event_us": step.event_us,
        })).collect::<Vec<_>>(),
        "turn": alert.turn, "awaited": alert.awaited, "to_act": alert.to_act,
        "possible": alert.possible, "assignee": alert.assignee, "closed_as": alert.closed_as,
        "reference": alert.reference, "missed": alert.missed, "escalations": alert.escalations,
        "reopened": alert.reopened, "event_us": alert.event_us, "opened_us": alert.opened_us,
        "silent_until_us": alert.silent_until_us, "merged_into": alert.merged_into,
        "suppressed_by": alert.suppressed_by,
        "told": alert.told.iter().map(|told| json!({
            "person": told.person, "role": told.role, "level": told.level,
            "reached_us": told.reached_us,
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn silence(silence: &Silence) -> Value {
    json!({
        "silence_id": silence.silence_id, "scope": silence.scope, "key": silence.key,
        "kinds": silence.kinds, "mode": silence.mode, "actor": silence.actor,
        "reason": silence.reason, "from_us": silence.from_us, "until_us": silence.until_us,
        "hazards_until_us": silence.hazards_until_us, "cases": silence.cases,
    })
}

pub(crate) fn status(status: &StatusResponse) -> Value {
    json!({
        "cluster_id": status.cluster_id, "node_id": status.node_id, "leader_id": status.leader_id,
        "term": status.term, "last_log_index": status.last_log_index,
        "committed_index": status.committed_index, "applied_index": status.applied_index,
        "snapshot_index": status.snapshot_index, "recorded_index": status.recorded_index,
        "scored_index": status.scored_index, "state_hash": crate::hex::encode(&status.state_hash),
        "state_hash_index": status.state_hash_index, "checked_index": status.checked_index,
        "checked_hash": crate::hex::encode(&status.checked_hash), "quarantined": status.quarantined,
        "next_node_id": status.next_node_id, "ledger_seq": status.ledger_seq,
        "ledger_head": crate::hex::encode(&status.ledger_head),
        "diverged": status.diverged.iter().map(|found| json!({
            "id": found.id, "log_index": found.log_index, "found_us": found.found_us,
        })).collect::<Vec<_>>(),
        "visible": status.visible.iter().map(|each| json!({
            "from": each.from, "events": each.events, "p50_us": each.p50_us, "p99_us": each.p99_us,
            "longest_us": each.longest_us, "within_goal": each.within_goal, "goal_us": each.goal_us,
        })).collect::<Vec<_>>(),
        "version": status.version, "group": status.group,
        "members": status.members.iter().map(|member| json!({
            "id": member.id, "role": member.role, "grpc": member.grpc, "flight": member.flight,
            "raft": member.raft, "http": member.http, "matched_index": member.matched_index,
        })).collect::<Vec<_>>(),
    })
}

pub(crate) fn score(score: &ScoreResponse) -> Value {
    json!({
        "entity": score.entity, "model": score.model, "version": score.version,
        "model_sha256": crate::hex::encode(&score.model_sha256), "score": score.score, "band": score.band,
        "contributions": score.contributions.iter().map(|each| json!({
            "feature": each.feature, "value": each.value, "contribution": each.contribution, "reason": each.reason,
            "reason_zh": each.reason_zh, "reason_en": each.reason_en,
        })).collect::<Vec<_>>(),
        "base": score.base, "link": score.link, "log_index": score.log_index,
        "known_at_us": score.known_at_us, "readings": readings(&score.readings),
        "oldest_feature_us": score.oldest_feature_us, "missing_features": score.missing_features,
        "decision_id": score.decision_id,
    })
}

fn readings(all: &[FeatureReading]) -> Vec<Value> {
    let reading = |each: &FeatureReading| {
        json!({
            "feature": each.feature, "value": each.value, "event_time_us": each.event_time_us,
            "status": each.status, "known_at_us": each.known_at_us, "log_index": each.log_index,
        })
    };
    all.iter().map(reading).collect()
}

pub(crate) fn decision(of: &Decision) -> Value {
    json!({
        "decision_id": of.decision_id, "seq": of.seq, "log_index": of.log_index,
        "score": of.score.as_ref().map(score),
        "features": readings(&of.features),
        "view": of.view, "view_fingerprint": of.view_fingerprint, "as_of_us": of.as_of_us,
        "caller": of.caller, "purpose": of.purpose, "decided_us": of.decided_us,
        "policy": of.policy, "effect": of.effect, "outcome": of.outcome,
        "needs_review": of.needs_review, "human_reviewer": of.human_reviewer,
        "package_sha256": of.package_sha256,
        "reviews": of.reviews.iter().map(|each| json!({
            "reviewer": each.reviewer, "verdict": each.verdict, "reason": each.reason,
            "reviewed_us": each.reviewed_us, "seq": each.seq, "hash": crate::hex::encode(&each.hash),
        })).collect::<Vec<_>>(),
        "outcomes": of.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        "previous_hash": crate::hex::encode(&of.previous_hash), "hash": crate::hex::encode(&of.hash),
    })
}

pub(crate) fn outcome(of: &ObservedOutcome) -> Value {
    json!({
        "decision_id": of.decision_id, "entity": of.entity, "model": of.model, "version": of.version,
        "score": of.score, "scored_us": of.scored_us, "observed": of.observed,
        "observed_us": of.observed_us, "source": of.source, "seq": of.seq,
        "hash": crate::hex::encode(&of.hash),
    })
}

pub(crate) fn portrait(portrait: &Portrait) -> Value {
    let rows = |table: &str, rows: &[Vec<Cell>]| {
        rows.iter().map(|row| object(table, row)).collect::<Vec<_>>()
    };
    json!({
        "resident": object("resident", &portrait.resident),
        "age": portrait.age,
        "region": portrait.region,
        "household": portrait.household.as_ref().map(|row| object("household", row)),
        "dwelling": portrait.dwelling.as_ref().map(|row| object("dwelling", row)),
        "tags": rows("tag", &portrait.tags),
        "devices": rows("device", &portrait.devices),
        "indicators": portrait.indicators.iter().map(|each| json!({
            "name": each.name, "value": each.value, "band": each.band, "model": each.model, "version": each.version,
            "event_time": each.event_time_us.map(crate::clock::text),
            "known_at": each.known_us.map(crate::clock::text), "status": each.status,
            "log_index": each.log_index,
        })).collect::<Vec<_>>(),
        "alerts": rows("alert", &portrait.alerts),
        "events": portrait.events.iter().map(|each| json!({
            "kind": each.kind, "ts": crate::clock::text(each.ts_us), "value": each.value,
        })).collect::<Vec<_>>(),
        "relations": rows("relation", &portrait.relations),
        "subsidies": rows("subsidy", &portrait.subsidies),
    })
}

/// A row by its table's column names; empty cells are left out.
fn object(table: &str, row: &[Cell]) -> Value {
    let columns = civil::table(table).map_or(&[][..], |table| table.columns);
    let named = columns.iter().zip(row).filter(|(_, cell)| **cell != Cell::Null);
    Value::Object(
        named
            .map(|(column, cell)| (column.name.to_owned(), self::cell(cell)))
            .collect::<Map<_, _>>(),
    )
}

pub(crate) fn cell(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::Int(value) => json!(value),
        Cell::Real(value) => json!(value),
        Cell::Text(value) => json!(value),
        Cell::Time(us) => json!(crate::clock::text(*us)),
        Cell::Date(days) => json!(crate::clock::text(i64::from(*days) * 86_400_000_000).chars().take(10).collect::<String>()),
        Cell::Texts(values) => json!(values),
        Cell::Ints(values) => json!(values),
        Cell::Reasons(reasons) => reasons
            .iter()
            .map(|(feature, value, contribution)| json!({ "feature": feature, "value": value, "contribution": contribution }))
            .collect(),
    }
}
