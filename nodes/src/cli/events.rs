//! `hearth replay`: somebody else's sensor file through the same door as every event.

use super::args::Remote;
use super::event_file::own_events;
use super::output::Failure;
use crate::client::Client;
use crate::proto::hearth::{AppendResponse, Event};
use crate::replay::{LineError, Mapping, Reader, builtin};
use clap::Args;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Events in one request.
pub(crate) const EVENTS_PER_REQUEST: usize = 2_000;
/// Bad lines that are printed one by one; the rest are counted.
const BAD_LINES_SHOWN: usize = 20;
/// Events between two words on a terminal.
const EVENTS_PER_WORD: u64 = 200_000;
/// The longest stretch that is waited for at once, so that progress is seen.
const WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The sensor file; .gz is unpacked
    file: PathBuf,
    /// A mapping file, or the name of one that comes along (kasteren-houseB, mavpad, ...); without it
    /// the file holds events of hearth's own: .ndjson, .ndjson.gz, or .parquet as `sensor_event` is
    #[arg(long)]
    mapping: Option<String>,
    /// So many seconds of the file in one second; 0 for as fast as it goes
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
    #[command(flatten)]
    remote: Remote,
}

/// What became of the events that were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) log_index: u64,
}

pub(crate) async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    if !args.speed.is_finite() || args.speed < 0.0 {
        return Err(Failure::usage("--speed takes 0 or more").into());
    }
    let reader = match &args.mapping {
        Some(name) => {
            let reader = Reader::open(&args.file, &read_mapping(name)?);
            let reader = reader
                .map_err(|error| Failure::refused(format!("{}: {error}", args.file.display())))?;
            Box::new(reader) as Box<dyn Iterator<Item = _> + Send>
        }
        None => own_events(&args.file)?,
    };
    let mut progress = Progress::default();
    let client = args.remote.client()?;
    let mut pace = Pace::new(args.speed);
    let mut bad: Vec<LineError> = Vec::new();
    let (mut sent, mut bad_lines, mut batch) = (Sent::default(), 0_u64, Vec::new());
    for outcome in reader {
        progress.one_more(&args.file);
        let event = match outcome {
            Ok(event) => event,
            Err(error) => {
                bad_lines += 1;
                if bad.len() < BAD_LINES_SHOWN {
                    bad.push(error);
                }
                continue;
            }
        };
        if pace.must_wait(event.event_time_us) && !batch.is_empty() {
            send(&client, &mut batch, &mut sent).await?;
        }
        pace.wait(event.event_time_us).await;
        batch.push(event.into());
        if batch.len() >= EVENTS_PER_REQUEST {
            send(&client, &mut batch, &mut sent).await?;
        }
    }
    send(&client, &mut batch, &mut sent).await?;
    for error in &bad {
        eprintln!("{}: {error}", args.file.display());
    }
    println!(
        "{} accepted, {} duplicates, {} rejected, {bad_lines} bad lines; all of it at log index {}",
        sent.accepted, sent.duplicates, sent.rejected, sent.log_index
    );
    Ok(())
}

pub(crate) fn read_mapping(name: &str) -> anyhow::Result<Mapping> {
    let text = match builtin(name) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(Path::new(name)).map_err(|error| {
            let known: Vec<&str> = crate::replay::BUILTIN.iter().map(|(name, _)| *name).collect();
            Failure::refused(format!(
                "mapping {name}: {error}; give a file or one of {}",
                known.join(", ")
            ))
        })?,
    };
    Ok(Mapping::parse(&text).map_err(|error| Failure::usage(format!("mapping {name}: {error}")))?)
}

/// Sends what is gathered and adds up what became of it.
pub(crate) async fn send(
    client: &Client,
    batch: &mut Vec<Event>,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    sent.add(&client.append(std::mem::take(batch)).await?);
    Ok(())
}

impl Sent {
    pub(crate) fn add(&mut self, answer: &AppendResponse) {
        self.accepted += u64::from(answer.accepted);
        self.duplicates += u64::from(answer.duplicates);
        self.rejected += answer.rejected.len() as u64;
        self.log_index = self.log_index.max(answer.log_index);
        for rejection in answer.rejected.iter().take(BAD_LINES_SHOWN) {
            eprintln!("event {} of a request: {}", rejection.position, rejection.reason);
        }
    }
}

/// A word on a terminal now and then.
#[derive(Debug, Default)]
struct Progress {
    events: u64,
}

impl Progress {
    fn one_more(&mut self, file: &Path) {
        self.events += 1;
        if self.events.is_multiple_of(EVENTS_PER_WORD) && std::io::stderr().is_terminal() {
            eprintln!("{} events of {}", self.events, file.display());
        }
    }
}

/// Keeps the distance between events, divided by the speed.
struct Pace {
    speed: f64,
    begun: Option<(Instant, i64)>,
}

impl Pace {
    fn new(speed: f64) -> Self {
        Self { speed, begun: None }
    }

    fn due(&mut self, at_us: i64) -> Option<Instant> {
        if self.speed == 0.0 {
            return None;
        }
        let (begun, first_us) = *self.begun.get_or_insert((Instant::now(), at_us));
        let after_s = (at_us - first_us).max(0) as f64 / 1e6 / self.speed;
        Some(begun + Duration::from_secs_f64(after_s))
    }

    fn must_wait(&mut self, at_us: i64) -> bool {
        self.due(at_us).is_some_and(|due| due > Instant::now())
    }

    async fn wait(&mut self, at_us: i64) {
        while let Some(left) =
            self.due(at_us).and_then(|due| due.checked_duration_since(Instant::now()))
        {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(WAIT_MAX)).await;
        }
    }
}
