//! Alert rules: the set in force, a new one, and those before.

use super::reading::reach;
use super::status::{from_raft, from_refusal};
use crate::node::Node;
use crate::proto::hearth::rules_server::Rules;
use crate::proto::hearth::{
    GetRulesRequest, PushRulesRequest, RuleSet, RulesHistory, RulesHistoryRequest,
};
use crate::state::{self, Command, Reply, RulePush, RuleVersion};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Longest actor or note, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;

#[derive(Clone, Debug)]
pub struct RulesService {
    node: Arc<Node>,
}

impl RulesService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn in_force(&self) -> RuleSet {
        let state = self.node.machine().read();
        let last = state.rule_history.iter().next_back();
        match last.filter(|last| last.version == state.rules.version) {
            Some(last) => message(last),
            // The set of the program, or one from before sets were text.
            None => RuleSet {
                version: state.rules.version,
                text: state.rules.to_text(),
                ..RuleSet::default()
            },
        }
    }
}

#[tonic::async_trait]
impl Rules for RulesService {
    async fn get(&self, request: Request<GetRulesRequest>) -> Result<Response<RuleSet>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let version = request.into_inner().version;
        let in_force = self.in_force();
        if version == 0 || version == in_force.version {
            return Ok(Response::new(in_force));
        }
        let state = self.node.machine().read();
        let found = state.rule_history.iter().find(|each| each.version == version).map(message);
        found.map(Response::new).ok_or_else(|| {
            let said = format!("no rules of version {version}: see `hearth rules history`");
            Status::not_found(said)
        })
    }

    async fn push(&self, request: Request<PushRulesRequest>) -> Result<Response<RuleSet>, Status> {
        let request = request.into_inner();
        if request.actor.is_empty() {
            return Err(Status::invalid_argument("say who pushes: actor is empty"));
        }
        if request.actor.len() > TEXT_BYTES_MAX || request.note.len() > TEXT_BYTES_MAX {
            let said = format!("actor and note may have {TEXT_BYTES_MAX} bytes each");
            return Err(Status::invalid_argument(said));
        }
        let rules = state::Rules::parse(&request.text).map_err(Status::invalid_argument)?;
        let push = RulePush::new(&rules, &request.actor, &request.note);
        let command = Command::PushRules(Box::new(push));
        let (index, reply) =
            self.node.propose(&command).await.map_err(|error| from_raft(&error))?;
        match reply {
            Reply::Done => Ok(Response::new(RuleSet {
                version: rules.version,
                text: rules.to_text(),
                actor: request.actor,
                note: request.note,
                at_us: 0,
                log_index: index,
            })),
            Reply::Refused(refusal) => Err(from_refusal(refusal)),
            _ => Err(Status::internal("the log answered something else than that it is done")),
        }
    }

    async fn history(
        &self,
        request: Request<RulesHistoryRequest>,
    ) -> Result<Response<RulesHistory>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let state = self.node.machine().read();
        let sets = state.rule_history.iter().rev().map(message).collect();
        Ok(Response::new(RulesHistory { sets }))
    }
}

fn message(version: &RuleVersion) -> RuleSet {
    RuleSet {
        version: version.version,
        text: version.text.clone(),
        actor: version.actor.clone(),
        note: version.note.clone(),
        at_us: version.at_us,
        log_index: version.log_index,
    }
}
