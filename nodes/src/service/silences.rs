//! What people work on, silenced for a time.

use super::status::{from_raft, from_refusal};
use crate::node::Node;
use crate::proto::hearth::{BeginSilenceRequest, EndSilenceRequest, ListSilencesResponse, Silence};
use crate::state::{Command, PlaceSilence, Reply, Scope, SilenceMode, SilenceWanted};
use tonic::Status;

pub(super) async fn begin(node: &Node, request: BeginSilenceRequest) -> Result<Silence, Status> {
    let unknown = |what: &str, text: &str, words: &[&str]| {
        let said = format!("unknown {what} {text:?}: one of {}", words.join(", "));
        Status::invalid_argument(said)
    };
    let scope = Scope::parse(&request.scope)
        .ok_or_else(|| unknown("scope", &request.scope, Scope::WORDS))?;
    let mode = SilenceMode::parse(&request.mode)
        .ok_or_else(|| unknown("mode", &request.mode, SilenceMode::WORDS))?;
    let wanted = SilenceWanted {
        scope,
        key: request.key,
        kinds: request.kinds,
        mode,
        for_s: request.for_s,
        actor: request.actor,
        reason: request.reason,
        request_id: request.request_id,
    };
    propose(node, &Command::BeginSilence(Box::new(wanted))).await
}

pub(super) async fn end(node: &Node, request: EndSilenceRequest) -> Result<Silence, Status> {
    let EndSilenceRequest { silence_id, actor, reason } = request;
    propose(node, &Command::EndSilence { silence_id, actor, reason }).await
}

pub(crate) fn list(node: &Node) -> ListSilencesResponse {
    let state = node.machine().read();
    ListSilencesResponse { silences: state.casework.silences.iter().map(message).collect() }
}

async fn propose(node: &Node, command: &Command) -> Result<Silence, Status> {
    let (_, reply) = node.propose(command).await.map_err(|error| from_raft(&error))?;
    match reply {
        Reply::Silence(silence) => Ok(message(&silence)),
        Reply::Refused(refusal) => Err(from_refusal(refusal)),
        _ => Err(Status::internal("the log answered something else than a silence")),
    }
}

fn message(silence: &PlaceSilence) -> Silence {
    let wanted = &silence.wanted;
    Silence {
        silence_id: silence.silence_id.clone(),
        scope: wanted.scope.as_str().to_owned(),
        key: wanted.key.clone(),
        kinds: wanted.kinds.clone(),
        mode: wanted.mode.as_str().to_owned(),
        actor: wanted.actor.clone(),
        reason: wanted.reason.clone(),
        from_us: silence.from_us,
        until_us: silence.until_us,
        hazards_until_us: silence.hazards_until_us,
        cases: silence.cases,
    }
}
