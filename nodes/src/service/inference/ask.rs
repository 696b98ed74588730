//! How a request wants to be treated: how urgent it is, until when, and how new a state it needs.

use super::parameters::{self, whole};
use crate::node::Node;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest};
use crate::service::deadline::nearer;
use crate::service::reading::reach_by;
use crate::service::status::from_raft;
use models::Priority;
use raft::ReadLevel;
use std::time::Instant;
use tonic::Status;

/// What the parameters of a request and its call say of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ask {
    priority: Option<Priority>,
    pub(super) deadline: Option<Instant>,
    min_log_index: u64,
}

impl Ask {
    /// `deadline` is the call's own.
    pub(super) fn of(
        request: &ModelInferRequest,
        deadline: Option<Instant>,
    ) -> Result<Self, Status> {
        if request.parameters.is_empty() {
            return Ok(Self { deadline, ..Self::default() });
        }
        let timeout = parameters::timeout(request)?;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let min_log_index = request.parameters.get("min_log_index").map_or(Some(0), number);
        let wrong = || Status::invalid_argument("parameter min_log_index must be a whole number");
        Ok(Self {
            priority: priority(request)?,
            deadline: nearer(deadline, until),
            min_log_index: min_log_index.ok_or_else(wrong)?,
        })
    }

    /// A request may be less urgent than its model, never more.
    pub(super) fn priority(&self, own: Priority) -> Priority {
        self.priority.map_or(own, |asked| asked.max(own))
    }

    /// Waits until the state is as new as it has to be.
    pub(super) async fn reach(&self, node: &Node) -> Result<(), Status> {
        if self.min_log_index > 0 {
            let level = ReadLevel::AtLeast(self.min_log_index);
            reach_by(node, level, self.deadline).await.map_err(|error| from_raft(&error))?;
        }
        Ok(())
    }
}

fn priority(request: &ModelInferRequest) -> Result<Option<Priority>, Status> {
    let Some(parameter) = request.parameters.get("priority") else { return Ok(None) };
    let wrong = |said: String| Status::invalid_argument(format!("parameter priority: {said}"));
    match (&parameter.parameter_choice, whole(parameter)) {
        (_, Some(level)) => Ok(Priority::of_level(level)),
        (Some(ParameterChoice::StringParam(text)), None) => text
            .parse()
            .map(Some)
            .map_err(|error: models::UnknownPriority| wrong(error.to_string())),
        _ => Err(wrong("it is safety, normal or batch, or a number from 0".to_owned())),
    }
}

/// Clients without 64-bit numbers write them as text.
fn number(parameter: &InferParameter) -> Option<u64> {
    match &parameter.parameter_choice {
        Some(ParameterChoice::StringParam(text)) => text.parse().ok(),
        _ => whole(parameter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ask(name: &str, choice: ParameterChoice) -> Result<Ask, Status> {
        let parameters = [(name.to_owned(), parameters::of(choice))].into();
        Ask::of(&ModelInferRequest { parameters, ..Default::default() }, None)
    }

    fn asked(choice: ParameterChoice, own: Priority) -> Priority {
        ask("priority", choice).unwrap().priority(own)
    }

    #[test]
    fn a_request_lowers_its_priority_and_never_raises_it() {
        let text = |text: &str| ParameterChoice::StringParam(text.to_owned());
        assert_eq!(asked(text("batch"), Priority::Safety), Priority::Batch);
        assert_eq!(asked(text("safety"), Priority::Batch), Priority::Batch);
        assert_eq!(asked(ParameterChoice::Uint64Param(2), Priority::Safety), Priority::Normal);
        assert_eq!(asked(ParameterChoice::Uint64Param(0), Priority::Safety), Priority::Safety);
        assert_eq!(asked(ParameterChoice::Int64Param(9), Priority::Normal), Priority::Batch);
        for wrong in [text("urgent"), ParameterChoice::BoolParam(true)] {
            let said = ask("priority", wrong).unwrap_err();
            assert!(said.message().contains("safety, normal or batch"), "{said}");
        }
    }

    #[test]
    fn the_nearer_deadline_and_the_index_count() {
        let timeout = ask("timeout", ParameterChoice::Int64Param(1_000_000)).unwrap();
        assert!(timeout.deadline.unwrap() <= Instant::now() + Duration::from_secs(1));
        let text = ask("min_log_index", ParameterChoice::StringParam("17".into())).unwrap();
        assert_eq!((text.min_log_index, text.deadline), (17, None));
        assert!(ask("min_log_index", ParameterChoice::StringParam("new".into())).is_err());
        assert!(ask("min_log_index", ParameterChoice::Int64Param(-1)).is_err());
    }
}
