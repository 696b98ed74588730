//! A follower that was away for longer than the log is kept.

use crate::gather::{motions, reading};
use crate::local::{Cluster, Shape, eventually};
use crate::models::ship;
use crate::people::settle;
use crate::restart::same_tables;
use crate::tables::{event_counts, number};
use nodes::client::alerts_client;
use nodes::config::Raft;
use nodes::proto::hearth::{ActRequest, ListAlertsRequest};

const TABLES: [&str; 9] = [
    "sensor_event",
    "alert",
    "alert_history",
    "risk_score",
    "model_version",
    "resident",
    "household",
    "dwelling",
    "device",
];
/// Requests at most until the log before them is gone.
const REQUESTS_MAX: u64 = 2_000;
const EVENTS_PER_REQUEST: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_the_log_gets_a_snapshot_and_the_history() {
    let raft = Raft {
        snapshot_entries: 120,
        snapshot_turn_seconds: 0,
        keep_entries: 20,
        ..Raft::default()
    };
    let mut cluster = Cluster::shaped(Shape { raft, ..Shape::default() }).await;
    settle(&cluster.nodes[0], 0..4).await;
    ship(&cluster, "fall_risk").await;
    let client = cluster.client();
    client.append(motions("before", 0..50)).await.unwrap();
    let away = cluster.follower().await;
    let last = cluster.nodes[away].status().await.unwrap().last_log_index;
    cluster.nodes[away].kill();

    let leader = cluster.leader().await;
    settle(&cluster.nodes[leader], 4..8).await;
    let gas = (0..3).map(|n| reading("home", &format!("g{n}"), "gas5", "gas", 9.0)).collect();
    client.append(gas).await.unwrap();
    client.append(vec![reading("home", "d5", "door5", "door", 1.0)]).await.unwrap();
    let mut alerts = alerts_client(cluster.nodes[leader].channel());
    let listed = alerts.list(ListAlertsRequest::default()).await.unwrap().into_inner().alerts;
    let leak = listed.iter().find(|alert| alert.kind == "gas_leak").unwrap();
    let ack = ActRequest {
        alert_id: leak.alert_id.clone(),
        action: "ack".to_owned(),
        actor: "wang".to_owned(),
        ..ActRequest::default()
    };
    alerts.act(ack).await.unwrap();
    let mut sent = 0;
    while cluster.nodes[leader].metric("hearth_purged_index").await <= last + 50 {
        assert!(sent < REQUESTS_MAX, "the log was not shortened: {last}");
        for _ in 0..40 {
            let from = sent * EVENTS_PER_REQUEST;
            let events = motions("meanwhile", from..from + EVENTS_PER_REQUEST);
            client.append(events).await.unwrap();
            sent += 1;
        }
    }
    let purged = cluster.nodes[leader].metric("hearth_purged_index").await;
    println!("node {} had index {last}; the leader's log begins after {purged}", away + 1);

    cluster.nodes[away].start();
    cluster.nodes[away].wait_up().await;
    let applied = cluster.nodes[leader].status().await.unwrap().applied_index;
    let status = cluster.nodes[away].wait_recorded(applied).await;
    assert!(status.snapshot_index >= purged, "{} < {purged}", status.snapshot_index);
    let follower = &cluster.nodes[away];
    let missed = format!(
        "SELECT count(*) FROM sensor_event WHERE log_index > {last} AND log_index <= {purged}"
    );
    let copied = number(follower, applied, &missed).await;
    assert!(copied > 0, "no history between {last} and {purged}");
    let counts = event_counts(follower, applied, "meanwhile").await;
    assert_eq!(counts.len() as u64, sent * EVENTS_PER_REQUEST);
    assert!(counts.values().all(|times| *times == 1));
    same_tables(&cluster, &TABLES).await;

    cluster.nodes[away].kill();
    cluster.nodes[away].start();
    cluster.nodes[away].wait_up().await;
    eventually("the follower is level", async || {
        let leader = cluster.nodes[leader].status().await?.applied_index;
        (cluster.nodes[away].status().await?.applied_index >= leader).then_some(())
    })
    .await;
    same_tables(&cluster, &TABLES).await;
}
