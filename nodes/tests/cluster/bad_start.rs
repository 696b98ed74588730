//! Starts that cannot succeed say why in one line and with the status that is promised; a node
//! whose native library is damaged goes on with everything else.

use crate::gather::reading;
use crate::local::{Cluster, Process, Shape, eventually, hearth, lay_out};
use crate::models::{infer, known, put, score};
use crate::people::settle;
use crate::tables::number;
use nodes::client::{alerts_client, events_client};
use nodes::proto::hearth::{AppendRequest, ListAlertsRequest};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tonic::Code;

fn alone(dir: &Path) -> Process {
    lay_out(dir, &Shape { nodes: 1, ..Shape::default() }).remove(0)
}

/// Status and the one line with which `hearth serve` ended.
async fn serve(config: &Path) -> (Option<i32>, String) {
    let output = hearth(&["serve", "--config", config.to_str().unwrap()], "").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("hearth: ")).collect();
    assert_eq!(last.len(), 1, "{said}");
    (output.status.code(), last[0].to_owned())
}

#[tokio::test]
async fn an_unknown_key_is_named_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    let text = std::fs::read_to_string(&node.config).unwrap();
    for (good, bad) in [("heartbeat_ms", "hartbeat_ms"), ("cluster_id", "clusterid")] {
        std::fs::write(&node.config, text.replace(good, bad)).unwrap();
        let (code, said) = serve(&node.config).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(bad) && said.contains(&format!("`{good}`")), "{said}");
        assert!(said.contains("node.toml"), "{said}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    for port in 0..4 {
        let mut said = String::new();
        // Another test may get one of the other ports in between; then the node names that one.
        let named = 'layouts: {
            for _ in 0..5 {
                let dir = tempfile::tempdir().unwrap();
                let node = alone(dir.path());
                let of = &node.member;
                let address = [&of.grpc, &of.flight, &of.raft, &of.http][port];
                let Ok(_taken) = TcpListener::bind(address) else { continue };
                let code;
                (code, said) = serve(&node.config).await;
                assert_eq!(code, Some(4), "{said}");
                if said.contains(address) {
                    break 'layouts true;
                }
            }
            false
        };
        assert!(named, "port {port}: {said}");
        assert_eq!(said.matches("in use").count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_named() {
    let mut cluster = Cluster::shaped(Shape { nodes: 1, ..Shape::default() }).await;
    for n in 0..30 {
        let id = format!("e{n}");
        let event = reading("home", &id, "pir", "motion", 1.0);
        cluster.client().append(vec![event]).await.unwrap();
    }
    cluster.nodes[0].kill();
    let folder = cluster.nodes[0].home.join("data/raft/log");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let largest = files.pop().unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 0x10;
    std::fs::write(&largest, bytes).unwrap();
    let (code, said) = serve(&cluster.nodes[0].config).await;
    assert_eq!(code, Some(5), "{said}");
    let name = largest.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said.contains(&name) && said.contains("damaged"), "{name}: {said}");
}

/// The library that came with the project, cut off.
fn damaged_library(dir: &Path, bytes: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.native/lib");
    let library = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("libonnxruntime."))
        .unwrap();
    let whole = std::fs::read(library).unwrap();
    let cut = dir.join("libonnxruntime-cut.so");
    std::fs::write(&cut, &whole[..bytes.min(whole.len() / 2)]).unwrap();
    cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_library_stops_models_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let library = damaged_library(dir.path(), 4 << 20);
    let shape = Shape { library: Some((2, library.clone())), ..Shape::default() };
    let cluster = Cluster::shaped(shape).await;
    let (good, bad) = (&cluster.nodes[0], &cluster.nodes[1]);
    settle(bad, 0..2).await;
    // Only the sound nodes can check a package, so it is pushed to one of them.
    put(&good.member.grpc, "fall_risk").await;
    eventually("the registry knows the model", async || {
        known(bad, "fall_risk").await.filter(|model| model.state == "active")
    })
    .await;
    eventually("the sound node answers", async || score(good, "fall_risk", "r1", false).await.ok())
        .await;
    let file = library.to_str().unwrap();
    let asked = [
        score(bad, "fall_risk", "r1", false).await.map(drop),
        infer(bad, "fall_risk", [1, 16], vec![0.0; 16]).await.map(drop),
    ];
    for refused in asked {
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let said = status.message();
        assert!(!said.contains('\n') && said.contains(file), "{said}");
        assert!(said.contains("make native") || said.contains("ORT_DYLIB_PATH"), "{said}");
    }
    let (code, said) = bad.get("/readyz").await;
    assert!(code == 503 && said.contains(file), "{code} {said}");
    assert_eq!(good.get("/readyz").await.0, 200);
    assert_eq!(bad.get("/livez").await.0, 200);

    let events = (0..3).map(|n| reading("home", &format!("g{n}"), "gas1", "gas", 9.0)).collect();
    let request = AppendRequest { events, ..AppendRequest::default() };
    let answer = events_client(bad.channel()).append(request).await.unwrap().into_inner();
    assert_eq!(answer.accepted, 3);
    let stored = number(bad, answer.log_index, "SELECT count(*) FROM sensor_event").await;
    assert_eq!(stored, 3);
    let alerts = alerts_client(bad.channel()).list(ListAlertsRequest::default()).await.unwrap();
    let alerts = alerts.into_inner().alerts;
    // A score may have raised another one.
    let leaks: Vec<_> = alerts.iter().filter(|alert| alert.kind == "gas_leak").collect();
    assert_eq!((leaks.len(), leaks[0].evidence.len()), (1, 3));
    cluster.same_state().await;
}
