//! `POST /get-online-features`: the same in JSON, as Feast's Python server has it.

use super::answer::Answer;
use super::asked::{Asked, Keys, Which, numbers};
use super::{KNOWN_AT_HEADER, LOG_INDEX_HEADER, read};
use crate::clock;
use crate::node::Node;
use crate::proto::feast::serving::FieldStatus;
use crate::proto::feast::types::{Value, value::Val};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tonic::Status;

/// A body; what Feast's clients send beside it is left alone.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    feature_service: Option<String>,
    #[serde(default)]
    features: Option<Vec<String>>,
    entities: BTreeMap<String, Vec<Json>>,
    #[serde(default)]
    full_feature_names: bool,
    #[serde(default)]
    include_feature_view_version_metadata: bool,
    /// Fills empty values with the view's defaults.
    #[serde(default)]
    hearth_defaults: bool,
    /// Values that the views' expressions take from the call.
    #[serde(default)]
    request_context: BTreeMap<String, Vec<Json>>,
}

/// Log index and known-at time.
type Headers = [(&'static str, String); 2];

/// The answer's headers and its body.
pub(crate) fn get_online_features(node: &Node, body: &[u8]) -> Result<(Headers, Json), Status> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        Status::invalid_argument(format!(
            "send {{\"features\": [\"view:feature\"], \"entities\": {{\"resident_key\": [...]}}}}: {error}"
        ))
    })?;
    let which = match (body.feature_service, body.features) {
        (Some(name), None) => Which::Service(name),
        (None, Some(list)) => Which::Features(list),
        _ => return Err(Status::invalid_argument("name either features or a feature_service")),
    };
    let context = body.request_context.into_iter().filter_map(|(name, values)| {
        let values: Vec<Value> = values.into_iter().map(key).collect();
        Some((name, numbers(&values)?))
    });
    let keys = body
        .entities
        .into_iter()
        .map(|(name, values)| Keys { name, values: values.into_iter().map(key).collect() });
    let asked = Asked {
        which,
        keys: keys.collect(),
        full_names: body.full_feature_names,
        with_defaults: body.hearth_defaults,
        with_versions: body.include_feature_view_version_metadata,
        context: context.collect(),
    };
    let answer = read(node, asked.checked()?)?;
    let headers = [
        (LOG_INDEX_HEADER, answer.log_index.to_string()),
        (KNOWN_AT_HEADER, answer.known_us.to_string()),
    ];
    Ok((headers, to_json(&answer)))
}

fn key(json: Json) -> Value {
    let val = match json {
        Json::String(text) => Some(Val::StringVal(text)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(Val::Int64Val(whole)),
            None => number.as_f64().map(Val::DoubleVal),
        },
        Json::Bool(truth) => Some(Val::BoolVal(truth)),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    };
    Value { val }
}

fn to_json(answer: &Answer) -> Json {
    let results: Vec<Json> = answer
        .columns
        .iter()
        .map(|column| {
            let status =
                |code: &i32| FieldStatus::try_from(*code).unwrap_or_default().as_str_name();
            let time = |at: &prost_types::Timestamp| {
                clock::text(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
            };
            json!({
                "values": column.values.iter().map(value).collect::<Vec<_>>(),
                "statuses": column.statuses.iter().map(status).collect::<Vec<_>>(),
                "event_timestamps": column.event_timestamps.iter().map(time).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut metadata = json!({
        "feature_names": answer.names,
        "hearth_log_index": answer.log_index,
        "hearth_known_at_us": answer.known_us,
    });
    if !answer.views.is_empty() {
        let views = answer.views.iter();
        metadata["feature_view_metadata"] =
            views.map(|view| json!({ "name": view.name, "version": view.version })).collect();
    }
    json!({ "metadata": metadata, "results": results, "status": true })
}

/// JSON has no word for a number that is not finite; protobuf's JSON has.
fn value(value: &Value) -> Json {
    let number = |number: f64| match number {
        _ if number.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(number),
    };
    match &value.val {
        Some(Val::FloatVal(float)) => number(f64::from(*float)),
        Some(Val::DoubleVal(double)) => number(*double),
        Some(Val::StringVal(text)) => json!(text),
        Some(Val::Int32Val(whole)) => json!(whole),
        Some(Val::Int64Val(whole) | Val::UnixTimestampVal(whole)) => json!(whole),
        Some(Val::BoolVal(truth)) => json!(truth),
        Some(Val::BytesVal(bytes)) => json!(String::from_utf8_lossy(bytes)),
        Some(Val::NullVal(_)) | None => Json::Null,
    }
}
