//! Alerts out, actions in.

use super::convert::alert_message;
use super::reading::reach;
use super::status::{from_raft, from_refusal};
use super::{casework, family_feed, silences};
use crate::node::Node;
use crate::proto::hearth::alerts_server::Alerts;
use crate::proto::hearth::{
    ActRequest, Alert, BeginSilenceRequest, EndSilenceRequest, FamilyFeedRequest, FamilyUpdate,
    GetLinkageRequest, Linkage, ListAlertsRequest, ListAlertsResponse, ListNoticesRequest,
    ListNoticesResponse, ListRostersRequest, ListRostersResponse, ListSilencesRequest,
    ListSilencesResponse, Roster, SetLinkageRequest, SetRosterRequest, Silence, WatchAlertsRequest,
};
use crate::state::{self, Action, CaseStep, Command, Reply, Work};
use futures::stream::BoxStream;
use raft::ReadLevel;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Alerts in one answer unless the caller says less.
const LIST_MAX: usize = 1_000;
/// Alerts waiting for a slow watcher; more wait in the state.
const WATCH_QUEUE: usize = 256;
/// Longest text of an action's note, actor or outcome, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;

#[derive(Clone, Debug)]
pub struct AlertsService {
    node: Arc<Node>,
}

impl AlertsService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Alerts for AlertsService {
    async fn list(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let request = request.into_inner();
        if let Some(unknown) = request.states.iter().find(|word| Work::parse(word).is_none()) {
            let said = format!("unknown state {unknown:?}: one of {}", Work::WORDS.join(", "));
            return Err(Status::invalid_argument(said));
        }
        let limit = match request.limit as usize {
            0 => LIST_MAX,
            limit => limit.min(LIST_MAX),
        };
        let state = self.node.machine().read();
        // Newest first; the page is the id to go on below.
        let mut found = state
            .alerts
            .iter()
            .rev()
            .filter(|alert| request.page.is_empty() || alert.alert_id < request.page)
            .filter(|alert| alert.region.starts_with(&request.region))
            .filter(|alert| request.alert_id.is_empty() || alert.alert_id == request.alert_id)
            .filter(|alert| {
                request.states.is_empty()
                    || request.states.iter().any(|word| word == alert.work.as_str())
            });
        let alerts: Vec<Alert> = found.by_ref().take(limit).map(alert_message).collect();
        let next_page = match (found.next(), alerts.last()) {
            (Some(_), Some(last)) => last.alert_id.clone(),
            _ => String::new(),
        };
        Ok(Response::new(ListAlertsResponse { alerts, next_page }))
    }

    type WatchStream = BoxStream<'static, Result<Alert, Status>>;

    async fn watch(
        &self,
        request: Request<WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Local).await?;
        let request = request.into_inner();
        let (to, from) = mpsc::channel(WATCH_QUEUE);
        tokio::spawn(watch(Arc::clone(&self.node), request, to));
        Ok(Response::new(Box::pin(ReceiverStream::new(from).map(Ok))))
    }

    async fn act(&self, request: Request<ActRequest>) -> Result<Response<Alert>, Status> {
        let alert = act(&self.node, request.into_inner()).await?;
        Ok(Response::new(alert_message(&alert)))
    }

    type FamilyFeedStream = BoxStream<'static, Result<FamilyUpdate, Status>>;

    async fn family_feed(
        &self,
        request: Request<FamilyFeedRequest>,
    ) -> Result<Response<Self::FamilyFeedStream>, Status> {
        // A withdrawal that was acknowledged before the call holds in it.
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let feed = family_feed::open(&self.node, request.into_inner().relative_key)?;
        Ok(Response::new(Box::pin(feed)))
    }

    async fn get_linkage(
        &self,
        request: Request<GetLinkageRequest>,
    ) -> Result<Response<Linkage>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        casework::linkage(&self.node).map(Response::new)
    }

    async fn set_linkage(
        &self,
        request: Request<SetLinkageRequest>,
    ) -> Result<Response<Linkage>, Status> {
        casework::set_linkage(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn list_rosters(
        &self,
        request: Request<ListRostersRequest>,
    ) -> Result<Response<ListRostersResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        casework::rosters(&self.node).map(Response::new)
    }

    async fn set_roster(
        &self,
        request: Request<SetRosterRequest>,
    ) -> Result<Response<Roster>, Status> {
        casework::set_roster(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn begin_silence(
        &self,
        request: Request<BeginSilenceRequest>,
    ) -> Result<Response<Silence>, Status> {
        silences::begin(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn end_silence(
        &self,
        request: Request<EndSilenceRequest>,
    ) -> Result<Response<Silence>, Status> {
        silences::end(&self.node, request.into_inner()).await.map(Response::new)
    }

    async fn list_silences(
        &self,
        request: Request<ListSilencesRequest>,
    ) -> Result<Response<ListSilencesResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        Ok(Response::new(silences::list(&self.node)))
    }

    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        Ok(Response::new(casework::notices(&self.node, &request.into_inner())))
    }
}

pub(crate) async fn act(node: &Node, request: ActRequest) -> Result<state::Alert, Status> {
    let Some(action) = Action::parse(&request.action) else {
        let said =
            format!("unknown action {:?}: one of {}", request.action, Action::WORDS.join(", "));
        return Err(Status::invalid_argument(said));
    };
    if request.actor.is_empty() {
        return Err(Status::invalid_argument("say who acts: actor is empty"));
    }
    for (name, text) in [
        ("actor", &request.actor),
        ("note", &request.note),
        ("outcome", &request.outcome),
        ("action_id", &request.action_id),
        ("actor_role", &request.actor_role),
        ("assignee", &request.assignee),
        ("reference", &request.reference),
    ] {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "{name} may have {TEXT_BYTES_MAX} bytes, it has {}",
                text.len()
            )));
        }
    }
    let command = Command::StepCase(Box::new(CaseStep {
        alert_id: request.alert_id,
        action,
        actor: request.actor,
        actor_role: request.actor_role,
        note: request.note,
        outcome: request.outcome,
        action_id: request.action_id,
        assignee: request.assignee,
        reference: request.reference,
        happened_us: request.happened_us,
        silence_s: request.silence_s,
        into: request.into,
    }));
    let (_, reply) = node.propose(&command).await.map_err(|error| from_raft(&error))?;
    match reply {
        Reply::Alert(alert) => Ok(*alert),
        Reply::Refused(refusal) => Err(from_refusal(refusal)),
        _ => Err(Status::internal("the log answered something else than an alert")),
    }
}

/// Sends the current alerts, then every one that changes, until the watcher goes.
async fn watch(node: Arc<Node>, request: WatchAlertsRequest, to: mpsc::Sender<Alert>) {
    let mut applied = node.machine().watch_applied();
    let mut seen = request.from_log_index.saturating_sub(1);
    loop {
        let changed: Vec<Alert> = {
            let state = node.machine().read();
            let changed = state.alerts.changed_after(seen);
            let changed = changed
                .filter(|alert| alert.region.starts_with(&request.region))
                .map(alert_message)
                .collect();
            seen = seen.max(state.alerts.changed_index());
            changed
        };
        for alert in changed {
            if to.send(alert).await.is_err() {
                return;
            }
        }
        tokio::select! {
            moved = applied.changed() => if moved.is_err() { return },
            () = to.closed() => return,
        }
    }
}
