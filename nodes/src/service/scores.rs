//! Scores by entity, and the decisions made from them.

use super::deadline;
use super::decisions::{self, Asked, caller_of, decision_message, find, score_message};
use super::reading::reach;
use super::status::from_serving;
use crate::admission::Permit;
use crate::audit;
use crate::node::Node;
use crate::proto::hearth::scores_server::Scores;
use crate::proto::hearth::{
    Decision, GetDecisionRequest, LedgerHead, LedgerHeadRequest, LedgerPart, ModelWatch,
    ObservedOutcome, ReadLedgerRequest, RecordOutcomeRequest, RecordReviewRequest, ReplayResponse,
    ScoreManyRequest, ScoreRequest, ScoreResponse, WatchRequest,
};
use crate::serving::{Beside, Loaded, Replayed, Scored, Sent, replay, version_of};
use crate::state::Entry;
use crate::watch;
use futures::stream::{BoxStream, StreamExt as _};
use models::Priority;
use raft::ReadLevel;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Parts of the ledger on their way to a reader.
const PARTS_AHEAD: usize = 4;

/// Entities of one request that are scored in one turn: well under a millisecond.
const ENTITIES_PER_TURN: usize = 64;

#[derive(Clone, Debug)]
pub struct ScoresService {
    node: Arc<Node>,
}

impl ScoresService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn run(
        &self,
        model: &str,
        version: &str,
        entity: &str,
        (explain, request): (bool, &HashMap<String, f64>),
    ) -> Result<(Arc<Loaded>, Scored), Status> {
        let serving = self.node.serving();
        // Version and row are of one index.
        let (routed, loaded, row, sent) = {
            let state = self.node.machine().read();
            let routed =
                serving.route(&state, model, version).map_err(|error| from_serving(&error))?;
            let loaded = routed.of(entity.as_bytes()).map_err(|error| from_serving(&error))?;
            let loaded = Arc::clone(loaded);
            let sent = sent(&loaded, request).map_err(Status::invalid_argument)?;
            let row = serving.read_row(&state, &loaded, (entity, sent.row(0)));
            (routed, loaded, row.map_err(|error| from_serving(&error))?, sent)
        };
        let begun = Instant::now();
        let scored =
            serving.score_row(&loaded, row, explain).map_err(|error| from_serving(&error))?;
        let (values, scores) = (&scored.row.vector.values, &[scored.score as f32][..]);
        let took = begun.elapsed();
        let (routed, sent) = (&routed, &sent);
        let beside = Beside { routed, answered: &loaded, values, scores, sent, took };
        serving.shade(&beside, std::iter::once(entity));
        Ok((loaded, scored))
    }

    /// Waits for the call's turn, by the model's priority or a lower one that is asked for.
    async fn turn(
        &self,
        (model, version): (&str, &str),
        asked: Priority,
        deadline: Option<Instant>,
    ) -> Result<Permit<'_>, Status> {
        let loaded = self.node.serving().resolve(&self.node.machine().read(), model, version);
        let loaded = loaded.map_err(|error| from_serving(&error))?;
        let priority = asked.max(loaded.manifest().priority);
        let entered = self.node.gate().enter(priority, deadline).await;
        entered.map_err(|refused| from_serving(&refused.into()))
    }
}

/// What came with a call, as the model's view takes it.
fn sent(loaded: &Loaded, request: &HashMap<String, f64>) -> Result<Sent, String> {
    let Some(view) = loaded.view() else { return Ok(Sent::default()) };
    let mut columns: Vec<_> =
        request.iter().map(|(name, value)| (name.as_str(), vec![*value])).collect();
    columns.sort_by_key(|(name, _)| *name);
    let sent = Sent::of(view, 1, &columns)?;
    sent.check(view).map(|()| sent)
}

#[tonic::async_trait]
impl Scores for ScoresService {
    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let caller = caller_of(&request);
        let default = match request.get_ref().min_log_index {
            0 => ReadLevel::Local,
            index => ReadLevel::AtLeast(index),
        };
        let deadline = deadline::of(request.metadata());
        reach(&self.node, request.metadata(), default).await?;
        let request = request.into_inner();
        let asked = priority(&request.priority, Priority::Safety)?;
        let _permit = self.turn((&request.model, &request.version), asked, deadline).await?;
        let explain = request.explain || request.record;
        let (loaded, scored) = self.run(
            &request.model,
            &request.version,
            &request.entity,
            (explain, &request.request),
        )?;
        if let Some(reason) = scored.unexplained.as_ref().filter(|_| request.explain) {
            return Err(Status::failed_precondition(reason.clone()));
        }
        let mut response = scored.to_message(&loaded);
        if request.readings {
            response.readings = scored.readings();
        }
        if request.record {
            let asked = Asked { caller, purpose: request.purpose, reviewer: request.reviewer };
            let record = scored.to_record(&loaded);
            let written = decisions::write_down(&self.node, record, &asked).await?;
            response.decision_id = written.decision_id;
        }
        Ok(Response::new(response))
    }

    type ScoreManyStream = BoxStream<'static, Result<ScoreResponse, Status>>;

    async fn score_many(
        &self,
        request: Request<ScoreManyRequest>,
    ) -> Result<Response<Self::ScoreManyStream>, Status> {
        let deadline = deadline::of(request.metadata());
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let request = request.into_inner();
        // Of many answers none is urgent by itself.
        let asked = priority(&request.priority, Priority::Normal)?;
        let limit = self.node.config().limits.entities_per_request;
        if request.entities.len() > limit {
            let said = format!(
                "a request may name {limit} entities, this one names {}",
                request.entities.len()
            );
            return Err(Status::invalid_argument(said));
        }
        let this = self.clone();
        // A wrong model is one error for all; a wrong entity is said in its own answer.
        self.node
            .serving()
            .resolve(&self.node.machine().read(), &request.model, &request.version)
            .map_err(|error| from_serving(&error))?;
        let (model, version, explain) = (request.model, request.version, request.explain);
        let of = Arc::new((this, model, version, request.request));
        let answers = futures::stream::iter(request.entities.into_iter().enumerate());
        let answers = answers.then(move |(at, entity)| {
            let of = Arc::clone(&of);
            async move {
                let (this, model, version, sent) = &*of;
                if at.is_multiple_of(ENTITIES_PER_TURN) {
                    this.turn((model, version), asked, deadline).await?;
                }
                match this.run(model, version, &entity, (explain, sent)) {
                    Ok((loaded, scored)) => Ok(scored.to_message(&loaded)),
                    Err(status) => Ok(ScoreResponse {
                        entity,
                        error: status.message().to_owned(),
                        ..Default::default()
                    }),
                }
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn get_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let (entry, entries) = find(&self.node, &request.into_inner().decision_id).await?;
        let mut message = decision_message(&entries);
        if let Some(record) = entry.decision() {
            // Without its package a decision has its numbers, but no words for them.
            if let Ok(loaded) = version_of(&self.node, record).await {
                decisions::put_in_words(&mut message, loaded.manifest());
            }
        }
        Ok(Response::new(message))
    }

    async fn replay_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<ReplayResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let (entry, _) = find(&self.node, &request.into_inner().decision_id).await?;
        let Some(record) = entry.decision() else {
            return Err(Status::internal("a decision is none"));
        };
        let loaded = version_of(&self.node, record).await.map_err(|error| from_serving(&error))?;
        let replayed = replay(&loaded, record).map_err(|error| from_serving(&error))?;
        let difference = difference(&entry, &replayed);
        let identical = difference.is_empty();
        let replayed =
            ScoreResponse { score: replayed.score, band: replayed.band, ..score_message(record) };
        Ok(Response::new(ReplayResponse { identical, replayed: Some(replayed), difference }))
    }

    async fn record_review(
        &self,
        request: Request<RecordReviewRequest>,
    ) -> Result<Response<Decision>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        decisions::review(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn record_outcome(
        &self,
        request: Request<RecordOutcomeRequest>,
    ) -> Result<Response<ObservedOutcome>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        decisions::outcome(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn get_ledger_head(
        &self,
        request: Request<LedgerHeadRequest>,
    ) -> Result<Response<LedgerHead>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        Ok(Response::new(audit::head(&self.node)))
    }

    type ReadLedgerStream = BoxStream<'static, Result<LedgerPart, Status>>;

    async fn read_ledger(
        &self,
        request: Request<ReadLedgerRequest>,
    ) -> Result<Response<Self::ReadLedgerStream>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let (to, parts) = mpsc::channel(PARTS_AHEAD);
        tokio::spawn(audit::walk(Arc::clone(&self.node), request.into_inner(), to));
        Ok(Response::new(ReceiverStream::new(parts).boxed()))
    }

    async fn get_watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<ModelWatch>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        watch::message(&self.node, &request.into_inner()).await.map(Response::new)
    }
}

/// What a decision says now that it did not say then; empty where every bit is the same.
fn difference(entry: &Entry, replayed: &Replayed) -> String {
    let Some(record) = entry.decision() else { return "it is no decision".to_owned() };
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let recorded: Vec<f64> = record.contributions.iter().map(|each| each.contribution).collect();
    let made = crate::state::ledger::link(&entry.previous_hash, &entry.content_digest());
    if replayed.score.to_bits() != record.score.to_bits() {
        format!("recorded score {:?}, replayed {:?}", record.score, replayed.score)
    } else if replayed.band != record.band {
        format!("recorded band {:?}, replayed {:?}", record.band, replayed.band)
    } else if bits(&recorded) != bits(&replayed.contributions)
        || (!recorded.is_empty() && record.base.to_bits() != replayed.base.to_bits())
    {
        "the score is the same, its contributions are not".to_owned()
    } else if made != entry.hash {
        "the record does not match its hash".to_owned()
    } else {
        String::new()
    }
}

/// The priority that is asked for; `open` where none is.
fn priority(text: &str, open: Priority) -> Result<Priority, Status> {
    if text.is_empty() {
        return Ok(open);
    }
    let asked: Result<Priority, models::UnknownPriority> = text.parse();
    asked.map(|asked| asked.max(open)).map_err(|error| Status::invalid_argument(error.to_string()))
}
