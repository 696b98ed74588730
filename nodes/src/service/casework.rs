//! The configuration of casework as text, and the notices on their way.

use super::status::{from_raft, from_refusal};
use crate::node::Node;
use crate::proto::hearth::{
    Linkage, ListNoticesRequest, ListNoticesResponse, ListRostersResponse, Notice, Roster,
    SetLinkageRequest, SetRosterRequest,
};
use crate::state::{self, Command, Reply};
use serde::de::DeserializeOwned;
use tonic::Status;

/// Longest text of a configuration, in bytes.
const TOML_BYTES_MAX: usize = 1 << 20;
/// Notices in one answer.
const NOTICES_MAX: usize = 1_000;
const ACTOR_BYTES_MAX: usize = 128;

pub(super) fn linkage(node: &Node) -> Result<Linkage, Status> {
    linkage_message(&node.machine().read().casework.linkage)
}

pub(super) async fn set_linkage(
    node: &Node,
    request: SetLinkageRequest,
) -> Result<Linkage, Status> {
    check_actor(&request.actor)?;
    let linkage: state::Linkage = parse("linkage", &request.toml)?;
    let message = linkage_message(&linkage)?;
    let command = Command::SetLinkage { linkage: Box::new(linkage), actor: request.actor };
    propose(node, &command).await?;
    Ok(message)
}

pub(super) fn rosters(node: &Node) -> Result<ListRostersResponse, Status> {
    let state = node.machine().read();
    let rosters = state.casework.rosters.iter().map(|roster| roster_message(&state, roster));
    Ok(ListRostersResponse { rosters: rosters.collect::<Result<_, _>>()? })
}

pub(super) async fn set_roster(node: &Node, request: SetRosterRequest) -> Result<Roster, Status> {
    check_actor(&request.actor)?;
    let roster: state::Roster = parse("roster", &request.toml)?;
    let command = Command::SetRoster { roster: Box::new(roster.clone()), actor: request.actor };
    propose(node, &command).await?;
    roster_message(&node.machine().read(), &roster)
}

pub(super) fn notices(node: &Node, request: &ListNoticesRequest) -> ListNoticesResponse {
    let state = node.machine().read();
    let outbox = &state.casework.outbox;
    let limit = match request.limit as usize {
        0 => NOTICES_MAX,
        limit => limit.min(NOTICES_MAX),
    };
    let notices = if request.alert_id.is_empty() {
        outbox.ready(i64::MAX).take(limit).map(|notice| notice_message(notice)).collect()
    } else {
        outbox.of_alert(&request.alert_id).take(limit).map(notice_message).collect()
    };
    ListNoticesResponse {
        notices,
        waiting: outbox.len() as u64,
        delivered: outbox.delivered,
        dead: outbox.dead,
        withdrawn: outbox.withdrawn,
        refused: outbox.refused,
    }
}

fn check_actor(actor: &str) -> Result<(), Status> {
    if actor.is_empty() || actor.len() > ACTOR_BYTES_MAX {
        let said = format!("say who changes it: actor has 1 to {ACTOR_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(said));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Status> {
    if text.len() > TOML_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "a {what} may have {TOML_BYTES_MAX} bytes, it has {}",
            text.len()
        )));
    }
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1)
        });
        let said = error.message().replace('\n', " ");
        Status::invalid_argument(format!("{what}, line {line}: {said}"))
    })
}

async fn propose(node: &Node, command: &Command) -> Result<(), Status> {
    let (_, reply) = node.propose(command).await.map_err(|error| from_raft(&error))?;
    match reply {
        Reply::Done => Ok(()),
        Reply::Refused(refusal) => Err(from_refusal(refusal)),
        _ => Err(Status::internal("the log answered something else")),
    }
}

fn linkage_message(linkage: &state::Linkage) -> Result<Linkage, Status> {
    let toml = toml::to_string(linkage).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Linkage { version: linkage.version, toml })
}

fn roster_message(state: &state::State, roster: &state::Roster) -> Result<Roster, Status> {
    let toml = toml::to_string(roster).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Roster {
        level: roster.level,
        region: roster.region.clone(),
        version: roster.version,
        toml,
        on_duty: state.on_duty(roster),
    })
}

fn notice_message(notice: &state::Notice) -> Notice {
    Notice {
        notice_id: notice.notice_id.clone(),
        alert_id: notice.alert_id.clone(),
        level: notice.level,
        person: notice.person.clone(),
        role: notice.role.clone(),
        what: notice.what.clone(),
        attempts: notice.attempts,
        at_us: notice.at_us,
        next_us: notice.next_us,
    }
}
