//! Events over HTTP: NDJSON in the field names of the protocol, and CloudEvents 1.0 in structured,
//! batched and binary mode; plain or gzip.

use crate::http::{RETRY_AFTER_S, refuse};
use crate::node::Node;
use crate::proto::hearth::{AppendRequest, AppendResponse, Rejection};
use crate::service::{Door, append_from};
use crate::state::DeadLetter;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use features::Event;
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// Bad lines of one body that become dead letters; the sender is told of all of them.
const LETTERS_PER_BODY: usize = 16;
/// How long a sender may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long a body is listened to whose sender is turned away.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(5);
/// So many times the limit is read of a body that is too large.
const THROWN_AWAY: usize = 4;

/// What of a CloudEvent counts here: its keys, its time and the event in `data`.
#[derive(Debug, Deserialize)]
struct CloudEvent {
    id: String,
    source: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    data: Event,
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
    headers: HeaderMap,
    body: Body,
) -> Response {
    // Before the body is read: what waits for a place stays with its sender.
    let Ok(_place) = node.bodies().try_acquire() else { return busy(&node, body).await };
    let body = match whole(&node, &headers, body).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let parsed = match parse(&headers, &body) {
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
                    node.letters().drop_in(DeadLetter::new("http", "", &reason, text.as_bytes()));
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

/// The whole body, unpacked; an answer where there is none.
pub(crate) async fn whole(node: &Node, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    let most = node.config().limits.request_bytes;
    let over = || too_large(&format!("a body may have {most} bytes, unpacked: send it in parts"));
    let body = match tokio::time::timeout(BODY_WITHIN, read(body, most)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Err(over()),
        Ok(Err(error)) => return Err(refuse(&Status::invalid_argument(error.to_string()))),
        Err(_) => {
            let said = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
            let said = axum::Json(json!({ "error": said }));
            return Err((StatusCode::REQUEST_TIMEOUT, said).into_response());
        }
    };
    let encoding = headers.get(CONTENT_ENCODING).map_or("", |name| name.to_str().unwrap_or("?"));
    match encoding {
        "" | "identity" => Ok(body),
        "gzip" => {
            let mut plain = Vec::new();
            // One byte over the limit tells a larger body from one that fits.
            let mut unpacked = MultiGzDecoder::new(&*body).take(most as u64 + 1);
            match unpacked.read_to_end(&mut plain) {
                Ok(_) if plain.len() > most => Err(over()),
                Ok(_) => Ok(plain.into()),
                Err(error) => {
                    Err(refuse(&Status::invalid_argument(format!("the body is not gzip: {error}"))))
                }
            }
        }
        other => {
            let said = format!("content-encoding {other:?}: send the body plain or as gzip");
            let said = axum::Json(json!({ "error": said }));
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, said).into_response())
        }
    }
}

/// A body of at most so many bytes; nothing where it is larger. What is too large is read for a while
/// and thrown away: a sender that is cut off while it writes does not hear why.
async fn read(body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut parts = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut size = 0;
    while let Some(part) = parts.next().await {
        let part = part?;
        size += part.len();
        if size <= most {
            whole.extend_from_slice(&part);
        } else if size > most * THROWN_AWAY {
            break;
        }
    }
    Ok((size <= most).then(|| whole.freeze()))
}

fn too_large(said: &str) -> Response {
    (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(json!({ "error": said }))).into_response()
}

/// As many bodies as may be are in memory: the sender keeps this one.
pub(crate) async fn busy(node: &Node, body: Body) -> Response {
    let most = node.config().limits.request_bytes;
    drop(tokio::time::timeout(TURNED_AWAY_WITHIN, throw_away(body, most)).await);
    let said = "too many requests are being read: send it again in a second";
    let said = axum::Json(json!({ "error": said }));
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_S)], said).into_response()
}

async fn throw_away(body: Body, most: usize) {
    let mut parts = body.into_data_stream();
    let mut size = 0;
    while let Some(Ok(part)) = parts.next().await {
        size += part.len();
        if size > most {
            return;
        }
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
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
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
    if let (Some(id), Some(source)) = (header("ce-id"), header("ce-source")) {
        let data = from_json(body, "the event in the body of a binary CloudEvent")?;
        let cloud = CloudEvent { id, source, time: header("ce-time"), data };
        return Ok(vec![Ok(from_cloud(cloud)?)]);
    }
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    Ok(lines(text).collect())
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

/// `id` and `source` are the key; `time`, where given, is the event time.
fn from_cloud(cloud: CloudEvent) -> Result<Event, String> {
    let mut event = cloud.data;
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
    fn one_bad_cloud_event_of_a_batch_leaves_the_others() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/cloudevents-batch+json".parse().unwrap());
        let parsed = parse(&headers, br#"[{"id":"1","source":"g"},{"source":"g"}]"#).unwrap();
        assert!(parsed[0].is_ok());
        let (reason, text) = parsed[1].as_ref().unwrap_err();
        assert!(reason.contains("id") && text.contains("source"), "{reason}");
    }
}
