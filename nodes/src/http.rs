//! The HTTP port: health, metrics, the cockpit, and events as NDJSON or CloudEvents.

use crate::gate::out_of_service;
use crate::node::Node;
use crate::proto::hearth::ActRequest;
use crate::service::{act, alert_message, cluster_status, diverged_members, feast, silences_of};
use crate::{feeds, intake, json as messages, mqtt, outbox, portrait, rendering, watch};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

const COCKPIT: &str = include_str!("../web/cockpit.html");
/// Alerts in one answer to the cockpit.
const ALERTS_MAX: usize = 500;
/// Applied entries that a ready node may be behind what it knows is committed.
const LAG_MAX: u64 = 1_000;

type Shared = State<Arc<Node>>;

/// The returned task ends when it is aborted.
pub(crate) fn start(node: &Arc<Node>, listener: TcpListener) -> JoinHandle<()> {
    let app = Router::new()
        .route("/v1/summary", get(summary))
        .route("/v1/alerts", get(alerts))
        .route("/v1/alerts/act", post(act_on_alert))
        .route("/v1/silences", get(silences))
        .route("/v1/portrait/{resident}", get(one_portrait))
        .route("/v1/reports", get(|| async { axum::Json(rendering::listed()) }))
        .route("/v1/reports/{id}", get(report))
        .route("/v1/events", post(intake::events))
        .route("/v1/feeds", get(feeds::list))
        .route("/v1/feeds/{feed}", post(feeds::post_rows))
        // Where Feast's clients look for it.
        .route("/get-online-features", post(online_features))
        .route_layer(from_fn_with_state(Arc::clone(node), only_in_service))
        // What a node out of service answers, too.
        .route("/", get(|| async { Html(COCKPIT) }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/v1/status",
            get(|State(node): Shared| async move {
                axum::Json(messages::status(&cluster_status(&node)))
            }),
        )
        .layer(DefaultBodyLimit::max(node.config().limits.request_bytes))
        .with_state(Arc::clone(node));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the HTTP port has ended");
        }
    })
}

/// What a sender that is turned away for now should wait, in seconds.
pub(crate) const RETRY_AFTER_S: &str = "1";

/// A gRPC outcome as an HTTP one: the same words.
pub(crate) fn refuse(status: &Status) -> Response {
    let code = match status.code() {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = (code, axum::Json(json!({ "error": status.message() }))).into_response();
    if matches!(
        code,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    ) {
        let wait = header::HeaderValue::from_static(RETRY_AFTER_S);
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

async fn only_in_service(State(node): Shared, request: Request, next: Next) -> Response {
    match node.quarantined() {
        Some(why) => refuse(&Status::unavailable(out_of_service(why))),
        None => next.run(request).await,
    }
}

async fn ready(State(node): Shared) -> Response {
    match node.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

impl Node {
    /// Why this node should get no work, if it should not.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if let Some(why) = self.quarantined() {
            return Err(out_of_service(why));
        }
        let status = self.raft().status();
        if status.leader_id.is_none() {
            return Err("no leader is known".to_owned());
        }
        let behind = status.committed.saturating_sub(status.applied);
        if behind > LAG_MAX {
            return Err(format!("{behind} committed entries are not applied yet"));
        }
        self.serving().runtime().map_err(|error| error.to_string())?;
        let state = self.machine().read();
        let active =
            state.registry.names().filter_map(|name| Some((name, state.registry.active(name)?)));
        for (name, version) in active {
            if !self.serving().is_loaded(name, &version.version) {
                let why = self.serving().failure(name, &version.version).unwrap_or_default();
                return Err(format!("model {name} {} is not in memory: {why}", version.version));
            }
        }
        Ok(())
    }
}

async fn metrics(State(node): Shared) -> Response {
    let status = node.raft().status();
    let recorded = node.machine().recorded_index();
    let (events, open, closed, silences, residents, memory, checked, diverged, ledger) = {
        let state = node.machine().read();
        let residents = state.rows.count("resident") as u64;
        (
            state.events_total,
            state.alerts.open_count(),
            state.alerts.closed_count(),
            state.casework.silences.len(),
            residents,
            state.features.memory_bytes(),
            state.checks.agreed().map_or(0, |(index, _)| index),
            diverged_members(&status, state.checks.diverged()).count(),
            state.ledger.counts(),
        )
    };
    let (waiting, under_way) = (node.gate().waiting(), node.gate().in_flight());
    let gauges = [
        ("hearth_has_leader", "1 where a leader is known.", u64::from(status.leader_id.is_some())),
        ("hearth_is_leader", "1 on the leader.", u64::from(node.raft().is_leader())),
        ("hearth_term", "Raft term.", status.term),
        ("hearth_last_log_index", "Last entry in the log.", status.last_log_index),
        ("hearth_committed_index", "Last entry known to be on a quorum.", status.committed),
        ("hearth_applied_index", "Last entry applied here.", status.applied),
        ("hearth_snapshot_index", "Last entry in a snapshot.", status.snapshot_index),
        ("hearth_purged_index", "Last entry that the log no longer has.", status.purged),
        ("hearth_recorded_index", "Last entry in the warehouse.", recorded),
        ("hearth_checked_index", "Last entry at which the replicas were found equal.", checked),
        (
            "hearth_diverged_nodes",
            "Members whose state differs from what most voters hold.",
            diverged as u64,
        ),
        (
            "hearth_quarantined",
            "1 where this node is out of service.",
            u64::from(node.quarantined().is_some()),
        ),
        (
            "hearth_clock_off_microseconds",
            "How far this node's clock is from the group's time, where that is more than 2 s.",
            status.clock_off_us.unsigned_abs(),
        ),
        ("hearth_ledger_entries", "Decisions, reviews and outcomes in the ledger.", ledger.0),
        ("hearth_ledger_reviews", "Reviews in the ledger.", ledger.1),
        ("hearth_ledger_outcomes", "Outcomes in the ledger.", ledger.2),
        ("hearth_events", "Events counted, each once.", events),
        ("hearth_alerts_open", "Alerts that are not closed.", open as u64),
        ("hearth_alerts_closed", "Closed alerts in memory.", closed as u64),
        ("hearth_silences", "Silences of places that are on.", silences as u64),
        ("hearth_residents", "Residents in the register.", residents),
        ("hearth_feature_bytes", "Memory of the resident features, about.", memory as u64),
        ("hearth_inferences_waiting", "Inferences that wait for their turn.", waiting as u64),
        ("hearth_inferences_in_flight", "Inferences that wait or are under way.", under_way as u64),
    ];
    let mut text = node.metrics().expose(&node.config().node.group, &gauges);
    text.push_str(&node.machine().freshness().expose(&node.config().node.group));
    text.push_str(&crate::serving::expose(&node));
    text.push_str(&watch::expose(&node));
    text.push_str(&outbox::expose(&node));
    text.push_str(&feeds::expose(&node));
    text.push_str(&mqtt::expose(&node));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn summary(State(node): Shared) -> axum::Json<Value> {
    let state = node.machine().read();
    let models: Vec<Value> = state
        .registry
        .versions()
        .map(|(name, known)| json!({ "name": name, "version": known.version, "state": known.status.name() }))
        .collect();
    axum::Json(json!({
        "residents": state.rows.count("resident"),
        "dwellings": state.rows.count("dwelling"),
        "devices": state.rows.count("device"),
        "events_total": state.events_total,
        "events_per_s": state.recent.per_second(state.clock_us),
        "alerts_open": state.alerts.open_count(),
        "alerts_closed": state.alerts.closed_count(),
        "models": models,
        "events_recent": state.recent.newest().map(|event| json!({
            "event_id": event.event_id, "device_id": event.device_id, "kind": event.kind,
            "value": event.value, "ts": event.event_time_us,
        })).collect::<Vec<_>>(),
    }))
}

async fn alerts(State(node): Shared) -> axum::Json<Value> {
    let state = node.machine().read();
    let newest = state.alerts.iter().rev().take(ALERTS_MAX);
    axum::Json(newest.map(|alert| messages::alert(&alert_message(alert))).collect())
}

async fn silences(State(node): Shared) -> axum::Json<Value> {
    let listed = silences_of(&node).silences;
    axum::Json(listed.iter().take(ALERTS_MAX).map(messages::silence).collect())
}

async fn act_on_alert(State(node): Shared, body: Bytes) -> Response {
    let Ok(asked) = serde_json::from_slice::<BTreeMap<String, String>>(&body) else {
        let said = "send a JSON object of texts: alert_id, action, actor, note, outcome, action_id";
        return refuse(&Status::invalid_argument(said));
    };
    let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let number = |name: &str| field(name).parse::<u64>().unwrap_or_default();
    let request = ActRequest {
        alert_id: field("alert_id"),
        action: field("action"),
        actor: field("actor"),
        note: field("note"),
        outcome: field("outcome"),
        action_id: field("action_id"),
        actor_role: field("actor_role"),
        assignee: field("assignee"),
        reference: field("reference"),
        happened_us: number("happened_us") as i64,
        silence_s: number("silence_s") as u32,
        into: field("into"),
    };
    match act(&node, request).await {
        Ok(alert) => axum::Json(messages::alert(&alert_message(&alert))).into_response(),
        Err(status) => refuse(&status),
    }
}

async fn one_portrait(State(node): Shared, Path(resident): Path<String>) -> Response {
    let portrait = portrait::of(&node.machine().read(), &resident);
    match portrait {
        Some(portrait) => axum::Json(messages::portrait(&portrait)).into_response(),
        None => refuse(&Status::not_found(format!("no resident {resident:?}"))),
    }
}

async fn report(
    State(node): Shared,
    Path(id): Path<String>,
    Query(mut asked): Query<BTreeMap<String, String>>,
) -> Response {
    let format = asked.remove("format").unwrap_or_else(|| "html".to_owned());
    match rendering::from_warehouse(&node, &id, &asked, &format).await {
        Ok(file) => ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response(),
        Err(status) => refuse(&status),
    }
}

async fn online_features(State(node): Shared, body: Bytes) -> Response {
    match feast::get_online_features(&node, &body) {
        Ok((headers, answer)) => (AppendHeaders(headers), axum::Json(answer)).into_response(),
        Err(status) => refuse(&status),
    }
}
