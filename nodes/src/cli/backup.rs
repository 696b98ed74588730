//! `hearth cluster snapshot`, `backup`, `verify` and `restore`.

use super::args::Remote;
use super::cluster::print_status;
use super::output::{Format, print_rows};
use crate::backup::{self, Manifest, NodeReport, Progress};
use crate::client::cluster_client;
use crate::config::Config;
use crate::hex;
use crate::proto::hearth::SnapshotRequest;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// A large state on a busy disk takes its time.
const SNAPSHOT_WITHIN: Duration = Duration::from_mins(10);

pub(super) async fn snapshot(remote: &Remote) -> anyhow::Result<()> {
    let answer = remote
        .client()?
        .call_within(SNAPSHOT_WITHIN, |channel| async move {
            Ok(cluster_client(channel).snapshot(SnapshotRequest {}).await?.into_inner())
        })
        .await?;
    print_status(&answer, remote.format);
    Ok(())
}

pub(super) async fn take(out: &Path, remote: &Remote) -> anyhow::Result<()> {
    let manifest = backup::take(&remote.client()?, out).await?;
    print_backup(out, &manifest, remote.format);
    Ok(())
}

pub(super) fn verify(dir: &Path, format: Format) -> anyhow::Result<()> {
    let verified = backup::verify_backup(dir, &Progress::new())?;
    print_backup(dir, &verified.manifest, format);
    Ok(())
}

pub(super) async fn restore(dir: &Path, config: &Path, remote: &Remote) -> anyhow::Result<()> {
    let file = config;
    let config = Config::read(file)?;
    let manifest = backup::restore(dir, &config, file).await?;
    print_backup(dir, &manifest, remote.format);
    if remote.format == Format::Table {
        println!(
            "node {} of cluster {} holds it in {}; restore its peers from the same backup, then start them all",
            config.node.id,
            config.node.cluster_id,
            config.node.dir.display()
        );
    }
    Ok(())
}

pub(super) fn verify_node(config: &Path, format: Format) -> anyhow::Result<()> {
    let config = Config::read(config)?;
    let NodeReport {
        snapshot_index,
        state_sha256,
        last_index,
        log_records,
        files,
        files_missing,
        recorded_index,
        rows,
    } = backup::verify_node(&config, &Progress::new())?;
    let headings = [
        "node",
        "snapshot",
        "last",
        "log_records",
        "files",
        "files_missing",
        "recorded",
        "rows",
        "state_sha256",
    ];
    let row = vec![
        json!(config.node.id),
        json!(snapshot_index),
        json!(last_index),
        json!(log_records),
        json!(files),
        json!(files_missing),
        json!(recorded_index),
        json!(rows),
        json!(state_sha256.map(|sha256| hex::encode(&sha256))),
    ];
    print_rows(format, &headings, &[row]);
    Ok(())
}

fn print_backup(dir: &Path, manifest: &Manifest, format: Format) {
    let headings = [
        "backup",
        "cluster",
        "group",
        "index",
        "time",
        "files",
        "bytes",
        "history_rows",
        "agreed",
        "state_hash",
        "state_sha256",
    ];
    let row = vec![
        json!(dir.display().to_string()),
        json!(manifest.cluster),
        json!(manifest.group),
        json!(manifest.index),
        json!(manifest.time),
        json!(manifest.files.len()),
        json!(manifest.bytes()),
        json!(manifest.rows()),
        json!(manifest.agreed),
        json!(manifest.state_hash),
        json!(manifest.state_sha256),
    ];
    print_rows(format, &headings, &[row]);
}
