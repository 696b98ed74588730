//! Events over HTTP: NDJSON in the field names of the protocol, and CloudEvents 1.0 in structured,
//! batched and binary mode.

use crate::http::refuse;
use crate::node::Node;
use crate::posted::{Posted, too_large};
use crate::proto::hearth::{AppendRequest, AppendResponse, Rejection};
use crate::service::{Door, append_from};
use crate::state::DeadLetter;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use features::Event;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tonic::Status;

/// Bad lines of one body that become dead letters; the sender is told of all of them.
const LETTERS_PER_BODY: usize = 16;

/// What of a CloudEvent counts here: its keys, its time and the event in `data`.
#[derive(Debug, Deserialize)]
struct CloudEvent {
    id: String,
    source: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    data: Event,
    /// The same, where the sender takes it for bytes.
    #[serde(default)]
    data_base64: Option<String>,
}

/// How a sender wants bad lines to be handled.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BadLines {
    /// Nothing of the body is taken.
    #[default]
    Refuse,
    /// The others are taken, and the bad ones named in the answer.
    Skip,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    bad_lines: BadLines,
}

/// `POST /v1/events`: NDJSON, or one or several CloudEvents, by the content type.
pub(crate) async fn events(
    State(node): State<Arc<Node>>,
    Query(asked): Query<Asked>,
    posted: Posted,
) -> Response {
    let parsed = match parse(&posted.headers, &posted.body) {
        Ok(parsed) => parsed,
        Err(said) => return refuse(&Status::invalid_argument(said)),
    };
    let mut events = Vec::with_capacity(parsed.len());
    let mut bad = Vec::new();
    let mut positions = Vec::with_capacity(parsed.len());
    for (position, outcome) in parsed.into_iter().enumerate() {
        match outcome {
            Ok(event) => {
                positions.push(position as u32);
                events.push(event.into());
            }
            Err((reason, text)) => {
                if bad.len() < LETTERS_PER_BODY {
                    node.doors().letters.drop_in(DeadLetter::new(
                        "http",
                        "",
                        &reason,
                        text.as_bytes(),
                    ));
                }
                bad.push(Rejection { position: position as u32, reason });
            }
        }
    }
    if let Some(first) = bad.first()
        && (matches!(asked.bad_lines, BadLines::Refuse) || events.is_empty())
    {
        return refuse(&Status::invalid_argument(&first.reason));
    }
    let most = node.config().limits.events_per_request;
    if events.len() > most {
        let said = format!("a request may hold {most} events, this one has {}", events.len());
        return too_large(&format!("{said}: send it in parts"));
    }
    let request = AppendRequest { events, request_id: String::new() };
    match append_from(&node, request, Door::Http).await {
        Ok(answer) => axum::Json(accepted(answer, &positions, bad)).into_response(),
        Err(status) => refuse(&status),
    }
}

fn accepted(answer: AppendResponse, positions: &[u32], bad: Vec<Rejection>) -> Value {
    let rejected = answer.rejected.into_iter().map(|each| Rejection {
        position: positions.get(each.position as usize).copied().unwrap_or(each.position),
        ..each
    });
    let mut rejected: Vec<Rejection> = rejected.chain(bad).collect();
    rejected.sort_by_key(|each| each.position);
    json!({
        "log_index": answer.log_index, "accepted": answer.accepted, "duplicates": answer.duplicates,
        "rejected": rejected.iter()
            .map(|each| json!({ "position": each.position, "reason": each.reason }))
            .collect::<Vec<_>>(),
    })
}

/// One event, or why a text is none, with the text.
type Parsed = Result<Event, (String, String)>;

/// The events of a request body, each for itself; the error is one line about all of it.
fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Parsed>, String> {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with("application/cloudevents-batch+json") {
        let all: Vec<&RawValue> = from_json(body, "a list of CloudEvents")?;
        let one = |each: &&RawValue| {
            cloud_event(each.get()).map_err(|reason| (reason, each.get().to_owned()))
        };
        return Ok(all.iter().map(one).collect());
    }
    if content_type.starts_with("application/cloudevents+json") {
        return Ok(vec![Ok(from_cloud(from_json(body, "a CloudEvent")?)?)]);
    }
    if headers.keys().any(|name| name.as_str().starts_with("ce-")) {
        let needed = |name: &str| {
            let value = header(name).ok_or_else(|| format!("a binary CloudEvent needs {name}"))?;
            unescaped(&value)
                .ok_or_else(|| format!("{name} {value:?} is not percent-encoded UTF-8"))
        };
        let (id, source) = (needed("ce-id")?, needed("ce-source")?);
        return Ok(vec![Ok(from_parts((id, source, header("ce-time")), body)?)]);
    }
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    Ok(lines(text).collect())
}

/// A header's value as the HTTP binding of CloudEvents writes it: what is not plain ASCII stands as %XX.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// One event a line; empty lines are passed over. The first bad line is the error.
pub(crate) fn ndjson(body: &[u8]) -> Result<Vec<Event>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    lines(text).map(|outcome| outcome.map_err(|(reason, _)| reason)).collect()
}

fn lines(text: &str) -> impl Iterator<Item = Parsed> {
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    filled.map(|(at, line)| {
        let named = |reason: String| (format!("line {}: {reason}", at + 1), line.to_owned());
        event(line).map_err(named)
    })
}

/// An event in the field names of the protocol.
pub(crate) fn event(text: &str) -> Result<Event, String> {
    // A list would be taken as the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err("an event is a JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A structured CloudEvent with an event as its data.
pub(crate) fn cloud_event(text: &str) -> Result<Event, String> {
    from_cloud(from_json(text.as_bytes(), "a CloudEvent")?)
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not {what}: {error}"))
}

/// A CloudEvent in binary mode as MQTT 5 has it: attributes under their own names beside the event.
pub(crate) fn binary_cloud_event(
    attribute: impl Fn(&str) -> Option<String>,
    text: &str,
) -> Result<Event, String> {
    let needed = |name: &str| {
        let value = attribute(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("a binary CloudEvent needs the user property {name}"))
    };
    from_parts((needed("id")?, needed("source")?, attribute("time")), text.as_bytes())
}

fn from_parts(
    (id, source, time): (String, String, Option<String>),
    body: &[u8],
) -> Result<Event, String> {
    let data = from_json(body, "the event in the body of a binary CloudEvent")?;
    from_cloud(CloudEvent { id, source, time, data, data_base64: None })
}

/// `id` and `source` are the key; `time`, where given, is the event time.
fn from_cloud(cloud: CloudEvent) -> Result<Event, String> {
    let mut event = match cloud.data_base64 {
        None => cloud.data,
        Some(text) => {
            let bytes = BASE64.decode(&text).map_err(|error| format!("data_base64: {error}"))?;
            serde_json::from_slice(&bytes)
                .map_err(|error| format!("data_base64 is not an event: {error}"))?
        }
    };
    if let Some(time) = cloud.time {
        let parsed = chrono::DateTime::parse_from_rfc3339(&time);
        event.event_time_us =
            parsed.map_err(|error| format!("time {time:?}: {error}"))?.timestamp_micros();
    }
    event.event_id = cloud.id;
    event.source = cloud.source;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_clouds_are_the_same_event() {
        let line = br#"{"event_id":"1","device_id":"d","kind":"gas","event_time_us":1767225600000000,"value":5,"source":"g"}"#;
        let cloud = br#"{"specversion":"1.0","type":"reading","id":"1","source":"g","time":"2026-01-01T00:00:00Z","data":{"device_id":"d","kind":"gas","value":5}}"#;
        let mut headers = HeaderMap::new();
        let plain = parse(&headers, line).unwrap();
        headers
            .insert(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8".parse().unwrap());
        assert_eq!(parse(&headers, cloud).unwrap(), plain);
        assert!(plain.iter().all(Result::is_ok));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let said = ndjson(b"{}\n\n{\"evnt_id\":1}\n").unwrap_err();
        assert!(said.starts_with("line 3: unknown field `evnt_id`"), "{said}");
        let said = ndjson(br#"["1","d","gas",1767225600000000,5,"","g"]"#).unwrap_err();
        assert!(said.starts_with("line 1: an event is"), "{said}");
    }

    #[test]
    fn a_structured_cloud_event_may_hold_its_data_as_base64() {
        let data = BASE64.encode(br#"{"device_id":"d","kind":"gas","value":5}"#);
        let event = cloud_event(&format!(r#"{{"id":"1","source":"g","data_base64":"{data}"}}"#));
        assert_eq!(event.unwrap().device_id, "d");
        let said = cloud_event(r#"{"id":"1","source":"g","data_base64":"e30"}"#).unwrap_err();
        assert!(said.starts_with("data_base64"), "{said}");
    }

    #[test]
    fn a_binary_cloud_event_names_itself_in_headers() {
        let body = br#"{"device_id":"d","kind":"gas","value":5}"#;
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", "1.0".parse().unwrap());
        headers.insert("ce-id", "e%201".parse().unwrap());
        let said = parse(&headers, body).unwrap_err();
        assert_eq!(said, "a binary CloudEvent needs ce-source");
        headers.insert("ce-source", "/street/%E6%B0%91".parse().unwrap());
        let event = parse(&headers, body).unwrap().pop().unwrap().unwrap();
        assert_eq!((event.event_id.as_str(), event.source.as_str()), ("e 1", "/street/民"));
        for wrong in ["%E6", "%zz", "a%2"] {
            headers.insert("ce-source", wrong.parse().unwrap());
            assert!(parse(&headers, body).unwrap_err().contains("percent-encoded"), "{wrong}");
        }
    }

    #[test]
    fn one_bad_cloud_event_of_a_batch_leaves_the_others() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/cloudevents-batch+json".parse().unwrap());
        let parsed = parse(&headers, br#"[{"id":"1","source":"g"},{"source":"g"}]"#).unwrap();
        assert!(parsed[0].is_ok());
        let (reason, text) = parsed[1].as_ref().unwrap_err();
        assert!(reason.contains("id") && text.contains("source"), "{reason}");
    }
}
