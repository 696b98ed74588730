//! Who works on a home silences it: by command line, in the cockpit, in the tables.

use crate::gather::reading;
use crate::local::{Cluster, Shape};
use crate::people::{relate, settle};
use crate::tables::rows;
use nodes::client::alerts_client;
use nodes::proto::hearth::{Alert, FamilyFeedRequest, ListAlertsRequest};
use std::process::Output;
use std::time::Duration;

fn said(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn only_alert(cluster: &Cluster) -> Alert {
    let mut client = alerts_client(cluster.nodes[0].channel());
    let listed = client.list(ListAlertsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.alerts.len(), 1);
    listed.alerts[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_is_silenced_looked_at_and_heard_again() {
    let cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    let node = &cluster.nodes[0];
    settle(node, 0..2).await;
    relate(node, "r1", "daughter", "child", true).await;
    let request = FamilyFeedRequest { relative_key: "daughter".to_owned() };
    let feed = alerts_client(node.channel()).family_feed(request).await;
    let mut feed = feed.unwrap().into_inner();
    let silence = [
        "alert",
        "silence",
        "dwelling",
        "d1",
        "--minutes",
        "30",
        "--why",
        "new detector",
        "--actor",
        "fitter",
        "--request-id",
        "q1",
        "--format",
        "json",
    ];
    let begun = said(&cluster.run(&silence).await);
    let id = begun[0]["silence_id"].as_str().unwrap().to_owned();
    assert_eq!((&begun[0]["mode"], &begun[0]["cases"]), (&"maintenance".into(), &0.into()));
    assert_eq!(said(&cluster.run(&silence).await), begun, "a repeat changes nothing");

    let gas = reading("home", "g1", "gas1", "gas", 25.0);
    cluster.client().append(vec![gas]).await.unwrap();
    let alert = only_alert(&cluster).await;
    assert_eq!((alert.kind.as_str(), alert.suppressed_by.as_str()), ("gas_leak", id.as_str()));
    assert_eq!((alert.due_us, alert.told.len()), (0, 0));
    let nothing = tokio::time::timeout(Duration::from_millis(500), feed.message()).await;
    assert!(nothing.is_err(), "relatives are not told either: {nothing:?}");
    let (status, cockpit) = node.get("/v1/silences").await;
    assert_eq!(status, 200);
    let cockpit: serde_json::Value = serde_json::from_str(&cockpit).unwrap();
    assert_eq!((&cockpit[0]["actor"], &cockpit[0]["cases"]), (&"fitter".into(), &1.into()));

    let end = ["alert", "unsilence", &id, "--actor", "fitter", "--why", "done"];
    assert!(cluster.run(&end).await.status.success());
    assert_eq!(cluster.run(&end).await.status.code(), Some(3), "it is over");
    let alert = only_alert(&cluster).await;
    assert_eq!((alert.suppressed_by.as_str(), alert.work.as_str()), ("", "l1_notified"));
    assert!(!alert.told.is_empty() && alert.due_us > 0);
    assert_eq!(feed.message().await.unwrap().unwrap().kind, "gas_leak");
    let list = ["alert", "silences", "--format", "json"];
    assert_eq!(said(&cluster.run(&list).await), serde_json::json!([]));
    let index = cluster.same_state().await;
    node.wait_recorded(index).await;
    let sql = "SELECT what, actor, reason, cases::VARCHAR FROM silence ORDER BY seq";
    assert_eq!(
        rows(node, index, sql).await,
        [["begun", "fitter", "new detector", "0"], ["lifted", "fitter", "done", "1"]]
    );
    for wrong in [
        ["alert", "silence", "dwelling", "nowhere", "--minutes", "30", "--why", "x"],
        ["alert", "silence", "dwelling", "d1", "--minutes", "0", "--why", "x"],
    ] {
        let refused = cluster.run(&wrong).await;
        assert!(!refused.status.success());
        assert_eq!(String::from_utf8_lossy(&refused.stderr).trim().lines().count(), 1);
    }
}
