//! A version from its push to its retirement, as people and the log see it.

use crate::local::{Cluster, Process, eventually};
use crate::models::{infer, known, ready_everywhere, score, ship, zoo};
use crate::people::settle;
use crate::tables::{number, rows};
use models::{bucket, in_canary};
use nodes::client::models_client;
use nodes::proto::hearth::{ListModelsRequest, ModelVersion};
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nodes::proto::inference::model_infer_request::InferInputTensor;
use nodes::proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use std::path::{Path, PathBuf};
use tonic::{Code, Status};

/// The shipped package under another version, its manifest changed.
pub(crate) fn version_of(
    name: &str,
    version: &str,
    into: &Path,
    change: impl Fn(String) -> String,
) -> PathBuf {
    let package = into.join(format!("{name}-{version}"));
    std::fs::create_dir_all(&package).unwrap();
    for file in ["manifest.toml", "model.onnx", "golden.csv", "card.md"] {
        std::fs::copy(zoo(name).join(file), package.join(file)).unwrap();
    }
    let manifest = package.join("manifest.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.replace("version = \"1\"", &format!("version = \"{version}\""));
    std::fs::write(&manifest, change(text)).unwrap();
    package
}

/// Runs `hearth model`, which has to succeed.
pub(crate) async fn model(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.run(&[&["model"], arguments].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `hearth model`, which has to refuse in one line with these words.
pub(crate) async fn refused(cluster: &Cluster, arguments: &[&str], words: &[&str]) {
    let output = cluster.run(&[&["model"], arguments].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
    assert!(!said.contains('\n'), "{said:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

pub(crate) async fn put_version(cluster: &Cluster, package: &Path, name: &str, version: &str) {
    model(cluster, &["push", package.to_str().unwrap(), "--author", "li"]).await;
    model(cluster, &["approve", name, version, "--actor", "wang"]).await;
}

async fn detail(node: &Process, name: &str, version: &str) -> Option<ModelVersion> {
    let request =
        ListModelsRequest { name: name.to_owned(), version: version.to_owned(), detail: true };
    let answer = models_client(node.channel()).list(request).await.ok()?;
    answer.into_inner().models.into_iter().next()
}

async fn infer_entities(
    node: &Process,
    version: &str,
    keys: &[String],
) -> Result<ModelInferResponse, Status> {
    let contents = InferTensorContents {
        bytes_contents: keys.iter().map(|key| key.clone().into_bytes()).collect(),
        ..InferTensorContents::default()
    };
    let input = InferInputTensor {
        name: "entity".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![keys.len() as i64, 1],
        contents: Some(contents),
        ..InferInputTensor::default()
    };
    let request = ModelInferRequest {
        model_name: "fall_risk".to_owned(),
        model_version: version.to_owned(),
        inputs: vec![input],
        ..ModelInferRequest::default()
    };
    let mut client = GrpcInferenceServiceClient::new(node.channel());
    Ok(client.model_infer(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_validates_and_a_late_one_before_it_serves() {
    let mut cluster = Cluster::start().await;
    let away = cluster.follower().await;
    let away_id = cluster.nodes[away].id;
    cluster.nodes[away].kill();
    let path = zoo("fall_risk");
    // Nobody waits for ever for a node that is down.
    let arguments = ["push", path.to_str().unwrap(), "--author", "li", "--format", "json"];
    let pushed: serde_json::Value =
        serde_json::from_str(&model(&cluster, &arguments).await).unwrap();
    assert_eq!(pushed[0]["state"], "validated");
    let reason = pushed[0]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("not ready on node {away_id}")), "{reason}");

    refused(&cluster, &["approve", "fall_risk", "1", "--actor", "li"], &["another person"]).await;
    refused(&cluster, &["activate", "fall_risk", "1"], &["validated", "approve it first"]).await;
    model(&cluster, &["approve", "fall_risk", "1", "--actor", "wang"]).await;
    model(&cluster, &["activate", "fall_risk", "1", "--actor", "wang"]).await;

    cluster.nodes[away].start();
    cluster.nodes[away].wait_up().await;
    ready_everywhere(&cluster, "fall_risk", "active").await;
    for node in &cluster.nodes {
        let told = eventually("three nodes have validated it", async || {
            let told = detail(node, "fall_risk", "1").await?;
            (told.nodes.iter().filter(|each| each.outcome == "ready").count() == 3).then_some(told)
        })
        .await;
        assert!(told.nodes.iter().all(|each| each.golden_rows > 0 && each.row_ns > 0), "{told:?}");
        assert!(told.card.contains("fall_risk") || told.card.starts_with('#'), "{}", told.card);
        assert!(told.intended_use.starts_with("Order home visits"), "{}", told.intended_use);
    }
    let shown = model(&cluster, &["show", "fall_risk"]).await;
    for word in ["intended use: Order home visits", "history of fall_risk", "golden_rows", "wang"] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    refused(&cluster, &["show", "fal_risk"], &["fal_risk"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_goes_by_shadow_and_canary_and_comes_back() {
    let cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..60).await;
    ship(&cluster, "fall_risk").await;
    let dir = tempfile::tempdir().unwrap();
    let package = version_of("fall_risk", "2", dir.path(), |text| {
        // Another band for everybody, and a gate.
        let text = text.replace("name = \"low\"", "name = \"little\"");
        format!("{text}\n[gates]\nmin_shadow_rows = 60\nmax_mean_difference = 0.001\n")
    });
    put_version(&cluster, &package, "fall_risk", "2").await;
    refused(&cluster, &["activate", "fall_risk", "2"], &["gate", "min_shadow_rows is 60"]).await;
    refused(&cluster, &["activate", "fall_risk", "2", "--force"], &["--reason"]).await;

    shadow(&cluster).await;
    canary(&cluster).await;
    model(&cluster, &["activate", "fall_risk", "2", "--actor", "wang"]).await;
    let keys = ["r1".to_owned()];
    eventually("version 2 answers everybody", async || {
        let answer = infer_entities(&cluster.nodes[0], "", &keys).await.ok()?;
        (answer.model_version == "2").then_some(())
    })
    .await;
    model(&cluster, &["rollback", "fall_risk", "--reason", "too many visits"]).await;
    back_and_out(&cluster).await;
    history(&cluster).await;
}

fn keys() -> Vec<String> {
    (0..60).map(|n| format!("r{n}")).collect()
}

/// Everything that version 1 answers is compared, unseen.
async fn shadow(cluster: &Cluster) {
    model(cluster, &["shadow", "fall_risk", "2", "--actor", "wang"]).await;
    let keys = keys();
    let told = eventually("enough was compared in shadow", async || {
        for node in &cluster.nodes {
            let answer = infer_entities(node, "", &keys).await.ok()?;
            assert_eq!(answer.model_version, "1", "a shadow answers nobody");
        }
        score(&cluster.nodes[0], "fall_risk", "r1", false).await.ok()?;
        let told = detail(&cluster.nodes[0], "fall_risk", "2").await?;
        told.shadow.filter(|shadow| shadow.rows >= 180)
    })
    .await;
    assert_eq!((told.against.as_str(), told.errors), ("1", 0));
    assert!(told.mean_difference < 1e-9 && told.max_difference < 1e-9, "the files are the same");
    assert!(told.band_changes > 0 && told.shadow_us > 0.0 && told.active_us > 0.0, "{told:?}");
    for node in &cluster.nodes {
        let sql = "SELECT count(*) FROM model_shadow WHERE model = 'fall_risk' AND version = '2' AND rows >= 60";
        eventually("the table has it", async || (number(node, 0, sql).await == 1).then_some(()))
            .await;
        assert!(node.metric("hearth_model_shadow_rows_total").await > 0);
    }
}

/// A share of the entities, the same ones on every node.
async fn canary(cluster: &Cluster) {
    refused(cluster, &["canary", "fall_risk", "9", "--share", "30"], &["no version 9"]).await;
    model(cluster, &["canary", "fall_risk", "2", "--share", "30", "--actor", "wang"]).await;
    ready_everywhere_in(cluster, "canary").await;
    let keys = keys();
    let expected: Vec<&str> = keys
        .iter()
        .map(|key| if in_canary(bucket("fall_risk", key.as_bytes()), 30) { "2" } else { "1" })
        .collect();
    assert!(expected.contains(&"1") && expected.contains(&"2"));
    for node in &cluster.nodes {
        let answer = infer_entities(node, "", &keys).await.unwrap();
        let versions = answer.outputs.iter().find(|output| output.name == "version").unwrap();
        let versions = versions.contents.clone().unwrap().bytes_contents;
        let versions: Vec<&str> =
            versions.iter().map(|version| std::str::from_utf8(version).unwrap()).collect();
        assert_eq!(versions, expected, "node {}", node.id);
        let named = infer_entities(node, "1", &keys).await.unwrap();
        assert_eq!(named.model_version, "1", "who names a version gets it");
        assert!(named.outputs.iter().all(|output| output.name != "version"));
        for (key, version) in keys.iter().zip(&expected).take(10) {
            let answer = score(node, "fall_risk", key, false).await.unwrap();
            assert_eq!(&answer.version, version, "{key} on node {}", node.id);
        }
    }
}

async fn ready_everywhere_in(cluster: &Cluster, state: &str) {
    for node in &cluster.nodes {
        eventually(&format!("version 2 is in {state} on node {}", node.id), async || {
            detail(node, "fall_risk", "2").await.filter(|told| told.state == state)
        })
        .await;
    }
}

async fn back_and_out(cluster: &Cluster) {
    ready_everywhere_in(cluster, "approved").await;
    let keys = ["r1".to_owned()];
    for node in &cluster.nodes {
        assert_eq!(infer_entities(node, "", &keys).await.unwrap().model_version, "1");
    }
    refused(cluster, &["rollback", "fall_risk"], &["no earlier version"]).await;
    model(cluster, &["kill", "fall_risk", "--reason", "wrong for men", "--actor", "wang"]).await;
    for node in &cluster.nodes {
        let status =
            eventually("it is switched off", async || infer_entities(node, "", &keys).await.err())
                .await;
        assert_eq!(status.code(), Code::Unavailable);
        let said = status.message();
        assert!(said.contains("switched off by wang: wrong for men"), "{said}");
        let named = infer_entities(node, "1", &keys).await.unwrap_err();
        assert_eq!(named.code(), Code::Unavailable);
    }
    model(cluster, &["revive", "fall_risk"]).await;
    model(cluster, &["retire", "fall_risk", "2"]).await;
    for node in &cluster.nodes {
        eventually("it is in memory no more", async || {
            detail(node, "fall_risk", "2")
                .await
                .filter(|told| !told.ready && told.state == "retired")
        })
        .await;
        assert_eq!(infer_entities(node, "", &keys).await.unwrap().model_version, "1");
        let status = infer_entities(node, "2", &keys).await.unwrap_err();
        assert!(status.message().contains("is retired"), "{status:?}");
    }
}

/// Every step with who, from where to where and why, alike on every node.
async fn history(cluster: &Cluster) {
    let sql = "SELECT action, version, from_state, to_state, actor, reason FROM model_history \
               WHERE model = 'fall_risk' ORDER BY seq";
    let mut told = Vec::new();
    for node in &cluster.nodes {
        let index = node.status().await.unwrap().applied_index;
        told.push(rows(node, index, sql).await.iter().map(|row| row.join(" ")).collect::<Vec<_>>());
    }
    assert!(told.iter().all(|each| *each == told[0]), "{told:?}");
    for line in [
        "push 2  pushed li ",
        "shadow 2 approved shadow wang ",
        "canary 2 shadow canary wang ",
        "activate 2 canary active wang ",
        "displaced 1 active approved wang ",
        "rollback 1 approved active tester too many visits",
        "kill    wang wrong for men",
        "retire 2 approved retired tester ",
    ] {
        assert!(told[0].iter().any(|each| each == line), "{line:?} is not in {:#?}", told[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bare_files_are_compared_by_what_they_were_asked() {
    let cluster = Cluster::shaped(crate::local::Shape { nodes: 1, ..Default::default() }).await;
    let node = &cluster.nodes[0];
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures");
    for (file, version) in [("zipmap.onnx", "1"), ("scaler.onnx", "2")] {
        let path = fixtures.join(file);
        let path = path.to_str().unwrap();
        let output = cluster
            .run(&["model", "push", path, "--name", "bare", "--version", version, "--author", "li"])
            .await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("warning") && said.contains("card.md"), "{said}");
        model(&cluster, &["approve", "bare", version, "--actor", "wang"]).await;
    }
    refused(&cluster, &["shadow", "bare", "2"], &["no active version"]).await;
    model(&cluster, &["activate", "bare", "1"]).await;
    model(&cluster, &["shadow", "bare", "2", "--share", "100"]).await;
    eventually("the files differ", async || {
        infer(node, "bare", [1, 3], vec![1.0, -1.0, 0.5]).await.ok();
        ask_bare(node).await;
        let told = detail(node, "bare", "2").await?.shadow?;
        (told.rows > 0 && told.mean_difference > 0.0).then_some(())
    })
    .await;
    assert!(known(node, "bare").await.is_some());
}

async fn ask_bare(node: &Process) {
    let contents =
        InferTensorContents { fp32_contents: vec![1.0, -1.0, 0.5], ..Default::default() };
    let input = InferInputTensor {
        name: "X".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, 3],
        contents: Some(contents),
        ..InferInputTensor::default()
    };
    let request = ModelInferRequest {
        model_name: "bare".to_owned(),
        inputs: vec![input],
        ..ModelInferRequest::default()
    };
    GrpcInferenceServiceClient::new(node.channel()).model_infer(request).await.unwrap();
}
