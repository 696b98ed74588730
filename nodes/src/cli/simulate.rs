//! `hearth simulate` and `hearth load`.

use super::args::Remote;
use super::events::{Sent, send};
use super::output::Failure;
use super::sql::{connect, failure};
use crate::client::Client;
use crate::intake;
use crate::simulate::{Detail, District, Plan, Sink, TRUTH, write_event};
use anyhow::Context as _;
use clap::Args;
use features::civil;
use features::table::{Cell, Mode, Table};
use features::Event;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows in one ingest.
const ROWS_PER_INGEST: usize = 5_000;
/// How long the warehouses may take to show what was loaded.
const RECORDED_WITHIN: Duration = Duration::from_secs(600);

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
    /// The folder that is written; tables/, events/, truth/ and SHA256SUMS
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let plan = Plan { people: args.people, days: args.days, seed: args.seed, ..Plan::default() };
    let sums = write_district(&plan, &args.out)?;
    println!("{}: {} files, listed with their hashes in SHA256SUMS", args.out.display(), sums);
    Ok(())
}

/// Writes the whole district; says how many files there are.
pub(crate) fn write_district(plan: &Plan, out: &Path) -> anyhow::Result<usize> {
    let refused = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let district = District::generate(plan).map_err(|error| refused(&error))?;
    let mut sink = Folder { out: out.to_owned(), detail: plan.detail };
    for folder in ["tables", "truth", "events"] {
        std::fs::create_dir_all(out.join(folder)).with_context(|| out.display().to_string())?;
    }
    district.write(&mut sink)?;
    sink.sums()
}

/// A district as files: Parquet tables, one NDJSON file of events a day.
struct Folder {
    out: PathBuf,
    detail: Detail,
}
