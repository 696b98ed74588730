//! Rule sets through the command line: tried on recorded events, pushed, in force everywhere. And timers
//! of devices, through the death of a leader.

use crate::gather::reading;
use crate::local::{Cluster, Shape, eventually};
use crate::people::settle;
use features::civil;
use features::table::Cell;
use nodes::client::alerts_client;
use nodes::proto::hearth::{Alert, Event, ListAlertsRequest};
use nodes::state::{AlertRule, DeviceClass, Rules, Severity};
use std::process::Output;

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn alerts(cluster: &Cluster, node: usize) -> Vec<Alert> {
    let mut client = alerts_client(cluster.nodes[node].channel());
    client.list(ListAlertsRequest::default()).await.unwrap().into_inner().alerts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_is_tried_compared_and_then_pushed() {
    let cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..2).await;
    let client = cluster.client();
    // Two homes: one over the limit that is in force, one only over the new one.
    let gas = |id: String, device: &str, value| reading("home", &id, device, "gas", value);
    let mut events: Vec<Event> = (0..3).map(|n| gas(format!("a{n}"), "gas0", 8.0)).collect();
    events.extend((0..3).map(|n| gas(format!("b{n}"), "gas1", 4.0)));
    let index = client.append(events).await.unwrap().log_index;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    let file = file.to_str().unwrap();
    let shown = said(&cluster.run(&["rules", "show"]).await);
    assert_eq!(Rules::parse(&shown), Ok(Rules::default()));
    let mut wanted = Rules { version: 2, ..Rules::default() };
    wanted.alerts[0].threshold = 4.0;
    std::fs::write(file, toml::to_string(&wanted).unwrap()).unwrap();

    let tried =
        ["rules", "try", file, "--from", "2020-01-01", "--warm-up-h", "0", "--format", "json"];
    let before = cluster.same_state().await;
    let listed: serde_json::Value =
        serde_json::from_str(&said(&cluster.run(&tried).await)).unwrap();
    let rows = listed.as_array().unwrap();
    assert!(before > 0);
    let counted: Vec<&str> = rows
        .iter()
        .filter(|row| row["change"] == "count" && row["kind"] == "gas_leak")
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(counted, ["1 in force, 2 new"], "{listed}");
    let added: Vec<_> = rows.iter().filter(|row| row["change"] == "added").collect();
    assert_eq!(added.len(), 1, "{listed}");
    assert_eq!((&added[0]["place"], &added[0]["evidence"]), (&"d1".into(), &"b0 b1 b2".into()));
    // Nothing of it has reached the cluster.
    assert_eq!(alerts(&cluster, 0).await.len(), 1);
    assert!(said(&cluster.run(&["rules", "history", "--format", "json"]).await).trim() == "[]");

    let push = ["rules", "push", file, "--actor", "wang", "--note", "older detectors"];
    assert!(said(&cluster.run(&push).await).starts_with("version 2 is in force"));
    let again = cluster.run(&push).await;
    assert_eq!(again.status.code(), Some(3));
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(why.contains("version 2 are in force") && why.trim().lines().count() == 1, "{why}");
    client.append(vec![gas("c".to_owned(), "gas1", 4.0)]).await.unwrap();
    let index = cluster.same_state().await;
    for node in 0..3 {
        let of_second: Vec<Alert> =
            alerts(&cluster, node).await.into_iter().filter(|it| it.dwelling_id == "d1").collect();
        assert_eq!(of_second.len(), 0, "readings from before were too low for the set of then");
    }
    let events = (0..2).map(|n| gas(format!("d{n}"), "gas1", 4.0)).collect();
    client.append(events).await.unwrap();
    assert!(cluster.same_state().await > index);
    for node in 0..3 {
        let raised = alerts(&cluster, node).await;
        let of_second = raised.iter().find(|alert| alert.dwelling_id == "d1").unwrap();
        assert_eq!((of_second.kind.as_str(), of_second.level), ("gas_leak", 3));
        assert_eq!((of_second.model.as_str(), of_second.version.as_str()), ("rules", "2"));
    }
    let history = said(&cluster.run(&["rules", "history"]).await);
    assert!(history.contains("older detectors") && history.contains("wang"), "{history}");
    std::fs::write(file, "version = 3").unwrap();
    let wrong = cluster.run(&["rules", "push", file]).await;
    assert_eq!(wrong.status.code(), Some(3));
}

async fn offline(cluster: &Cluster, node: usize) -> Vec<Alert> {
    let all = alerts(cluster, node).await;
    all.into_iter().filter(|alert| alert.kind == "device_offline").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_device_is_told_once_though_the_leader_died_meanwhile() {
    let class = DeviceClass {
        class: "door".to_owned(),
        heartbeat_s: 1,
        missed: 6,
        battery_low: 0.0,
        battery_critical: 0.0,
        low_days: 0,
        life_years: 0.0,
        offline: None,
    };
    let probe = AlertRule::counting(("pressure", "probe"), 1.0, (1, 60), (Severity::Minor, 1));
    let rules = Rules { version: 2, devices: vec![class], alerts: vec![probe], ..Rules::bare() };
    let mut cluster = Cluster::shaped(Shape { rules: Some(rules), ..Shape::default() }).await;
    settle(&cluster.nodes[0], 0..3).await;
    let client = cluster.client();
    let mut probes = 0;
    eventually("the rules of the configuration", async || {
        probes += 1;
        let probe = reading("home", &format!("probe{probes}"), "p", "pressure", 2.0);
        client.append(vec![probe]).await.ok()?;
        (!alerts(&cluster, cluster.leader().await).await.is_empty()).then_some(())
    })
    .await;
    let table = civil::table("device").unwrap();
    let mut rows = Vec::new();
    for n in 0..3 {
        let mut row = vec![Cell::Null; table.columns.len()];
        for (column, cell) in [
            ("device_id", Cell::text(format!("door{n}"))),
            ("dwelling_id", Cell::text(format!("d{n}"))),
            ("kind", Cell::text("door")),
            ("src_dept", Cell::text("civil affairs")),
            ("as_of", Cell::Time(nodes::clock::now_us())),
        ] {
            row[table.position(column).unwrap()] = cell;
        }
        rows.push(row);
    }
    let address = format!("http://{}", cluster.nodes[0].member.flight);
    let mut flight = flight::Client::connect(&address).await.unwrap();
    flight.ingest_rows("device", &rows).await.unwrap();
    let sent_us = nodes::clock::now_us();
    let beats: Vec<Event> = (0..3)
        .map(|n| Event {
            event_time_us: sent_us,
            ..reading("home", &format!("beat{n}"), &format!("door{n}"), "heartbeat", 1.0)
        })
        .collect();
    client.append(beats).await.unwrap();
    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    let heir = cluster.leader().await;
    let told = eventually("three missing devices", async || {
        let told = offline(&cluster, heir).await;
        (told.len() == 3).then_some(told)
    })
    .await;
    for alert in &told {
        let late_us = alert.raised_us - (sent_us + 6_000_000);
        println!("told {late_us} us after its time");
        assert!(late_us >= 0, "told before its time");
        assert_eq!(alert.evidence.len(), 1);
    }
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    cluster.same_state().await;
    for node in 0..3 {
        let again = offline(&cluster, node).await;
        let times = |all: &[Alert]| {
            all.iter().map(|alert| (alert.raised_us, alert.evidence.clone())).collect::<Vec<_>>()
        };
        assert_eq!(times(&again), times(&told), "node {node}");
    }
}
