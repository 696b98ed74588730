//! Feature views in, and what is known of them.

use super::reading::reach;
use super::status::{from_raft, from_refusal};
use crate::node::Node;
use crate::proto::hearth::views_server::Views;
use crate::proto::hearth::{
    GetViewRequest, ListViewsRequest, ListViewsResponse, PushViewRequest, RetireViewRequest, View,
    ViewFeature,
};
use crate::state::{Command, KnownView, Reply, State};
use features::{FeatureView, Source};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Longest author or actor, in bytes.
const NAME_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct ViewsService {
    node: Arc<Node>,
}

impl ViewsService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Proposes, waits until this node shows what was changed, and shows it.
    async fn change(&self, command: &Command, name: &str, version: u32) -> Result<View, Status> {
        let (index, reply) = self.node.propose(command).await.map_err(|error| from_raft(&error))?;
        if let Reply::Refused(refusal) = reply {
            return Err(from_refusal(refusal));
        }
        let waited = self.node.raft().wait_applied(index, super::APPLY_WITHIN).await;
        waited.map_err(|error| from_raft(&error))?;
        self.find(name, version)
    }

    fn find(&self, name: &str, version: u32) -> Result<View, Status> {
        let state = self.node.machine().read();
        let version = match version {
            0 => state.views.current(name).map_or(0, |view| view.version()),
            version => version,
        };
        let known = state.views.get(name, version);
        known.map(|known| message(&state, known, true)).ok_or_else(|| {
            Status::not_found(format!(
                "no such version of a view {name:?}: list them with `hearth view list`"
            ))
        })
    }
}

#[tonic::async_trait]
impl Views for ViewsService {
    async fn push(&self, request: Request<PushViewRequest>) -> Result<Response<View>, Status> {
        let PushViewRequest { text, author } = request.into_inner();
        check_name("author", &author)?;
        // Checked here, so that what cannot be read costs no entry; the log decides.
        let view = FeatureView::parse(&text)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let command = Command::PushView { text, author };
        self.change(&command, view.name(), view.version()).await.map(Response::new)
    }

    async fn list(
        &self,
        request: Request<ListViewsRequest>,
    ) -> Result<Response<ListViewsResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let ListViewsRequest { name } = request.into_inner();
        let state = self.node.machine().read();
        let named = state.views.iter().filter(|known| name.is_empty() || known.view.name() == name);
        let views: Vec<View> = named.map(|known| message(&state, known, false)).collect();
        if views.is_empty() {
            return Err(Status::not_found(format!(
                "no view {name:?}: list them with `hearth view list`"
            )));
        }
        Ok(Response::new(ListViewsResponse { views }))
    }

    async fn get(&self, request: Request<GetViewRequest>) -> Result<Response<View>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let GetViewRequest { name, version } = request.into_inner();
        self.find(&name, version).map(Response::new)
    }

    async fn retire(&self, request: Request<RetireViewRequest>) -> Result<Response<View>, Status> {
        let RetireViewRequest { name, version, actor } = request.into_inner();
        check_name("actor", &actor)?;
        let command = Command::RetireView { name: name.clone(), version, actor };
        self.change(&command, &name, version).await.map(Response::new)
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Status> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "say who it is: {what} has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn message(state: &State, KnownView { record, view }: &KnownView, whole: bool) -> View {
    let since_us = state.features.since_us(view);
    let features = view.features().iter().zip(since_us).map(|(feature, since_us)| ViewFeature {
        name: feature.name.clone(),
        source: match &feature.source {
            Source::Window { kind, aggregate, window, hour } => {
                let kind = kind.map_or("any", |kind| kind.as_str());
                let window = window.map_or("ever", |window| window.as_str());
                let hour = hour.map(|hour| format!(" hour {hour}")).unwrap_or_default();
                format!("{kind} {aggregate} {window}{hour}")
            }
            Source::Column { path, transform } => format!("{} {transform}", path.as_str()),
            Source::Expression(expression) => expression.as_str().to_owned(),
        },
        default: feature.default,
        since_us,
    });
    View {
        name: view.name().to_owned(),
        version: view.version(),
        entity: view.entity().as_str().to_owned(),
        fingerprint: view.fingerprint().to_string(),
        state: state.view_state(record.retired, view.name(), view.version()).to_owned(),
        author: record.author.clone(),
        pushed_us: record.pushed_us,
        log_index: record.log_index,
        models: state.view_readers(view.name(), view.version()),
        features: features.collect(),
        request: view.request().iter().map(|value| value.name.clone()).collect(),
        text: if whole { record.text.clone() } else { String::new() },
    }
}
