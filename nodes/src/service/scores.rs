//! Scores by entity, and the decisions made from them.

use super::reading::reach;
use super::status::{from_raft, from_refusal, from_serving};
use crate::node::Node;
use crate::proto::hearth::scores_server::Scores;
use crate::proto::hearth::{
    Decision, FeatureReading, GetDecisionRequest, ReplayResponse, ScoreManyRequest, ScoreRequest,
    ScoreResponse,
};
use crate::serving::{Loaded, Scored, contributions};
use crate::state::{Command, DecisionRecord, Reply};
use futures::stream::{BoxStream, StreamExt as _};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

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
        explain: bool,
    ) -> Result<(Arc<Loaded>, Scored), Status> {
        let serving = self.node.serving();
        let loaded = serving
            .resolve(&self.node.machine().read(), model, version)
            .map_err(|error| from_serving(&error))?;
        let scored = {
            let state = self.node.machine().read();
            serving.read_row(&state, &loaded, entity).map_err(|error| from_serving(&error))?
        };
        let scored =
            serving.score_row(&loaded, scored, explain).map_err(|error| from_serving(&error))?;
        Ok((loaded, scored))
    }

    async fn write_down(
        &self,
        loaded: &Loaded,
        scored: &Scored,
        caller: String,
        purpose: String,
    ) -> Result<DecisionRecord, Status> {
        let record = DecisionRecord {
            decision_id: self.node.fresh_id("d"),
            caller,
            purpose,
            policy: loaded.policy(),
            ..scored.to_record(loaded)
        };
        let command = Command::RecordDecision(Box::new(record));
        match self.node.propose(&command).await.map_err(|error| from_raft(&error))? {
            (_, Reply::Decision(record)) => Ok(*record),
            (_, Reply::Refused(refusal)) => Err(from_refusal(refusal)),
            _ => Err(Status::internal("the log answered something else than a decision")),
        }
    }

    fn decision(&self, id: &str) -> Result<DecisionRecord, Status> {
        let state = self.node.machine().read();
        let found = state.ledger.get(id).cloned();
        found.ok_or_else(|| {
            Status::not_found(format!(
                "no decision {id:?}: only those made with record=true are kept"
            ))
        })
    }
}

#[tonic::async_trait]
impl Scores for ScoresService {
    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let caller =
            request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        let default = match request.get_ref().min_log_index {
            0 => ReadLevel::Local,
            index => ReadLevel::AtLeast(index),
        };
        reach(&self.node, request.metadata(), default).await?;
        let request = request.into_inner();
        let explain = request.explain || request.record;
        let (loaded, scored) =
            self.run(&request.model, &request.version, &request.entity, explain)?;
        if let Some(reason) = scored.unexplained.as_ref().filter(|_| request.explain) {
            return Err(Status::failed_precondition(reason.clone()));
        }
        let mut response = scored.to_message(&loaded);
        if request.record {
            response.decision_id =
                self.write_down(&loaded, &scored, caller, request.purpose).await?.decision_id;
        }
        Ok(Response::new(response))
    }

    type ScoreManyStream = BoxStream<'static, Result<ScoreResponse, Status>>;

    async fn score_many(
        &self,
        request: Request<ScoreManyRequest>,
    ) -> Result<Response<Self::ScoreManyStream>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let request = request.into_inner();
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
        let answers = futures::stream::iter(request.entities).map(move |entity| {
            match this.run(&request.model, &request.version, &entity, request.explain) {
                Ok((loaded, scored)) => Ok(scored.to_message(&loaded)),
                Err(status) => Ok(ScoreResponse {
                    entity,
                    error: status.message().to_owned(),
                    ..Default::default()
                }),
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn get_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let record = self.decision(&request.into_inner().decision_id)?;
        Ok(Response::new(decision_message(&record)))
    }

    async fn replay_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<ReplayResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let record = self.decision(&request.into_inner().decision_id)?;
        let replayed = self.node.serving().replay(&record).map_err(|error| from_serving(&error))?;
        let same_bits = replayed.to_bits() == record.score.to_bits();
        let difference = match same_bits {
            true if record.chained_hash() == record.hash => String::new(),
            true => "the record does not match its hash".to_owned(),
            false => format!("recorded {:?}, replayed {replayed:?}", record.score),
        };
        let identical = difference.is_empty();
        let replayed = ScoreResponse { score: replayed, ..score_message(&record) };
        Ok(Response::new(ReplayResponse { identical, replayed: Some(replayed), difference }))
    }
}

fn score_message(record: &DecisionRecord) -> ScoreResponse {
    ScoreResponse {
        entity: record.entity.clone(),
        model: record.model.clone(),
        version: record.version.clone(),
        model_sha256: crate::hex::decode32(&record.model_sha256).unwrap_or_default().to_vec(),
        score: record.score,
        band: record.band.clone(),
        contributions: contributions(&record.contributions, None),
        base: record.base,
        link: record.link.clone(),
        log_index: record.read_index,
        decision_id: record.decision_id.clone(),
        ..Default::default()
    }
}

fn decision_message(record: &DecisionRecord) -> Decision {
    Decision {
        decision_id: record.decision_id.clone(),
        score: Some(score_message(record)),
        features: record
            .features
            .iter()
            .map(|(feature, value, event_time_us, status)| FeatureReading {
                feature: feature.clone(),
                value: f64::from(*value),
                event_time_us: *event_time_us,
                status: status.clone(),
            })
            .collect(),
        caller: record.caller.clone(),
        purpose: record.purpose.clone(),
        decided_us: record.decided_us,
        policy: record.policy.clone(),
        outcome: record.outcome.clone(),
        human_reviewer: record.human_reviewer.clone(),
        previous_hash: record.previous_hash.to_vec(),
        hash: record.hash.to_vec(),
    }
}
