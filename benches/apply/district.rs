//! A district as apply meets it: its registers, what its devices have said in the last week, and the
//! events that come now. Seeded; the shares are those of `docs/simulator.md` and of the district,
//! the rate is its steady one.

use benches::{BEGIN_US, resident_key, rng};
use features::civil;
use features::event::Event;
use features::table::{Cell, Table, encode_row};
use features::{EntityKind, Kind};
use nodes::state::{Command, State};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};

/// Two of ten homes are of two residents: 1.3 a home, 416,000 in all.
const RESIDENTS: [u32; 10] = [2, 1, 1, 2, 1, 1, 2, 1, 1, 1];
/// What hangs in every home, then what hangs in one of five: 5.2 a home, 1,664,000 in all.
const DEVICES: [&str; 6] = ["gateway", "resp", "motion", "door", "gas", "smoke"];
const COMMON: u32 = 5;
const SMOKE_EVERY: u32 = 5;
/// A building's homes, a grid's buildings.
const HOMES_IN_BUILDING: u32 = 48;
const BUILDINGS_IN_GRID: u32 = 8;
/// 20,000 events a second.
const STEP_US: i64 = 50;
/// One event in so many is sent twice, comes late, or is of a clock that runs ahead.
const DOUBLED: u32 = 200;
const LATE: u32 = 50;
const AHEAD: u32 = 100;
const LATE_MAX_US: i64 = 48 * 3_600_000_000;
const AHEAD_MAX_US: i64 = 240_000_000;
/// How far back a double reaches.
const DOUBLES_KEPT: usize = 5_000;
/// Between what was said before and the first event that is applied.
pub(crate) const PAUSE_US: i64 = 10_000_000;
const ROWS_PER_COMMAND: usize = 4_000;
/// Prime to every number of homes that it does not divide.
const SPREAD: u64 = 104_729;

/// Of 100 events of the steady hour: what they are, of which device.
const MIX: [(u32, &str, usize); 7] = [
    (40, "heartbeat", 0),
    (40, "respiration", 1),
    (10, "motion", 2),
    (5, "gas", 4),
    (3, "door", 3),
    (1, "battery", 3),
    (1, "heartbeat", 5),
];

fn dwelling(home: u32) -> String {
    format!("w-{home:08}")
}

/// As hearth's simulator and most makers name devices: by a serial number that says nothing.
fn device(home: u32, kind: usize) -> String {
    let mixed = (u64::from(home) * 8 + kind as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("d-{mixed:016x}")
}

fn has(home: u32, kind: usize) -> bool {
    (kind as u32) < COMMON || home.is_multiple_of(SMOKE_EVERY)
}

pub(crate) fn residents_of(home: u32) -> u32 {
    RESIDENTS[home as usize % RESIDENTS.len()]
}

/// The number of a home's first resident.
fn first_resident(home: u32) -> u32 {
    let whole: u32 = RESIDENTS.iter().sum();
    let rest: u32 = RESIDENTS.iter().take(home as usize % RESIDENTS.len()).sum();
    home / RESIDENTS.len() as u32 * whole + rest
}

/// The registers as commands, home by home.
pub(crate) fn registers(homes: u32, mut put: impl FnMut(Vec<u8>)) {
    let mut tables: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |name: &'static str, cells: &[(&str, String)]| {
        let row = civil::table(name).and_then(|table| encode_row(&row(table, cells)).ok());
        let rows = tables.entry(name).or_default();
        rows.extend(row);
        if rows.len() >= ROWS_PER_COMMAND {
            let rows = std::mem::take(rows);
            put(Command::UpsertRows { table: name.to_owned(), rows }.encode());
        }
    };
    for home in 0..homes {
        let building = home / HOMES_IN_BUILDING;
        if home.is_multiple_of(HOMES_IN_BUILDING) {
            let grid = format!("g-{:04}", building / BUILDINGS_IN_GRID);
            if building.is_multiple_of(BUILDINGS_IN_GRID) {
                let community = format!("9901{:05}", building / BUILDINGS_IN_GRID / 10);
                add("grid", &[("grid_id", grid.clone()), ("community", community)]);
            }
            add("building", &[("building_id", format!("b-{building:06}")), ("grid_id", grid)]);
        }
        let hangs_in =
            [("dwelling_id", dwelling(home)), ("building_id", format!("b-{building:06}"))];
        add("dwelling", &hangs_in);
        let household = format!("h-{home:08}");
        add("household", &[("household_id", household.clone()), ("dwelling_id", dwelling(home))]);
        for number in 0..residents_of(home) {
            let key = resident_key(first_resident(home) + number);
            add("resident", &[("resident_key", key), ("household_id", household.clone())]);
        }
        for (kind, class) in DEVICES.iter().enumerate().filter(|(kind, _)| has(home, *kind)) {
            let cells = [
                ("device_id", device(home, kind)),
                ("dwelling_id", dwelling(home)),
                ("kind", (*class).to_owned()),
            ];
            add("device", &cells);
        }
    }
    for (name, rows) in tables.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        put(Command::UpsertRows { table: name.to_owned(), rows }.encode());
    }
}

fn row(table: &Table, given: &[(&str, String)]) -> Vec<Cell> {
    let cells = table.columns.iter().map(|column| {
        let found = given.iter().find(|(name, _)| *name == column.name);
        found.map_or(Cell::Null, |(_, text)| Cell::text(text))
    });
    cells.collect()
}

/// What was said in the week before, so that every series has its tiles: some in each zone.
pub(crate) fn history(state: &mut State, homes: u32) {
    let mut rng = rng(11);
    let ages_us: Vec<i64> = (0..7)
        .map(|n| n * 60_000_000)
        .chain((2..12).map(|n| n * 300_000_000))
        .chain((2..24).map(|n| n * 3_600_000_000))
        .chain((5..28).map(|n| n * 21_600_000_000))
        .collect();
    // Slots are given by first sight: those of neighbours lie apart.
    for home in (0..homes).map(|n| (u64::from(n) * SPREAD % u64::from(homes)) as u32) {
        for (_, kind, at) in MIX.iter().filter(|(_, _, at)| has(home, *at)) {
            let Ok(kind) = kind.parse::<Kind>() else { continue };
            // A third of all tiles, the oldest first.
            for age_us in ages_us.iter().rev() {
                if !rng.random_ratio(1, 3) {
                    continue;
                }
                let at_us = BEGIN_US - PAUSE_US - age_us - rng.random_range(0..60_000_000_i64);
                let value = value(&mut rng, kind.as_str());
                let store = &mut state.features;
                store.record(EntityKind::Device, &device(home, *at), kind, at_us, value);
                for number in 0..residents_of(home) {
                    let key = resident_key(first_resident(home) + number);
                    store.record(EntityKind::Resident, &key, kind, at_us, value);
                }
            }
        }
    }
}

fn value(rng: &mut ChaCha8Rng, kind: &str) -> f64 {
    match kind {
        "gas" if rng.random_ratio(1, 50_000) => 12.0,
        "gas" => f64::from(rng.random_range(0..10_u8)) / 10.0,
        "respiration" => f64::from(rng.random_range(1_200..2_100_u16)) / 100.0,
        "battery" => f64::from(rng.random_range(60..100_u8)),
        _ => 1.0,
    }
}

/// The events of the district, in the order of their arrival.
pub(crate) struct Stream {
    rng: ChaCha8Rng,
    homes: u32,
    sent: u64,
    now_us: i64,
    newest: VecDeque<Event>,
}

impl Stream {
    pub(crate) fn new(homes: u32) -> Self {
        Self { rng: rng(12), homes, sent: 0, now_us: BEGIN_US, newest: VecDeque::new() }
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.now_us
    }

    pub(crate) fn take(&mut self, events: usize) -> Vec<Event> {
        (0..events).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Event {
        self.now_us += STEP_US;
        if self.rng.random_ratio(1, DOUBLED) && !self.newest.is_empty() {
            let at = self.rng.random_range(0..self.newest.len());
            if let Some(event) = self.newest.get(at) {
                return event.clone();
            }
        }
        let event = self.fresh();
        if self.rng.random_ratio(1, DOUBLED) {
            self.newest.push_back(event.clone());
            if self.newest.len() > DOUBLES_KEPT / DOUBLED as usize {
                self.newest.pop_front();
            }
        }
        event
    }

    /// What every device of a home says first.
    pub(crate) fn of_home(&mut self, home: u32) -> Vec<Event> {
        let devices = MIX.iter().filter(|(_, kind, at)| has(home, *at) && *kind != "battery");
        let kinds: Vec<_> = devices.map(|(_, kind, at)| (*kind, *at)).collect();
        let first = kinds.into_iter().map(|(kind, at)| {
            self.now_us += STEP_US;
            self.sent += 1;
            self.said(home, (kind, at), self.now_us - 50_000)
        });
        first.collect()
    }

    fn fresh(&mut self) -> Event {
        self.sent += 1;
        let mut dice = self.rng.random_range(0..MIX.iter().map(|each| each.0).sum::<u32>());
        let spoken = MIX.iter().find(|(share, ..)| {
            let is_it = dice < *share;
            dice = dice.wrapping_sub(*share);
            is_it
        });
        let (_, kind, at) = *spoken.unwrap_or(&MIX[0]);
        let mut home = self.rng.random_range(0..self.homes);
        if !has(home, at) {
            home -= home % SMOKE_EVERY;
        }
        let event_time_us = if self.rng.random_ratio(1, LATE) {
            self.now_us - self.rng.random_range(120_000_000..LATE_MAX_US)
        } else if self.rng.random_ratio(1, AHEAD) {
            self.now_us + self.rng.random_range(0..AHEAD_MAX_US)
        } else {
            self.now_us - self.rng.random_range(50_000..2_000_000)
        };
        self.said(home, (kind, at), event_time_us)
    }

    fn said(&mut self, home: u32, (kind, at): (&str, usize), event_time_us: i64) -> Event {
        let unit = match kind {
            "gas" => "%LEL",
            "respiration" => "/min",
            _ => "",
        };
        Event {
            event_id: format!("{:08x}-{:08x}", home, self.sent),
            device_id: device(home, at),
            kind: kind.to_owned(),
            event_time_us,
            value: value(&mut self.rng, kind),
            unit: unit.to_owned(),
            // A home's events come by its gateway.
            source: device(home, 0),
            boot_id: 1,
            seq: self.sent,
            attributes: BTreeMap::new(),
        }
    }
}
