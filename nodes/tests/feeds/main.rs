//! Department feeds as a function of the log: what was sent decides, not the order it came in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at once"
)]

mod offline;
mod withdrawn;

use features::civil;
use features::table::{Cell, ColumnType, Mode, Table, encode_row};
use nodes::state::feeds::FeedStatus;
use nodes::state::{Change, Command, DeadLetter, Fed, FeedRow, FeedSpec, Refusal, Reply, State};
use raft::Position;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const BEGIN_US: i64 = 1_780_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Feed, department, table and the columns it owns.
const FEEDS: [(&str, &str, &str, &[&str]); 19] = [
    ("police", "公安", "resident", &["sex", "birth_ym", "ethnic_code", "hukou_code12"]),
    ("civil", "民政", "resident", &["living", "marital", "status", "household_id"]),
    // Two streets send the same columns: the later word counts.
    ("civil-south", "民政南", "resident", &["living", "marital"]),
    ("disabled", "残联", "resident", &["disab_type", "disab_level"]),
    ("education", "教育", "resident", &["edu"]),
    ("registry", "街道", "household", &["size", "type", "dwelling_id"]),
    ("assistance", "救助", "household", &["assist_class", "income_pc"]),
    ("insurance", "医保", "household", &["rigid_exp_12m"]),
    ("health", "卫健", "health_summary", &[]),
    ("assessors", "评估", "assessment", &[]),
    ("housing", "住建", "dwelling", &[]),
    ("planning", "规划", "building", &[]),
    ("grids", "政法", "grid", &[]),
    ("subsidies", "财政", "subsidy", &[]),
    ("canteens", "市场", "meal", &[]),
    ("visits", "社区", "visit", &[]),
    ("organisations", "社管", "organisation", &[]),
    ("funerals", "殡葬", "death_case", &[]),
    ("supervision", "养老监管", "supervision_event", &[]),
];

fn seed() -> u64 {
    let seed = std::env::var("HEARTH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("HEARTH_SEED={seed}");
    seed
}

fn spec(name: &str, department: &str, table: &str, columns: &[&str]) -> FeedSpec {
    FeedSpec {
        feed: name.to_owned(),
        version: 1,
        department: department.to_owned(),
        table: table.to_owned(),
        columns: columns.iter().map(|each| (*each).to_owned()).collect(),
        lateness_h: 48,
        stale_after_h: 24,
    }
}

/// A row on its way.
#[derive(Clone, Debug)]
struct Sent {
    feed: usize,
    arrives_us: i64,
    row: FeedRow,
    /// The department takes back what it said of the key.
    gone: bool,
}

fn any_cell(kind: ColumnType, dice: &mut ChaCha8Rng) -> Cell {
    let number = dice.random_range(0..50_i64);
    match kind {
        _ if dice.random_ratio(1, 10) => Cell::Null,
        ColumnType::Bool => Cell::Bool(number % 2 == 0),
        ColumnType::Int => Cell::Int(number),
        ColumnType::Real => Cell::Real(number as f64 / 4.0),
        ColumnType::Text => Cell::text(format!("值{number}")),
        ColumnType::Time => Cell::Time(BEGIN_US + number),
        ColumnType::Date => Cell::Date(number as i32),
        ColumnType::Texts => Cell::Texts(vec![number.to_string()]),
        ColumnType::Ints => Cell::Ints(vec![number]),
        ColumnType::Reasons => Cell::Null,
    }
}

fn is_owned(table: &Table, columns: &[&str], at: usize) -> bool {
    let name = table.columns[at].name;
    let is_kept = ["src_dept", "as_of", "log_index"].contains(&name);
    at >= table.key && !is_kept && (columns.is_empty() || columns.contains(&name))
}

/// What the departments have to say in thirty days, in the order of their times.
fn said(rows_per_feed: u64, dice: &mut ChaCha8Rng) -> Vec<Sent> {
    let mut all = Vec::new();
    for (feed, (_, _, table, columns)) in FEEDS.iter().enumerate() {
        let table = civil::table(table).unwrap();
        let mut times: Vec<i64> = (0..rows_per_feed)
            // Whole minutes, so that several rows of a key have one time.
            .map(|_| BEGIN_US + dice.random_range(0..30 * 24 * 60) * 60_000_000)
            .collect();
        times.sort_unstable();
        for (seq, time_us) in (1..).zip(times) {
            let gone = table.mode != Mode::History && dice.random_ratio(1, 6);
            let mut row = vec![Cell::Null; table.columns.len()];
            for (at, cell) in row.iter_mut().enumerate() {
                if at < table.key {
                    let key = dice.random_range(0..12);
                    *cell = match table.columns[at].kind {
                        ColumnType::Int => Cell::Int(key),
                        _ => Cell::text(format!("k{key}")),
                    };
                } else if !gone && is_owned(table, columns, at) {
                    *cell = any_cell(table.columns[at].kind, dice);
                }
            }
            let row = FeedRow { seq, time_us, row: encode_row(&row).unwrap() };
            all.push(Sent { feed, arrives_us: time_us, row, gone });
        }
    }
    all.sort_by_key(|sent| (sent.row.time_us, sent.row.seq, sent.feed));
    all
}

/// The same with up to 48 hours of lateness, and every fiftieth row twice.
fn delivered(said: &[Sent], dice: &mut ChaCha8Rng) -> (Vec<Sent>, [u64; 19]) {
    let mut all = Vec::new();
    let mut repeats = [0; 19];
    for sent in said {
        let mut late = || Sent {
            arrives_us: sent.row.time_us + dice.random_range(0..48 * HOUR_US),
            ..sent.clone()
        };
        all.push(late());
        let again = late();
        if dice.random_ratio(2, 100) {
            repeats[sent.feed] += 1;
            all.push(again);
        }
    }
    all.sort_by_key(|sent| sent.arrives_us);
    (all, repeats)
}

/// A state with every feed declared, and what it wrote to history tables.
struct Replica {
    state: State,
    index: u64,
    history: Vec<Vec<Cell>>,
    provenance: usize,
    /// What follows from the changes for the tables of registers.
    warehouse: BTreeMap<&'static str, Vec<Vec<Cell>>>,
}

impl Replica {
    fn new(specs: &[FeedSpec]) -> Self {
        let mut replica = Self {
            state: State::new(),
            index: 0,
            history: Vec::new(),
            provenance: 0,
            warehouse: BTreeMap::new(),
        };
        for spec in specs {
            let command = Command::DeclareFeed(Box::new(spec.clone()));
            assert_eq!(replica.apply(BEGIN_US, &command), Reply::Done);
        }
        replica
    }

    fn apply(&mut self, time_us: i64, command: &Command) -> Reply {
        self.index += 1;
        let at = Position { index: self.index, term: 1, time_us };
        let replies = self.state.apply(at, &[command.encode()]).unwrap();
        for change in self.state.take_changes() {
            match change {
                Change::Append { table, row } if table.name == "supervision_event" => {
                    // Where in the log it came differs, what it says does not.
                    self.history.push(row[..row.len() - 1].to_vec());
                }
                Change::Append { table, .. } if table.name == "row_provenance" => {
                    self.provenance += 1;
                }
                Change::Upsert { table, row } => {
                    let rows = self.warehouse.entry(table.name).or_default();
                    rows.retain(|each| each[..table.key] != row[..table.key]);
                    rows.push(row);
                }
                Change::Delete { table, key } => {
                    let rows = self.warehouse.entry(table.name).or_default();
                    let before = rows.len();
                    rows.retain(|each| each[..table.key] != key);
                    assert_eq!(before, rows.len() + 1, "{} {key:?} was there", table.name);
                }
                _ => {}
            }
        }
        Reply::decode(&replies[0]).unwrap()
    }

    /// Rows in commands as a door would make them: of one feed each, in order.
    fn feed(&mut self, all: &[Sent], specs: &[FeedSpec], dice: &mut ChaCha8Rng) {
        let mut left = all;
        while let Some(first) = left.first() {
            let most = dice.random_range(1..200);
            let is_same = |sent: &&Sent| (sent.feed, sent.gone) == (first.feed, first.gone);
            let same = left.iter().take(most).take_while(is_same).count();
            let (part, rest) = left.split_at(same);
            left = rest;
            let feed = specs[first.feed].feed.clone();
            let sent = part.iter().map(|sent| sent.row.clone()).collect();
            let command =
                if first.gone { withdrawn::withdraw(&feed, sent) } else { rows(&feed, sent) };
            let reply = self.apply(part.last().unwrap().arrives_us, &command);
            assert!(matches!(reply, Reply::Fed(Fed { rejected: 0, .. })), "{reply:?}");
        }
    }

    fn status(&self, feed: &str) -> FeedStatus {
        self.state.feeds.get(feed).unwrap().status.clone()
    }

    fn tables(&self) -> BTreeMap<&'static str, Vec<Vec<Cell>>> {
        let tables = civil::TABLES.iter().filter(|table| table.mode == Mode::Reference);
        tables.map(|table| (table.name, self.state.rows.scan(table.name).collect())).collect()
    }

    /// The same, as the warehouse was told.
    fn told(&self) -> BTreeMap<&'static str, Vec<Vec<Cell>>> {
        let mut tables: BTreeMap<_, Vec<Vec<Cell>>> =
            self.tables().into_keys().map(|name| (name, Vec::new())).collect();
        for (name, rows) in &self.warehouse {
            if !tables.contains_key(name) {
                continue;
            }
            let table = civil::table(name).unwrap();
            let mut rows = rows.clone();
            rows.sort_by_key(|row| table.key_of(row).unwrap());
            tables.insert(name, rows);
        }
        tables
    }

    fn restarted(&mut self) {
        let bytes = self.state.to_bytes().unwrap();
        self.state = State::from_reader(&mut bytes.as_slice()).unwrap();
        assert_eq!(self.state.to_bytes().unwrap(), bytes);
    }
}

/// Time, number, whether it takes back, feed: the greater one stands.
type Turn = (i64, u64, bool, usize);

/// The newest value of each column by itself, and whether its department took it back: the slow and
/// plain way.
fn newest_by_column(said: &[Sent]) -> BTreeMap<(&'static str, Vec<u8>, usize), (Cell, bool)> {
    let mut newest: BTreeMap<_, (Turn, Cell)> = BTreeMap::new();
    for sent in said {
        let (_, _, table, columns) = FEEDS[sent.feed];
        let table = civil::table(table).unwrap();
        if table.mode == Mode::History {
            continue;
        }
        let row = features::table::decode_row(&sent.row.row).unwrap();
        let key = table.key_of(&row).unwrap();
        let version = (sent.row.time_us, sent.row.seq, sent.gone, sent.feed);
        for (at, cell) in row.iter().enumerate().filter(|(at, _)| is_owned(table, columns, *at)) {
            let place = newest.entry((table.name, key.clone(), at));
            let place = place.or_insert((version, cell.clone()));
            if version > place.0 {
                *place = (version, cell.clone());
            }
        }
    }
    newest.into_iter().map(|(place, (version, cell))| (place, (cell, version.2))).collect()
}

#[test]
fn nineteen_feeds_late_doubled_and_out_of_order_end_as_a_clean_replay() {
    let mut dice = ChaCha8Rng::seed_from_u64(seed());
    let specs: Vec<FeedSpec> = FEEDS
        .iter()
        .map(|(name, department, table, columns)| spec(name, department, table, columns))
        .collect();
    let said = said(400, &mut dice);
    let (sent, repeats) = delivered(&said, &mut dice);
    assert!(
        sent.len() > said.len() && sent.windows(2).any(|w| w[0].row.time_us > w[1].row.time_us)
    );

    let mut clean = Replica::new(&specs);
    clean.feed(&said, &specs, &mut dice);
    let mut rough = Replica::new(&specs);
    let (before, after) = sent.split_at(sent.len() / 3);
    rough.feed(before, &specs, &mut dice);
    rough.restarted();
    rough.feed(after, &specs, &mut dice);

    // Bytes and all: rows, and what stands behind them of their versions.
    assert_eq!(rough.state.rows, clean.state.rows);
    assert_eq!(rough.tables(), clean.tables());
    let mut cells = 0;
    let newest = newest_by_column(&said);
    let mut stands: BTreeMap<_, bool> = BTreeMap::new();
    for ((table, key, _), (_, gone)) in &newest {
        *stands.entry((*table, key.clone())).or_default() |= !gone;
    }
    for ((table, key, at), (cell, _)) in &newest {
        let row = rough.state.rows.get(table, key);
        assert_eq!(row.is_some(), stands[&(*table, key.clone())], "{table} {key:?}");
        assert!(row.is_none_or(|row| row[*at] == *cell), "{table} {at}");
        cells += 1;
    }
    assert!(cells > 1_000, "{cells}");
    assert!(rough.state.tombstones.iter().eq(clean.state.tombstones.iter()));
    let gone = stands.values().filter(|stands| !**stands).count();
    assert!(gone > 5 && rough.state.tombstones.len() == gone, "{gone} rows are gone");
    rough.history.sort_by_key(|row| format!("{row:?}"));
    clean.history.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(rough.history, clean.history);
    assert_eq!(rough.history.len(), 400, "each row of a history table once");
    assert!(rough.provenance > 0);

    assert_eq!(rough.told(), rough.tables());
    for (feed, (name, _, _, _)) in FEEDS.iter().enumerate() {
        let (ours, theirs) = (rough.status(name), clean.status(name));
        assert_eq!(ours.duplicates, repeats[feed], "{name}");
        assert_eq!(ours.rows, 400 + repeats[feed]);
        assert_eq!(ours.applied + ours.superseded + ours.duplicates, ours.rows);
        assert_eq!((ours.late, ours.rejected), (0, 0), "none is later than was declared");
        assert_eq!((ours.newest_us, &ours.seen), (theirs.newest_us, &theirs.seen));
        assert_eq!((ours.seen.missing(), ours.seen.last()), (0, 400));
        assert_eq!((theirs.duplicates, theirs.applied), (0, 400), "in order nothing is superseded");
        let feed = rough.state.feeds.get(name).unwrap();
        assert_eq!(feed.watermark_us(), Some(ours.newest_us - 48 * HOUR_US));
        let now_us = rough.state.clock_us;
        assert_eq!(feed.lag_us(now_us), Some(now_us - ours.newest_us));
        let stale_us = ours.received_us + 24 * HOUR_US;
        assert!(!feed.is_stale(stale_us) && feed.is_stale(stale_us + 1));
    }
}

fn cells(table: &str, named: &[(&str, Cell)]) -> Vec<u8> {
    let table = civil::table(table).unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    for (name, cell) in named {
        row[table.position(name).unwrap()] = cell.clone();
    }
    encode_row(&row).unwrap()
}

fn resident(seq: u64, time_us: i64, living: &str) -> FeedRow {
    let named = [("resident_key", Cell::text("r1")), ("living", Cell::text(living))];
    FeedRow { seq, time_us, row: cells("resident", &named) }
}

fn rows(feed: &str, rows: Vec<FeedRow>) -> Command {
    Command::IngestRows { feed: feed.to_owned(), rows, rejected: 0, letters: Vec::new() }
}

fn living(replica: &Replica) -> (Cell, Cell, Cell) {
    let row = replica.state.rows.get("resident", b"r1").unwrap();
    let table = civil::table("resident").unwrap();
    let cell = |name: &str| row[table.position(name).unwrap()].clone();
    (cell("living"), cell("src_dept"), cell("as_of"))
}

#[test]
fn an_older_row_that_comes_late_changes_nothing_and_is_counted() {
    let mut replica = Replica::new(&[FeedSpec {
        lateness_h: 1,
        ..spec("civil", "民政", "resident", &["living"])
    }]);
    let noon = BEGIN_US + 12 * HOUR_US;
    let reply = replica.apply(noon, &rows("civil", vec![resident(2, noon, "alone")]));
    assert_eq!(reply, Reply::Fed(Fed { applied: 1, ..Fed::default() }));
    let late = rows("civil", vec![resident(1, noon - 2 * HOUR_US, "couple")]);
    let reply = replica.apply(noon + 1, &late);
    assert_eq!(reply, Reply::Fed(Fed { superseded: 1, late: 1, ..Fed::default() }));
    let told = (Cell::text("alone"), Cell::text("民政"), Cell::Time(noon));
    assert_eq!(living(&replica), told);
    let again = replica.apply(noon + 2, &late);
    assert_eq!(again, Reply::Fed(Fed { duplicates: 1, ..Fed::default() }));
    // A bulk load by an analyst is the last writer; an old row of the feed still is old.
    let row = cells("resident", &[("resident_key", Cell::text("r1")), ("living", Cell::text("x"))]);
    let load = Command::UpsertRows { table: "resident".to_owned(), rows: vec![row] };
    assert_eq!(replica.apply(noon + 3, &load), Reply::Upserted { rows: 1 });
    replica.apply(noon + 4, &rows("civil", vec![resident(3, noon - 60, "couple")]));
    assert_eq!(living(&replica).0, Cell::text("x"));
    replica.apply(noon + 5, &rows("civil", vec![resident(4, noon + 60, "couple")]));
    assert_eq!(living(&replica), (Cell::text("couple"), told.1, Cell::Time(noon + 60)));
    assert_eq!(replica.status("civil").seen.missing(), 0);
}

#[test]
fn a_declaration_can_be_repeated_and_raised_but_not_turned_round() {
    let first = spec("civil", "民政", "resident", &["living"]);
    let mut replica = Replica::new(std::slice::from_ref(&first));
    let mut declare = |change: &dyn Fn(&mut FeedSpec)| {
        let mut spec = first.clone();
        change(&mut spec);
        replica.apply(BEGIN_US, &Command::DeclareFeed(Box::new(spec)))
    };
    assert_eq!(declare(&|_| {}), Reply::Done);
    let refused = |reply: Reply, word: &str| match reply {
        Reply::Refused(Refusal::Invalid(said)) => assert!(said.contains(word), "{said}"),
        other => panic!("{other:?}"),
    };
    refused(declare(&|spec| spec.columns = vec!["edu".to_owned()]), "higher");
    let elsewhere = |spec: &mut FeedSpec| {
        (spec.version, spec.table, spec.columns) = (2, "grid".to_owned(), Vec::new());
    };
    refused(declare(&elsewhere), "another name");
    assert_eq!(
        declare(&|spec| (spec.version, spec.columns) = (2, vec!["edu".to_owned()])),
        Reply::Done
    );
    let reply = replica.apply(BEGIN_US, &rows("nobody", Vec::new()));
    assert!(matches!(reply, Reply::Refused(Refusal::NotFound(_))), "{reply:?}");
}

#[test]
fn refused_rows_are_dead_letters_and_history_needs_numbers() {
    let mut replica = Replica::new(&[spec("checks", "监管", "supervision_event", &[])]);
    let check = |seq: u64, org: &str| FeedRow {
        seq,
        time_us: BEGIN_US,
        row: cells(
            "supervision_event",
            &[("org_id", Cell::text(org)), ("check_id", Cell::text(format!("c{seq}")))],
        ),
    };
    let command = Command::IngestRows {
        feed: "checks".to_owned(),
        rows: vec![check(1, "o1"), check(0, "o1"), check(1, "o1"), check(3, "o2")],
        rejected: 5,
        letters: vec![DeadLetter::new("feed", "checks", "no column \"x\"", b"{\"x\":1}")],
    };
    let reply = replica.apply(BEGIN_US, &command);
    let fed = Fed { applied: 2, duplicates: 1, rejected: 6, ..Fed::default() };
    assert_eq!(reply, Reply::Fed(fed));
    let status = replica.status("checks");
    assert_eq!((status.rows, status.rejected, status.seen.missing()), (3, 6, 1));
    assert_eq!(replica.history.len(), 2);
    let letters: Vec<_> = replica.state.dead_letters.newest().map(|(_, kept)| kept).collect();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].letter.reason.contains("seq"));
    assert_eq!(letters[1].letter.payload, "{\"x\":1}");
    replica.restarted();
    assert_eq!(replica.state.dead_letters.counts().collect::<Vec<_>>(), [("feed", 2)]);
}
