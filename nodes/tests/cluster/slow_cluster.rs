//! A cluster that cannot commit: every door keeps its senders waiting or turns them away, and holds
//! little; once it can, everything that was sent is there once.

use crate::gather::motions;
use crate::local::{Cluster, Process, Shape, eventually, within};
use crate::mosquitto::{Mosquitto, publish_batch};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use nodes::client::events_client;
use nodes::config::{Limits, Mqtt};
use nodes::proto::hearth::AppendRequest;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const IN_FLIGHT: u64 = 50;
const MESSAGES: u64 = 400;
const LONG: Duration = Duration::from_mins(1);

fn signal(node: &Process, signal: Signal) {
    let pid = Pid::from_raw(node.process_id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Status and head of a request with a body.
async fn post(node: &Process, path: &str, body: impl AsRef<[u8]>, more: &str) -> (u16, String) {
    let body = body.as_ref();
    let mut stream = tokio::net::TcpStream::connect(&node.member.http).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Who is turned away before the body is read may find the door closed.
    let _ = stream.write_all(body).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

fn lines(from: u64, count: u64) -> String {
    let time_us = nodes::clock::now_us() - 60_000_000;
    let line = |number: u64| {
        format!(
            "{{\"event_id\":\"{number}\",\"source\":\"http\",\"device_id\":\"d\",\"kind\":\"motion\",\"event_time_us\":{time_us},\"value\":1}}\n"
        )
    };
    (from..from + count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_lied_to_while_nothing_can_be_committed() {
    let mosquitto = Mosquitto::start().await;
    let text = format!("address = '{}'\nname = 'b'\ntopics = ['t/#']", mosquitto.address);
    let broker: Mqtt = toml::from_str(&format!("{text}\nin_flight = {IN_FLIGHT}")).unwrap();
    let limits = Limits { intake_mib: 1, ..Shape::default().limits };
    let shape = Shape { mqtt: vec![broker], limits, ..Shape::default() };
    let cluster = Cluster::shaped(shape).await;
    let leader = cluster.leader().await;
    let node = &cluster.nodes[leader];
    eventually("it subscribes", async || {
        (node.metric("hearth_mqtt_connected").await == 1).then_some(())
    })
    .await;
    let others: Vec<_> = (0..3).filter(|at| *at != leader).map(|at| &cluster.nodes[at]).collect();
    for other in &others {
        signal(other, Signal::STOP);
    }
    // MQTT: the broker keeps what is not acknowledged.
    let batch: Vec<_> = (0..MESSAGES)
        .map(|number| ("t/1".to_owned(), lines(number, 1).replace("\"http\"", "\"mqtt\"")))
        .collect();
    publish_batch(&mosquitto.address, 5, &batch).await;
    // gRPC: a stream is not read any further.
    let told = Arc::new(AtomicU64::new(0));
    let sent = Arc::clone(&told);
    let requests = futures::stream::iter(0..).map(move |part: u64| {
        sent.fetch_add(1, Ordering::Relaxed);
        let events = motions("stream", part * 500..(part + 1) * 500);
        AppendRequest { events, request_id: part.to_string() }
    });
    let mut client = events_client(node.channel());
    let stream = tokio::spawn(async move { client.stream(requests).await.map(drop) });
    // HTTP: turned away, and told when to come again.
    let mut turned_away = 0;
    within(LONG, "bodies are turned away", async || {
        let (status, answer) = tokio::time::timeout(
            Duration::from_secs(15),
            post(node, "/v1/events", &lines(turned_away * 4_000, 4_000), ""),
        )
        .await
        .unwrap_or_default();
        assert_ne!(status, 200, "{answer}");
        if [429, 503, 504].contains(&status) {
            assert!(answer.contains("retry-after: 1"), "{answer}");
            turned_away += 1;
        }
        (turned_away >= 3).then_some(())
    })
    .await;
    let held = node.metric("hearth_mqtt_held_messages").await;
    assert!(held <= IN_FLIGHT, "{held}");
    assert_eq!(node.metric("hearth_mqtt_acknowledged_total").await, 0);
    assert!(node.metric("hearth_intake_bytes").await <= 1 << 20);
    let sent = told.load(Ordering::Relaxed);
    assert!(sent < 1_000, "{sent} requests of 500 events are on their way");
    stream.abort();
    for other in &others {
        signal(other, Signal::CONT);
    }
    eventually("all that the broker had", async || {
        let leader = cluster.leader().await;
        let index = cluster.nodes[leader].status().await?.applied_index;
        let sql = "SELECT count(*) FROM sensor_event WHERE source = 'mqtt'";
        let rows = crate::tables::number(&cluster.nodes[leader], index, sql).await;
        assert!(rows <= MESSAGES as i64);
        (rows == MESSAGES as i64).then_some(())
    })
    .await;
    let leader = &cluster.nodes[cluster.leader().await];
    within(LONG, "a body is taken again", async || {
        (post(leader, "/v1/events", &lines(900_000, 3), "").await.0 == 200).then_some(())
    })
    .await;
    cluster.same_state().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_bounded_plain_and_packed() {
    let limits =
        Limits { request_bytes: 100_000, events_per_request: 200, ..Shape::default().limits };
    let cluster = Cluster::shaped(Shape { nodes: 1, limits, ..Shape::default() }).await;
    let node = &cluster.nodes[0];
    let (status, answer) = post(node, "/v1/events", " ".repeat(100_001), "").await;
    assert!(status == 413 && answer.contains("100000"), "{status} {answer}");
    let (status, answer) = post(node, "/v1/events", lines(0, 201), "").await;
    assert!(status == 413 && answer.contains("200"), "{status} {answer}");
    let (status, answer) = post(node, "/v1/events", "x", "content-encoding: br\r\n").await;
    assert!(status == 415 && answer.contains("gzip"), "{status} {answer}");
    let (status, _) = post(node, "/v1/events", "x", "content-encoding: gzip\r\n").await;
    assert_eq!(status, 400);
    let pack = |plain: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    };
    let gzip = "content-encoding: gzip\r\n";
    let (status, answer) = post(node, "/v1/events", pack(lines(50, 2).as_bytes()), gzip).await;
    assert!(status == 200 && answer.contains("\"accepted\":2"), "{status} {answer}");
    // A small body that unpacks to a large one.
    let (status, answer) = post(node, "/v1/events", pack(&vec![b' '; 5_000_000]), gzip).await;
    assert!(status == 413 && answer.contains("100000"), "{status} {answer}");
    let mixed = format!("{}{{\"kind\":5}}\n{}", lines(0, 1), lines(1, 1));
    let (status, answer) = post(node, "/v1/events", &mixed, "").await;
    assert!(status == 400 && answer.contains("line 2"), "{status} {answer}");
    let (status, answer) = post(node, "/v1/events?bad_lines=skip", &mixed, "").await;
    assert!(status == 200 && answer.contains("\"accepted\":2"), "{status} {answer}");
    assert!(answer.contains("\"position\":1"), "{answer}");
    eventually("the bad line is a letter", async || {
        (node.metric("hearth_dead_letters_total").await == 2).then_some(())
    })
    .await;
}
