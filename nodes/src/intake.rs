//! Events as text: NDJSON in the field names of the protocol, and CloudEvents 1.0 in structured,
//! batched and binary mode.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use features::Event;
use serde::Deserialize;

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

/// The events of a request body; the error is one line for its sender.
pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Event>, String> {
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    if content_type.starts_with("application/cloudevents-batch+json") {
        let all: Vec<CloudEvent> = from_json(body, "a list of CloudEvents")?;
        return all.into_iter().map(from_cloud).collect();
    }
    if content_type.starts_with("application/cloudevents+json") {
        return Ok(vec![from_cloud(from_json(body, "a CloudEvent")?)?]);
    }
    if let (Some(id), Some(source)) = (header("ce-id"), header("ce-source")) {
        let data = from_json(body, "the event in the body of a binary CloudEvent")?;
        return Ok(vec![from_cloud(CloudEvent { id, source, time: header("ce-time"), data })?]);
    }
    ndjson(body)
}

/// One event a line; empty lines are passed over.
pub(crate) fn ndjson(body: &[u8]) -> Result<Vec<Event>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            // A list would be taken as the fields in their order.
            if !line.trim_start().starts_with('{') {
                return Err(format!("line {}: an event is a JSON object", at + 1));
            }
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))
        })
        .collect()
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
    }

    #[test]
    fn a_wrong_line_is_named() {
        let said = ndjson(b"{}\n\n{\"evnt_id\":1}\n").unwrap_err();
        assert!(said.starts_with("line 3: unknown field `evnt_id`"), "{said}");
        let said = ndjson(br#"["1","d","gas",1767225600000000,5,"","g"]"#).unwrap_err();
        assert!(said.starts_with("line 1: an event is"), "{said}");
    }
}
