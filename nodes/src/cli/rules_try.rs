//! `hearth rules try`: a set on events of the past, from the warehouse or from a file, beside the set in
//! force. The engine runs in this process; the cluster is only read.

use super::args::Remote;
use super::events::read_mapping;
use super::output::{Failure, Format, print_rows, time_text};
use super::rules::{get, parse, read};
use super::sql::{connect, failure};
use crate::replay::Reader;
use crate::state::{Comparison, Found, Rules, Trial};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use clap::Args;
use features::table::Cell;
use features::{Event, civil};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Events of one query.
const EVENTS_AT_ONCE: usize = 100_000;
/// Registers that rules ask for, with the columns that they need.
const REGISTERS: [(&str, &[&str]); 6] = [
    ("grid", &["grid_id", "community"]),
    ("building", &["building_id", "grid_id"]),
    ("dwelling", &["dwelling_id", "building_id"]),
    ("household", &["household_id", "dwelling_id"]),
    ("resident", &["resident_key", "household_id"]),
    ("device", &["device_id", "dwelling_id", "kind"]),
];

#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    /// The new set; without one only the set in force is tried
    file: Option<PathBuf>,
    /// Events received from this time on, such as 2026-11-01 or 2026-11-01T06:00:00Z
    #[arg(long)]
    from: Option<String>,
    /// And before this one; now, where it is left out
    #[arg(long)]
    to: Option<String>,
    /// Hours before --from whose events teach habits and fill windows, but are not compared
    #[arg(long, default_value_t = 48)]
    warm_up_h: u32,
    /// A find of which nothing more is seen for so long counts as handled; the next one is another
    #[arg(long, default_value_t = 3_600)]
    handled_s: u32,
    /// Events of a sensor file instead, as of one home that the file is about; needs --mapping. The set
    /// is FILE or the built-in one; no cluster is asked
    #[arg(long)]
    replay: Option<PathBuf>,
    /// How the sensor file is read: a mapping file or the name of one that comes along
    #[arg(long)]
    mapping: Option<String>,
}

pub(crate) async fn run(args: TryArgs, remote: &Remote) -> anyhow::Result<()> {
    let handled_us = i64::from(args.handled_s) * 1_000_000;
    let new = args.file.as_deref().map(read).transpose()?;
    if let Some(file) = &args.replay {
        let rules = new.unwrap_or_default();
        let mut trial = Trial::new(&rules, handled_us);
        replay(&mut trial, file, args.mapping.as_deref())?;
        print_found(trial.found(), remote);
        return Ok(());
    }
    let in_force = parse(&get(0, remote).await?)?;
    let sets: Vec<&Rules> = std::iter::once(&in_force).chain(new.as_ref()).collect();
    let mut trials: Vec<Trial> = sets.iter().map(|set| Trial::new(set, handled_us)).collect();
    let from_us = args.from.as_deref().map_or(Ok(0), time)?;
    let to_us = args.to.as_deref().map_or(Ok(crate::clock::now_us()), time)?;
    let warm_us = from_us - i64::from(args.warm_up_h) * 3_600_000_000;
    recorded(&mut trials, (warm_us, to_us), remote).await?;
    let found: Vec<Vec<Found>> = trials
        .iter()
        .map(|trial| {
            trial.found().iter().filter(|found| found.raised_us >= from_us).cloned().collect()
        })
        .collect();
    match found.as_slice() {
        [in_force, new] => print_comparison(&Comparison::of(in_force, new), remote),
        [in_force] => print_found(in_force, remote),
        _ => {}
    }
    Ok(())
}

fn time(text: &str) -> anyhow::Result<i64> {
    let said = || Failure::usage(format!("{text:?} is no time: write 2026-11-01T06:00:00Z"));
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        let midnight = day.and_hms_opt(0, 0, 0).ok_or_else(said)?;
        return Ok(midnight.and_utc().timestamp_micros());
    }
    let at = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| said())?;
    Ok(at.timestamp_micros())
}

/// A file's events as they would have come in had they been sent at once.
fn replay(trial: &mut Trial, file: &Path, mapping: Option<&str>) -> anyhow::Result<()> {
    let Some(mapping) = mapping else {
        return Err(Failure::usage("--replay needs --mapping").into());
    };
    let mapping = read_mapping(mapping)?;
    let open = || {
        Reader::open(file, &mapping)
            .map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
    };
    let mut events: Vec<Event> = open()?.filter_map(Result::ok).collect();
    events.sort_by(|one, other| {
        (one.event_time_us, &one.event_id).cmp(&(other.event_time_us, &other.event_id))
    });
    move_on(&mut events);
    register(trial, "household", &[("household_id", "home"), ("dwelling_id", "home")])?;
    register(trial, "resident", &[("resident_key", "resident"), ("household_id", "home")])?;
    let mut devices: Vec<(&str, &str)> =
        events.iter().map(|event| (event.device_id.as_str(), event.kind.as_str())).collect();
    devices.sort_unstable();
    devices.dedup_by_key(|(device, _)| *device);
    // A recording of sensors that speak only when something happens misses none of them.
    let beats = |device: &str| {
        events.iter().any(|event| event.device_id == device && event.kind == "heartbeat")
    };
    for (device, kind) in devices {
        let kind = if beats(device) { kind } else { "" };
        let cells = [("device_id", device), ("dwelling_id", "home"), ("kind", kind)];
        let known = if kind.is_empty() { &cells[..2] } else { &cells[..] };
        register(trial, "device", known)?;
    }
    for event in &events {
        trial.see(event, event.event_time_us);
    }
    Ok(())
}

/// The engine's timers count from 2020. An older file is moved on by whole weeks, so that hours and
/// weekdays stay.
fn move_on(events: &mut [Event]) {
    const WEEK_US: i64 = 7 * 86_400_000_000;
    /// 2024-01-01.
    const BEGIN_US: i64 = 1_704_067_200_000_000;
    let Some(first_us) = events.first().map(|event| event.event_time_us) else { return };
    let weeks = (BEGIN_US - first_us).max(0).div_euclid(WEEK_US) + 1;
    if first_us >= BEGIN_US {
        return;
    }
    for event in events {
        event.event_time_us += weeks * WEEK_US;
    }
    eprintln!("the file is from before 2024: all times are moved on by {weeks} weeks");
}

fn register(trial: &mut Trial, table: &str, cells: &[(&str, &str)]) -> anyhow::Result<()> {
    let Some(table) = civil::table(table) else { return Ok(()) };
    let mut row = vec![Cell::Null; table.columns.len()];
    for (column, text) in cells {
        if let Some(cell) = table.position(column).and_then(|at| row.get_mut(at)) {
            *cell = Cell::text(*text);
        }
    }
    Ok(trial.register(table, &row)?)
}

/// The registers as they are now, then the events of a stretch of time in the order of the log.
async fn recorded(
    trials: &mut [Trial],
    (from_us, to_us): (i64, i64),
    remote: &Remote,
) -> anyhow::Result<()> {
    let mut flight = connect(remote).await?;
    flight.wait_for(remote.client()?.applied_index().await?);
    for (table, columns) in REGISTERS {
        let sql = format!("SELECT {} FROM {table}", columns.join(", "));
        let answered = flight.query(&sql).await.map_err(|error| failure(&error))?;
        for batch in &answered.batches {
            for row in 0..batch.num_rows() {
                let texts = (0..columns.len()).map(|at| text(batch, at, row));
                let cells: Vec<(&str, &str)> = columns.iter().copied().zip(texts).collect();
                let cells: Vec<_> =
                    cells.into_iter().filter(|(_, text)| !text.is_empty()).collect();
                for trial in trials.iter_mut() {
                    register(trial, table, &cells)?;
                }
            }
        }
    }
    let mut after = -1_i64;
    loop {
        let sql = format!(
            "SELECT log_index, epoch_us(recv_ts), epoch_us(ts), value, coalesce(boot_id, 0),
                 source, event_id, device_id, kind
             FROM sensor_event
             WHERE log_index > {after} AND recv_ts >= make_timestamp({from_us})
                 AND recv_ts < make_timestamp({to_us})
             ORDER BY log_index, seq, ts, event_id LIMIT {EVENTS_AT_ONCE}"
        );
        let answered = flight.query(&sql).await.map_err(|error| failure(&error))?;
        let rows: usize = answered.batches.iter().map(RecordBatch::num_rows).sum();
        // An entry that the limit cut in two is asked for again as a whole.
        let last = answered.batches.last().filter(|_| rows == EVENTS_AT_ONCE);
        let cut = last.map(|batch| whole(batch, 0, batch.num_rows() - 1));
        let mut seen = 0;
        for batch in &answered.batches {
            for row in 0..batch.num_rows() {
                let index = whole(batch, 0, row);
                if Some(index) != cut {
                    (after, seen) = (index, seen + 1);
                    let event = event(batch, row);
                    for trial in trials.iter_mut() {
                        trial.see(&event, whole(batch, 1, row));
                    }
                }
            }
        }
        if cut.is_none() {
            break;
        }
        if seen == 0 {
            let said = format!("an entry of more than {EVENTS_AT_ONCE} events cannot be tried");
            return Err(Failure::refused(said).into());
        }
    }
    for trial in trials {
        trial.wait_until(to_us);
    }
    Ok(())
}

fn event(batch: &RecordBatch, row: usize) -> Event {
    let value = batch.column(3).as_primitive_opt::<Float64Type>();
    Event {
        event_time_us: whole(batch, 2, row),
        value: value.filter(|all| all.is_valid(row)).map_or(0.0, |all| all.value(row)),
        boot_id: whole(batch, 4, row) as u32,
        source: text(batch, 5, row).to_owned(),
        event_id: text(batch, 6, row).to_owned(),
        device_id: text(batch, 7, row).to_owned(),
        kind: text(batch, 8, row).to_owned(),
        ..Event::default()
    }
}

fn whole(batch: &RecordBatch, column: usize, row: usize) -> i64 {
    let all = batch.column(column).as_primitive_opt::<Int64Type>();
    all.filter(|all| all.is_valid(row)).map_or(0, |all| all.value(row))
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> &str {
    let all = batch.column(column).as_string_opt::<i32>();
    all.filter(|all| all.is_valid(row)).map_or("", |all| all.value(row))
}

const HEADINGS: [&str; 8] =
    ["raised", "kind", "place", "severity", "level", "over", "evidence", "reason"];

fn cells(found: &Found) -> Vec<Value> {
    let over = if found.was_wrong { json!("corrected") } else { time_text(found.over_us) };
    vec![
        time_text(found.raised_us),
        json!(found.alert),
        json!(found.place),
        json!(found.severity.as_str()),
        json!(found.level),
        over,
        json!(found.evidence.join(" ")),
        json!(found.reason),
    ]
}

fn print_found(found: &[Found], remote: &Remote) {
    print_rows(remote.format, &HEADINGS, &found.iter().map(cells).collect::<Vec<_>>());
}

fn print_comparison(comparison: &Comparison, remote: &Remote) {
    let changes = [("added", &comparison.added), ("missing", &comparison.missing)];
    let headings: Vec<&str> = std::iter::once("change").chain(HEADINGS).collect();
    let listed: Vec<Vec<Value>> = changes
        .into_iter()
        .flat_map(|(change, all)| all.iter().map(move |found| (change, found)))
        .map(|(change, found)| std::iter::once(json!(change)).chain(cells(found)).collect())
        .collect();
    let kinds: Vec<Vec<Value>> = comparison
        .kinds
        .iter()
        .map(|(kind, (old, new))| vec![json!(kind), json!(old), json!(new)])
        .collect();
    let counted = ["kind", "in_force", "new"];
    if remote.format == Format::Table {
        print_rows(remote.format, &counted, &kinds);
        println!();
        print_rows(remote.format, &headings, &listed);
        return;
    }
    // One list, so that a program can read it: the counts are those of its rows and of what stayed.
    let all: Vec<Vec<Value>> = kinds
        .into_iter()
        .map(|row| {
            let said = format!("{} in force, {} new", row[1], row[2]);
            let mut cells = vec![Value::Null; headings.len()];
            (cells[0], cells[2], cells[8]) = (json!("count"), row[0].clone(), json!(said));
            cells
        })
        .chain(listed)
        .collect();
    print_rows(remote.format, &headings, &all);
}
