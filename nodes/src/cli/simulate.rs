//! `hearth simulate` and `hearth load`.

use super::args::Remote;
use super::events::{EVENTS_PER_REQUEST, Sent};
use super::folder::Folder;
use super::output::Failure;
use super::sql::{connect, failure};
use crate::client::Client;
use crate::intake;
use crate::proto::hearth::Event;
use crate::simulate::{District, Plan};
use anyhow::Context as _;
use clap::Args;
use features::civil;
use features::table::{Mode, Table};
use flight::MIN_LOG_INDEX_HEADER;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};

/// Rows in one ingest.
const ROWS_PER_INGEST: usize = 5_000;
/// Requests that are on their way at once: while one is flushed, the next is checked.
const REQUESTS_IN_FLIGHT: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Residents of 60 and more
    #[arg(long)]
    people: u32,
    /// Days of sensor events
    #[arg(long)]
    days: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of households with sensors, 0 to 1
    #[arg(long)]
    monitored: Option<f64>,
    /// The folder that is written: tables/, events/, truth/ and SHA256SUMS
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let mut plan =
        Plan { people: args.people, days: args.days, seed: args.seed, ..Plan::default() };
    if let Some(share) = args.monitored {
        plan.homes_monitored = share;
    }
    let files = write_district(&plan, &args.out)?;
    println!("{}: {files} files, listed with their hashes in SHA256SUMS", args.out.display());
    Ok(())
}

/// Writes a whole district; says how many files there are.
pub(crate) fn write_district(plan: &Plan, out: &Path) -> anyhow::Result<usize> {
    let district = District::generate(plan).map_err(|error| Failure::usage(error.to_string()))?;
    let mut folder = Folder::make(out)?;
    district.write(&mut folder)?;
    folder.finish()
}

/// What a load has put in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) rows: u64,
    pub(crate) sent: Sent,
}

pub(crate) async fn load(dir: &Path, remote: &Remote) -> anyhow::Result<()> {
    let loaded = load_district(dir, remote).await?;
    println!(
        "{} rows; {} events accepted, {} duplicates, {} rejected; all of it can be queried",
        loaded.rows, loaded.sent.accepted, loaded.sent.duplicates, loaded.sent.rejected
    );
    Ok(())
}

/// The registers, then the days of events; returns when every node's warehouse shows them.
pub(crate) async fn load_district(dir: &Path, remote: &Remote) -> anyhow::Result<Loaded> {
    if !dir.join("tables").is_dir() {
        let said =
            format!("{} has no tables/: make one with `hearth simulate --out {0}`", dir.display());
        return Err(Failure::refused(said).into());
    }
    let mut loaded = Loaded::default();
    for table in civil::TABLES.iter().filter(|table| table.mode == Mode::Reference) {
        let file = dir.join("tables").join(format!("{}.parquet", table.name));
        if file.exists() {
            loaded.rows += load_table(table, &file, remote).await?;
        }
    }
    let client = remote.client()?;
    for file in days(&dir.join("events"))? {
        progress(&format!("events of {}", file.display()));
        let loading = load_events(&file, &client, &mut loaded.sent).await;
        loading.with_context(|| file.display().to_string())?;
    }
    wait_recorded(&client).await?;
    Ok(loaded)
}

async fn load_table(table: &'static Table, file: &Path, remote: &Remote) -> anyhow::Result<u64> {
    progress(&format!("table {}", table.name));
    let rows = flight::read_parquet(file, table).map_err(|error| failure(&error))?;
    let mut client = connect(remote).await?;
    for part in rows.chunks(ROWS_PER_INGEST) {
        client.ingest_rows(table.name, part).await.map_err(|error| failure(&error))?;
    }
    Ok(rows.len() as u64)
}

/// The files of events in the order of their days.
fn days(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ndjson"))
        .collect();
    files.sort();
    Ok(files)
}

async fn load_events(file: &Path, client: &Client, sent: &mut Sent) -> anyhow::Result<()> {
    let answers = stream::iter(batches(file)?)
        .map(|batch| async { Ok::<_, anyhow::Error>(client.append(batch?).await?) })
        .buffered(REQUESTS_IN_FLIGHT);
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.try_next().await? {
        sent.add(&answer);
    }
    Ok(())
}

/// The events of a file, request by request.
fn batches(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<Event>>>> {
    let mut lines = BufReader::new(File::open(file)?).lines();
    Ok(std::iter::from_fn(move || {
        let mut batch = Vec::with_capacity(EVENTS_PER_REQUEST);
        while batch.len() < EVENTS_PER_REQUEST
            && let Some(line) = lines.next()
        {
            match line
                .map_err(|error| error.to_string())
                .and_then(|line| intake::ndjson(line.as_bytes()))
            {
                Ok(events) => batch.extend(events.into_iter().map(Into::into)),
                Err(said) => return Some(Err(Failure::refused(said).into())),
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }))
}

/// Waits until every node's warehouse shows what the leader has applied.
pub(crate) async fn wait_recorded(client: &Client) -> anyhow::Result<()> {
    let members = client.members().await?;
    let applied = client.applied_index().await?;
    for member in members.iter().filter(|member| !member.flight.is_empty()) {
        let address = format!("http://{}", member.flight);
        // A node that is away catches up by itself when it is back.
        let Ok(mut node) = flight::Client::connect(&address).await else { continue };
        node.wait_for(applied);
        let asked = node.query("SELECT 1").await;
        asked.map_err(|error| {
            Failure::refused(format!("{address}: {MIN_LOG_INDEX_HEADER} {applied}: {error}"))
        })?;
    }
    Ok(())
}

fn progress(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("loading {what}");
    }
}
