//! `hearth feed`: declare department feeds, load their files, see how far they have come.

use super::args::Remote;
use super::feed_file::{Lines, Numbers};
use super::output::{Failure, print_rows, time_text};
use crate::client::{Client, feeds_client};
use crate::proto::hearth::{
    AppendRowsRequest, AppendRowsResponse, FeedStatus, ListFeedsRequest, PushFeedRequest,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Rows in one request.
const ROWS_PER_REQUEST: usize = 2_000;
/// Bytes of rows in one request.
const BYTES_PER_REQUEST: usize = 2 << 20;
/// Refused rows that are printed one by one; the rest are counted.
const REFUSED_SHOWN: usize = 20;
/// Rows between two words on a terminal.
const ROWS_PER_WORD: u64 = 100_000;

#[derive(Debug, Subcommand)]
pub(crate) enum FeedCommand {
    /// Declares a feed, or a later version of it, from a TOML file
    Push { file: PathBuf },
    /// How far every feed has come
    List,
    /// One feed: its declaration and how far it has come
    Show { feed: String },
    /// Loads a file of rows: .ndjson, .csv or .parquet, also .gz of the first two. A second run changes
    /// nothing
    Load {
        feed: String,
        file: PathBuf,
        /// The CSV column that says since when a row holds
        #[arg(long, default_value = "as_of")]
        time: String,
        /// The CSV column with the sender's number of the row; without it rows are numbered as they stand
        #[arg(long)]
        seq: Option<String>,
        /// The CSV column that says `true` or `1` where the department took the record back
        #[arg(long)]
        deleted: Option<String>,
    },
}

pub(crate) async fn run(command: FeedCommand, remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    match command {
        FeedCommand::Push { file } => {
            let spec = std::fs::read_to_string(&file)
                .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))?;
            let request = PushFeedRequest { spec };
            let feed = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(feeds_client(channel).push(request).await?.into_inner()) }
                })
                .await?;
            print_feeds(&[feed], remote);
        }
        FeedCommand::List => print_feeds(&listed(&client, "").await?, remote),
        FeedCommand::Show { feed } => {
            let feeds = listed(&client, &feed).await?;
            for feed in &feeds {
                println!("{}", feed.spec);
                if !feed.released.is_empty() {
                    println!("# owned by an earlier version: {}", feed.released.join(", "));
                }
            }
            print_feeds(&feeds, remote);
        }
        FeedCommand::Load { feed, file, time, seq, deleted } => {
            load(&client, &feed, &file, &Numbers { time, seq, deleted }).await?;
        }
    }
    Ok(())
}

async fn listed(client: &Client, feed: &str) -> anyhow::Result<Vec<FeedStatus>> {
    let request = ListFeedsRequest { feed: feed.to_owned() };
    let answer = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(feeds_client(channel).list(request).await?.into_inner()) }
        })
        .await?;
    Ok(answer.feeds)
}

fn print_feeds(feeds: &[FeedStatus], remote: &Remote) {
    let headings = [
        "feed",
        "department",
        "table",
        "version",
        "rows",
        "applied",
        "superseded",
        "duplicates",
        "late",
        "rejected",
        "withdrawn",
        "missing",
        "last_event",
        "watermark",
        "received",
        "stale",
    ];
    let rows: Vec<Vec<Value>> = feeds
        .iter()
        .map(|feed| {
            vec![
                json!(feed.feed),
                json!(feed.department),
                json!(feed.table),
                json!(feed.version),
                json!(feed.rows),
                json!(feed.applied),
                json!(feed.superseded),
                json!(feed.duplicates),
                json!(feed.late),
                json!(feed.rejected),
                json!(feed.withdrawn),
                json!(feed.missing),
                time_text(feed.last_event_us),
                time_text(feed.watermark_us),
                time_text(feed.received_us),
                json!(feed.stale),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}

async fn load(client: &Client, feed: &str, file: &Path, numbers: &Numbers) -> anyhow::Result<()> {
    let declared = listed(client, feed).await?;
    let table = declared.first().map(|feed| feed.table.clone()).unwrap_or_default();
    let mut sum = AppendRowsResponse::default();
    let (mut shown, mut sent, mut spoken) = (0, 0_u64, 0);
    let mut lines = Lines::open(file, &table, numbers)?;
    loop {
        let part = lines.take(ROWS_PER_REQUEST, BYTES_PER_REQUEST)?;
        if part.is_empty() {
            break;
        }
        let first = sent;
        sent += part.len() as u64;
        let answer = append(client, feed, part).await?;
        for each in &answer.rejected {
            if shown < REFUSED_SHOWN {
                let row = first + u64::from(each.position) + 1;
                eprintln!("{} row {row}: {}", file.display(), each.reason);
            }
            shown += 1;
        }
        sum.log_index = sum.log_index.max(answer.log_index);
        sum.applied += answer.applied;
        sum.superseded += answer.superseded;
        sum.duplicates += answer.duplicates;
        sum.late += answer.late;
        sum.withdrawn += answer.withdrawn;
        if sent / ROWS_PER_WORD > spoken && std::io::stderr().is_terminal() {
            spoken = sent / ROWS_PER_WORD;
            eprintln!("{sent} rows of {}", file.display());
        }
    }
    let withdrawn = match sum.withdrawn {
        0 => String::new(),
        count => format!(" ({count} withdrawn)"),
    };
    println!(
        "{sent} rows: {} applied{withdrawn}, {} superseded, {} duplicates, {} late, {shown} rejected; all of it at log index {}",
        sum.applied, sum.superseded, sum.duplicates, sum.late, sum.log_index
    );
    Ok(())
}

pub(super) async fn append(
    client: &Client,
    feed: &str,
    lines: Vec<String>,
) -> anyhow::Result<AppendRowsResponse> {
    let request = AppendRowsRequest { feed: feed.to_owned(), lines };
    Ok(client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(feeds_client(channel).append_rows(request).await?.into_inner()) }
        })
        .await?)
}
