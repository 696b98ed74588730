//! Alerts: raised once, worked on step by step, and pressed for by their deadlines.

use crate::gather::{DAY_US, reading};
use crate::local::{Cluster, Process, Shape, eventually};
use crate::people::settle;
use crate::tables::{number, rows};
use nodes::client::alerts_client;
use nodes::proto::hearth::{ActRequest, Alert, Event, ListAlertsRequest};
use nodes::state::{AlertRule, Deadlines, Rules, Severity};
use tonic::{Code, Status};

/// What the node tells, once it has applied an index.
async fn alerts_at(node: &Process, index: u64) -> Vec<Alert> {
    eventually(&format!("node {} at index {index}", node.id), async || {
        (node.status().await?.applied_index >= index).then_some(())
    })
    .await;
    let mut client = alerts_client(node.channel());
    client.list(ListAlertsRequest::default()).await.unwrap().into_inner().alerts
}

async fn act(node: &Process, id: &str, action: &str, action_id: &str) -> Result<Alert, Status> {
    let request = ActRequest {
        alert_id: id.to_owned(),
        action: action.to_owned(),
        actor: "wang".to_owned(),
        note: "by telephone".to_owned(),
        outcome: if action == "close" { "handled".to_owned() } else { String::new() },
        action_id: action_id.to_owned(),
        ..ActRequest::default()
    };
    Ok(alerts_client(node.channel()).act(request).await?.into_inner())
}

/// The same on every node at an index.
async fn alike(cluster: &Cluster, index: u64) -> Vec<Alert> {
    let first = alerts_at(&cluster.nodes[0], index).await;
    for node in &cluster.nodes[1..] {
        assert_eq!(alerts_at(node, index).await, first, "node {}", node.id);
    }
    first
}

fn gas(id: &str, device: &str) -> Event {
    reading("home", id, device, "gas", 8.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_readings_make_one_alert_that_is_worked_on_to_its_end() {
    let cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..3).await;
    let client = cluster.client();
    let old: Vec<Event> = (0..5)
        .map(|n| {
            let event = gas(&format!("old{n}"), "gas2");
            Event { event_time_us: event.event_time_us - 8 * DAY_US, ..event }
        })
        .collect();
    assert_eq!(client.append(old).await.unwrap().accepted, 5);
    for (id, alerts) in [("g1", 0), ("g2", 0), ("g2", 0), ("g3", 1), ("g3", 1)] {
        let index = client.append(vec![gas(id, "gas1")]).await.unwrap().log_index;
        assert_eq!(alike(&cluster, index).await.len(), alerts, "after {id}");
    }
    let index = cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index;
    let raised = alike(&cluster, index).await.remove(0);
    assert_eq!(raised.evidence, ["g1", "g2", "g3"]);
    assert_eq!((raised.kind.as_str(), raised.dwelling_id.as_str()), ("gas_leak", "d1"));
    let index = client.append(vec![gas("g4", "gas1")]).await.unwrap().log_index;
    let alerts = alike(&cluster, index).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0].evidence, ["g1", "g2", "g3", "g4"]);
    assert_eq!(alerts[0].history, raised.history, "a reading is no step");

    let id = raised.alert_id.as_str();
    let refused = act(&cluster.nodes[0], id, "close", "too-early").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("feedback"), "{refused}");
    let steps = ["ack", "dispatch", "arrive", "feedback", "verify", "close"];
    for (at, action) in steps.into_iter().enumerate() {
        let node = &cluster.nodes[at % 3];
        let done = act(node, id, action, action).await.unwrap();
        for again in &cluster.nodes {
            let repeated = act(again, id, action, action).await.unwrap();
            assert_eq!(repeated, done, "{action} again on node {}", again.id);
        }
    }
    let index = cluster.same_state().await;
    let closed = alike(&cluster, index).await.remove(0);
    assert_eq!((closed.work.as_str(), closed.outcome.as_str()), ("closed", "handled"));
    let path: Vec<&str> = closed.history.iter().map(|step| step.to.as_str()).collect();
    let chain = ["l1_ack", "dispatched", "on_site", "feedback", "verified", "closed"];
    assert_eq!(path, [&["new", "l1_notified"][..], &chain].concat());
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let written = "SELECT to_state FROM alert_history ORDER BY seq";
        let written: Vec<String> = rows(node, index, written).await.into_iter().flatten().collect();
        assert_eq!(written, path, "node {}", node.id);
        let old = "SELECT count(*) FROM sensor_event WHERE quality = 'backfill'";
        assert_eq!(number(node, index, old).await, 5);
        assert_eq!(number(node, index, "SELECT count(*) FROM alert").await, 1);
    }
}

/// Deadlines of so many seconds, told to the family first.
pub(crate) fn deadlines_of(seconds: u32) -> Rules {
    let deadlines =
        Deadlines { ack_s: seconds, dispatch_s: seconds, arrive_s: seconds, feedback_s: seconds };
    let rule = |kind: &str, alert: &str, count| {
        AlertRule::counting((kind, alert), 1.0, (count, 600), (Severity::Major, 1))
    };
    Rules {
        version: 2,
        critical: deadlines,
        major: deadlines,
        minor: deadlines,
        alerts: vec![rule("gas", "draught", 3), rule("pressure", "probe", 1)],
        ..Rules::bare()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_told_once_though_the_leader_died_meanwhile() {
    let shape = Shape { rules: Some(deadlines_of(2)), ..Shape::default() };
    let mut cluster = Cluster::shaped(shape).await;
    let client = cluster.client();
    // The rules of the configuration are in force when a rule that only they have raises an alert.
    let mut probes = 0;
    eventually("the rules of the configuration", async || {
        probes += 1;
        let probe = reading("home", &format!("probe{probes}"), "p", "pressure", 2.0);
        client.append(vec![probe]).await.ok()?;
        let mut alerts = alerts_client(cluster.nodes[cluster.leader().await].channel());
        let listed = alerts.list(ListAlertsRequest::default()).await.ok()?.into_inner().alerts;
        listed.iter().any(|alert| alert.kind == "probe").then_some(())
    })
    .await;
    let events = (0..3).map(|n| gas(&format!("g{n}"), "gas-1")).collect();
    let index = client.append(events).await.unwrap().log_index;
    let leader = cluster.leader().await;
    let raised = alerts_at(&cluster.nodes[leader], index).await;
    let raised = raised.into_iter().find(|alert| alert.kind == "draught").unwrap();
    assert_eq!((raised.level, raised.due_us - raised.raised_us), (1, 2_000_000));
    cluster.nodes[leader].kill();

    let heir = cluster.leader().await;
    assert_ne!(heir, leader);
    let id = raised.alert_id;
    let risen = eventually("level 3", async || {
        let alerts = alerts_at(&cluster.nodes[heir], index).await;
        alerts.into_iter().find(|alert| alert.alert_id == id && alert.level == 3)
    })
    .await;
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    // A few ticks more: nothing is told again.
    let later = cluster.nodes[heir].status().await.unwrap().applied_index + 4;
    for node in &cluster.nodes {
        node.wait_recorded(later).await;
        let sql = format!(
            "SELECT 'level ' || level, epoch_us(ts) FROM notice
             WHERE alert_id = '{id}' AND what = 'escalated' AND seq = 1 ORDER BY step"
        );
        let told = rows(node, later, &sql).await;
        let levels: Vec<&str> = told.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(levels, ["level 2", "level 3"], "node {}", node.id);
        let first: i64 = told[0][1].parse().unwrap();
        let second: i64 = told[1][1].parse().unwrap();
        assert!(first >= raised.due_us, "told before its deadline");
        assert!(second >= first + 2_000_000, "level 3 came {} us after level 2", second - first);
    }
    assert_eq!(risen.work, "l1_notified", "a deadline is no step of work");
    cluster.same_state().await;
}
