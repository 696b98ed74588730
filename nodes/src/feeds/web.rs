//! Feeds over HTTP: rows as NDJSON, and how far each feed has come.

use super::door::{Answer, take_lines};
use super::table::feed_rows;
use crate::http::refuse;
use crate::node::Node;
use crate::posted::{Posted, too_large};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use tonic::Status;

/// `POST /v1/feeds/{feed}`: one row a line.
pub(crate) async fn post_rows(
    State(node): State<Arc<Node>>,
    Path(feed): Path<String>,
    posted: Posted,
) -> Response {
    let Ok(text) = std::str::from_utf8(&posted.body) else {
        return refuse(&Status::invalid_argument("the body is not UTF-8"));
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let most = node.config().limits.events_per_request;
    if lines.len() > most {
        let said = format!("a request may hold {most} rows, this one has {}", lines.len());
        return too_large(&format!("{said}: send it in parts"));
    }
    match take_lines(&node, &feed, &lines).await {
        Ok(answer) => axum::Json(message(&answer)).into_response(),
        Err(status) => refuse(&status),
    }
}

fn message(answer: &Answer) -> Value {
    json!({
        "log_index": answer.log_index, "applied": answer.fed.applied,
        "superseded": answer.fed.superseded, "duplicates": answer.fed.duplicates,
        "late": answer.fed.late, "withdrawn": answer.fed.withdrawn,
        "rejected": answer.rejected.iter()
            .map(|each| json!({ "position": each.position, "reason": each.reason }))
            .collect::<Vec<_>>(),
    })
}

/// `GET /v1/feeds`.
pub(crate) async fn list(State(node): State<Arc<Node>>) -> axum::Json<Value> {
    let time = |us: Option<i64>| us.map_or(Value::Null, |us| json!(crate::clock::text(us)));
    let rows = feed_rows(&node);
    axum::Json(rows.iter().map(|feed| json!({
        "feed": feed.feed, "department": feed.department, "table": feed.table,
        "version": feed.version, "rows": feed.rows, "applied": feed.applied,
        "superseded": feed.superseded, "duplicates": feed.duplicates, "late": feed.late,
        "rejected": feed.rejected, "withdrawn": feed.withdrawn, "missing": feed.missing,
        "last_event_time": time(feed.last_event_us), "watermark": time(feed.watermark_us),
        "received": time(feed.received_us), "lag_s": feed.lag_s, "stale": feed.stale,
    })).collect())
}
