//! Model packages in, and from one state of the registry to the next.

use super::model_message::{Detail, describe};
use super::reading::reach;
use super::status::{from_raft, from_refusal, from_serving};
use crate::node::Node;
use crate::proto::hearth::models_server::Models;
use crate::proto::hearth::{
    ChangeModelRequest, ListModelsRequest, ListModelsResponse, ModelVersion, PushRequest,
};
use crate::serving::{Serving, ServingError};
use crate::state::{Command, ModelAction, ModelPush, ModelRecord, ModelStep, Reply};
use crate::validator::Source;
use bytes::Bytes;
use models::{CARD, Outcome, PACKAGE_BYTES_MAX, Package, Status as Stage};
use raft::ReadLevel;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// Longest author or actor, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest reason, in bytes; the registry keeps the first 300 characters.
const REASON_BYTES_MAX: usize = 2_048;
/// How long a push waits for the nodes' word. It stands in the log either way.
const JUDGED_WITHIN: Duration = Duration::from_secs(45);

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
        drop(bytes);
        register(&self.node, package, author).await.map(Response::new)
    }

    async fn list(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        reach(&self.node, request.metadata(), ReadLevel::Linearizable).await?;
        let ListModelsRequest { name, detail, version } = request.into_inner();
        let records: Vec<(String, String)> = {
            let state = self.node.machine().read();
            let named = state.models().filter(|record| {
                (name.is_empty() || record.name == name)
                    && (version.is_empty() || record.version == version)
            });
            named.map(|record| (record.name.clone(), record.version.clone())).collect()
        };
        if records.is_empty() && !name.is_empty() {
            let version = if version.is_empty() { version } else { format!(" {version:?}") };
            return Err(Status::not_found(format!(
                "no model {name:?}{version}: list them with `hearth model list`"
            )));
        }
        let detail = if detail { Detail::Whole } else { Detail::Line };
        let models = records
            .iter()
            .filter_map(|(name, version)| describe(&self.node, name, version, detail))
            .collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn change(
        &self,
        request: Request<ChangeModelRequest>,
    ) -> Result<Response<ModelVersion>, Status> {
        let request = request.into_inner();
        let Some(action) = ModelAction::parse(&request.action) else {
            let said = format!(
                "unknown action {:?}: one of {}",
                request.action,
                ModelAction::WORDS.join(", ")
            );
            return Err(Status::invalid_argument(said));
        };
        let (name, version) = (request.name.clone(), request.version.clone());
        step(&self.node, request, action).await?;
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
        let found = version.and_then(|version| describe(&self.node, &name, &version, Detail::Line));
        Ok(Response::new(found.unwrap_or(ModelVersion { name, ..ModelVersion::default() })))
    }
}

/// Validates a package, makes it durable on a quorum, names it in the registry and waits for the word
/// of the nodes.
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
    let manifest = package.manifest();
    let known = Serving::check_manifest(manifest, &node.machine().read().views);
    known.map_err(|error| from_serving(&error))?;
    check_card(node, &package)?;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    let gates = manifest.gates;
    let bytes = Bytes::from(package.to_bytes());
    let blob: [u8; 32] = Sha256::digest(&bytes).into();
    let record = ModelRecord {
        name: name.clone(),
        version: version.clone(),
        digests: package.digests(),
        blob,
        size_bytes: bytes.len() as u64,
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
    drop(package);
    check_space(node, &record)?;
    let verdict = node.serving().validate(blob, Source::Bytes(bytes.clone())).await;
    match verdict.outcome {
        Outcome::Ready => {}
        Outcome::Refused => return Err(Status::invalid_argument(verdict.said)),
        Outcome::Unable => {
            return Err(from_serving(&ServingError::NotReady { said: verdict.said }));
        }
    }
    node.raft().put_blob(bytes).await.map_err(|error| from_raft(&error))?;
    propose(node, &Command::PushModel(Box::new(ModelPush { record, gates }))).await?;
    judged(node, &name, &version).await?;
    describe(node, &name, &version, Detail::Line)
        .ok_or_else(|| Status::unavailable("registered; this node is still catching up"))
}

fn check_card(node: &Node, package: &Package) -> Result<(), Status> {
    let lacks = package.lacks();
    if node.config().models.require_card && !lacks.is_empty() {
        return Err(Status::invalid_argument(format!(
            "the package has no {}: say what the model is for and what it is not for ({CARD} beside manifest.toml)",
            lacks.join(" and no ")
        )));
    }
    Ok(())
}

/// Packages stay for as long as decisions may be replayed, so that they have to fit.
fn check_space(node: &Node, record: &ModelRecord) -> Result<(), Status> {
    let most = node.config().models.packages_mib << 20;
    let mut packages: BTreeMap<_, u64> = BTreeMap::new();
    packages.extend(node.machine().read().models().map(|known| (known.blob, known.size_bytes)));
    if packages.contains_key(&record.blob) {
        return Ok(());
    }
    let held: u64 = packages.values().sum();
    if held + record.size_bytes > most {
        return Err(Status::resource_exhausted(format!(
            "the packages of all models take {} MiB, this one would take {} more, and models.packages_mib is {}: they stay, because \
             decisions are replayed by them; where the disks have room, raise it on every node",
            held >> 20,
            record.size_bytes.div_ceil(1 << 20),
            most >> 20
        )));
    }
    Ok(())
}

/// Waits until the nodes have said what they think of a version.
async fn judged(node: &Node, name: &str, version: &str) -> Result<(), Status> {
    let mut applied = node.machine().watch_applied();
    let until = tokio::time::Instant::now() + JUDGED_WITHIN;
    loop {
        applied.mark_unchanged();
        let (stage, reason) = {
            let state = node.machine().read();
            let known = state.registry.version(name, version);
            let known = known.map_err(|error| Status::not_found(error.to_string()))?;
            (known.status, known.reason.clone())
        };
        match stage {
            Stage::Pushed => {}
            Stage::Refused => {
                return Err(Status::invalid_argument(format!(
                    "model {name} {version} is refused by {reason}"
                )));
            }
            _ => return Ok(()),
        }
        if !matches!(tokio::time::timeout_at(until, applied.changed()).await, Ok(Ok(()))) {
            return Ok(());
        }
    }
}

/// A step without a reason, as protocols ask for it that know none.
pub(crate) async fn change(
    node: &Node,
    name: &str,
    version: &str,
    action: ModelAction,
    actor: &str,
) -> Result<(), Status> {
    let request = ChangeModelRequest {
        name: name.to_owned(),
        version: version.to_owned(),
        actor: actor.to_owned(),
        ..ChangeModelRequest::default()
    };
    step(node, request, action).await
}

async fn step(node: &Node, request: ChangeModelRequest, action: ModelAction) -> Result<(), Status> {
    let ChangeModelRequest { name, version, actor, reason, share, force, .. } = request;
    if actor.is_empty() || actor.len() > NAME_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "say who acts: actor has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "a reason has {REASON_BYTES_MAX} bytes at most"
        )));
    }
    // A rollback asks nobody, and `force` says that somebody knows.
    if !force && is_promotion(node, &name, &version, (action, share)) {
        let watched = crate::watch::gate(node, &name, &version).await;
        watched.map_err(|closed| {
            let said = format!("{closed}; wait, or use --force with a --reason");
            Status::failed_precondition(said)
        })?;
    }
    let config = &node.config().models;
    let step = ModelStep {
        name,
        version,
        action,
        actor,
        reason,
        share: u8::try_from(share).unwrap_or(u8::MAX),
        forced: force,
        four_eyes: config.four_eyes,
        gates: config.gates,
    };
    propose(node, &Command::StepModel(Box::new(step))).await
}

/// Whether a step lets a version answer people whom another one answers now. The gates of what was
/// watched are looked at here, by this node's figures; those of the shadow in the log.
fn is_promotion(node: &Node, name: &str, version: &str, step: (ModelAction, u32)) -> bool {
    let state = node.machine().read();
    let answers = state.registry.version(name, version).is_ok_and(|known| {
        matches!(known.status, Stage::Approved | Stage::Shadow)
            || (known.status == Stage::Canary && step.0 == ModelAction::Activate)
    });
    let other = state.registry.active(name).is_some_and(|active| active.version != version);
    answers && other && matches!(step, (ModelAction::Activate, _) | (ModelAction::Canary, 1..))
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
