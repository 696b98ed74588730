//! A backup under load, and a new cluster from it.

use crate::alerts::deadlines_of;
use crate::gather::{motions, reading};
use crate::local::{Cluster, PATIENCE, Process, Shape, eventually, hearth, lay_out};
use crate::models::{infer, known, ready_everywhere, score, ship};
use crate::people::settle;
use crate::restart::same_tables;
use crate::tables::{event_counts, fingerprint, rows};
use nodes::client::{alerts_client, scores_client};
use nodes::proto::hearth::{ActRequest, Alert, Event, GetDecisionRequest, ListAlertsRequest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tables whose rows say which entry wrote them.
const HISTORY: [&str; 4] = ["sensor_event", "alert_history", "risk_score", "decision"];
const CURRENT: [&str; 6] =
    ["alert", "model_version", "resident", "household", "dwelling", "device"];
/// Longer than a backup of a few rows takes, so that the deadline passes in the new cluster.
const DEADLINE_S: u32 = 15;
const EVENTS_PER_REQUEST: u64 = 20;

fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (output.status.code().unwrap_or(-1), text)
}

/// Runs what must succeed; the one row that it prints.
async fn done(arguments: &[&str], addresses: &str) -> Value {
    let output = hearth(&[arguments, &["--format", "json"]].concat(), addresses).await;
    assert!(output.status.success(), "{arguments:?}: {:?}", said(&output));
    assert!(output.stderr.is_empty(), "no progress in a pipe: {:?}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    rows[0].clone()
}

/// Runs what must be refused, in one line that has these words in it.
async fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let (found, text) = said(&hearth(arguments, "127.0.0.1:1").await);
    assert_eq!(found, code, "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sends events until it is told to stop; what was acknowledged, with its index.
async fn load(cluster: &Cluster, stop: Arc<AtomicBool>) -> BTreeMap<String, u64> {
    let client = cluster.client();
    let mut told = BTreeMap::new();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let events = motions("load", sent..sent + EVENTS_PER_REQUEST);
        let ids: Vec<String> = events.iter().map(|event| event.event_id.clone()).collect();
        let answer = client.append(events).await.unwrap();
        told.extend(ids.into_iter().map(|id| (id, answer.log_index)));
        sent += EVENTS_PER_REQUEST;
    }
    told
}

async fn alerts(node: &Process) -> Vec<Alert> {
    let mut client = alerts_client(node.channel());
    client.list(ListAlertsRequest::default()).await.unwrap().into_inner().alerts
}

fn gas(device: &str, id: &str) -> Vec<Event> {
    (0..3).map(|n| reading("home", &format!("{id}-{n}"), device, "gas", 9.0)).collect()
}

/// What the old cluster holds, to be held against the new one.
struct Old {
    index: u64,
    addresses: String,
    told: BTreeMap<String, u64>,
    acknowledged: Alert,
    open: Alert,
    decision: String,
    score: Vec<u32>,
    history: BTreeMap<&'static str, Vec<String>>,
}

async fn rules_in_force(cluster: &Cluster) {
    let client = cluster.client();
    let mut probes = 0;
    eventually("the rules of the configuration", async || {
        probes += 1;
        let probe = reading("home", &format!("probe{probes}"), "p", "pressure", 2.0);
        client.append(vec![probe]).await.ok()?;
        let leader = &cluster.nodes[cluster.leader().await];
        alerts(leader).await.iter().any(|alert| alert.kind == "probe").then_some(())
    })
    .await;
}

/// Fills a cluster, takes a backup in the middle of writing, and remembers what has to be in it.
async fn back_up(cluster: &mut Cluster, out: &Path) -> Old {
    settle(&cluster.nodes[0], 0..6).await;
    ship(cluster, "fall_risk").await;
    ship(cluster, "subsidy_triage").await;
    rules_in_force(cluster).await;
    let client = cluster.client();
    client.append(gas("gas1", "a")).await.unwrap();
    let leader = cluster.leader().await;
    let of = |alerts: Vec<Alert>, dwelling: &str| {
        let is_it = |alert: &Alert| alert.kind == "draught" && alert.dwelling_id == dwelling;
        let found = alerts.into_iter().find(is_it);
        found.unwrap_or_else(|| panic!("no alert in {dwelling}"))
    };
    let first = of(alerts(&cluster.nodes[leader]).await, "d1");
    let ack = ActRequest {
        alert_id: first.alert_id,
        action: "ack".to_owned(),
        actor: "wang".to_owned(),
        action_id: "ack-1".to_owned(),
        ..ActRequest::default()
    };
    alerts_client(cluster.nodes[leader].channel()).act(ack).await.unwrap();
    let scored = score(&cluster.nodes[leader], "fall_risk", "r3", true).await.unwrap();
    let width = known(&cluster.nodes[leader], "fall_risk").await.unwrap().features.len();
    let matrix = vec![1.5; width];
    let shape = [1, width as i64];
    let bits = infer(&cluster.nodes[leader], "fall_risk", shape, matrix).await.unwrap();
    client.append(gas("gas2", "b")).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let taking = async {
        // Something is under way when it begins.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = cluster.nodes[leader].status().await.unwrap().applied_index;
        let taken = done(&["cluster", "backup", "--out", text(out)], &cluster.addresses()).await;
        stop.store(true, Ordering::Relaxed);
        (before, taken)
    };
    let (told, (before, taken)) = tokio::join!(load(cluster, Arc::clone(&stop)), taking);
    let index = taken["index"].as_u64().unwrap();
    let after = told.values().max().copied().unwrap();
    println!("backup at {index}; the load went on from {before} to {after}: {taken}");
    assert!(index > before, "everything that was acknowledged before it is in it");
    assert!(after > index, "writes went on meanwhile");
    assert_eq!(taken["agreed"], true, "{taken}");

    let node = &cluster.nodes[cluster.leader().await];
    let alerts = alerts(node).await;
    let mut history = BTreeMap::new();
    for table in HISTORY {
        history.insert(table, fingerprint(node, after, table, index).await);
    }
    let addresses = cluster.addresses();
    let (acknowledged, open) = (of(alerts.clone(), "d1"), of(alerts, "d2"));
    let decision = scored.decision_id;
    Old { index, addresses, told, acknowledged, open, decision, score: bits, history }
}

/// Lays out a new cluster, restores each node, and starts it in the place of the old one.
async fn rise_again(cluster: &mut Cluster, dir: &Path, backup: &Path) {
    // The old ones end here.
    cluster.nodes = lay_out(dir, &Shape::default());
    let verified = done(&["cluster", "verify", text(backup)], "127.0.0.1:1").await;
    for node in &cluster.nodes {
        let config = text(&node.config).to_owned();
        let restore = ["cluster", "restore", text(backup), "--config", &config];
        let restored = done(&restore, "127.0.0.1:1").await;
        assert_eq!(restored, verified);
        refused(&restore, 3, &["not empty", "new folder"]).await;
        let held = done(&["cluster", "verify", "--config", &config], "127.0.0.1:1").await;
        for (in_node, in_backup) in [
            ("state_sha256", "state_sha256"),
            ("snapshot", "index"),
            ("recorded", "index"),
            ("last", "index"),
        ] {
            assert_eq!(held[in_node], verified[in_backup], "{held} {verified}");
        }
        assert_eq!(held["files_missing"], 0);
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    for node in &mut cluster.nodes {
        node.wait_up().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_becomes_a_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backup");
    let mut rules = deadlines_of(DEADLINE_S);
    // Who has taken a case on keeps it for as long as this takes.
    rules.major.dispatch_s = 3_600;
    let shape = Shape { rules: Some(rules), ..Shape::default() };
    let mut cluster = Cluster::shaped(shape).await;
    let old = back_up(&mut cluster, &out).await;
    rise_again(&mut cluster, &dir.path().join("new"), &out).await;
    ready_everywhere(&cluster, "fall_risk", "active").await;
    ready_everywhere(&cluster, "subsidy_triage", "active").await;
    let index = cluster.same_state().await;
    assert!(index >= old.index);

    let wanted = |id: &String| old.told[id] <= old.index;
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let counts = event_counts(node, index, "load").await;
        assert!(counts.values().all(|times| *times == 1), "node {}", node.id);
        assert!(old.told.keys().filter(|id| wanted(id)).all(|id| counts.contains_key(id)));
        assert!(counts.keys().all(wanted), "nothing after the backup's entry");
        for (table, rows) in &old.history {
            let found = fingerprint(node, index, table, old.index).await;
            assert_eq!(found, *rows, "{table} of node {}", node.id);
        }
        let width = known(node, "fall_risk").await.unwrap().features.len();
        let bits = infer(node, "fall_risk", [1, width as i64], vec![1.5; width]).await.unwrap();
        assert_eq!(bits, old.score, "node {}", node.id);
        let request = GetDecisionRequest { decision_id: old.decision.clone() };
        let again = scores_client(node.channel()).replay_decision(request).await.unwrap();
        let again = again.into_inner();
        assert!(again.identical, "node {}: {}", node.id, again.difference);
    }
    same_tables(&cluster, &CURRENT).await;

    // The alert that somebody has taken on, and the one that nobody has: its deadline goes on.
    let leader = cluster.leader().await;
    let found = alerts(&cluster.nodes[leader]).await;
    let find = |id: &str| found.iter().find(|alert| alert.alert_id == id).unwrap();
    let acknowledged = find(&old.acknowledged.alert_id);
    assert_eq!(acknowledged.work, "l1_ack");
    assert_eq!(acknowledged.history[..2], old.acknowledged.history[..2]);
    let id = old.open.alert_id.as_str();
    assert_eq!(find(id).evidence, old.open.evidence);
    let begun = std::time::Instant::now();
    while alerts(&cluster.nodes[leader]).await.iter().all(|a| a.alert_id != id || a.level < 3) {
        assert!(begun.elapsed() < PATIENCE * 2, "level 3 of {id}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let later = cluster.nodes[leader].status().await.unwrap().applied_index + 3;
    for node in &cluster.nodes {
        node.wait_recorded(later).await;
        let sql = format!(
            "SELECT 'level ' || level FROM notice
             WHERE alert_id = '{id}' AND what = 'escalated' AND seq = 1 ORDER BY step"
        );
        let told: Vec<_> = rows(node, later, &sql).await.into_iter().flatten().collect();
        assert_eq!(told, ["level 2", "level 3"], "node {}", node.id);
    }

    // What was in it is a duplicate, what was not and what is new is taken.
    let client = cluster.client();
    let known: u64 = old.told.keys().filter(|id| wanted(id)).count() as u64;
    let sent = old.told.len() as u64;
    for from in (0..sent).step_by(EVENTS_PER_REQUEST as usize) {
        let answer = client.append(motions("load", from..from + EVENTS_PER_REQUEST)).await.unwrap();
        let duplicates = known.saturating_sub(from).min(EVENTS_PER_REQUEST);
        assert_eq!(u64::from(answer.duplicates), duplicates, "from {from} of {known}");
        assert_eq!(u64::from(answer.accepted), EVENTS_PER_REQUEST - duplicates);
    }
    let index = client.append(gas("gas4", "c")).await.unwrap().log_index;
    let node = &cluster.nodes[leader];
    node.wait_recorded(index).await;
    let raised = alerts(node).await;
    let is_new = |alert: &&Alert| alert.kind == "draught" && alert.dwelling_id == "d4";
    let new = raised.iter().find(is_new).unwrap();
    assert!(found.iter().all(|alert| alert.alert_id != new.alert_id), "an id was used again");
    let counts = event_counts(node, index, "load").await;
    assert!(counts.len() as u64 == sent && counts.values().all(|times| *times == 1));

    // And it lasts; a member of the old cluster is a stranger here.
    assert!(cluster.nodes.iter().all(|node| !old.addresses.contains(&node.member.grpc)));
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    for node in &mut cluster.nodes {
        node.wait_up().await;
    }
    cluster.same_state().await;
    same_tables(&cluster, &HISTORY).await;
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_not_whole_is_refused_with_the_name_of_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backup");
    let backup = text(&out);
    let shape = Shape { nodes: 1, ..Shape::default() };
    let mut cluster = Cluster::shaped(shape.clone()).await;
    settle(&cluster.nodes[0], 0..3).await;
    ship(&cluster, "fall_risk").await;
    cluster.client().append(motions("m", 0..200)).await.unwrap();
    let snapshot = cluster.run(&["cluster", "snapshot", "--format", "json"]).await;
    assert!(snapshot.status.success(), "{:?}", said(&snapshot));
    let status: Value = serde_json::from_slice(&snapshot.stdout).unwrap();
    assert!(status["snapshot_index"].as_u64() > Some(0), "{status}");
    done(&["cluster", "backup", "--out", backup], &cluster.addresses()).await;
    let taken = hearth(&["cluster", "backup", "--out", backup], &cluster.addresses()).await;
    assert_eq!(said(&taken).0, 3, "{:?}", said(&taken));
    let own = text(&cluster.nodes[0].config).to_owned();
    refused(&["cluster", "verify", "--config", &own], 3, &["stop the node"]).await;
    cluster.nodes[0].kill();
    done(&["cluster", "verify", "--config", &own], "127.0.0.1:1").await;

    let new = lay_out(&dir.path().join("new"), &shape).remove(0);
    // As `hearth dev` lays it out: the configuration and the node's words lie in the data folder.
    let data = new.home.join("data");
    let file = data.join("node.toml");
    std::fs::create_dir(&data).unwrap();
    std::fs::rename(&new.config, &file).unwrap();
    std::fs::write(data.join("node.log"), b"words\n").unwrap();
    let config = text(&file).to_owned();
    let restore = ["cluster", "restore", backup, "--config", &config];
    let verify = ["cluster", "verify", backup];
    refused(&["cluster", "restore", backup, "--config", &own], 3, &["node.cluster_id"]).await;
    let files = files_in(&out);
    assert!(files.len() >= 4, "{files:?}");
    for path in &files {
        let whole = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 4;
        std::fs::write(path, flipped).unwrap();
        refused(&verify, 5, &[name, "damaged"]).await;
        refused(&restore, 5, &[name, "damaged"]).await;
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 2);
        std::fs::write(path, &whole[..whole.len() - 1]).unwrap();
        refused(&verify, 5, &[name, "damaged"]).await;
        std::fs::write(path, whole).unwrap();
    }
    let manifest = out.join("backup.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, whole.replace("\"format\": 1", "\"format\": 2")).unwrap();
    refused(&restore, 3, &["newer program"]).await;
    std::fs::remove_file(&manifest).unwrap();
    refused(&verify, 3, &["no backup.json", "no whole backup"]).await;
    refused(&restore, 3, &["no whole backup"]).await;
    std::fs::write(&manifest, whole).unwrap();
    let neither = hearth(&["cluster", "verify"], "127.0.0.1:1").await;
    assert_eq!(said(&neither).0, 2, "{:?}", said(&neither));
    done(&restore, "127.0.0.1:1").await;

    // A restore that was cut off does not start, and is repeated.
    std::fs::write(data.join("restoring"), b"").unwrap();
    refused(&["serve", "--config", &config], 3, &["restore", "cut off"]).await;
    done(&restore, "127.0.0.1:1").await;
    done(&["cluster", "verify", "--config", &config], "127.0.0.1:1").await;
}
