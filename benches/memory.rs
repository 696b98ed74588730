//! What the state of a node takes at the size of a district, by part.
//!
//! `cargo bench --bench memory [-- PEOPLE...]`: 52,000 and quiet, then busy, unless it is told otherwise.
//! An eighth of the district is as good as all of it: tables grow by doubling, and an eighth is as full.
//!
//! The registers are those of `hearth simulate`, with sensors in so many homes that there are four devices
//! a resident. A week of readings is laid down, one in each tile that would hold any: what a tile takes
//! hardly depends on how many. Quiet: every device is heard each eight hours, somebody passes the motion
//! sensor each eighty minutes and the door each twelve hours: 13 million events a day for 416,000 people.
//! Busy: every device beats each five minutes, gas is measured each ten and breath each minute, which is
//! 20,000 events a second. Then as many events as are remembered go through `apply`, some of which are
//! hazards, and everybody is scored once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measuring program may stop at once")]

use features::event::Event;
use features::table::{Cell, Table, encode_row};
use features::window::{DAY_US, HOUR_US, MINUTE_US};
use features::{EntityKind, Kind};
use nodes::simulate::{District, Plan, Sink};
use nodes::state::{Command, Dedup, ScoreRecord, State};
use raft::Position;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use tikv_jemalloc_ctl::{epoch, stats};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DISTRICT: u32 = 416_000;
const USUAL: u32 = DISTRICT / 8;
const DEVICES_A_PERSON: f64 = 4.0;
const DEVICES_A_HOME: f64 = 6.0;
const ROWS_A_COMMAND: usize = 5_000;
const EVENTS_A_COMMAND: usize = 1_000;
/// One event in so many is a leak of gas in some home.
const LEAKS: u32 = 4_000;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "memory.md";

/// How often a device is heard, and how often it beats.
type Rhythm = fn(Kind) -> (i64, i64);

fn quiet(kind: Kind) -> (i64, i64) {
    let own_us = if kind == Kind::Motion { 80 * MINUTE_US } else { 12 * HOUR_US };
    (own_us, 8 * HOUR_US)
}

fn busy(kind: Kind) -> (i64, i64) {
    let own_us = match kind {
        Kind::Door => 5 * HOUR_US,
        Kind::Motion => 20 * MINUTE_US,
        Kind::Gas => 10 * MINUTE_US,
        Kind::Respiration => MINUTE_US,
        _ => 12 * HOUR_US,
    };
    (own_us, 5 * MINUTE_US)
}

fn main() -> anyhow::Result<()> {
    let asked: Vec<u32> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let asked = if asked.is_empty() { vec![USUAL] } else { asked };
    let mut text = String::new();
    for people in asked {
        for (name, rhythm) in [("quiet", quiet as Rhythm), ("busy", busy)] {
            text += &measure(people, (name, rhythm))?;
        }
    }
    println!("{text}");
    keep(&text)
}

fn measure(people: u32, (name, rhythm): (&str, Rhythm)) -> anyhow::Result<String> {
    let district = district(people)?;
    let (people, _, homes) = district.counts();
    let before = allocated();
    let mut load = Load::default();
    district.write(&mut load)?;
    let Load { mut state, devices, people: keys, rows } = load;
    let start_us = district.plan().start_us;
    drop(district);
    lay_down(&mut state, &devices, rhythm);
    // In a small district, a short look, fewer than are remembered.
    let events =
        if people < USUAL { 3 * devices.len() } else { Dedup::HORIZON_EVENTS + EVENTS_A_COMMAND };
    send(&mut state, &devices, (start_us, events))?;
    score(&mut state, &keys)?;
    let open = state.alerts.iter().filter(|alert| alert.is_open()).count();
    let mut text = format!(
        "\nMemory of a node, {name}: {people} residents, {} devices in {homes} homes, {rows} register rows, \
         {open} open cases\n\n| part | MB | bytes a resident | MB at {DISTRICT} residents |\n|---|---|---|---|\n",
        devices.len()
    );
    drop((devices, keys));
    let resident = resident_bytes();
    let (mut sum, mut scaled) = (0.0, 0.0);
    let mut left = allocated();
    for (part, held) in state.into_parts() {
        drop(held);
        let bytes = (left - allocated()) as f64;
        left = allocated();
        // What is remembered of events does not grow with the district.
        let share = if part.starts_with("events") {
            (events as f64 / Dedup::HORIZON_EVENTS as f64).min(1.0)
        } else {
            f64::from(people) / f64::from(DISTRICT)
        };
        let whole = bytes / share;
        (sum, scaled) = (sum + bytes, scaled + whole);
        line(&mut text, part, (bytes, people), whole);
    }
    line(&mut text, "**all**", (sum, people), scaled);
    let _ = writeln!(
        text,
        "\n{:.0} MB left over from the measurement itself; {:.0} MB resident of the process before.",
        (left as f64 - before as f64) / 1e6,
        resident as f64 / 1e6
    );
    Ok(text)
}

fn line(text: &mut String, part: &str, (bytes, people): (f64, u32), whole: f64) {
    let each = bytes / f64::from(people);
    // Writing into a string cannot fail.
    let _ = writeln!(text, "| {part} | {:.0} | {each:.0} | {:.0} |", bytes / 1e6, whole / 1e6);
}

/// Sensors in so many homes that there are four devices a resident.
fn district(people: u32) -> anyhow::Result<District> {
    let plan = Plan { people, days: 0, ..Plan::default() };
    let (_, households, _) = District::generate(&plan)?.counts();
    let homes = f64::from(people) * DEVICES_A_PERSON / DEVICES_A_HOME;
    let homes_monitored = (homes / f64::from(households)).min(1.0);
    Ok(District::generate(&Plan { homes_monitored, ..plan })?)
}

/// The registers, through the log.
#[derive(Default)]
struct Load {
    state: State,
    /// With the residents of their homes.
    devices: Vec<(String, Kind)>,
    people: Vec<String>,
    rows: usize,
}

impl Sink for Load {
    type Error = anyhow::Error;

    fn table(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> anyhow::Result<()> {
        for part in rows.chunks(ROWS_A_COMMAND) {
            let rows = part.iter().map(|row| encode_row(row)).collect::<Result<_, _>>()?;
            put(&mut self.state, 0, &Command::UpsertRows { table: table.name.to_owned(), rows })?;
        }
        self.rows += rows.len();
        let first = |row: &Vec<Cell>| row[0].as_text().expect("a key").to_owned();
        match table.name {
            "device" => self.devices.extend(rows.iter().map(|row| {
                let kind = row[2].as_text().expect("a kind");
                (first(row), kind_of(kind))
            })),
            "resident" => self.people.extend(rows.iter().map(first)),
            _ => {}
        }
        Ok(())
    }

    fn truth(&mut self, _: &'static Table, _: &[Vec<Cell>]) -> anyhow::Result<()> {
        Ok(())
    }

    fn events(&mut self, _: u32, _: &mut dyn Iterator<Item = Event>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What a device of the kit says beside its heartbeat; a gateway says nothing.
fn kind_of(device: &str) -> Kind {
    match device {
        "resp" => Kind::Respiration,
        name => name.parse().unwrap_or(Kind::Heartbeat),
    }
}

fn put(state: &mut State, time_us: i64, command: &Command) -> anyhow::Result<()> {
    let at = Position { index: state.applied + 1, term: 1, time_us };
    state.apply(at, &[command.encode()])?;
    drop(state.take_changes());
    Ok(())
}

/// A week of readings straight into the features, as old as they are: the rules would not look at them.
fn lay_down(state: &mut State, devices: &[(String, Kind)], rhythm: Rhythm) {
    let mut rng = benches::rng(9);
    let now_us = state.clock_us.max(Plan::default().start_us);
    state.features.advance(now_us);
    for (device, kind) in devices {
        let homes = state.homes();
        let dwelling = homes.dwelling_of_device(device).unwrap_or_default();
        let people: Vec<String> =
            homes.residents_of_dwelling(dwelling).into_iter().map(str::to_owned).collect();
        let features = &mut state.features;
        let device = features.slot(EntityKind::Device, device).expect("room");
        let people: Vec<usize> = people
            .iter()
            .map(|key| features.slot(EntityKind::Resident, key).expect("room"))
            .collect();
        let (own_us, beat_us) = rhythm(*kind);
        for (kind, every_us) in [(*kind, own_us), (Kind::Heartbeat, beat_us)] {
            // The oldest first, as they would have come.
            for at_us in times(every_us, now_us, &mut rng).into_iter().rev() {
                let value = value(kind, &mut rng);
                features.record_at(EntityKind::Device, device, kind, at_us, value);
                for slot in &people {
                    features.record_at(EntityKind::Resident, *slot, kind, at_us, value);
                }
            }
        }
    }
}

/// When a device spoke in the last week: once in each tile in which it would speak at all.
fn times(every_us: i64, now_us: i64, rng: &mut ChaCha8Rng) -> Vec<i64> {
    let mut times = Vec::new();
    let mut age_us = rng.random_range(0..every_us);
    while age_us < 7 * DAY_US + 6 * HOUR_US {
        times.push(now_us - age_us);
        let tile_us = match age_us {
            age if age < 6 * MINUTE_US => MINUTE_US,
            age if age < 65 * MINUTE_US => 5 * MINUTE_US,
            age if age < 25 * HOUR_US => HOUR_US,
            _ => 6 * HOUR_US,
        };
        age_us += every_us.max(tile_us / 2) * rng.random_range(50..150) / 100;
    }
    times
}

fn value(kind: Kind, rng: &mut ChaCha8Rng) -> f64 {
    match kind {
        Kind::Gas => f64::from(rng.random_range(0..30_u8)) / 10.0,
        Kind::Respiration => 12.0 + f64::from(rng.random_range(0..900_u16)) / 100.0,
        Kind::Smoke => 0.0,
        _ => 1.0,
    }
}

/// So many events, of every device in turn.
fn send(
    state: &mut State,
    devices: &[(String, Kind)],
    (start_us, events): (i64, usize),
) -> anyhow::Result<()> {
    let mut rng = benches::rng(10);
    let mut at_us = state.clock_us.max(start_us);
    let mut turn = devices.iter().cycle();
    let mut sent = 0;
    while sent < events {
        let mut batch = Vec::with_capacity(EVENTS_A_COMMAND);
        for _ in 0..EVENTS_A_COMMAND {
            let Some((device, kind)) = turn.next() else { return Ok(()) };
            at_us += 50;
            sent += 1;
            let leaks = *kind == Kind::Gas && rng.random_ratio(1, LEAKS);
            batch.push(Event {
                event_id: format!("e-{sent:012}"),
                device_id: device.clone(),
                kind: kind.as_str().to_owned(),
                event_time_us: at_us,
                value: if leaks { 60.0 } else { value(*kind, &mut rng) },
                unit: if *kind == Kind::Gas { "%LEL" } else { "" }.to_owned(),
                source: format!("gateway-{}", sent % 1_000),
                boot_id: 1,
                seq: sent as u64,
                attributes: BTreeMap::new(),
            });
        }
        put(state, at_us, &Command::IngestEvents { events: batch })?;
    }
    Ok(())
}

/// One score of everybody, as the scorer writes it.
fn score(state: &mut State, people: &[String]) -> anyhow::Result<()> {
    let mut rng = benches::rng(11);
    let at_us = state.clock_us;
    for keys in people.chunks(EVENTS_A_COMMAND) {
        let scores = keys.iter().map(|key| ScoreRecord {
            resident_key: key.clone(),
            model: "fall_risk".to_owned(),
            version: "3".to_owned(),
            model_sha256: "5".repeat(64),
            score: rng.random_range(0.0..1.0),
            band: ["low", "medium", "high"][rng.random_range(0..3)].to_owned(),
            reasons: ["age", "falls_12m", "gait_aid", "drugs_n", "vertigo"]
                .map(|name| (name.to_owned(), rng.random(), rng.random()))
                .to_vec(),
            feature_hash: format!("{:064x}", rng.random::<u128>()),
            read_index: state.applied,
            scored_us: at_us,
            alert: None,
        });
        let command = Command::RecordScores {
            residents: keys.to_vec(),
            read_index: state.applied,
            scores: scores.collect(),
        };
        put(state, at_us, &command)?;
    }
    Ok(())
}

/// What the program has asked the allocator for and not given back.
fn allocated() -> usize {
    epoch::advance().expect("an epoch");
    stats::allocated::read().expect("the allocator counts")
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
