//! `hearth verify-parity`.

use super::args::Remote;
use super::output::{Failure, Format};
use super::sql::failure;
use crate::clock;
use crate::parity::{Limits, Outcome, Part, verify};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, Args)]
pub(crate) struct VerifyParityArgs {
    /// One view; all of them without it
    #[arg(long, default_value = "")]
    view: String,
    /// Memory for the recomputation, in MiB; what does not fit goes to disk
    #[arg(long, default_value_t = 1_024)]
    memory_mib: u64,
    /// Processors for the recomputation; 0 for all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Entities that are recomputed at once
    #[arg(long, default_value_t = 25_000)]
    entities: u64,
    /// A part of the entities: K/M for the K-th of M, or M alone for the one whose turn it is today, so
    /// that M nights verify all
    #[arg(long)]
    part: Option<Part>,
    /// Where the copy of the events is kept meanwhile
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// The copy's folder; goes with everything in it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make(dir: Option<&Path>) -> anyhow::Result<Self> {
        let parent = dir.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = parent.join(format!("hearth-parity-{}", std::process::id()));
        std::fs::create_dir_all(&parent)
            .and_then(|()| std::fs::create_dir(&folder))
            .map_err(|error| Failure::refused(format!("{}: {error}", folder.display())))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("hearth: {} is left behind: {error}", self.0.display());
        }
    }
}

pub(crate) async fn run(args: VerifyParityArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let folder = Folder::make(args.dir.as_deref())?;
    let limits = Limits {
        folder: folder.0.clone(),
        memory_bytes: args.memory_mib << 20,
        threads: match args.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            threads => threads,
        },
        entities: args.entities,
        part: args.part.unwrap_or(Part::ALL),
    };
    // The node that answers is the one that is verified: its memory, its warehouse.
    let status = args.remote.client()?.status().await?;
    let own = status.members.iter().find(|member| member.id == status.node_id);
    let address = own.map(|member| member.flight.clone()).filter(|flight| !flight.is_empty());
    let address =
        address.ok_or_else(|| Failure::refused("the node that answers has no Flight address"))?;
    let mut client = flight::Client::connect(&format!("http://{address}"))
        .await
        .map_err(|error| failure(&error))?;
    let outcome =
        verify(&mut client, &args.view, &limits).await.map_err(|error| failure(&error))?;
    print(&outcome, status.node_id, begun, args.remote.format);
    match outcome.first.first() {
        None => Ok(()),
        Some(first) => {
            let said = format!("{} values differ, the first of {first}", outcome.differing);
            Err(Failure { said, code: crate::exit::DAMAGED }.into())
        }
    }
}

fn print(outcome: &Outcome, node: u64, begun: Instant, format: Format) {
    let took_s = begun.elapsed().as_secs_f64();
    let Outcome {
        log_index,
        clock_us,
        views,
        entities,
        values,
        partial,
        events,
        registers,
        differing,
        ..
    } = outcome;
    if format == Format::Json {
        let first: Vec<_> = outcome
            .first
            .iter()
            .map(|each| {
                json!({
                    "entity": each.entity, "key": each.key, "view": each.view, "feature": each.feature,
                    "online": each.online.number, "recomputed": each.made.number,
                    "text": each.to_string(),
                })
            })
            .collect();
        let told = json!({
            "node": node, "log_index": log_index, "clock_us": clock_us, "views": views,
            "entities": entities, "values": values, "partial": partial, "events": events, "registers": registers,
            "differing": differing, "first": first, "seconds": took_s,
        });
        println!("{told}");
        return;
    }
    println!(
        "node {node} at log index {log_index} ({}): {values} values of {entities} entities in {views} views \
         recomputed from {events} events and {registers} register rows, {differing} differ, {partial} partial ones left out; {took_s:.1} s",
        clock::text(*clock_us)
    );
    for each in &outcome.first {
        println!("{each}");
    }
}
