//! A street whose people move, whose devices are wrong about the time and whose gateways repeat
//! themselves, in a real state and a real warehouse.

use features::table::{Cell, encode_row};
use features::{EntityKind, Event, civil};
use flight::{Settings, WAREHOUSE_FILE, Warehouse};
use nodes::state::{Command, FeedRow, FeedSpec, State};
use raft::Position;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

pub(crate) const CLOCK_US: i64 = 1_790_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
const RESIDENTS: u32 = 14;
const HOUSEHOLDS: u32 = 9;
const DWELLINGS: u32 = 7;
const DEVICES: u32 = 16;
const KINDS: [&str; 6] = ["door", "gas", "steps", "heart_rate", "motion", "respiration"];

/// How often what came in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) late: usize,
    pub(crate) ahead: usize,
    pub(crate) wrong_clocks: usize,
    pub(crate) repeated: usize,
    pub(crate) moves: usize,
    /// Entries in which events and register rows take turns.
    pub(crate) mixed: usize,
    /// Rows that their department took back.
    pub(crate) gone: usize,
}

/// Of which rows are taken back, each by a feed of its name.
const REGISTERS: [&str; 6] =
    ["resident", "household", "device", "dwelling", "subsidy", "health_summary"];

fn feed(table: &str) -> Command {
    Command::DeclareFeed(Box::new(FeedSpec {
        feed: table.to_owned(),
        version: 1,
        department: "d".to_owned(),
        table: table.to_owned(),
        columns: Vec::new(),
        lateness_h: 48,
        stale_after_h: 48,
    }))
}

pub(crate) struct Street {
    pub(crate) seed: u64,
    pub(crate) state: State,
    pub(crate) warehouse: Warehouse,
    random: StdRng,
    sent: Vec<Event>,
    seen: Seen,
    _folder: TempDir,
}

impl Street {
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { threads: 1, ..Settings::default() };
        let mut street = Self {
            seed,
            state: State::new(),
            warehouse: Warehouse::open(&folder.path().join(WAREHOUSE_FILE), settings).unwrap(),
            random: StdRng::seed_from_u64(seed),
            sent: Vec::new(),
            seen: Seen::default(),
            _folder: folder,
        };
        // Before the first reading, so that every reading is kept for them.
        let views: Vec<Command> = crate::view::all()
            .iter()
            .map(|view| Command::PushView {
                text: view.to_toml().unwrap(),
                author: "test".to_owned(),
            })
            .collect();
        street.apply(CLOCK_US, &views);
        for view in crate::view::all() {
            assert!(street.state.views.current(view.name()).is_some(), "{}", view.name());
        }
        let feeds: Vec<Command> = REGISTERS.iter().map(|table| feed(table)).collect();
        street.apply(CLOCK_US, &feeds);
        // A third of everything is not in the registers from the beginning.
        let first: Vec<Command> = (0..40).map(|_| street.register()).collect();
        street.apply(CLOCK_US, &first);
        street
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    pub(crate) fn dice(&mut self, sides: &[i64]) -> i64 {
        *sides.choose(&mut self.random).unwrap()
    }

    /// One log entry later.
    pub(crate) fn live_on(&mut self) {
        let pause_us = self.dice(&[
            1,
            700,
            SECOND_US,
            40 * SECOND_US,
            9 * MINUTE_US,
            3 * HOUR_US,
            11 * HOUR_US,
        ]);
        self.step(self.state.clock_us + pause_us);
    }

    /// Entries that the clock does not move in.
    pub(crate) fn stand_still(&mut self, entries: usize) {
        for _ in 0..entries {
            self.step(self.state.clock_us);
        }
    }

    fn step(&mut self, clock_us: i64) {
        let parts = self.random.random_range(1..5);
        let commands: Vec<Command> =
            (0..parts)
                .map(|_| {
                    if self.random.random_bool(0.3) {
                        self.register()
                    } else {
                        self.events(clock_us)
                    }
                })
                .collect();
        let has = |wanted: bool| {
            commands.iter().any(|command| matches!(command, Command::IngestEvents { .. }) == wanted)
        };
        self.seen.mixed += usize::from(has(true) && has(false));
        self.apply(clock_us, &commands);
    }

    fn apply(&mut self, clock_us: i64, commands: &[Command]) {
        let at = Position { index: self.state.applied + 1, term: 1, time_us: clock_us };
        let bytes: Vec<Vec<u8>> = commands.iter().map(Command::encode).collect();
        self.state.apply(at, &bytes).unwrap();
        let recording = crate::recording(at.index, self.state.take_changes());
        self.warehouse.record(&recording).unwrap();
    }

    fn events(&mut self, clock_us: i64) -> Command {
        let count = self.random.random_range(1..7);
        let events = (0..count)
            .map(|_| {
                if !self.sent.is_empty() && self.random.random_bool(0.2) {
                    self.seen.repeated += 1;
                    return self.sent.choose(&mut self.random).unwrap().clone();
                }
                let event = self.event(clock_us);
                self.sent.push(event.clone());
                event
            })
            .collect();
        Command::IngestEvents { events }
    }

    fn event(&mut self, clock_us: i64) -> Event {
        let age_us = match self.random.random_range(0..20) {
            0..4 => 0,
            4..9 => self.random.random_range(0..3 * MINUTE_US),
            9..12 => self.random.random_range(0..2 * HOUR_US),
            12..15 => self.random.random_range(0..2 * DAY_US),
            15..17 => self.random.random_range(0..9 * DAY_US),
            17..19 => -self.random.random_range(1..=5 * MINUTE_US),
            _ => -self.random.random_range(5 * MINUTE_US + 1..40 * MINUTE_US),
        };
        self.seen.late += usize::from(age_us > HOUR_US);
        self.seen.ahead += usize::from(age_us < 0);
        self.seen.wrong_clocks += usize::from(age_us < -5 * MINUTE_US);
        // Some on the very edges of windows.
        let edge_us = self.dice(&[1, 1, 1, MINUTE_US, 5 * MINUTE_US, HOUR_US]);
        let at_us = clock_us - age_us;
        let value = match self.random.random_range(0..8) {
            0 => 0.0,
            1 => -0.0,
            2 => self.random.random_range(-1e9..1e9),
            3 => 1e9,
            4 => 0.000_000_5 * f64::from(self.random.random_range(-9..9)),
            _ => f64::from(self.random.random_range(0..400)) / 10.0,
        };
        Event {
            event_id: format!("e{}", self.sent.len()),
            device_id: format!("d{}", self.random.random_range(0..DEVICES + 3)),
            kind: (*KINDS.choose(&mut self.random).unwrap()).to_owned(),
            event_time_us: at_us - at_us.rem_euclid(edge_us),
            value,
            source: "gateway".to_owned(),
            ..Event::default()
        }
    }

    fn register(&mut self) -> Command {
        self.seen.moves += 1;
        let as_of = match self.random.random_range(0..3) {
            0 => Cell::Null,
            _ => Cell::Time(
                self.state.clock_us.max(CLOCK_US) - self.random.random_range(0..3 * DAY_US),
            ),
        };
        let (table, mut cells) = match self.random.random_range(0..12) {
            0..3 => ("resident", self.resident()),
            3..5 => ("household", self.household()),
            5..8 => (
                "device",
                vec![
                    ("device_id", self.key("d", DEVICES)),
                    ("dwelling_id", self.maybe("w", DWELLINGS)),
                    ("battery", Cell::Real(0.5)),
                ],
            ),
            8 => (
                "dwelling",
                vec![("dwelling_id", self.key("w", DWELLINGS)), ("floor", self.number(30))],
            ),
            9 => (
                "subsidy",
                vec![
                    ("grant_id", self.key("g", 5)),
                    ("resident_key", self.maybe("r", RESIDENTS)),
                    ("amount_fen", self.number(90_000_000)),
                ],
            ),
            _ => (
                "health_summary",
                vec![
                    ("resident_key", self.key("r", RESIDENTS)),
                    ("drugs_n", self.number(9)),
                    ("falls_12m", self.number(4)),
                    ("gait_aid", Cell::Bool(self.random.random_bool(0.5))),
                    ("bmi", Cell::Real(self.random.random_range(-1e40..1e40))),
                ],
            ),
        };
        cells.push(("as_of", as_of));
        let table = civil::table(table).unwrap();
        if self.random.random_bool(0.2) {
            self.seen.gone += 1;
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = cells[0].1.clone();
            let time_us = self.state.clock_us.max(CLOCK_US);
            let row = FeedRow { seq: 0, time_us, row: encode_row(&row).unwrap() };
            return Command::FeedRows {
                feed: table.name.to_owned(),
                rows: vec![row],
                gone: vec![0],
                rejected: 0,
                letters: Vec::new(),
            };
        }
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, cell) in cells {
            row[table.position(name).unwrap()] = cell;
        }
        Command::UpsertRows { table: table.name.to_owned(), rows: vec![encode_row(&row).unwrap()] }
    }

    fn resident(&mut self) -> Vec<(&'static str, Cell)> {
        let born = ["1940-02", "1931-12-31", "1950-02-30", "194-02", "1940-13", "", "2001-01-01x"];
        let born = (*born.choose(&mut self.random).unwrap()).to_owned();
        let living = *["alone", "couple", "it's"].choose(&mut self.random).unwrap();
        vec![
            ("resident_key", self.key("r", RESIDENTS)),
            ("household_id", self.maybe("h", HOUSEHOLDS)),
            ("birth_ym", Cell::Text(born)),
            ("living", Cell::text(living)),
            ("sex", Cell::text("F")),
            ("disab_level", self.number(5)),
            ("death_date", Cell::Date(self.random.random_range(-9_000..20_700))),
        ]
    }

    fn household(&mut self) -> Vec<(&'static str, Cell)> {
        vec![
            ("household_id", self.key("h", HOUSEHOLDS)),
            ("dwelling_id", self.maybe("w", DWELLINGS)),
            ("income_pc", Cell::Real(self.random.random_range(-1.0..90_000.0))),
            ("asset_flag", Cell::Bool(self.random.random_bool(0.5))),
        ]
    }

    fn key(&mut self, prefix: &str, of: u32) -> Cell {
        Cell::Text(format!("{prefix}{}", self.random.random_range(0..of)))
    }

    fn maybe(&mut self, prefix: &str, of: u32) -> Cell {
        if self.random.random_bool(0.1) { Cell::Null } else { self.key(prefix, of) }
    }

    fn number(&mut self, below: i64) -> Cell {
        if self.random.random_bool(0.1) {
            Cell::Null
        } else {
            Cell::Int(self.random.random_range(0..below))
        }
    }

    /// Every entity of a kind that there can be, and one that there is not.
    pub(crate) fn keys(entity: EntityKind) -> Vec<String> {
        let (prefix, count) = match entity {
            EntityKind::Device => ("d", DEVICES + 3),
            EntityKind::Dwelling => ("w", DWELLINGS),
            EntityKind::Resident => ("r", RESIDENTS),
            EntityKind::Household => ("h", HOUSEHOLDS),
            EntityKind::Organisation => ("o", 1),
            EntityKind::Application => ("g", 5),
        };
        (0..count).map(|at| format!("{prefix}{at}")).chain(["nobody".to_owned()]).collect()
    }

    pub(crate) fn some_keys(&mut self, entity: EntityKind) -> Vec<String> {
        let keys = Self::keys(entity);
        keys.into_iter().filter(|_| self.random.random_bool(0.3)).collect()
    }

    /// A device, its dwelling and who lives there.
    pub(crate) fn home(&self) -> (String, String, Vec<String>) {
        let homes = self.state.homes();
        let home_of = |device: String| {
            let dwelling = homes.dwelling_of_device(&device)?.to_owned();
            let residents = homes.residents_of_dwelling(&dwelling);
            let residents: Vec<String> = residents.into_iter().map(str::to_owned).collect();
            (!residents.is_empty()).then_some((device, dwelling, residents))
        };
        (0..DEVICES).find_map(|at| home_of(format!("d{at}"))).unwrap()
    }

    /// Puts an event into the warehouse that the state never had, as the last of what had been recorded
    /// at an index.
    pub(crate) fn plant_reading(
        &mut self,
        at_us: i64,
        index: u64,
        device: String,
        dwelling: String,
    ) {
        let table = civil::table("sensor_event").unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, cell) in [
            ("source", Cell::text("planted")),
            ("event_id", Cell::text("planted")),
            ("device_id", Cell::Text(device)),
            ("dwelling_id", Cell::Text(dwelling)),
            ("ts", Cell::Time(at_us)),
            ("recv_ts", Cell::Time(at_us)),
            ("kind", Cell::text("door")),
            ("value", Cell::Real(1.0)),
            ("log_index", Cell::Int(index as i64)),
        ] {
            row[table.position(name).unwrap()] = cell;
        }
        let mut recording = crate::recording(self.state.applied + 1, Vec::new());
        recording.appends.push((table, vec![row]));
        self.warehouse.record(&recording).unwrap();
    }
}
