//! Model files: pushed once, at home on every node, with the same answer everywhere.

use crate::gather::reading;
use crate::local::{Cluster, Process, Shape, eventually, hearth};
use crate::people::settle;
use nodes::client::{models_client, scores_client};
use nodes::proto::hearth::{
    Decision, GetDecisionRequest, ListModelsRequest, ModelVersion, ScoreRequest, ScoreResponse,
};
use nodes::proto::inference::ModelInferRequest;
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nodes::proto::inference::model_infer_request::InferInputTensor;
use std::path::{Path, PathBuf};
use tonic::Status;

pub(crate) fn zoo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo").join(name)
}

/// Pushes, approves and activates a shipped package by the command line.
pub(crate) async fn put(addresses: &str, name: &str) {
    let path = zoo(name);
    for arguments in [
        &["model", "push", path.to_str().unwrap(), "--author", "li"][..],
        &["model", "approve", name, "1", "--actor", "wang"],
        &["model", "activate", name, "1", "--actor", "wang"],
    ] {
        let output = hearth(arguments, addresses).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

pub(crate) async fn ship(cluster: &Cluster, name: &str) {
    put(&cluster.addresses(), name).await;
    ready_everywhere(cluster, name, "active").await;
}

pub(crate) async fn known(node: &Process, name: &str) -> Option<ModelVersion> {
    let request = ListModelsRequest { name: name.to_owned(), ..Default::default() };
    let answer = models_client(node.channel()).list(request).await.ok()?;
    answer.into_inner().models.into_iter().next()
}

/// Waits until every node that runs has the model in memory and in this state.
pub(crate) async fn ready_everywhere(cluster: &Cluster, name: &str, state: &str) {
    for node in cluster.nodes.iter().filter(|node| node.runs()) {
        eventually(&format!("{name} is ready on node {}", node.id), async || {
            known(node, name).await.filter(|model| model.ready && model.state == state)
        })
        .await;
    }
}

pub(crate) async fn score(
    node: &Process,
    model: &str,
    entity: &str,
    record: bool,
) -> Result<ScoreResponse, Status> {
    let request = ScoreRequest {
        model: model.to_owned(),
        entity: entity.to_owned(),
        explain: true,
        record,
        purpose: "a visit".to_owned(),
        ..ScoreRequest::default()
    };
    Ok(scores_client(node.channel()).score(request).await?.into_inner())
}

/// Asks with a matrix of features.
pub(crate) async fn infer(
    node: &Process,
    model: &str,
    shape: [i64; 2],
    values: Vec<f32>,
) -> Result<Vec<u32>, Status> {
    let contents = nodes::proto::inference::InferTensorContents {
        fp32_contents: values,
        ..Default::default()
    };
    let input = InferInputTensor {
        name: "features".to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
        contents: Some(contents),
        ..InferInputTensor::default()
    };
    let request = ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        ..ModelInferRequest::default()
    };
    let mut client = GrpcInferenceServiceClient::new(node.channel());
    let answer = client.model_infer(request).await?.into_inner();
    let score = answer.outputs.iter().find(|output| output.name == "score").unwrap();
    let contents = score.contents.clone().unwrap();
    Ok(contents.fp32_contents.iter().map(|value| value.to_bits()).collect())
}

/// The scores of all nodes at one and the same index.
async fn scores_at_one_index(cluster: &Cluster, entity: &str) -> Vec<ScoreResponse> {
    eventually("scores at one index", async || {
        let mut scores = Vec::new();
        for node in &cluster.nodes {
            scores.push(score(node, "fall_risk", entity, false).await.ok()?);
        }
        scores.iter().all(|each| each.log_index == scores[0].log_index).then_some(scores)
    })
    .await
}

async fn decision(node: &Process, id: &str) -> Decision {
    eventually(&format!("decision {id} on node {}", node.id), async || {
        let request = GetDecisionRequest { decision_id: id.to_owned() };
        Some(scores_client(node.channel()).get_decision(request).await.ok()?.into_inner())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_answers_alike_everywhere_also_where_it_was_fetched_later() {
    let mut cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..6).await;
    let away = cluster.follower().await;
    cluster.nodes[away].kill();
    put(&cluster.addresses(), "fall_risk").await;
    put(&cluster.addresses(), "subsidy_triage").await;
    let events =
        (0..30).map(|n| reading("home", &format!("e{n}"), &format!("door{}", n % 6), "door", 1.0));
    cluster.client().append(events.collect()).await.unwrap();

    cluster.nodes[away].start();
    cluster.nodes[away].wait_up().await;
    ready_everywhere(&cluster, "fall_risk", "active").await;
    ready_everywhere(&cluster, "subsidy_triage", "active").await;

    let first = known(&cluster.nodes[0], "fall_risk").await.unwrap();
    let mut bits = std::collections::BTreeSet::new();
    for entity in ["r0", "r1", "r2", "r3", "r4", "r5"] {
        let scores = scores_at_one_index(&cluster, entity).await;
        for each in &scores {
            assert_eq!(each.score.to_bits(), scores[0].score.to_bits(), "{entity}: {scores:?}");
            assert_eq!(each.model_sha256, first.model_sha256, "{entity}");
            assert_eq!(each.version, "1");
            assert_eq!(each.contributions, scores[0].contributions, "{entity}");
        }
        bits.insert(scores[0].score.to_bits());
    }
    assert!(bits.len() > 1, "all residents have one score: the features were not read");

    let width = known(&cluster.nodes[0], "subsidy_triage").await.unwrap().features.len();
    let row: Vec<f32> = (0..width).map(|at| at as f32 * 0.25).collect();
    let mut answers = Vec::new();
    for node in &cluster.nodes {
        let shape = [1, width as i64];
        answers.push(infer(node, "subsidy_triage", shape, row.clone()).await.unwrap());
    }
    assert!(answers.iter().all(|each| *each == answers[0]), "{answers:?}");

    let made = score(&cluster.nodes[away], "fall_risk", "r2", true).await.unwrap();
    let mut decisions = Vec::new();
    for node in &cluster.nodes {
        decisions.push(decision(node, &made.decision_id).await);
        let request = GetDecisionRequest { decision_id: made.decision_id.clone() };
        let again = scores_client(node.channel()).replay_decision(request).await.unwrap();
        let again = again.into_inner();
        assert!(again.identical, "node {}: {}", node.id, again.difference);
        assert_eq!(again.replayed.unwrap().score.to_bits(), made.score.to_bits());
    }
    assert!(decisions.iter().all(|each| *each == decisions[0]), "{decisions:?}");
    assert_eq!(decisions[0].score.as_ref().unwrap().score.to_bits(), made.score.to_bits());
    assert_eq!(decisions[0].purpose, "a visit");
    assert_eq!(decisions[0].features.len(), first.features.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_have_a_bound_and_what_nobody_names_goes() {
    let models = nodes::config::Models { packages_mib: 0, ..Default::default() };
    let mut cluster = Cluster::shaped(Shape { nodes: 1, models, ..Shape::default() }).await;
    let path = zoo("fall_risk");
    let output = cluster.run(&["model", "push", path.to_str().unwrap(), "--author", "li"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("models.packages_mib is 0") && said.lines().count() == 1, "{said}");

    let node = &mut cluster.nodes[0];
    node.kill();
    let folder = node.home.join("data/raft/blobs");
    let old = folder.join("ab".repeat(32));
    let new = folder.join("cd".repeat(32));
    for file in [&old, &new] {
        std::fs::write(file, b"nobody names it").unwrap();
    }
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - std::time::Duration::from_hours(25)).unwrap();
    node.start();
    node.wait_up().await;
    eventually("the old file is gone", async || (!old.exists()).then_some(())).await;
    assert!(new.exists());
}
