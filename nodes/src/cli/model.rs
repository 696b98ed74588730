//! `hearth model`.

use super::args::Remote;
use super::model_show;
use super::output::{Failure, print_rows};
use crate::client::models_client;
use crate::proto::hearth::{ChangeModelRequest, ListModelsRequest, ModelVersion};
use crate::shipped;
use clap::Subcommand;
use models::Package;
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
    /// One model, or one version of it, with what the nodes found, its comparison in shadow, its card and
    /// its history
    Show { name: String, version: Option<String> },
    /// Lets a validated version answer when it is named; by another person than its author
    Approve {
        name: String,
        version: String,
        #[command(flatten)]
        by: By,
    },
    /// Runs a version beside the active one, unseen, and compares their scores
    Shadow {
        name: String,
        version: String,
        /// Percent of the entities; 0 ends it
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
        share: u32,
        #[command(flatten)]
        by: By,
    },
    /// Lets a version answer a share of the entities, always the same ones
    Canary {
        name: String,
        version: String,
        /// Percent of the entities, 1 to 99; 0 ends it
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=99))]
        share: u32,
        /// Goes through closed gates; needs --reason
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        by: By,
    },
    /// Lets an approved version answer for the model, on every node at once
    Activate {
        name: String,
        version: String,
        /// Goes through closed gates; needs --reason
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        by: By,
    },
    /// Goes back to the version that was active before, in one log entry
    Rollback {
        name: String,
        #[command(flatten)]
        by: By,
    },
    /// Ends a version for good; its files stay for replays of its decisions
    Retire {
        name: String,
        version: String,
        #[command(flatten)]
        by: By,
    },
    /// Switches a model off at once, in one log entry
    Kill {
        name: String,
        /// Switches it on again, as revive does
        #[arg(long, hide = true)]
        undo: bool,
        #[command(flatten)]
        by: By,
    },
    /// Switches a model on again
    Revive {
        name: String,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct By {
    /// Who acts
    #[arg(long, env = "USER", default_value = "operator")]
    actor: String,
    /// Why; it stands in the history
    #[arg(long, default_value = "")]
    reason: String,
}

/// A step in the words of the protocol.
struct Step {
    name: String,
    version: String,
    action: &'static str,
    share: u32,
    force: bool,
    by: By,
}

impl Step {
    fn new(action: &'static str, name: String, version: String, by: By) -> Self {
        Self { name, version, action, share: 0, force: false, by }
    }
}

pub(crate) async fn run(command: ModelCommand, remote: &Remote) -> anyhow::Result<()> {
    let step = match command {
        ModelCommand::Push { path, author, name, version } => {
            let package = read_package(&path, name, &version)?;
            return push(&package, &author, remote).await;
        }
        ModelCommand::List => {
            print_models(&ask("", "", false, remote).await?, remote);
            return Ok(());
        }
        ModelCommand::Show { name, version } => {
            let models = ask(&name, version.as_deref().unwrap_or(""), true, remote).await?;
            model_show::print(&models, remote.format);
            return Ok(());
        }
        ModelCommand::Approve { name, version, by } => Step::new("approve", name, version, by),
        ModelCommand::Shadow { name, version, share, by } => {
            Step { share, ..Step::new("shadow", name, version, by) }
        }
        ModelCommand::Canary { name, version, share, force, by } => {
            Step { share, force, ..Step::new("canary", name, version, by) }
        }
        ModelCommand::Activate { name, version, force, by } => {
            Step { force, ..Step::new("activate", name, version, by) }
        }
        ModelCommand::Rollback { name, by } => Step::new("rollback", name, String::new(), by),
        ModelCommand::Retire { name, version, by } => Step::new("retire", name, version, by),
        ModelCommand::Kill { name, undo: false, by } => Step::new("kill", name, String::new(), by),
        ModelCommand::Kill { name, undo: true, by } | ModelCommand::Revive { name, by } => {
            Step::new("revive", name, String::new(), by)
        }
    };
    change(step, remote).await
}

/// What is missing is said beside the result; a cluster that insists refuses it.
async fn push(package: &Package, author: &str, remote: &Remote) -> anyhow::Result<()> {
    let pushed = shipped::push(&remote.client()?, package, author).await?;
    let lacks = package.lacks();
    if !lacks.is_empty() {
        eprintln!(
            "hearth: warning: {} {} has no {}: whoever approves it should know what it is for",
            pushed.name,
            pushed.version,
            lacks.join(" and no ")
        );
    }
    print_models(&[pushed], remote);
    Ok(())
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

async fn ask(
    name: &str,
    version: &str,
    detail: bool,
    remote: &Remote,
) -> anyhow::Result<Vec<ModelVersion>> {
    let request = ListModelsRequest { name: name.to_owned(), detail, version: version.to_owned() };
    let answer = remote
        .client()?
        .call(|channel| {
            let request = request.clone();
            async move { Ok(models_client(channel).list(request).await?.into_inner()) }
        })
        .await?;
    Ok(answer.models)
}

async fn change(step: Step, remote: &Remote) -> anyhow::Result<()> {
    let Step { name, version, action, share, force, by } = step;
    let request = ChangeModelRequest {
        name,
        version,
        action: action.to_owned(),
        actor: by.actor,
        reason: by.reason,
        share,
        force,
    };
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
    print_rows(remote.format, &model_show::HEADINGS, &model_show::rows(models));
}
