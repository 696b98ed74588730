//! Seeded inputs of the benches: a district's registers, its events, its requests.
//!
//! No time of day in here: two runs work on the same bytes, unless they say at what time they begin.

use features::civil;
use features::event::Event;
use features::table::{Cell, ColumnType, Table, encode_row};
use nodes::state::{Command, State};
use raft::Position;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// When the events of a bench begin that does not say: 2027-01-15, 08:00 UTC.
pub const BEGIN_US: i64 = 1_800_000_000_000_000;
/// What hangs in every home.
pub const DEVICE_KINDS: [(&str, &str); 3] =
    [("door", ""), ("gas", "%LEL"), ("respiration", "/min")];
/// A device speaks about once a minute.
const SILENCE_US: i64 = 66_000_000;
/// One event in so many is sent twice.
const REPEATED: u32 = 20;
/// How far back a repeat reaches, in events.
const REPEAT_DEPTH: u64 = 500;
/// One gas reading in so many is a leak.
const LEAKS: u32 = 20_000;
const SEED: u64 = 7;
const ROWS_PER_COMMAND: usize = 5_000;

/// How long this thread has been on a processor: what work takes, however busy the machine is.
pub fn on_processor() -> std::io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().and_then(|word| word.parse().ok());
    ns.map(Duration::from_nanos).ok_or_else(|| std::io::Error::other(text))
}

/// Rows of one reference table.
pub type Rows = (&'static Table, Vec<Vec<Cell>>);

pub fn rng(stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    rng.set_stream(stream);
    rng
}

pub fn resident_key(home: u32) -> String {
    format!("r-{home:010}")
}

pub fn device_id(home: u32, kind: usize) -> String {
    format!("d-{home:08}-{kind}")
}

/// One household, one resident and a device of each kind in every home.
pub fn registers(homes: Range<u32>) -> Vec<Rows> {
    let mut rng = rng(1);
    let mut rows: BTreeMap<&str, Vec<Vec<Cell>>> = BTreeMap::new();
    for home in homes {
        let dwelling = format!("w-{home:08}");
        let household = format!("h-{home:08}");
        let resident = resident_key(home);
        let mut add = |name: &'static str, cells: &[(&str, Cell)]| {
            rows.entry(name).or_default().extend(row(&mut rng, name, cells));
        };
        add("dwelling", &[("dwelling_id", Cell::text(&dwelling))]);
        add(
            "household",
            &[("household_id", Cell::text(&household)), ("dwelling_id", Cell::text(&dwelling))],
        );
        let [born, living] =
            [Cell::text(format!("19{}-0{}", 30 + home % 35, 1 + home % 9)), Cell::text("alone")];
        add(
            "resident",
            &[
                ("resident_key", Cell::text(&resident)),
                ("household_id", Cell::text(&household)),
                ("birth_ym", born),
                ("living", living),
            ],
        );
        add("health_summary", &[("resident_key", Cell::text(&resident))]);
        for kind in 0..DEVICE_KINDS.len() {
            add(
                "device",
                &[
                    ("device_id", Cell::text(device_id(home, kind))),
                    ("dwelling_id", Cell::text(&dwelling)),
                ],
            );
        }
    }
    rows.into_iter().filter_map(|(name, rows)| Some((civil::table(name)?, rows))).collect()
}

/// A state that holds these tables of so many homes.
pub fn state_of(homes: Range<u32>, tables: &[&str]) -> anyhow::Result<State> {
    let mut state = State::new();
    let mut index = 0;
    for (table, all) in
        registers(homes).into_iter().filter(|(table, _)| tables.contains(&table.name))
    {
        for part in all.chunks(ROWS_PER_COMMAND) {
            let rows = part.iter().map(|row| encode_row(row)).collect::<Result<_, _>>()?;
            let command = Command::UpsertRows { table: table.name.to_owned(), rows }.encode();
            index += 1;
            state.apply(Position { index, term: 1, time_us: BEGIN_US }, &[command])?;
            state.take_changes();
        }
    }
    Ok(state)
}

/// A row with something of the right type in every column that is not given.
fn row(rng: &mut ChaCha8Rng, table: &str, given: &[(&str, Cell)]) -> Option<Vec<Cell>> {
    let columns = civil::table(table)?.columns.iter();
    let cells = columns.map(|column| {
        let found = given.iter().find(|(name, _)| *name == column.name);
        found.map_or_else(|| filler(rng, column.name, column.kind), |(_, cell)| cell.clone())
    });
    Some(cells.collect())
}

fn filler(rng: &mut ChaCha8Rng, name: &str, kind: ColumnType) -> Cell {
    match kind {
        ColumnType::Bool => Cell::Bool(rng.random()),
        ColumnType::Int => Cell::Int(rng.random_range(0..4)),
        ColumnType::Real => Cell::Real(rng.random_range(0.0..100.0)),
        ColumnType::Text => {
            Cell::text(format!("{}-{}", &name[..name.len().min(6)], rng.random_range(0..100)))
        }
        // Taken in within the last half year: fresh for every feature.
        ColumnType::Time => Cell::Time(BEGIN_US - rng.random_range(1..180) * 86_400_000_000),
        ColumnType::Date => Cell::Date(rng.random_range(18_000..20_000)),
        ColumnType::Texts => Cell::Texts(vec!["I10".to_owned(), "E11".to_owned()]),
        ColumnType::Ints => Cell::Ints(vec![1, 2, 3]),
        ColumnType::Reasons => Cell::Reasons(Vec::new()),
    }
}

/// Events of the devices of so many homes, in the order of their time; some come twice.
#[derive(Clone, Debug)]
pub struct Feed {
    rng: ChaCha8Rng,
    homes: u32,
    sent: u64,
    now_us: i64,
    step_us: i64,
    /// Kept apart by it, so that two feeds share no event.
    source: String,
}

impl Feed {
    pub fn new(homes: u32, begin_us: i64, source: &str) -> Self {
        let devices = i64::from(homes) * DEVICE_KINDS.len() as i64;
        let step_us = (SILENCE_US / devices).max(1);
        Self { rng: rng(2), homes, sent: 0, now_us: begin_us, step_us, source: source.to_owned() }
    }

    /// With so much time from one event to the next, on average.
    #[must_use]
    pub fn every(self, step_us: i64) -> Self {
        Self { step_us, ..self }
    }

    /// How many different ones were made.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The time of the newest event.
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    pub fn take(&mut self, events: usize) -> Vec<Event> {
        (0..events).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Event {
        let repeats = self.sent > REPEAT_DEPTH && self.rng.random_ratio(1, REPEATED);
        let number = if repeats {
            self.sent - self.rng.random_range(1..REPEAT_DEPTH)
        } else {
            self.sent += 1;
            self.sent
        };
        self.now_us += self.step_us;
        let kind = self.rng.random_range(0..DEVICE_KINDS.len());
        let (name, unit) = DEVICE_KINDS[kind];
        Event {
            event_id: format!("e-{number:012}"),
            device_id: device_id(self.rng.random_range(0..self.homes), kind),
            kind: name.to_owned(),
            event_time_us: self.now_us,
            value: self.value(name),
            unit: unit.to_owned(),
            source: self.source.clone(),
            boot_id: 1,
            seq: number,
            attributes: BTreeMap::new(),
        }
    }

    fn value(&mut self, kind: &str) -> f64 {
        match kind {
            "door" => 1.0,
            "gas" if self.rng.random_ratio(1, LEAKS) => 9.0,
            "gas" => f64::from(self.rng.random_range(0..20_u8)) / 10.0,
            _ => f64::from(self.rng.random_range(12..22_u8)),
        }
    }
}
