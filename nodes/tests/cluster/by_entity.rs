//! Inference by entity: what is missing or stale, how new the state is, who goes first, and the limits.

use crate::gather::reading;
use crate::local::{Cluster, Process, Shape};
use crate::models::{ready_everywhere, score, zoo};
use crate::people::settle;
use nodes::client::scores_client;
use nodes::config::Limits;
use nodes::proto::hearth::{ScoreManyRequest, ScoreRequest};
use nodes::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nodes::proto::inference::infer_parameter::ParameterChoice;
use nodes::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use nodes::proto::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

const WAITING_MAX: usize = 4;
const ROWS_MAX: usize = 8;

async fn one_node() -> Cluster {
    let limits = Limits {
        warehouse_mib: 256,
        rows_per_request: ROWS_MAX,
        entities_per_request: 3,
        waiting_inferences: WAITING_MAX,
        request_bytes: 64 << 10,
        ..Limits::default()
    };
    Cluster::shaped(Shape { nodes: 1, limits, ..Shape::default() }).await
}

/// The fall risk model under another name, with other words in its manifest.
fn variant(folder: &Path, name: &str, edits: &[(&str, &str)]) -> PathBuf {
    let to = folder.join(name);
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(zoo("fall_risk")).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let mut text = std::fs::read_to_string(to.join("manifest.toml")).unwrap();
    let named = format!("name = \"{name}\"");
    for (from, with) in [("name = \"fall_risk\"", named.as_str())].iter().chain(edits) {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, with, 1);
    }
    std::fs::write(to.join("manifest.toml"), text).unwrap();
    to
}

async fn ship(cluster: &Cluster, package: &Path) {
    let name = package.file_name().unwrap().to_str().unwrap();
    for arguments in [
        &["model", "push", package.to_str().unwrap(), "--author", "li"][..],
        &["model", "approve", name, "1", "--actor", "wang"],
        &["model", "activate", name, "1", "--actor", "wang"],
    ] {
        let output = cluster.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    ready_everywhere(cluster, name, "active").await;
}

fn asking(model: &str, entities: &[&str]) -> ModelInferRequest {
    let contents = InferTensorContents {
        bytes_contents: entities.iter().map(|entity| entity.as_bytes().to_vec()).collect(),
        ..InferTensorContents::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            name: "entity".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![entities.len() as i64, 1],
            contents: Some(contents),
            ..InferInputTensor::default()
        }],
        ..ModelInferRequest::default()
    }
}

fn with(mut request: ModelInferRequest, name: &str, choice: ParameterChoice) -> ModelInferRequest {
    let parameter = InferParameter { parameter_choice: Some(choice) };
    request.parameters.insert(name.to_owned(), parameter);
    request
}

async fn infer(
    node: &Process,
    request: impl tonic::IntoRequest<ModelInferRequest>,
) -> Result<ModelInferResponse, Status> {
    let mut client = GrpcInferenceServiceClient::new(node.channel());
    Ok(client.model_infer(request).await?.into_inner())
}

fn contents<'a>(answer: &'a ModelInferResponse, name: &str) -> &'a InferTensorContents {
    let output = answer.outputs.iter().find(|output| output.name == name);
    output.unwrap().contents.as_ref().unwrap()
}

fn told(answer: &ModelInferResponse) -> BTreeMap<&str, String> {
    let text = |parameter: &InferParameter| match parameter.parameter_choice.as_ref().unwrap() {
        ParameterChoice::StringParam(text) => text.clone(),
        ParameterChoice::Int64Param(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    answer.parameters.iter().map(|(name, each)| (name.as_str(), text(each))).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, words: &[&str]) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_stale_goes_by_the_manifest() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    let folder = tempfile::tempdir().unwrap();
    settle(node, 0..3).await;
    // The registers were taken in an hour ago, and no gait sensor ever spoke.
    let refuse = ("missing = \"flag\"", "missing = \"refuse\"");
    let old = ("max_age_s = 34560000", "max_age_s = 600");
    let tail = "[reasons.age]\n";
    let lenient = format!("[demands.vision]\nmissing = \"refuse\"\n\n{tail}");
    for (name, edits) in [
        ("flags", &[old][..]),
        ("defaults", &[("missing = \"flag\"", "missing = \"default\""), old]),
        ("refuses", &[refuse]),
        ("refuses_old", &[("missing = \"flag\"", "stale = \"refuse\""), old]),
        ("refuses_one", &[(tail, lenient.as_str())]),
    ] {
        ship(&cluster, &variant(folder.path(), name, edits)).await;
    }
    let event = reading("home", "e1", "door1", "door", 1.0);
    let event_us = event.event_time_us;
    cluster.client().append(vec![event]).await.unwrap();

    let flagged = infer(node, asking("flags", &["r1"])).await.unwrap();
    let words = told(&flagged);
    assert!(words["missing_features"].contains("vision"), "{words:?}");
    assert!(words["missing_features"].contains("gait_speed_mean_7d"), "{words:?}");
    assert!(words["stale_features"].contains("drugs_n"), "{words:?}");
    assert!(!words["stale_features"].contains("door_n_1d"), "{words:?}");
    let oldest_us: i64 = words["oldest_feature_us"].parse().unwrap();
    assert!(oldest_us <= nodes::clock::now_us() - 3_600_000_000 && oldest_us < event_us);
    assert!(words["log_index"].parse::<u64>().unwrap() > 0);
    let answer = score(node, "flags", "r1", false).await.unwrap();
    assert_eq!(answer.missing_features.join(","), words["missing_features"]);
    assert_eq!(answer.stale_features.join(","), words["stale_features"]);
    assert_eq!(answer.oldest_feature_us, oldest_us);
    assert_eq!(nodes::hex::encode(&answer.model_sha256), words["model_sha256"]);
    // A default in the place of a stale value is another row, and gives another score.
    let defaulted = infer(node, asking("defaults", &["r1"])).await.unwrap();
    assert_eq!(told(&defaulted)["stale_features"], words["stale_features"]);
    let score_of =
        |answer: &ModelInferResponse| contents(answer, "score").fp32_contents[0].to_bits();
    assert_ne!(score_of(&defaulted), score_of(&flagged));

    let precondition = Code::FailedPrecondition;
    refused(infer(node, asking("refuses", &["r1"])).await, precondition, &["vision", "r1"]);
    refused(score(node, "refuses", "r1", false).await, precondition, &["vision", "gait_speed"]);
    refused(infer(node, asking("refuses_old", &["r1"])).await, precondition, &["drugs_n"]);
    refused(infer(node, asking("refuses_one", &["r1"])).await, precondition, &["vision"]);
    let said = infer(node, asking("refuses_one", &["r1"])).await.unwrap_err();
    assert!(!said.message().contains("gait_speed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_that_is_not_there_fails_no_other() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    let folder = tempfile::tempdir().unwrap();
    settle(node, 0..3).await;
    ship(&cluster, &variant(folder.path(), "flags", &[])).await;
    let edit = ("missing = \"flag\"", "missing = \"refuse\"");
    ship(&cluster, &variant(folder.path(), "refuses", &[edit])).await;

    let mut request = asking("flags", &["r0", "nobody", "r2"]);
    let named = ["score", "band", "missing", "stale", "oldest_feature_us"];
    request.outputs = named
        .map(|name| InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() })
        .to_vec();
    let answer = infer(node, request).await.unwrap();
    let scores = &contents(&answer, "score").fp32_contents;
    assert!(scores[0].is_finite() && scores[1].is_nan() && scores[2].is_finite(), "{scores:?}");
    let bands = &contents(&answer, "band").bytes_contents;
    assert!(bands[1].is_empty() && !bands[0].is_empty(), "{bands:?}");
    assert_eq!(told(&answer)["unknown_rows"], "1");
    let missing = &contents(&answer, "missing").bytes_contents;
    assert!(String::from_utf8_lossy(&missing[0]).contains("vision"));
    assert_eq!(contents(&answer, "oldest_feature_us").int64_contents[1], 0);
    for (entity, score) in [("r0", scores[0]), ("r2", scores[2])] {
        let alone = infer(node, asking("flags", &[entity])).await.unwrap();
        assert_eq!(contents(&alone, "score").fp32_contents[0].to_bits(), score.to_bits());
    }
    refused(infer(node, asking("flags", &["nobody"])).await, Code::NotFound, &["nobody"]);
    refused(
        infer(node, asking("refuses", &["r0", "nobody"])).await,
        Code::FailedPrecondition,
        &["r0"],
    );
    refused(infer(node, asking("refuses", &["nobody", "r0"])).await, Code::NotFound, &["nobody"]);

    let many = ScoreManyRequest {
        model: "flags".to_owned(),
        entities: ["r0", "nobody", "r2"].map(str::to_owned).to_vec(),
        ..ScoreManyRequest::default()
    };
    let mut answers = scores_client(node.channel()).score_many(many).await.unwrap().into_inner();
    let mut errors = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        errors.push(!answer.error.is_empty());
    }
    assert_eq!(errors, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_its_index_and_no_longer_than_its_deadline() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    let folder = tempfile::tempdir().unwrap();
    settle(node, 0..1).await;
    ship(&cluster, &variant(folder.path(), "flags", &[])).await;
    let event = reading("home", "e1", "door0", "door", 1.0);
    let index = cluster.client().append(vec![event]).await.unwrap().log_index;
    let at = |index: u64| {
        let number = ParameterChoice::Int64Param(index as i64);
        with(asking("flags", &["r0"]), "min_log_index", number)
    };
    let answer = infer(node, at(index)).await.unwrap();
    assert!(told(&answer)["log_index"].parse::<u64>().unwrap() >= index);
    // An index that is not there yet, by each of the two ways to say how long one waits.
    let timeout = ParameterChoice::Int64Param(300_000);
    let begun = Instant::now();
    let late = infer(node, with(at(index + 1_000_000), "timeout", timeout)).await;
    refused(late, Code::DeadlineExceeded, &[]);
    let mut request = Request::new(ScoreRequest {
        model: "flags".to_owned(),
        entity: "r0".to_owned(),
        min_log_index: index + 1_000_000,
        ..ScoreRequest::default()
    });
    request.set_timeout(Duration::from_millis(300));
    let late = scores_client(node.channel()).score(request).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    // Ten seconds is what a call without a deadline waits.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_a_limit_the_answer_names_it_and_urgent_calls_go_on() {
    let cluster = one_node().await;
    let node = &cluster.nodes[0];
    let folder = tempfile::tempdir().unwrap();
    settle(node, 0..2).await;
    ship(&cluster, &variant(folder.path(), "urgent", &[])).await;
    let batch = ("priority = \"safety\"", "priority = \"batch\"");
    ship(&cluster, &variant(folder.path(), "survey", &[batch])).await;

    let many = vec!["r0"; ROWS_MAX + 1];
    refused(infer(node, asking("urgent", &many)).await, Code::InvalidArgument, &["8 rows", "9"]);
    let mut long = asking("urgent", &["r0"]);
    long.id = "x".repeat(80 << 10);
    refused(infer(node, long).await, Code::ResourceExhausted, &["65536"]);
    let entities = vec!["r0".to_owned(); 4];
    let request = ScoreManyRequest { model: "urgent".to_owned(), entities, ..Default::default() };
    let many = scores_client(node.channel()).score_many(request).await.map(drop);
    refused(many, Code::InvalidArgument, &["3 entities", "4"]);

    // An urgent call makes the others wait; more than may wait are refused at once.
    infer(node, asking("urgent", &["r0"])).await.unwrap();
    let mut client = GrpcInferenceServiceClient::new(node.channel());
    let flood: Vec<_> = (0..200)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.model_infer(asking("survey", &["r1"])).await })
        })
        .collect();
    for _ in 0..20 {
        client.model_infer(asking("urgent", &["r0"])).await.unwrap();
    }
    let mut full = 0;
    for each in flood {
        if let Err(status) = each.await.unwrap() {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            assert!(status.message().contains("4 batch inferences"), "{status:?}");
            full += 1;
        }
    }
    assert!(full > 0, "nothing was refused");
    // A request may say that it is less urgent than its model, never that it is more so.
    let lowered = with(
        asking("urgent", &["r0"]),
        "priority",
        ParameterChoice::StringParam("batch".to_owned()),
    );
    infer(node, lowered).await.unwrap();
    let wrong = ParameterChoice::StringParam("now".to_owned());
    let wrong = infer(node, with(asking("urgent", &["r0"]), "priority", wrong)).await;
    refused(wrong, Code::InvalidArgument, &["safety, normal or batch"]);
}
