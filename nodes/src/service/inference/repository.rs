//! Triton's model repository calls over the replicated registry.

use super::config_override;
use super::describe::rows_max;
use crate::node::Node;
use crate::proto::inference::model_repository_parameter::ParameterChoice;
use crate::proto::inference::repository_index_response::ModelIndex;
use crate::proto::inference::{
    ModelRepositoryParameter, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
};
use crate::service::models::{change, register};
use crate::state::ModelAction;
use models::{Format, Package, Status as Stage};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// Who acts where the protocol names nobody.
const ACTOR: &str = "repository";
/// What may come with a load: the model, its golden rows, the rows that scores are explained against.
const FILES: [&str; 3] = ["model.onnx", "golden.csv", "background.csv"];
/// How long a load waits for this node to have the model in memory.
const LOAD_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn index(node: &Node, only_ready: bool) -> RepositoryIndexResponse {
    let state = node.machine().read();
    let models = state.registry.versions().map(|(name, known)| {
        let serving = node.serving();
        let answers = state.registry.resolve(name, &known.version).is_ok();
        let ready = answers && serving.is_loaded(name, &known.version);
        let reason = if ready {
            String::new()
        } else {
            serving.failure(name, &known.version).unwrap_or_else(|| known.status.name().to_owned())
        };
        let state = if ready { "READY" } else { "UNAVAILABLE" };
        (
            ready,
            ModelIndex {
                name: name.to_owned(),
                version: known.version.clone(),
                state: state.to_owned(),
                reason,
            },
        )
    });
    let listed =
        models.filter(|(ready, _)| *ready || !only_ready).map(|(_, index)| index).collect();
    RepositoryIndexResponse { models: listed }
}

/// KServe's client puts the name where Triton's puts the repository.
fn name_of(repository_name: String, model_name: String) -> Result<String, Status> {
    match (model_name.is_empty(), repository_name.is_empty()) {
        (false, _) => Ok(model_name),
        (true, false) => Ok(repository_name),
        (true, true) => Err(Status::invalid_argument("say which model: model_name is empty")),
    }
}

/// Pushes the file that comes with the call, or takes the newest version up again; then activates it.
pub(super) async fn load(
    node: &Arc<Node>,
    request: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, Status> {
    let name = name_of(request.repository_name, request.model_name)?;
    let parameters: BTreeMap<_, _> = request.parameters.into_iter().collect();
    let chosen = chosen(&name, parameters.get("config"), rows_max(node))?;
    // By number, so that of 9 and 10 the tenth is the newest.
    let mut pushed: BTreeMap<_, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (key, parameter) in parameters {
        match key.strip_prefix("file:") {
            Some(path) => {
                let (version, file, bytes) = file(&key, path, parameter)?;
                let number = version.parse::<u64>().ok();
                pushed.entry((number, version)).or_default().insert(file, bytes);
            }
            None if key == "config" => {}
            None => {
                let said =
                    format!("unknown parameter {key:?}: config or file:<version>/model.onnx");
                return Err(Status::invalid_argument(said));
            }
        }
    }
    let mut last = None;
    for ((_, version), files) in pushed {
        register(node, package(&name, &version, files)?, ACTOR.to_owned()).await?;
        last = Some(version);
    }
    let version = match chosen.or(last) {
        Some(version) => version,
        None => newest(node, &name)?,
    };
    take_up(node, &name, &version).await?;
    wait_loaded(node, &name, &version).await?;
    Ok(RepositoryModelLoadResponse { model_name: name, is_loaded: true })
}

/// The version that the call's configuration names, if it has one and that names one.
fn chosen(
    name: &str,
    config: Option<&ModelRepositoryParameter>,
    rows_max: i32,
) -> Result<Option<String>, Status> {
    let Some(config) = config else { return Ok(None) };
    let Some(ParameterChoice::StringParam(text)) = &config.parameter_choice else {
        return Err(Status::invalid_argument("parameter \"config\" must be JSON text"));
    };
    config_override::version(name, text, rows_max, Format::Onnx.file())
        .map_err(Status::invalid_argument)
}

/// One file of the call: its version, its name, its bytes.
fn file(
    key: &str,
    path: &str,
    parameter: ModelRepositoryParameter,
) -> Result<(String, String, Vec<u8>), Status> {
    let Some((version, file)) = path.split_once('/').filter(|(_, file)| FILES.contains(file))
    else {
        let said = format!("parameter {key:?}: a file is given as file:<version>/model.onnx");
        return Err(Status::invalid_argument(said));
    };
    let Some(ParameterChoice::BytesParam(bytes)) = parameter.parameter_choice else {
        return Err(Status::invalid_argument(format!(
            "parameter {key:?} must hold the file's bytes"
        )));
    };
    Ok((version.to_owned(), file.to_owned(), bytes))
}

/// The package of a version's files.
fn package(
    name: &str,
    version: &str,
    mut files: BTreeMap<String, Vec<u8>>,
) -> Result<Package, Status> {
    let Some(model) = files.remove(Format::Onnx.file()) else {
        let said = format!("version {version}: file:{version}/model.onnx is missing");
        return Err(Status::invalid_argument(said));
    };
    let package = Package::from_bare_onnx(name, version, model).and_then(|package| {
        files.extend(package.files().clone());
        Package::from_files(files)
    });
    package.map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The version that was pushed last and not retired.
fn newest(node: &Node, name: &str) -> Result<String, Status> {
    let state = node.machine().read();
    let versions = state
        .registry
        .versions()
        .filter(|(each, known)| *each == name && known.status != Stage::Retired);
    let newest =
        versions.max_by_key(|(_, known)| known.pushed_us).map(|(_, known)| known.version.clone());
    newest.ok_or_else(|| {
        Status::not_found(format!("no model {name:?}: push it, or send its file with the call"))
    })
}

/// An open cluster lets a valid model answer at once, as Triton does.
async fn take_up(node: &Node, name: &str, version: &str) -> Result<(), Status> {
    let (stage, killed) = {
        let state = node.machine().read();
        let known = state
            .registry
            .version(name, version)
            .map_err(|error| Status::not_found(error.to_string()))?;
        (known.status, state.registry.is_killed(name))
    };
    if stage == Stage::Validated {
        change(node, name, version, ModelAction::Approve, ACTOR).await?;
    }
    if killed {
        change(node, name, version, ModelAction::Revive, ACTOR).await?;
    }
    change(node, name, version, ModelAction::Activate, ACTOR).await
}

async fn wait_loaded(node: &Node, name: &str, version: &str) -> Result<(), Status> {
    let until = tokio::time::Instant::now() + LOAD_WITHIN;
    while !node.serving().is_loaded(name, version) {
        if tokio::time::Instant::now() > until {
            let why = node.serving().failure(name, version).unwrap_or_default();
            return Err(Status::unavailable(format!(
                "model {name} {version} is not in memory yet: {why}"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Switches the model off everywhere, in one log entry; a load takes it up again.
pub(super) async fn unload(
    node: &Arc<Node>,
    request: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, Status> {
    let name = name_of(request.repository_name, request.model_name)?;
    for (key, parameter) in request.parameters.into_iter().collect::<BTreeMap<_, _>>() {
        // No model is made of others here, so none depends on this one.
        let known = key == "unload_dependents"
            && matches!(parameter.parameter_choice, Some(ParameterChoice::BoolParam(_)));
        if !known {
            let said =
                format!("parameter {key:?}: only unload_dependents, true or false, is known");
            return Err(Status::invalid_argument(said));
        }
    }
    change(node, &name, "", ModelAction::Kill, ACTOR).await?;
    Ok(RepositoryModelUnloadResponse { model_name: name, is_unloaded: true })
}
