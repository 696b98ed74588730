//! Versions of models as lines, and one of them with everything that is known of it.

use super::output::{Format, print_rows, time_text};
use crate::proto::hearth::{ModelChange, ModelOnNode, ModelShadow, ModelVersion};
use serde_json::{Value, json};

pub(super) const HEADINGS: [&str; 14] = [
    "model",
    "version",
    "state",
    "share",
    "format",
    "entity",
    "view",
    "author",
    "approver",
    "changed",
    "ready",
    "killed",
    "model_sha256",
    "reason",
];

pub(super) fn rows(models: &[ModelVersion]) -> Vec<Vec<Value>> {
    models.iter().map(row).collect()
}

fn row(model: &ModelVersion) -> Vec<Value> {
    let reasons = [&model.reason, &model.state_reason];
    let reasons: Vec<&str> =
        reasons.into_iter().map(String::as_str).filter(|each| !each.is_empty()).collect();
    vec![
        json!(model.name),
        json!(model.version),
        json!(model.state),
        if model.share == 0 { Value::Null } else { json!(model.share) },
        json!(model.format),
        json!(model.entity),
        json!(model.view),
        json!(model.author),
        json!(model.approver),
        time_text(model.changed_us),
        json!(model.ready),
        json!(model.killed),
        json!(crate::hex::encode(&model.model_sha256)),
        json!(reasons.join("; ")),
    ]
}

/// The versions, and below them what else is known; in JSON all of it as one list.
pub(super) fn print(models: &[ModelVersion], format: Format) {
    match format {
        Format::Csv => print_rows(format, &HEADINGS, &rows(models)),
        Format::Json => {
            println!("{}", Value::Array(models.iter().map(whole).collect()));
        }
        Format::Table => {
            print_rows(format, &HEADINGS, &rows(models));
            models.iter().for_each(print_version);
            print_history(models);
        }
    }
}

fn whole(model: &ModelVersion) -> Value {
    let pairs = HEADINGS.iter().map(|name| (*name).to_owned()).zip(row(model));
    let mut object: serde_json::Map<String, Value> = pairs.collect();
    let list = |rows: Vec<Value>| Value::Array(rows);
    for (name, value) in [
        ("intended_use", json!(model.intended_use)),
        ("card", json!(model.card)),
        ("gates", json!(model.gates)),
        ("features", json!(model.features)),
        ("nodes", list(model.nodes.iter().map(|each| object_of(&NODE, node_row(each))).collect())),
        (
            "shadow",
            model.shadow.as_ref().map_or(Value::Null, |each| object_of(&SHADOW, shadow_row(each))),
        ),
        (
            "history",
            list(model.history.iter().map(|each| object_of(&HISTORY, history_row(each))).collect()),
        ),
    ] {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

fn object_of(names: &[&str], row: Vec<Value>) -> Value {
    Value::Object(names.iter().map(|name| (*name).to_owned()).zip(row).collect())
}

fn print_version(model: &ModelVersion) {
    println!("\n{} {}", model.name, model.version);
    for (name, text) in [
        ("intended use", &model.intended_use),
        ("gates", &model.gates),
        ("features", &model.features.join(", ")),
    ] {
        if !text.is_empty() {
            println!("  {name}: {text}");
        }
    }
    if !model.nodes.is_empty() {
        println!();
        print_rows(Format::Table, &NODE, &model.nodes.iter().map(node_row).collect::<Vec<_>>());
    }
    if let Some(shadow) = &model.shadow {
        println!();
        print_rows(Format::Table, &SHADOW, &[shadow_row(shadow)]);
    }
    if !model.card.is_empty() {
        println!("\n{}", model.card.trim_end());
    }
}

/// Once for the model: every version carries the same.
fn print_history(models: &[ModelVersion]) {
    let Some(model) = models.iter().find(|model| !model.history.is_empty()) else { return };
    println!("\nhistory of {}", model.name);
    let rows: Vec<Vec<Value>> = model.history.iter().map(history_row).collect();
    print_rows(Format::Table, &HISTORY, &rows);
}

const NODE: [&str; 8] =
    ["node", "outcome", "voter", "golden_rows", "took_ms", "row_us", "checked_by", "reason"];

fn node_row(each: &ModelOnNode) -> Vec<Value> {
    vec![
        json!(each.node),
        json!(each.outcome),
        json!(each.voter),
        json!(each.golden_rows),
        json!(each.took_ms),
        json!(each.row_ns as f64 / 1e3),
        json!(each.checked_by),
        json!(each.reason),
    ]
}

const SHADOW: [&str; 9] = [
    "against",
    "rows",
    "mean_difference",
    "max_difference",
    "band_changes",
    "errors",
    "dropped",
    "shadow_us",
    "active_us",
];

fn shadow_row(each: &ModelShadow) -> Vec<Value> {
    vec![
        json!(each.against),
        json!(each.rows),
        json!(each.mean_difference),
        json!(each.max_difference),
        json!(each.band_changes),
        json!(each.errors),
        json!(each.dropped),
        json!(each.shadow_us),
        json!(each.active_us),
    ]
}

const HISTORY: [&str; 11] = [
    "seq",
    "time",
    "version",
    "action",
    "from",
    "to",
    "share",
    "actor",
    "forced",
    "log_index",
    "reason",
];

fn history_row(each: &ModelChange) -> Vec<Value> {
    vec![
        json!(each.seq),
        time_text(each.at_us),
        json!(each.version),
        json!(each.action),
        json!(each.from),
        json!(each.to),
        json!(each.share),
        json!(each.actor),
        json!(each.forced),
        json!(each.log_index),
        json!(each.reason),
    ]
}
