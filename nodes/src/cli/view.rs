//! `hearth view`.

use super::args::Remote;
use super::output::{Failure, Format, print_rows};
use crate::client::views_client;
use crate::proto::hearth::{
    GetViewRequest, ListViewsRequest, PushViewRequest, RetireViewRequest, View,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ViewCommand {
    /// Puts a view in force on every node: a TOML file
    Push {
        file: PathBuf,
        /// Who pushes
        #[arg(long, env = "USER", default_value = "operator")]
        author: String,
    },
    /// Every version of every view, or of one
    List { name: Option<String> },
    /// The features of a view, and from when on each knows every reading; with --format json its text, too
    Show {
        name: String,
        /// The newest in force where it is left out
        version: Option<u32>,
    },
    /// Takes a version out of force
    Retire {
        name: String,
        version: u32,
        /// Who acts
        #[arg(long, env = "USER", default_value = "operator")]
        actor: String,
    },
}

pub(crate) async fn run(command: ViewCommand, remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    match command {
        ViewCommand::Push { file, author } => {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
            let request = PushViewRequest { text, author };
            let pushed = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(views_client(channel).push(request).await?.into_inner()) }
                })
                .await?;
            print_views(&[pushed], remote);
        }
        ViewCommand::List { name } => {
            let request = ListViewsRequest { name: name.unwrap_or_default() };
            let listed = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(views_client(channel).list(request).await?.into_inner()) }
                })
                .await?;
            print_views(&listed.views, remote);
        }
        ViewCommand::Show { name, version } => {
            let request = GetViewRequest { name, version: version.unwrap_or(0) };
            let view = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(views_client(channel).get(request).await?.into_inner()) }
                })
                .await?;
            print_view(&view, remote.format);
        }
        ViewCommand::Retire { name, version, actor } => {
            let request = RetireViewRequest { name, version, actor };
            let retired = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(views_client(channel).retire(request).await?.into_inner()) }
                })
                .await?;
            print_views(&[retired], remote);
        }
    }
    Ok(())
}

fn print_views(views: &[View], remote: &Remote) {
    let headings =
        ["view", "version", "entity", "state", "features", "models", "author", "fingerprint"];
    let row = |view: &View| -> Vec<Value> {
        let short: String = view.fingerprint.chars().take(12).collect();
        vec![
            json!(view.name),
            json!(view.version),
            json!(view.entity),
            json!(view.state),
            json!(view.features.len()),
            json!(view.models.join(", ")),
            json!(view.author),
            json!(short),
        ]
    };
    print_rows(remote.format, &headings, &views.iter().map(row).collect::<Vec<_>>());
}

fn print_view(view: &View, format: Format) {
    if format == Format::Json {
        let feature = |each: &crate::proto::hearth::ViewFeature| {
            json!({ "name": each.name, "source": each.source, "default": each.default,
                    "since_us": each.since_us })
        };
        let shown = json!({
            "name": view.name, "version": view.version, "entity": view.entity,
            "fingerprint": view.fingerprint, "state": view.state, "author": view.author,
            "pushed_us": view.pushed_us, "log_index": view.log_index, "models": view.models,
            "request": view.request, "text": view.text,
            "features": view.features.iter().map(feature).collect::<Vec<_>>(),
        });
        println!("{shown}");
        return;
    }
    let rows: Vec<Vec<Value>> = view
        .features
        .iter()
        .map(|each| {
            let since = if each.since_us == 0 { json!("always") } else { json!(each.since_us) };
            vec![json!(each.name), json!(each.source), json!(each.default), since]
        })
        .collect();
    print_rows(format, &["feature", "source", "default", "whole since (us)"], &rows);
}
