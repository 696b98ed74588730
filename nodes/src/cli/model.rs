//! `hearth model`.

use super::args::Remote;
use super::output::{Failure, print_rows, time_text};
use crate::client::models_client;
use crate::proto::hearth::{ChangeModelRequest, ListModelsRequest, ModelVersion};
use crate::shipped;
use clap::Subcommand;
use models::Package;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Checks a package and makes it known: a folder with manifest.toml and the model file, or a bare .onnx file
    Push {
        path: PathBuf,
        /// Who pushes
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
        /// Name of a bare .onnx file
        #[arg(long)]
        name: Option<String>,
        /// Version of a bare .onnx file
        #[arg(long, default_value = "1")]
        version: String,
    },
    /// Every version and its state
    List,
    /// The versions of one model
    Show { name: String },
    /// Lets a validated version answer when it is named
    Approve {
        name: String,
        version: String,
        #[command(flatten)]
        by: By,
    },
    /// Lets an approved version answer for the model
    Activate {
        name: String,
        version: String,
        #[command(flatten)]
        by: By,
    },
    /// Goes back to the version that was active before
    Rollback {
        name: String,
        #[command(flatten)]
        by: By,
    },
    /// Ends a version for good
    Retire {
        name: String,
        version: String,
        #[command(flatten)]
        by: By,
    },
    /// Switches a model off at once, in one log entry
    Kill {
        name: String,
        /// Switches it on again
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct By {
    /// Who acts
    #[arg(long, env = "USER", default_value = "operator")]
    actor: String,
}

pub(crate) async fn run(command: ModelCommand, remote: &Remote) -> anyhow::Result<()> {
    match command {
        ModelCommand::Push { path, author, name, version } => {
            let package = read_package(&path, name, &version)?;
            let pushed = shipped::push(&remote.client()?, &package, &author).await?;
            print_models(&[pushed], remote);
            Ok(())
        }
        ModelCommand::List => list("", remote).await,
        ModelCommand::Show { name } => list(&name, remote).await,
        ModelCommand::Approve { name, version, by } => {
            change(name, version, "approve", by, remote).await
        }
        ModelCommand::Activate { name, version, by } => {
            change(name, version, "activate", by, remote).await
        }
        ModelCommand::Rollback { name, by } => {
            change(name, String::new(), "rollback", by, remote).await
        }
        ModelCommand::Retire { name, version, by } => {
            change(name, version, "retire", by, remote).await
        }
        ModelCommand::Kill { name, undo, by } => {
            let action = if undo { "revive" } else { "kill" };
            change(name, String::new(), action, by, remote).await
        }
    }
}

fn read_package(
    path: &std::path::Path,
    name: Option<String>,
    version: &str,
) -> anyhow::Result<Package> {
    let refused = |error: models::Error| Failure::refused(error.to_string());
    if path.is_dir() {
        return Ok(Package::read_dir(path).map_err(refused)?);
    }
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Package::from_bare_onnx(&name.unwrap_or(stem), version, bytes).map_err(refused)?)
}

async fn list(name: &str, remote: &Remote) -> anyhow::Result<()> {
    let answer = remote
        .client()?
        .call(|channel| {
            let request = ListModelsRequest { name: name.to_owned() };
            async move { Ok(models_client(channel).list(request).await?.into_inner()) }
        })
        .await?;
    print_models(&answer.models, remote);
    Ok(())
}

async fn change(
    name: String,
    version: String,
    action: &str,
    by: By,
    remote: &Remote,
) -> anyhow::Result<()> {
    let request = ChangeModelRequest { name, version, action: action.to_owned(), actor: by.actor };
    let changed = remote
        .client()?
        .call(|channel| {
            let request = request.clone();
            async move { Ok(models_client(channel).change(request).await?.into_inner()) }
        })
        .await?;
    print_models(&[changed], remote);
    Ok(())
}

fn print_models(models: &[ModelVersion], remote: &Remote) {
    let headings = [
        "model",
        "version",
        "state",
        "format",
        "entity",
        "view",
        "author",
        "approver",
        "changed",
        "ready",
        "model_sha256",
        "reason",
    ];
    let rows: Vec<Vec<Value>> = models
        .iter()
        .map(|model| {
            vec![
                json!(model.name),
                json!(model.version),
                json!(model.state),
                json!(model.format),
                json!(model.entity),
                json!(model.view),
                json!(model.author),
                json!(model.approver),
                time_text(model.changed_us),
                json!(model.ready),
                json!(crate::hex::encode(&model.model_sha256)),
                json!(model.reason),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}
