//! Versions that change while everybody is asking: nobody is refused, nobody gets a version that the
//! log does not say, and memory stays as it is.

use crate::lifecycle::{model, put_version, version_of};
use crate::local::{Cluster, Process, eventually};
use crate::models::{known, score, ship};
use crate::people::settle;
use crate::tables::rows;
use nodes::client::models_client;
use nodes::proto::hearth::{ChangeModelRequest, ListModelsRequest};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What one client has seen: the version at each index that it was answered at.
type Seen = Vec<(u64, String)>;

async fn change(node: &Process, action: &str, version: &str) {
    let request = ChangeModelRequest {
        name: "fall_risk".to_owned(),
        version: version.to_owned(),
        action: action.to_owned(),
        actor: "wang".to_owned(),
        ..ChangeModelRequest::default()
    };
    let changed = models_client(node.channel()).change(request).await;
    changed.unwrap_or_else(|status| panic!("{action} {version}: {status:?}"));
}

async fn ready_version(cluster: &Cluster, version: &str) {
    for node in &cluster.nodes {
        eventually(&format!("version {version} is ready on node {}", node.id), async || {
            let request = ListModelsRequest {
                name: "fall_risk".to_owned(),
                version: version.to_owned(),
                detail: false,
            };
            let told = models_client(node.channel()).list(request).await.ok()?.into_inner();
            told.models.first().filter(|model| model.ready).map(drop)
        })
        .await;
    }
}

/// Asks one node without a pause until it is told to stop. A refusal ends the test.
async fn ask(cluster: Arc<Cluster>, at: usize, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::new();
    while !stop.load(Ordering::Relaxed) {
        let entity = format!("r{}", seen.len() % 6);
        let answer = score(&cluster.nodes[at], "fall_risk", &entity, false).await;
        let answer = answer.unwrap_or_else(|status| panic!("node {}: {status:?}", at + 1));
        seen.push((answer.log_index, answer.version));
    }
    seen
}

/// Activates two versions in turn; every so often a new one takes the place of the older.
async fn activate_under_load(count: usize, new_every: usize) {
    let cluster = Arc::new(Cluster::start().await);
    settle(&cluster.nodes[0], 0..6).await;
    ship(&cluster, "fall_risk").await;
    let dir = tempfile::tempdir().unwrap();
    let mut pair = ["1".to_owned(), "2".to_owned()];
    let package = version_of("fall_risk", "2", dir.path(), |text| text);
    put_version(&cluster, &package, "fall_risk", "2").await;
    ready_version(&cluster, "2").await;

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..cluster.nodes.len())
        .map(|at| tokio::spawn(ask(Arc::clone(&cluster), at, Arc::clone(&stop))))
        .collect();
    let memory = || cluster.nodes.iter().map(Process::resident_kib).sum::<u64>() / 1024;
    let (mut early_mib, mut next, begun) = (0, 3, Instant::now());
    for turn in 0..count {
        let at = turn % cluster.nodes.len();
        let version = pair[(turn + 1) % 2].clone();
        change(&cluster.nodes[at], "activate", &version).await;
        if turn % new_every == new_every - 1 {
            // The one that is not active makes room for a new one.
            let old = std::mem::replace(&mut pair[turn % 2], next.to_string());
            let package = version_of("fall_risk", &next.to_string(), dir.path(), |text| text);
            put_version(&cluster, &package, "fall_risk", &next.to_string()).await;
            ready_version(&cluster, &next.to_string()).await;
            change(&cluster.nodes[at], "retire", &old).await;
            next += 1;
        }
        if turn == count / 4 {
            early_mib = memory();
        }
        if clients.iter().any(tokio::task::JoinHandle::is_finished) {
            break;
        }
    }
    let (took, late_mib) = (begun.elapsed(), memory());
    stop.store(true, Ordering::Relaxed);
    let mut seen = Seen::new();
    for client in clients {
        seen.extend(client.await.unwrap());
    }
    println!(
        "{count} activations and {} new versions in {:.1} s, {} answers, none refused; resident memory of three nodes {early_mib} MiB after a quarter, {late_mib} MiB at the end",
        next - 3,
        took.as_secs_f64(),
        seen.len(),
    );
    as_the_log_says(&cluster, &seen).await;
    assert!(late_mib < early_mib + early_mib / 5 + 30, "{early_mib} MiB became {late_mib} MiB");
    assert!(known(&cluster.nodes[0], "fall_risk").await.is_some());
    assert!(model(&cluster, &["show", "fall_risk"]).await.contains("activate"));
}

/// Every answer is of the version that was active at the index it was given at.
async fn as_the_log_says(cluster: &Cluster, seen: &Seen) {
    let node = &cluster.nodes[0];
    let index = node.status().await.unwrap().applied_index;
    let sql = "SELECT log_index, version FROM model_history WHERE model = 'fall_risk' AND to_state = 'active'";
    let active: BTreeMap<u64, String> = rows(node, index, sql)
        .await
        .into_iter()
        .map(|row| (row[0].parse().unwrap(), row[1].clone()))
        .collect();
    for (index, version) in seen {
        let expected = active.range(..=*index).next_back().map(|(_, version)| version);
        assert_eq!(Some(version), expected, "at index {index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_activations_refuse_nobody() {
    activate_under_load(200, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "some minutes: cargo test -p nodes --test cluster -- --ignored --nocapture a_thousand"]
async fn a_thousand_activations_refuse_nobody() {
    activate_under_load(1_000, 25).await;
}
