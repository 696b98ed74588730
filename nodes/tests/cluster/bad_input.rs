//! What is wrong is refused with its place and reason, and nothing else suffers.

use crate::gather::{DAY_US, reading};
use crate::local::{Cluster, Process, Shape};
use crate::models::{infer, known, score, ship};
use crate::tables::number;
use models::Package;
use nodes::client::{alerts_client, events_client, models_client};
use nodes::config::Limits;
use nodes::proto::hearth::{ActRequest, AppendRequest, AppendResponse, Event, PushRequest};
use tonic::{Code, Status};

const EVENTS_MAX: usize = 100;
const REQUEST_BYTES_MAX: usize = 4 << 20;

async fn one_node() -> Cluster {
    let limits = Limits {
        events_per_request: EVENTS_MAX,
        request_bytes: REQUEST_BYTES_MAX,
        warehouse_mib: 256,
        ..Limits::default()
    };
    Cluster::shaped(Shape { nodes: 1, limits, ..Shape::default() }).await
}

fn motion(id: &str) -> Event {
    reading("home", id, "pir", "motion", 1.0)
}

fn heavy(bytes: usize) -> Event {
    let attributes = [("note".to_owned(), "x".repeat(bytes))].into();
    Event { attributes, ..motion("heavy") }
}

async fn append(node: &Process, events: Vec<Event>) -> Result<AppendResponse, Status> {
    let request = AppendRequest { events, request_id: "r".to_owned() };
    let client = events_client(node.channel());
    Ok(client.max_encoding_message_size(64 << 20).append(request).await?.into_inner())
}

/// A refusal with one of the codes that are promised, in one line that holds the words.
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, codes: &[Code], words: &[&str]) {
    let status = outcome.unwrap_err();
    assert!(codes.contains(&status.code()), "{status:?}");
    one_line(status.message(), words);
}

fn one_line(said: &str, words: &[&str]) {
    assert!(!said.trim().is_empty() && !said.trim_end().contains('\n'), "{said:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_event_is_named_and_the_rest_is_taken() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    let events = vec![
        motion("good-1"),
        motion(""),
        Event { event_time_us: motion("").event_time_us + 40 * 365 * DAY_US, ..motion("ahead") },
        Event { event_time_us: motion("").event_time_us - 40 * 365 * DAY_US, ..motion("old") },
        Event { value: f64::NAN, ..motion("nan") },
        Event { value: f64::INFINITY, ..motion("infinite") },
        Event { kind: "moton".to_owned(), ..motion("kind") },
        heavy(1 << 20),
        Event { device_id: String::new(), ..motion("device") },
        motion("good-2"),
    ];
    let answer = append(node, events).await.unwrap();
    let positions: Vec<u32> = answer.rejected.iter().map(|each| each.position).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7, 8]);
    let words = [
        "event_id",
        "an hour ahead",
        "before 1990",
        "finite",
        "finite",
        "motion",
        "1024",
        "device_id",
    ];
    for (rejection, word) in answer.rejected.iter().zip(words) {
        one_line(&rejection.reason, &[word]);
    }
    assert_eq!((answer.accepted, answer.duplicates), (2, 0));
    assert_eq!(answer.request_id, "r");
    let stored = number(node, answer.log_index, "SELECT count(*) FROM sensor_event").await;
    assert_eq!(stored, 2);

    let nothing = append(node, Vec::new()).await.unwrap();
    assert_eq!((nothing.accepted, nothing.duplicates, nothing.rejected.len()), (0, 0, 0));
    let many = (0..=EVENTS_MAX).map(|n| motion(&format!("many-{n}"))).collect();
    let full = [Code::InvalidArgument, Code::ResourceExhausted];
    refused(append(node, many).await, &full, &["100", "101"]);
    let limit = REQUEST_BYTES_MAX.to_string();
    refused(append(node, vec![heavy(REQUEST_BYTES_MAX)]).await, &full, &[&limit]);
    let request = AppendRequest { events: vec![heavy(REQUEST_BYTES_MAX)], ..Default::default() };
    let mut client = events_client(node.channel()).max_encoding_message_size(64 << 20);
    let streamed = match client.stream(tokio_stream::iter([request])).await {
        Ok(answers) => answers.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    };
    refused(streamed, &full, &[&limit]);
    let large = ActRequest { note: "x".repeat(5 << 20), ..ActRequest::default() };
    let mut alerts = alerts_client(node.channel()).max_encoding_message_size(64 << 20);
    refused(alerts.act(large).await, &full, &["limit"]);

    let answer = append(node, vec![motion("good-3")]).await.unwrap();
    let stored = number(node, answer.log_index, "SELECT count(*) FROM sensor_event").await;
    assert_eq!((answer.accepted, stored), (1, 3));
    assert_eq!(node.metric("hearth_events").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_question_is_answered_in_one_line() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    ship(&cluster, "fall_risk").await;
    refused(score(node, "fal_risk", "r1", false).await, &[Code::NotFound], &["fal_risk"]);
    refused(score(node, "fall_risk", "nobody", false).await, &[Code::NotFound], &["nobody"]);
    let unknown = infer(node, "fal_risk", [1, 3], vec![0.0; 3]).await;
    refused(unknown, &[Code::NotFound], &["fal_risk"]);
    let narrow = infer(node, "fall_risk", [1, 3], vec![0.0; 3]).await;
    refused(narrow, &[Code::InvalidArgument], &["features", "16", "[1, 3]"]);
    let short = infer(node, "fall_risk", [2, 16], vec![0.0; 16]).await;
    refused(short, &[Code::InvalidArgument], &["features", "32", "16"]);

    for (sql, word) in [
        ("SELEC count(*) FROM sensor_event", "SELEC"),
        ("SELECT evnt_id FROM sensor_event", "evnt_id"),
        ("SELECT * FROM sensor_evnt", "sensor_evnt"),
    ] {
        let address = format!("http://{}", node.member.flight);
        let mut client = flight::Client::connect(&address).await.unwrap();
        let error = client.query(sql).await.unwrap_err();
        let refusal = matches!(error, flight::Error::Invalid(_) | flight::Error::Query(_));
        assert!(refusal, "{error:?}");
        one_line(&error.to_string(), &[word]);
        let output = cluster.run(&["sql", sql]).await;
        assert_eq!(output.status.code(), Some(3));
        one_line(&String::from_utf8_lossy(&output.stderr), &[word]);
    }

    let junk = Package::from_bare_onnx("junk", "1", b"this is no model".to_vec());
    let packages = [junk.map(|package| package.to_bytes()).ok(), Some(b"no package".to_vec())];
    for (bytes, word) in packages.into_iter().zip(["ONNX", "package"]) {
        let Some(bytes) = bytes else { continue };
        let part = PushRequest { author: "li".to_owned(), chunk: bytes };
        let pushed = models_client(node.channel()).push(tokio_stream::iter([part])).await;
        refused(pushed, &[Code::InvalidArgument], &[word]);
    }
    let file = cluster.nodes[0].home.join("junk.onnx");
    std::fs::write(&file, "this is no model").unwrap();
    let output = cluster.run(&["model", "push", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(3));
    one_line(&String::from_utf8_lossy(&output.stderr), &["ONNX"]);
    assert!(known(node, "junk").await.is_none());

    let act = |id: &str, action: &str| ActRequest {
        alert_id: id.to_owned(),
        action: action.to_owned(),
        actor: "wang".to_owned(),
        ..ActRequest::default()
    };
    append(node, vec![reading("home", "s1", "sos-1", "sos", 1.0)]).await.unwrap();
    let mut alerts = alerts_client(node.channel());
    let listed = alerts.list(nodes::proto::hearth::ListAlertsRequest::default()).await.unwrap();
    let id = listed.into_inner().alerts[0].alert_id.clone();
    let refusals = [
        (act(&id, "arrive"), Code::FailedPrecondition, "dispatch"),
        (act(&id, "explode"), Code::InvalidArgument, "explode"),
        (act("a0", "ack"), Code::NotFound, "a0"),
    ];
    for (request, code, word) in refusals {
        refused(alerts.act(request).await, &[code], &[word]);
    }
}
