//! All nodes are killed at the same time, in the middle of writing, and started again.

use crate::gather::{motions, reading};
use crate::kill_leader::every_event_once;
use crate::local::{Cluster, Shape, eventually, within};
use crate::models::{ready_everywhere, score, ship};
use crate::people::settle;
use crate::stream::{Told, append, bidirectional};
use crate::tables::{fingerprint, number};
use nodes::client::alerts_client;
use nodes::proto::hearth::{ActRequest, Alert, ListAlertsRequest};
use std::sync::Arc;
use std::time::Duration;

const TABLES: [&str; 10] = [
    "sensor_event",
    "alert",
    "alert_history",
    "risk_score",
    "decision",
    "model_version",
    "resident",
    "household",
    "dwelling",
    "device",
];

async fn alerts(cluster: &Cluster, at: usize) -> Option<Vec<Alert>> {
    let mut client = alerts_client(cluster.nodes[at].channel());
    let listed = client.list(ListAlertsRequest::default()).await.ok()?.into_inner().alerts;
    // What a score raises comes at the scorer's own time.
    Some(listed.into_iter().filter(|alert| alert.kind == "gas_leak").collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_all_nodes_died_at_once() {
    let mut cluster = Cluster::start().await;
    settle(&cluster.nodes[1], 0..6).await;
    ship(&cluster, "fall_risk").await;
    let client = cluster.client();
    let mut events = vec![reading("home", "d1", "door3", "door", 1.0)];
    events.extend((0..3).map(|n| reading("home", &format!("g{n}"), "gas3", "gas", 9.0)));
    let answer = client.append(events).await.unwrap();
    assert_eq!(answer.accepted, 4);
    let id = alerts(&cluster, cluster.leader().await).await.unwrap()[0].alert_id.clone();
    let ack = ActRequest {
        alert_id: id,
        action: "ack".to_owned(),
        actor: "wang".to_owned(),
        action_id: "ack-1".to_owned(),
        ..ActRequest::default()
    };
    alerts_client(cluster.nodes[0].channel()).act(ack).await.unwrap();
    cluster.nodes[0].wait_recorded(answer.log_index).await;
    let scored = score(&cluster.nodes[0], "fall_risk", "r3", true).await.unwrap();
    let raised = alerts(&cluster, cluster.leader().await).await.unwrap();
    assert_eq!((raised.len(), raised[0].work.as_str()), (1, "l1_ack"));

    let told = Arc::new(Told::default());
    let addresses = cluster.addresses();
    let senders =
        [append(&addresses, "unary", 7, &told), bidirectional(&addresses, "stream", &told)];
    let wanted = |count: u64| {
        let told = Arc::clone(&told);
        async move || (told.sent() >= count).then_some(())
    };
    within(Duration::from_secs(30), "events before the kill", wanted(400)).await;
    let mut recorded = Vec::new();
    for node in &cluster.nodes {
        recorded.push(node.status().await.unwrap().recorded_index);
    }
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    for (node, before) in cluster.nodes.iter_mut().zip(recorded) {
        let now = node.wait_up().await.recorded_index;
        assert!(now >= before, "node {} had recorded {before}, now it has {now}", node.id);
    }
    let until = told.sent() + 200;
    within(Duration::from_secs(35), "events after the restart", wanted(until)).await;
    told.stop();
    for sender in senders {
        sender.await.unwrap();
    }

    every_event_once(&cluster, &told).await;
    for at in 0..cluster.nodes.len() {
        assert_eq!(alerts(&cluster, at).await.unwrap(), raised, "node {}", cluster.nodes[at].id);
    }
    ready_everywhere(&cluster, "fall_risk", "active").await;
    for node in &cluster.nodes {
        let again = score(node, "fall_risk", "r3", false).await.unwrap();
        assert_eq!(again.score.to_bits(), scored.score.to_bits(), "node {}", node.id);
        assert_eq!(again.model_sha256, scored.model_sha256);
    }
    same_tables(&cluster, &TABLES).await;
    let made = number(&cluster.nodes[2], 0, "SELECT count(*) FROM decision").await;
    assert_eq!(made, 1, "decisions");
}

/// Every node shows the same rows, up to an index that all of them have recorded.
pub(crate) async fn same_tables(cluster: &Cluster, tables: &[&str]) {
    let index = cluster.same_state().await;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
    }
    for table in tables {
        let by_register = features::civil::table(table).unwrap().position("log_index").is_none();
        let upto = if by_register { 0 } else { index };
        eventually(&format!("equal rows of {table}"), async || {
            let mut seen = Vec::new();
            for node in &cluster.nodes {
                seen.push(fingerprint(node, index, table, upto).await);
            }
            if *table != "query_log" {
                assert_ne!(seen[0][0], "0", "{table} is empty: nothing was compared");
            }
            assert!(seen.iter().all(|each| *each == seen[0]), "{table} differs: {seen:?}");
            Some(())
        })
        .await;
    }
}

/// A start reads the warehouse's log: a node that is killed before it has folded it, again and again,
/// would take longer to come back each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_left_unfolded_is_folded_by_the_next() {
    const LONG: u64 = 16 << 20;
    let mut cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    let log = cluster.nodes[0].home.join("data/hearth.duckdb.wal");
    let bytes = || std::fs::metadata(&log).map_or(0, |log| log.len());
    let client = cluster.client();
    let mut sent = 0;
    while bytes() < LONG {
        let requests =
            (0..8).map(|n| client.append(motions("m", sent + n * 2_000..sent + (n + 1) * 2_000)));
        futures::future::try_join_all(requests).await.unwrap();
        sent += 16_000;
        assert!(sent < 4_000_000, "{} bytes of {sent} events", bytes());
    }
    cluster.nodes[0].kill();
    assert!(bytes() >= LONG, "it was folded before the kill");
    cluster.nodes[0].start();
    cluster.nodes[0].wait_up().await;
    client.append(motions("after", 0..1)).await.unwrap();
    eventually("the log is folded", async || (bytes() < LONG).then_some(())).await;
}
