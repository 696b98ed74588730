//! The decision ledger: everything that a decision was made of, on every node, whatever happens to the
//! node, the model or the log.

use crate::gather::motions;
use crate::local::{Cluster, Process, Shape, eventually};
use crate::models::{put, ready_everywhere, score, ship, zoo};
use crate::people::settle;
use nodes::client::scores_client;
use nodes::config::Raft;
use nodes::proto::hearth::{
    Decision, GetDecisionRequest, RecordOutcomeRequest, RecordReviewRequest, ScoreResponse,
};
use std::path::Path;
use tonic::Code;

async fn decision(node: &Process, id: &str) -> Decision {
    eventually(&format!("decision {id} on node {}", node.id), async || {
        let request = GetDecisionRequest { decision_id: id.to_owned() };
        Some(scores_client(node.channel()).get_decision(request).await.ok()?.into_inner())
    })
    .await
}

/// Runs a decision again on every node; all say the same bits as when it was made.
async fn replays_everywhere(cluster: &Cluster, made: &ScoreResponse) {
    let mut seen = Vec::new();
    for node in cluster.nodes.iter().filter(|node| node.runs()) {
        let again = eventually(&format!("a replay on node {}", node.id), async || {
            let request = GetDecisionRequest { decision_id: made.decision_id.clone() };
            let answer = scores_client(node.channel()).replay_decision(request).await;
            answer.inspect_err(|status| println!("node {}: {status}", node.id)).ok()
        })
        .await
        .into_inner();
        assert!(again.identical, "node {}: {}", node.id, again.difference);
        assert_eq!(again.replayed.unwrap().score.to_bits(), made.score.to_bits());
        seen.push(decision(node, &made.decision_id).await);
    }
    assert!(seen.iter().all(|each| *each == seen[0]), "{seen:?}");
}

/// The package of fall_risk as a second version.
fn second_version(dir: &Path) {
    for file in ["model.onnx", "golden.csv", "card.md"] {
        std::fs::copy(zoo("fall_risk").join(file), dir.join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(zoo("fall_risk").join("manifest.toml")).unwrap();
    let manifest = manifest.replace("version = \"1\"", "version = \"2\"");
    std::fs::write(dir.join("manifest.toml"), manifest).unwrap();
}

async fn done(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.run(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_outlives_its_leader_its_model_and_the_log() {
    let raft = Raft {
        snapshot_entries: 120,
        snapshot_turn_seconds: 0,
        keep_entries: 20,
        ..Raft::default()
    };
    let mut cluster = Cluster::shaped(Shape { raft, ..Shape::default() }).await;
    settle(&cluster.nodes[0], 0..4).await;
    ship(&cluster, "fall_risk").await;
    cluster.client().append(motions("before", 0..20)).await.unwrap();
    let made = score(&cluster.nodes[1], "fall_risk", "r1", true).await.unwrap();
    replays_everywhere(&cluster, &made).await;

    let leader = cluster.leader().await;
    cluster.nodes[leader].kill();
    replays_everywhere(&cluster, &made).await;
    let away = leader;

    let dir = tempfile::tempdir().unwrap();
    second_version(dir.path());
    for arguments in [
        &["model", "push", dir.path().to_str().unwrap(), "--author", "li"][..],
        &["model", "approve", "fall_risk", "2", "--actor", "wang"],
        &["model", "activate", "fall_risk", "2", "--actor", "wang"],
        &["model", "retire", "fall_risk", "1", "--actor", "wang"],
    ] {
        done(&cluster, arguments).await;
    }
    replays_everywhere(&cluster, &made).await;
    // Whoever starts now has version 1 nowhere but among the packages.
    for at in (0..cluster.nodes.len()).filter(|at| *at != away) {
        cluster.nodes[at].kill();
    }
    for at in (0..cluster.nodes.len()).filter(|at| *at != away) {
        cluster.nodes[at].start();
    }
    for at in (0..cluster.nodes.len()).filter(|at| *at != away) {
        cluster.nodes[at].wait_up().await;
    }
    replays_everywhere(&cluster, &made).await;

    // The node that was away gets a snapshot, and the history from a peer.
    let last = cluster.nodes[(away + 1) % 3].metric("hearth_applied_index").await;
    let mut sent = 0;
    while cluster.nodes[cluster.leader().await].metric("hearth_purged_index").await <= last {
        assert!(sent < 2_000, "the log was not shortened");
        for _ in 0..20 {
            cluster.client().append(motions("meanwhile", sent..sent + 1)).await.unwrap();
            sent += 1;
        }
    }
    let data = cluster.nodes[away].home.join("data");
    std::fs::remove_file(data.join(flight::WAREHOUSE_FILE)).unwrap();
    cluster.nodes[away].start();
    cluster.nodes[away].wait_up().await;
    replays_everywhere(&cluster, &made).await;
    let told = done(&cluster, &["audit", "verify", "--format", "json"]).await;
    assert_eq!(told.matches("\"entries\":1").count(), 3, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_refuses_no_benefit_and_people_are_heard() {
    let cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..3).await;
    put(&cluster.addresses(), "subsidy_triage").await;
    ready_everywhere(&cluster, "subsidy_triage", "active").await;
    let made = score(&cluster.nodes[2], "subsidy_triage", "r1", true).await.unwrap();
    let first = decision(&cluster.nodes[0], &made.decision_id).await;
    assert_eq!((first.outcome.as_str(), first.effect.as_str()), ("proposed", "benefit"));
    assert!(first.needs_review);

    let mut scores = scores_client(cluster.nodes[1].channel());
    let review = RecordReviewRequest {
        decision_id: made.decision_id.clone(),
        reviewer: "wang".to_owned(),
        verdict: "overturn".to_owned(),
        reason: "income was that of a neighbour".to_owned(),
    };
    for wrong in [
        RecordReviewRequest { reviewer: " ".to_owned(), ..review.clone() },
        RecordReviewRequest { verdict: "refuse".to_owned(), ..review.clone() },
        RecordReviewRequest { reason: String::new(), ..review.clone() },
    ] {
        let status = scores.record_review(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let unknown = RecordReviewRequest { decision_id: "d0".to_owned(), ..review.clone() };
    assert_eq!(scores.record_review(unknown).await.unwrap_err().code(), Code::NotFound);
    let refer = RecordReviewRequest { verdict: "refer".to_owned(), ..review.clone() };
    let referred = scores.record_review(refer).await.unwrap().into_inner();
    assert!(referred.needs_review && referred.outcome == "referred");
    let reviewed = scores.record_review(review).await.unwrap().into_inner();
    assert!(!reviewed.needs_review);
    assert_eq!(
        (reviewed.outcome.as_str(), reviewed.human_reviewer.as_str()),
        ("overturned", "wang")
    );
    assert_eq!(reviewed.reviews.len(), 2);
    assert_eq!((&reviewed.hash, &reviewed.features), (&first.hash, &first.features));

    let outcome = RecordOutcomeRequest {
        entity: "r1".to_owned(),
        model: "subsidy_triage".to_owned(),
        observed: 1.0,
        source: "office".to_owned(),
        ..RecordOutcomeRequest::default()
    };
    let observed = scores.record_outcome(outcome.clone()).await.unwrap().into_inner();
    assert_eq!(observed.version, "1");
    // Said again, by another node and at another time: the same entry.
    let mut elsewhere = scores_client(cluster.nodes[0].channel());
    let again = elsewhere.record_outcome(outcome.clone()).await.unwrap().into_inner();
    assert_eq!(again, observed);
    let nobody = RecordOutcomeRequest { entity: "nobody".to_owned(), ..outcome.clone() };
    assert_eq!(scores.record_outcome(nobody).await.unwrap_err().code(), Code::NotFound);
    let nan = RecordOutcomeRequest { observed: f64::NAN, ..outcome };
    assert_eq!(scores.record_outcome(nan).await.unwrap_err().code(), Code::InvalidArgument);
    let of = RecordOutcomeRequest {
        decision_id: made.decision_id.clone(),
        observed: 0.0,
        ..RecordOutcomeRequest::default()
    };
    let once = scores.record_outcome(of).await.unwrap().into_inner();
    assert_eq!((once.seq, once.score.to_bits()), (5, made.score.to_bits()));
    for node in &cluster.nodes {
        eventually("the same everywhere", async || {
            let seen = decision(node, &made.decision_id).await;
            (seen.reviews == reviewed.reviews
                && seen.outcomes.len() == 1 + usize::from(!observed.decision_id.is_empty()))
            .then_some(())
        })
        .await;
    }
    done(&cluster, &["audit", "verify"]).await;
}
