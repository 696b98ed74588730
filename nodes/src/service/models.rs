//! Model packages in, and from one state of the registry to the next.

use super::reading::reach;
use super::status::{from_raft, from_refusal, from_serving};
use crate::node::Node;
use crate::proto::hearth::models_server::Models;
use crate::proto::hearth::{
    ChangeModelRequest, ListModelsRequest, ListModelsResponse, ModelVersion, PushRequest,
};
use crate::state::{Command, ModelAction, ModelRecord, Reply};
use bytes::Bytes;
use models::{PACKAGE_BYTES_MAX, Package};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Longest author or actor, in bytes.
const NAME_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct ModelsService {
    node: Arc<Node>,
}

impl ModelsService {
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Models for ModelsService {
    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<ModelVersion>, Status> {
        let mut stream = request.into_inner();
        let (mut author, mut bytes) = (String::new(), Vec::new());
        while let Some(part) = stream.message().await? {
            if author.is_empty() {
                author = part.author;
            }
            bytes.extend_from_slice(&part.chunk);
            if bytes.len() > PACKAGE_BYTES_MAX {
                return Err(Status::invalid_argument(format!(
                    "a package may have {PACKAGE_BYTES_MAX} bytes"
                )));
            }
        }
        let package = Package::from_bytes(&bytes).map_err(|error| from_serving(&error.into()))?;
        register(&self.node, package, author).await.map(Response::new)
    }

    async fn list(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let name = request.into_inner().name;
        let records: Vec<(String, String)> = {
            let state = self.node.machine().read();
            let named = state.models().filter(|record| name.is_empty() || record.name == name);
            named.map(|record| (record.name.clone(), record.version.clone())).collect()
        };
        if records.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!(
                "no model {name:?}: list them with `hearth model list`"
            )));
        }
        let models = records
            .iter()
            .filter_map(|(name, version)| describe(&self.node, name, version))
            .collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn change(
        &self,
        request: Request<ChangeModelRequest>,
    ) -> Result<Response<ModelVersion>, Status> {
        let ChangeModelRequest { name, version, action, actor } = request.into_inner();
        let Some(action) = ModelAction::parse(&action) else {
            let said =
                format!("unknown action {action:?}: one of {}", ModelAction::WORDS.join(", "));
            return Err(Status::invalid_argument(said));
        };
        change(&self.node, &name, &version, action, &actor).await?;
        let version = match version.as_str() {
            "" => self
                .node
                .machine()
                .read()
                .registry
                .active(&name)
                .map(|active| active.version.clone()),
            _ => Some(version),
        };
        let found = version.and_then(|version| describe(&self.node, &name, &version));
        Ok(Response::new(found.unwrap_or(ModelVersion { name, ..ModelVersion::default() })))
    }
}

/// Validates a package, makes it durable on a quorum and names it in the registry.
pub(crate) async fn register(
    node: &Arc<Node>,
    package: Package,
    author: String,
) -> Result<ModelVersion, Status> {
    if author.is_empty() || author.len() > NAME_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "say who pushes: author has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    let serving = Arc::clone(node.serving());
    let checked =
        tokio::task::spawn_blocking(move || serving.validate(&package).map(|_| package)).await;
    let package = checked
        .map_err(|error| {
            Status::invalid_argument(format!("the model broke its validation: {error}"))
        })?
        .map_err(|error| from_serving(&error))?;
    let bytes = package.to_bytes();
    let size_bytes = bytes.len() as u64;
    let blob = node.raft().put_blob(Bytes::from(bytes)).await.map_err(|error| from_raft(&error))?;
    let manifest = package.manifest();
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    let record = ModelRecord {
        name: name.clone(),
        version: version.clone(),
        digests: package.digests(),
        blob,
        size_bytes,
        format: match manifest.format {
            models::Format::Onnx => "onnx",
            models::Format::Linfa => "linfa",
        }
        .to_owned(),
        entity: manifest.entity.clone(),
        view: manifest.view.clone(),
        features: manifest.features.clone(),
        author,
    };
    propose(node, &Command::RegisterModel(Box::new(record))).await?;
    describe(node, &name, &version)
        .ok_or_else(|| Status::unavailable("registered; this node is still catching up"))
}

pub(crate) async fn change(
    node: &Node,
    name: &str,
    version: &str,
    action: ModelAction,
    actor: &str,
) -> Result<(), Status> {
    if actor.is_empty() || actor.len() > NAME_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "say who acts: actor has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    if action == ModelAction::Activate {
        crate::watch::gate(node, name, version).await.map_err(Status::failed_precondition)?;
    }
    let (name, version, actor) = (name.to_owned(), version.to_owned(), actor.to_owned());
    propose(node, &Command::ChangeModel { name, version, action, actor }).await
}

/// Proposes, and waits until this node shows what was changed.
async fn propose(node: &Node, command: &Command) -> Result<(), Status> {
    let (index, reply) = node.propose(command).await.map_err(|error| from_raft(&error))?;
    if let Reply::Refused(refusal) = reply {
        return Err(from_refusal(refusal));
    }
    let waited = node.raft().wait_applied(index, super::APPLY_WITHIN).await;
    waited.map(drop).map_err(|error| from_raft(&error))
}

fn describe(node: &Node, name: &str, version: &str) -> Option<ModelVersion> {
    let state = node.machine().read();
    let record = state.model(name, version)?;
    let known = state.registry.version(name, version).ok()?;
    let ready = node.serving().is_loaded(name, version);
    Some(ModelVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        state: known.status.name().to_owned(),
        format: record.format.clone(),
        entity: record.entity.clone(),
        view: record.view.clone(),
        model_sha256: crate::hex::decode32(&record.digests.model).unwrap_or_default().to_vec(),
        package_sha256: record.blob.to_vec(),
        author: known.author.clone(),
        approver: known.approver.clone(),
        registered_us: known.pushed_us,
        changed_us: known.changed_us,
        features: record.features.clone(),
        ready,
        reason: if ready {
            String::new()
        } else {
            node.serving().failure(name, version).unwrap_or_default()
        },
        log_index: state.applied,
    })
}
