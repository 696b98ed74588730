//! Decisions into the ledger, what people say of them and what became of them, and out again.

use super::status::{from_raft, from_refusal};
use crate::audit::{decision_before, entries_of, score_before};
use crate::node::Node;
use crate::proto::hearth::{
    Decision, FeatureReading, ObservedOutcome, RecordOutcomeRequest, RecordReviewRequest, Review,
    ScoreResponse,
};
use crate::serving::contribution;
use crate::state::ledger::{
    EFFECT_BENEFIT, OUTCOME_ADVISED, OUTCOME_ID_BYTES_MAX, OUTCOME_PROPOSED, VERDICTS, What,
};
use crate::state::{Command, DecisionRecord, Entry, ObservedRecord, Reply, ReviewRecord, Written};
use models::Manifest;
use std::sync::Arc;
use tonic::Status;

/// Longest name of a caller, reviewer or source, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest purpose.
const PURPOSE_BYTES_MAX: usize = 1_024;
/// Longest reason of a review.
const REASON_BYTES_MAX: usize = 4_096;
/// By which a caller says who it is; without sign-in it is only a word.
const CALLER_HEADER: &str = "hearth-caller";

/// Who asks for a decision to be written down, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) caller: String,
    pub(crate) purpose: String,
    pub(crate) reviewer: String,
}

impl Asked {
    pub(crate) fn check(&self) -> Result<(), Status> {
        plain("purpose", &self.purpose, PURPOSE_BYTES_MAX)?;
        plain("reviewer", &self.reviewer, NAME_BYTES_MAX)?;
        plain(CALLER_HEADER, &self.caller, 2 * NAME_BYTES_MAX)
    }
}

/// The name a caller gives itself, and where it calls from.
pub(crate) fn caller_of<T>(request: &tonic::Request<T>) -> String {
    let from = request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default();
    let name = request.metadata().get(CALLER_HEADER).and_then(|name| name.to_str().ok());
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => format!("{}@{from}", name.chars().take(NAME_BYTES_MAX).collect::<String>()),
        None => from,
    }
}

fn plain(what: &str, text: &str, most: usize) -> Result<(), Status> {
    let is_plain = |each: char| !each.is_control() || each == '\n';
    if text.len() > most || !text.chars().all(is_plain) {
        return Err(Status::invalid_argument(format!(
            "{what} has at most {most} bytes and no control characters"
        )));
    }
    Ok(())
}

/// Writes a decision down. What the machine says about a benefit is a proposal until a person has
/// looked at it.
pub(crate) async fn write_down(
    node: &Node,
    record: DecisionRecord,
    asked: &Asked,
) -> Result<Written, Status> {
    asked.check()?;
    if !record.score.is_finite() || !record.base.is_finite() {
        return Err(Status::failed_precondition(format!(
            "model {} {} gave {} for {:?}: only a finite score can be recorded",
            record.model, record.version, record.score, record.entity
        )));
    }
    let blob = {
        let state = node.machine().read();
        state.model(&record.model, &record.version).map(|model| model.blob)
    };
    let is_benefit = record.effect == EFFECT_BENEFIT;
    let record = DecisionRecord {
        decision_id: node.fresh_id("d"),
        package_sha256: blob.map(|blob| crate::hex::encode(&blob)).unwrap_or_default(),
        caller: asked.caller.clone(),
        purpose: asked.purpose.clone(),
        human_reviewer: asked.reviewer.clone(),
        outcome: if is_benefit { OUTCOME_PROPOSED } else { OUTCOME_ADVISED }.to_owned(),
        ..record
    };
    propose(node, &Command::RecordDecision(Box::new(record))).await
}

/// Proposes, and waits until this node shows what was written.
async fn propose(node: &Node, command: &Command) -> Result<Written, Status> {
    let (index, reply) = node.propose(command).await.map_err(|error| from_raft(&error))?;
    let written = match reply {
        Reply::Written(written) => written,
        Reply::Refused(refusal) => return Err(from_refusal(refusal)),
        _ => return Err(Status::internal("the log answered something else than an entry")),
    };
    let waited = node.raft().wait_applied(index, super::APPLY_WITHIN).await;
    waited.map_err(|error| from_raft(&error))?;
    Ok(written)
}

/// The decision with all that followed from it, the decision first.
pub(crate) async fn find(node: &Node, id: &str) -> Result<(Arc<Entry>, Vec<Arc<Entry>>), Status> {
    if id.is_empty() {
        return Err(Status::invalid_argument("say which decision: decision_id is empty"));
    }
    let entries = entries_of(node, id).await?;
    match entries.first() {
        Some(first) if first.decision().is_some() => Ok((Arc::clone(first), entries)),
        _ => Err(Status::not_found(format!("no decision {id:?}"))),
    }
}

pub(crate) async fn review(node: &Node, request: RecordReviewRequest) -> Result<Decision, Status> {
    let RecordReviewRequest { decision_id, reviewer, verdict, reason } = request;
    plain("reviewer", &reviewer, NAME_BYTES_MAX)?;
    plain("reason", &reason, REASON_BYTES_MAX)?;
    if reviewer.trim().is_empty() {
        return Err(Status::invalid_argument("say who has looked at it: reviewer is empty"));
    }
    if !VERDICTS.contains(&verdict.as_str()) {
        return Err(Status::invalid_argument(format!(
            "unknown verdict {verdict:?}: one of {}",
            VERDICTS.join(", ")
        )));
    }
    if reason.trim().is_empty() {
        return Err(Status::invalid_argument("a review says why: reason is empty"));
    }
    let (first, _) = find(node, &decision_id).await?;
    let review = ReviewRecord {
        decision_id: decision_id.clone(),
        decision_seq: first.seq,
        decision_hash: first.hash,
        entity: first.entity().to_owned(),
        reviewer,
        verdict,
        reason,
    };
    propose(node, &Command::RecordReview(Box::new(review))).await?;
    let (_, entries) = find(node, &decision_id).await?;
    Ok(decision_message(&entries))
}

pub(crate) async fn outcome(
    node: &Node,
    request: RecordOutcomeRequest,
) -> Result<ObservedOutcome, Status> {
    plain("source", &request.source, NAME_BYTES_MAX)?;
    plain("outcome_id", &request.outcome_id, OUTCOME_ID_BYTES_MAX)?;
    if !request.observed.is_finite() {
        return Err(Status::invalid_argument("observed is a finite number: 0 or 1, or a value"));
    }
    let observed_us =
        if request.observed_us == 0 { node.raft().now_us() } else { request.observed_us };
    let found = foretold(node, &request).await?;
    let observed = ObservedRecord {
        observed: request.observed,
        observed_us,
        source: request.source.clone(),
        ..found
    };
    let groups = crate::watch::groups_of(node, &observed.entity);
    let (boxed, outcome_id) = (Box::new(observed.clone()), request.outcome_id);
    let command = if outcome_id.is_empty() {
        Command::RecordOutcome { observed: boxed, groups }
    } else {
        Command::RecordNamedOutcome { outcome_id, observed: boxed, groups }
    };
    let written = propose(node, &command).await?;
    // Where it had been said before: what was said then.
    let entry = node.machine().read().ledger.entry(written.seq).cloned();
    let message = match entry.as_deref().map(|entry| &entry.what) {
        Some(What::Outcome(said)) => observed_message(said),
        _ => observed_message(&observed),
    };
    Ok(ObservedOutcome { seq: written.seq, hash: written.hash.to_vec(), ..message })
}

/// What had been said before it came about.
async fn foretold(node: &Node, request: &RecordOutcomeRequest) -> Result<ObservedRecord, Status> {
    let of_decision = |entry: &Entry| {
        entry.decision().map(|decision| ObservedRecord {
            decision_id: decision.decision_id.clone(),
            entity: decision.entity.clone(),
            model: decision.model.clone(),
            version: decision.version.clone(),
            score: decision.score,
            scored_us: entry.at_us,
            ..ObservedRecord::default()
        })
    };
    if !request.decision_id.is_empty() {
        let (first, _) = find(node, &request.decision_id).await?;
        return of_decision(&first).ok_or_else(|| Status::not_found("no such decision"));
    }
    let RecordOutcomeRequest { entity, model, scored_us, .. } = request;
    if entity.is_empty() || model.is_empty() {
        return Err(Status::invalid_argument(
            "say what it is the outcome of: decision_id, or entity and model",
        ));
    }
    let before_us = if *scored_us == 0 { i64::MAX >> 1 } else { *scored_us };
    let decided = decision_before(node, entity, model, before_us).await?;
    let scored = score_before(node, entity, model, before_us).await?;
    let decided_us = decided.as_ref().map_or(i64::MIN, |entry| entry.at_us);
    let by_scorer = scored.filter(|(_, _, at_us)| *at_us > decided_us);
    let by_scorer = by_scorer.map(|(version, score, scored_us)| ObservedRecord {
        entity: entity.clone(),
        model: model.clone(),
        version,
        score,
        scored_us,
        ..ObservedRecord::default()
    });
    by_scorer.or_else(|| decided.as_ref().and_then(of_decision)).ok_or_else(|| {
        Status::not_found(format!("model {model:?} has said nothing about {entity:?} by then"))
    })
}

fn observed_message(of: &ObservedRecord) -> ObservedOutcome {
    ObservedOutcome {
        decision_id: of.decision_id.clone(),
        entity: of.entity.clone(),
        model: of.model.clone(),
        version: of.version.clone(),
        score: of.score,
        scored_us: of.scored_us,
        observed: of.observed,
        observed_us: of.observed_us,
        source: of.source.clone(),
        ..ObservedOutcome::default()
    }
}

pub(crate) fn score_message(record: &DecisionRecord) -> ScoreResponse {
    ScoreResponse {
        entity: record.entity.clone(),
        model: record.model.clone(),
        version: record.version.clone(),
        model_sha256: crate::hex::decode32(&record.model_sha256).unwrap_or_default().to_vec(),
        score: record.score,
        band: record.band.clone(),
        contributions: record
            .contributions
            .iter()
            .map(|each| contribution(&each.feature, each.value, each.contribution, None))
            .collect(),
        base: record.base,
        link: record.link.clone(),
        log_index: record.read_index,
        decision_id: record.decision_id.clone(),
        ..ScoreResponse::default()
    }
}

/// Adds the manifest's reasons to what each feature did.
pub(crate) fn put_in_words(message: &mut Decision, manifest: &Manifest) {
    for part in message.score.iter_mut().flat_map(|score| &mut score.contributions) {
        *part = contribution(&part.feature, part.value, part.contribution, Some(manifest));
    }
}

/// What the newest review made of it.
fn reviewed(verdict: &str) -> &'static str {
    match verdict {
        "uphold" => "upheld",
        "overturn" => "overturned",
        _ => "referred",
    }
}

pub(crate) fn decision_message(entries: &[Arc<Entry>]) -> Decision {
    let mut message = Decision::default();
    for entry in entries {
        match &entry.what {
            What::Decision(record) => message = made_message(entry, record),
            What::Review(review) => {
                reviewed(&review.verdict).clone_into(&mut message.outcome);
                message.human_reviewer.clone_from(&review.reviewer);
                // Who refers it to somebody else has not decided it.
                message.needs_review =
                    message.effect == EFFECT_BENEFIT && review.verdict == "refer";
                message.reviews.push(Review {
                    reviewer: review.reviewer.clone(),
                    verdict: review.verdict.clone(),
                    reason: review.reason.clone(),
                    reviewed_us: entry.at_us,
                    seq: entry.seq,
                    hash: entry.hash.to_vec(),
                });
            }
            What::Outcome(observed) => message.outcomes.push(ObservedOutcome {
                seq: entry.seq,
                hash: entry.hash.to_vec(),
                ..observed_message(observed)
            }),
        }
    }
    message
}

fn made_message(entry: &Entry, record: &DecisionRecord) -> Decision {
    Decision {
        decision_id: record.decision_id.clone(),
        score: Some(score_message(record)),
        features: record
            .features
            .iter()
            .map(|reading| FeatureReading {
                feature: reading.feature.clone(),
                value: f64::from(reading.value),
                event_time_us: reading.event_time_us,
                status: reading.status.clone(),
            })
            .collect(),
        caller: record.caller.clone(),
        purpose: record.purpose.clone(),
        decided_us: entry.at_us,
        policy: record.policy.clone(),
        outcome: record.outcome.clone(),
        human_reviewer: record.human_reviewer.clone(),
        previous_hash: entry.previous_hash.to_vec(),
        hash: entry.hash.to_vec(),
        seq: entry.seq,
        log_index: entry.log_index,
        effect: record.effect.clone(),
        needs_review: record.effect == EFFECT_BENEFIT,
        package_sha256: record.package_sha256.clone(),
        view: record.view.clone(),
        view_fingerprint: record.view_fingerprint.clone(),
        as_of_us: record.as_of_us,
        ..Decision::default()
    }
}
