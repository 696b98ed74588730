//! `hearth status` and `hearth cluster`.

use super::args::Remote;
use super::backup;
use super::output::{Format, print_rows};
use crate::client::cluster_client;
use crate::json as messages;
use crate::proto::hearth::{
    ChangeMembershipRequest, Member, StatusResponse, TransferLeadershipRequest,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Adds a node as a learner: it receives everything and does not vote
    Add {
        id: u64,
        /// host:port of its ports
        #[arg(long)]
        grpc: String,
        #[arg(long)]
        flight: String,
        #[arg(long)]
        raft: String,
        #[arg(long)]
        http: String,
    },
    /// Makes a learner a voter
    Promote { id: u64 },
    /// Makes a voter a learner
    Demote { id: u64 },
    /// Takes a node out for good; its id is never used again
    Remove { id: u64 },
    /// Puts a learner that has caught up in the place of a lost node
    Replace { lost: u64, by: u64 },
    /// Hands the leadership to another voter
    TransferLeader { to: u64 },
    /// Has the node that answers write a snapshot now
    Snapshot,
    /// Copies the state, the model files and the history, all up to one entry of the log, into a folder
    Backup {
        /// A folder that is not there yet
        #[arg(long)]
        out: PathBuf,
    },
    /// Reads a backup, or the data of a stopped node, against every checksum
    Verify {
        /// A backup's folder
        #[arg(required_unless_present = "config")]
        dir: Option<PathBuf>,
        /// The configuration of a node that is not running
        #[arg(long, conflicts_with = "dir")]
        config: Option<PathBuf>,
    },
    /// Makes the data folder of one node of a new cluster; run it for each of them with the same backup
    Restore {
        /// A backup's folder
        dir: PathBuf,
        /// The configuration of the new node
        #[arg(long)]
        config: PathBuf,
    },
}

pub(crate) async fn run(command: ClusterCommand, remote: &Remote) -> anyhow::Result<()> {
    match command {
        ClusterCommand::TransferLeader { to } => transfer(to, remote).await,
        ClusterCommand::Snapshot => backup::snapshot(remote).await,
        ClusterCommand::Backup { out } => backup::take(&out, remote).await,
        ClusterCommand::Verify { dir: Some(dir), .. } => backup::verify(&dir, remote.format),
        ClusterCommand::Verify { dir: None, config } => {
            backup::verify_node(&config.unwrap_or_default(), remote.format)
        }
        ClusterCommand::Restore { dir, config } => backup::restore(&dir, &config, remote).await,
        change => change_membership(change, remote).await,
    }
}

async fn transfer(to: u64, remote: &Remote) -> anyhow::Result<()> {
    let answer = remote
        .client()?
        .call(|channel| async move {
            let request = TransferLeadershipRequest { to };
            Ok(cluster_client(channel).transfer_leadership(request).await?.into_inner())
        })
        .await?;
    print_status(&answer, remote.format);
    Ok(())
}

async fn change_membership(command: ClusterCommand, remote: &Remote) -> anyhow::Result<()> {
    let member = |id| Member { id, ..Member::default() };
    let mut replaces = 0;
    let (action, member) = match command {
        ClusterCommand::Add { id, grpc, flight, raft, http } => {
            ("add_learner", Member { id, grpc, flight, raft, http, ..Member::default() })
        }
        ClusterCommand::Promote { id } => ("promote", member(id)),
        ClusterCommand::Demote { id } => ("demote", member(id)),
        ClusterCommand::Remove { id } => ("remove", member(id)),
        ClusterCommand::Replace { lost, by } => {
            replaces = lost;
            ("replace", member(by))
        }
        _ => return Ok(()),
    };
    let request =
        ChangeMembershipRequest { action: action.to_owned(), member: Some(member), replaces };
    let answer = remote
        .client()?
        .call(|channel| {
            let request = request.clone();
            async move { Ok(cluster_client(channel).change_membership(request).await?.into_inner()) }
        })
        .await?;
    print_status(&answer, remote.format);
    Ok(())
}

pub(crate) async fn status(remote: &Remote) -> anyhow::Result<()> {
    let answer = remote.client()?.status().await?;
    print_status(&answer, remote.format);
    Ok(())
}

/// How soon events could be read at the answering node, in the last minute.
fn print_visible(status: &StatusResponse) {
    for each in status.visible.iter().filter(|each| each.events > 0) {
        let ms = |us: u64| us as f64 / 1_000.0;
        println!(
            "visible from {}: {} events in the last minute, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; \
             goal {:.0} ms, kept by {:.2} % since the start",
            each.from,
            each.events,
            ms(each.p50_us),
            ms(each.p99_us),
            ms(each.longest_us),
            ms(each.goal_us),
            each.within_goal * 100.0
        );
    }
}

pub(super) fn print_status(status: &StatusResponse, format: Format) {
    if format == Format::Json {
        println!("{}", messages::status(status));
        return;
    }
    if format == Format::Table {
        println!(
            "cluster {} group {} version {}: leader {}, term {}, committed {}, applied {}, recorded {}, scored {}, snapshot {}",
            status.cluster_id,
            status.group,
            status.version,
            status.leader_id,
            status.term,
            status.committed_index,
            status.applied_index,
            status.recorded_index,
            status.scored_index,
            status.snapshot_index
        );
        println!(
            "ledger: {} entries, head {}",
            status.ledger_seq,
            crate::hex::encode(&status.ledger_head)
        );
        print_visible(status);
    }
    if !status.quarantined.is_empty() {
        eprintln!("ALARM: node {} is out of service: {}", status.node_id, status.quarantined);
    }
    for found in &status.diverged {
        eprintln!(
            "ALARM: node {} holds another state than most since log index {}; rebuild it from its peers: hearth serve --config FILE --rebuild",
            found.id, found.log_index
        );
    }
    let rows: Vec<Vec<Value>> = status
        .members
        .iter()
        .map(|member| {
            vec![
                json!(member.id),
                json!(member.role),
                json!(member.grpc),
                json!(member.flight),
                json!(member.raft),
                json!(member.http),
                json!(member.matched_index),
            ]
        })
        .collect();
    print_rows(format, &["id", "role", "grpc", "flight", "raft", "http", "matched"], &rows);
}
