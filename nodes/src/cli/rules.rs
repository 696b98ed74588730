//! `hearth rules`.

use super::args::Remote;
use super::output::{Failure, Format, print_rows, time_text};
use super::rules_try::{self, TryArgs};
use crate::client::rules_client;
use crate::proto::hearth::{GetRulesRequest, PushRulesRequest, RuleSet, RulesHistoryRequest};
use crate::state::Rules;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// The set in force as TOML (JSON with --format json), which `push` takes
    Show {
        /// An earlier one
        #[arg(long, default_value_t = 0)]
        version: u32,
        /// The set that comes with the program, without a cluster
        #[arg(long)]
        built_in: bool,
    },
    /// Puts a set in force, on every node at once; its version must be a higher one
    Push {
        file: PathBuf,
        /// Who pushes
        #[arg(long, env = "USER", default_value = "operator")]
        actor: String,
        /// Why; it stands in the history
        #[arg(long, default_value = "")]
        note: String,
    },
    /// The sets that were pushed, the newest first
    History,
    /// Tries a set on recorded events beside the one in force, and lists what would change
    Try(TryArgs),
}

pub(crate) async fn run(command: RulesCommand, remote: &Remote) -> anyhow::Result<()> {
    match command {
        RulesCommand::Show { built_in: true, .. } => show(&Rules::default(), remote),
        RulesCommand::Show { version, .. } => show(&parse(&get(version, remote).await?)?, remote),
        RulesCommand::Push { file, actor, note } => push(&file, actor, note, remote).await,
        RulesCommand::History => history(remote).await,
        RulesCommand::Try(args) => rules_try::run(args, remote).await,
    }
}

/// The set of a version; 0 for the one in force.
pub(crate) async fn get(version: u32, remote: &Remote) -> anyhow::Result<RuleSet> {
    let client = remote.client()?;
    let answer = client
        .call(|channel| async move {
            let request = GetRulesRequest { version };
            Ok(rules_client(channel).get(request).await?.into_inner())
        })
        .await?;
    Ok(answer)
}

pub(crate) fn parse(set: &RuleSet) -> anyhow::Result<Rules> {
    Ok(Rules::parse(&set.text)
        .map_err(|why| Failure::refused(format!("the cluster's rules: {why}")))?)
}

/// Reads a set from a file and checks it.
pub(crate) fn read(file: &Path) -> anyhow::Result<Rules> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
    Ok(Rules::parse(&text).map_err(|why| Failure::refused(format!("{}: {why}", file.display())))?)
}

fn show(rules: &Rules, remote: &Remote) -> anyhow::Result<()> {
    if remote.format == Format::Json {
        println!("{}", serde_json::to_string_pretty(rules)?);
    } else {
        print!("{}", toml::to_string_pretty(rules)?);
    }
    Ok(())
}

async fn push(file: &Path, actor: String, note: String, remote: &Remote) -> anyhow::Result<()> {
    let text = read(file)?.to_text();
    let client = remote.client()?;
    let request = PushRulesRequest { text, actor, note };
    let set = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(rules_client(channel).push(request).await?.into_inner()) }
        })
        .await?;
    println!("version {} is in force from log index {} on", set.version, set.log_index);
    Ok(())
}

async fn history(remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    let answer = client
        .call(|channel| async move {
            Ok(rules_client(channel).history(RulesHistoryRequest {}).await?.into_inner())
        })
        .await?;
    let rows: Vec<Vec<Value>> = answer
        .sets
        .iter()
        .map(|set| {
            vec![
                json!(set.version),
                time_text(set.at_us),
                json!(set.actor),
                json!(set.note),
                json!(set.log_index),
                json!(set.text.len()),
            ]
        })
        .collect();
    let headings = ["version", "in_force_from", "actor", "note", "log_index", "bytes"];
    print_rows(remote.format, &headings, &rows);
    Ok(())
}
