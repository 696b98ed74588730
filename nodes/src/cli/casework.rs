//! `hearth alert linkage` and `hearth alert roster`.

use super::args::Remote;
use super::output::print_rows;
use crate::client::{Client, alerts_client};
use crate::proto::hearth::{
    GetLinkageRequest, ListRostersRequest, SetLinkageRequest, SetRosterRequest,
};
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum LinkageCommand {
    /// The linkage that is in force, as TOML
    Show,
    /// Puts a file in force; its version must be higher
    Set {
        file: PathBuf,
        /// Who changes it
        #[arg(long, env = "USER", default_value = "operator")]
        actor: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RosterCommand {
    /// Every roster, and who of it is on duty now
    List,
    /// The roster of a level and region, as TOML
    Show {
        level: u32,
        #[arg(default_value = "")]
        region: String,
    },
    /// Puts a file in force; its version must be higher
    Set {
        file: PathBuf,
        /// Who changes it
        #[arg(long, env = "USER", default_value = "operator")]
        actor: String,
    },
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

pub(crate) async fn linkage(client: &Client, command: LinkageCommand) -> anyhow::Result<()> {
    let linkage = match command {
        LinkageCommand::Show => {
            client
                .call(|channel| async move {
                    let request = GetLinkageRequest {};
                    Ok(alerts_client(channel).get_linkage(request).await?.into_inner())
                })
                .await?
        }
        LinkageCommand::Set { file, actor } => {
            let request = SetLinkageRequest { toml: read(&file)?, actor };
            client
                .call(|channel| {
                    let request = request.clone();
                    async move {
                        Ok(alerts_client(channel).set_linkage(request).await?.into_inner())
                    }
                })
                .await?
        }
    };
    print!("{}", linkage.toml);
    Ok(())
}

pub(crate) async fn roster(
    client: &Client,
    command: RosterCommand,
    remote: &Remote,
) -> anyhow::Result<()> {
    if let RosterCommand::Set { file, actor } = command {
        let request = SetRosterRequest { toml: read(&file)?, actor };
        let roster = client
            .call(|channel| {
                let request = request.clone();
                async move { Ok(alerts_client(channel).set_roster(request).await?.into_inner()) }
            })
            .await?;
        println!("on duty now: {}", roster.on_duty.join(", "));
        return Ok(());
    }
    let answer = client
        .call(|channel| async move {
            let request = ListRostersRequest {};
            Ok(alerts_client(channel).list_rosters(request).await?.into_inner())
        })
        .await?;
    if let RosterCommand::Show { level, region } = command {
        let found = answer.rosters.iter().find(|each| each.level == level && each.region == region);
        let Some(roster) = found else {
            let said =
                format!("no roster of level {level} in {region:?}: hearth alert roster list");
            return Err(super::output::Failure::refused(said).into());
        };
        print!("{}", roster.toml);
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = answer
        .rosters
        .iter()
        .map(|roster| {
            vec![
                json!(roster.level),
                json!(roster.region),
                json!(roster.version),
                json!(roster.on_duty.join(", ")),
            ]
        })
        .collect();
    print_rows(remote.format, &["level", "region", "version", "on_duty"], &rows);
    Ok(())
}
