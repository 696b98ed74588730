//! Records that their departments take back.

use super::{BEGIN_US, HOUR_US, Replica, cells, resident, rows, spec};
use features::table::{Cell, encode_row};
use features::{EntityKind, Event, FeatureView, Status, civil};
use nodes::state::{Change, Command, Fed, FeedRow, FeedSpec, Reply};
use raft::Position;

const NOON_US: i64 = BEGIN_US + 12 * HOUR_US;

pub(super) fn withdraw(feed: &str, rows: Vec<FeedRow>) -> Command {
    Command::FeedRows {
        feed: feed.to_owned(),
        gone: (0..rows.len() as u32).collect(),
        rows,
        rejected: 0,
        letters: Vec::new(),
    }
}

fn gone(feed: &str, seq: u64, time_us: i64, key: &str) -> Command {
    let row = cells("resident", &[("resident_key", Cell::text(key))]);
    withdraw(feed, vec![FeedRow { seq, time_us, row }])
}

fn stands(replica: &Replica) -> bool {
    replica.state.rows.get("resident", b"r1").is_some()
}

#[test]
fn a_record_is_gone_in_any_order_until_its_department_sends_a_newer_row() {
    let specs = [spec("civil", "民政", "resident", &[])];
    let mut replica = Replica::new(&specs);
    let fed = |replica: &mut Replica, command: &Command| {
        let index = replica.index as i64;
        match replica.apply(NOON_US + index, command) {
            Reply::Fed(fed) => fed,
            other => panic!("{other:?}"),
        }
    };
    let taken_back = Fed { applied: 1, withdrawn: 1, ..Fed::default() };
    // The deletion overtakes what it deletes.
    assert_eq!(fed(&mut replica, &gone("civil", 2, NOON_US, "r1")), taken_back);
    let older = rows("civil", vec![resident(1, NOON_US - HOUR_US, "alone")]);
    let fed_older = fed(&mut replica, &older);
    assert_eq!(fed_older, Fed { superseded: 1, ..Fed::default() });
    assert!(!stands(&replica) && replica.state.tombstones.len() == 1);
    replica.restarted();
    let again = fed(&mut replica, &gone("civil", 2, NOON_US, "r1"));
    assert_eq!(again, Fed { duplicates: 1, ..Fed::default() });
    let newer = rows("civil", vec![resident(3, NOON_US + 1, "couple")]);
    assert_eq!(fed(&mut replica, &newer).applied, 1);
    assert!(stands(&replica) && replica.state.tombstones.is_empty());
    // An older deletion that comes late takes nothing away.
    let late = fed(&mut replica, &gone("civil", 0, NOON_US + 1 - 60, "r1"));
    assert_eq!(late, Fed { superseded: 1, ..Fed::default() });
    assert!(stands(&replica));
    assert_eq!(fed(&mut replica, &gone("civil", 4, NOON_US + 2, "r1")), taken_back);
    assert!(!stands(&replica));
    let status = replica.status("civil");
    assert_eq!((status.withdrawn, status.applied, status.rows), (2, 3, 6));
    assert_eq!(replica.provenance, 3);
    assert_eq!(replica.told(), replica.tables());
}

#[test]
fn each_department_takes_back_its_own_columns_and_the_last_one_the_row() {
    let specs = [
        spec("civil", "民政", "resident", &["living"]),
        spec("disabled", "残联", "resident", &["disab_type"]),
    ];
    let mut replica = Replica::new(&specs);
    let named = [("resident_key", Cell::text("r1")), ("disab_type", Cell::text("视力"))];
    let row = FeedRow { seq: 1, time_us: NOON_US, row: cells("resident", &named) };
    replica.apply(NOON_US, &rows("disabled", vec![row]));
    replica.apply(NOON_US, &rows("civil", vec![resident(1, NOON_US, "alone")]));
    replica.apply(NOON_US + 1, &gone("civil", 2, NOON_US + 1, "r1"));
    let table = civil::table("resident").unwrap();
    let row = replica.state.rows.get("resident", b"r1").unwrap();
    assert_eq!(row[table.position("living").unwrap()], Cell::Null);
    assert_eq!(row[table.position("disab_type").unwrap()], Cell::text("视力"));
    assert_eq!(row[table.position("src_dept").unwrap()], Cell::text("民政"));
    replica.apply(NOON_US + 2, &gone("disabled", 2, NOON_US + 2, "r1"));
    assert!(!stands(&replica));
    // What an analyst loads past the feeds is the last word, and older rows still are old.
    let named = [("resident_key", Cell::text("r1")), ("living", Cell::text("x"))];
    let load = vec![cells("resident", &named)];
    let load = Command::UpsertRows { table: "resident".to_owned(), rows: load };
    assert_eq!(replica.apply(NOON_US + 3, &load), Reply::Upserted { rows: 1 });
    replica.apply(NOON_US + 4, &rows("civil", vec![resident(0, NOON_US, "alone")]));
    assert_eq!(super::living(&replica).0, Cell::text("x"));
    assert_eq!(replica.told(), replica.tables());
}

/// A later declaration owns fewer columns. What was written of the others yields to whoever owns them now,
/// however late that comes, and goes with the record.
#[test]
fn a_feed_takes_back_what_it_wrote_in_columns_that_it_gave_up() {
    let mut replica = Replica::new(&[spec("civil", "民政", "resident", &["living", "marital"])]);
    let named = |key: &str| {
        [
            ("resident_key", Cell::text(key)),
            ("living", Cell::text("alone")),
            ("marital", Cell::text("m")),
        ]
    };
    for key in ["r1", "r2", "r3"] {
        let row = FeedRow { seq: 0, time_us: NOON_US, row: cells("resident", &named(key)) };
        replica.apply(NOON_US, &rows("civil", vec![row]));
    }
    let declare = |replica: &mut Replica, spec: FeedSpec| {
        let reply = replica.apply(NOON_US, &Command::DeclareFeed(Box::new(spec)));
        assert_eq!(reply, Reply::Done);
    };
    let smaller = FeedSpec { version: 2, ..spec("civil", "民政", "resident", &["living"]) };
    declare(&mut replica, smaller);
    declare(&mut replica, spec("registry", "街道", "resident", &["marital"]));
    assert_eq!(replica.state.feeds.get("civil").unwrap().released_columns(), ["marital"]);
    let marital = civil::table("resident").unwrap().position("marital").unwrap();
    let of = |replica: &Replica, key: &str| {
        replica.state.rows.get("resident", key.as_bytes()).map(|row| row[marital].clone())
    };
    assert_eq!(of(&replica, "r1"), Some(Cell::text("m")), "it stays until somebody says more");
    // Older than what was given up, and all the same its owner's word; in both orders.
    let word = |key: &str| {
        let named = [("resident_key", Cell::text(key)), ("marital", Cell::text("w"))];
        let row = cells("resident", &named);
        rows("registry", vec![FeedRow { seq: 0, time_us: NOON_US - HOUR_US, row }])
    };
    let back = |seq, key: &str| gone("civil", seq, NOON_US + 1, key);
    replica.apply(NOON_US + 1, &word("r2"));
    assert_eq!(of(&replica, "r2"), Some(Cell::text("w")));
    replica.apply(NOON_US + 2, &back(0, "r2"));
    replica.restarted();
    replica.apply(NOON_US + 3, &back(0, "r3"));
    assert_eq!(of(&replica, "r3"), None);
    replica.apply(NOON_US + 4, &word("r3"));
    assert_eq!(
        (of(&replica, "r2"), of(&replica, "r3")),
        (Some(Cell::text("w")), Some(Cell::text("w")))
    );
    // Nobody else says anything of the first: gone as a whole, once.
    let taken_back = Fed { applied: 1, withdrawn: 1, ..Fed::default() };
    assert_eq!(replica.apply(NOON_US + 5, &back(0, "r1")), Reply::Fed(taken_back));
    assert!(!stands(&replica));
    let again = Fed { duplicates: 1, ..Fed::default() };
    assert_eq!(replica.apply(NOON_US + 6, &back(0, "r1")), Reply::Fed(again));
    assert_eq!(replica.told(), replica.tables());
    // Owned again, what it wrote is its own again.
    let whole =
        FeedSpec { version: 3, ..spec("civil", "民政", "resident", &["living", "marital"]) };
    declare(&mut replica, whole);
    assert!(replica.state.feeds.get("civil").unwrap().released_columns().is_empty());
}

#[test]
fn history_is_never_taken_back_and_a_feed_must_be_there() {
    let mut replica = Replica::new(&[spec("checks", "养老监管", "supervision_event", &[])]);
    let named = [("org_id", Cell::text("o")), ("check_id", Cell::text("c"))];
    let row = FeedRow { seq: 1, time_us: NOON_US, row: cells("supervision_event", &named) };
    let command = withdraw("checks", vec![row]);
    let reply = replica.apply(NOON_US, &command);
    assert_eq!(reply, Reply::Fed(Fed { rejected: 1, ..Fed::default() }));
    let letter = replica.state.dead_letters.newest().next().unwrap().1.letter.clone();
    assert!(letter.reason.contains("never deleted"), "{}", letter.reason);
    let reply = replica.apply(NOON_US, &gone("nobody", 1, NOON_US, "r1"));
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
}

/// Resident r1 at home, and what is read of them.
struct Home {
    replica: Replica,
    view: FeatureView,
    events: usize,
}

impl Home {
    fn new() -> Self {
        let tables = ["resident", "household", "device", "relation"];
        let specs = tables.map(|table| spec(table, "d", table, &[]));
        let mut home = Self {
            replica: Replica::new(&specs),
            view: FeatureView::parse(
                "name = \"home\"\nentity = \"resident\"\nversion = 1\nfeature = [\n\
                 { name = \"n\", kind = \"door\", aggregate = \"count\", window = \"1d\" },\n\
                 { name = \"level\", column = \"resident.disab_level\", default = 7 },\n\
                 { name = \"size\", column = \"resident.household_id>household.size\", default = 9 },\n]",
            )
            .unwrap(),
            events: 0,
        };
        let text = home.view.to_toml().unwrap();
        home.replica.apply(NOON_US, &Command::PushView { text, author: "test".to_owned() });
        for table in tables {
            home.send(table, 1, false);
        }
        home
    }

    /// What each department says of its record, or that it takes it back.
    fn send(&mut self, table: &str, seq: u64, gone: bool) {
        let text = |text: &str| Cell::text(text);
        let named = match table {
            "resident" => vec![
                ("resident_key", text("r1")),
                ("household_id", text("h1")),
                ("disab_level", Cell::Int(2)),
            ],
            "household" => vec![
                ("household_id", text("h1")),
                ("dwelling_id", text("w1")),
                ("size", Cell::Int(4)),
            ],
            "device" => vec![("device_id", text("d1")), ("dwelling_id", text("w1"))],
            _ => vec![
                ("resident_key", text("r1")),
                ("other_key", text("daughter")),
                ("kind", text("child")),
                ("consent", Cell::Bool(true)),
            ],
        };
        let row = FeedRow { seq, time_us: NOON_US + seq as i64, row: cells(table, &named) };
        let command = if gone { withdraw(table, vec![row]) } else { rows(table, vec![row]) };
        let reply = self.replica.apply(NOON_US + seq as i64, &command);
        assert!(matches!(reply, Reply::Fed(Fed { applied: 1, .. })), "{table} {reply:?}");
    }

    /// A door opens; then how many doors, which level, how large a household.
    fn opens(&mut self) -> ([u32; 3], Vec<Status>) {
        self.events += 1;
        let event = Event {
            event_id: format!("e{}", self.events),
            device_id: "d1".to_owned(),
            kind: "door".to_owned(),
            event_time_us: NOON_US,
            value: 1.0,
            source: "g".to_owned(),
            ..Event::default()
        };
        self.replica.apply(NOON_US + 9, &Command::IngestEvents { events: vec![event] });
        let state = &self.replica.state;
        let now_us = state.clock_us;
        let read = state.features.read(&self.view, "r1", now_us, state.registers());
        // What is derived from the rows is the same after a restore.
        let bytes = state.to_bytes().unwrap();
        let again = nodes::state::State::from_reader(&mut bytes.as_slice()).unwrap();
        let restored = again.features.read(&self.view, "r1", now_us, again.registers());
        assert_eq!(read.values, restored.values);
        for of in [state, &again] {
            let homes = (
                of.homes().residents_of_dwelling("w1"),
                of.homes().dwelling_of_device("d1").map(str::to_owned),
            );
            let first = (
                state.homes().residents_of_dwelling("w1"),
                state.homes().dwelling_of_device("d1").map(str::to_owned),
            );
            assert_eq!(homes, first);
        }
        let counts: Vec<u32> = read.values.iter().map(|value| *value as u32).collect();
        (counts.try_into().unwrap(), read.statuses)
    }
}

#[test]
fn who_is_gone_lives_nowhere_and_reads_as_unknown() {
    let mut home = Home::new();
    assert_eq!(home.opens().0, [1, 2, 4]);
    home.send("household", 2, true);
    // The readings until then stay; what comes now belongs to nobody.
    assert_eq!(home.opens().0, [1, 2, 9]);
    home.send("household", 3, false);
    assert_eq!(home.opens().0, [2, 2, 4]);
    home.send("device", 4, true);
    assert_eq!(home.opens().0, [2, 2, 4]);
    home.send("device", 5, false);
    home.send("resident", 6, true);
    let (values, statuses) = home.opens();
    assert_eq!(values, [2, 7, 9]);
    assert_eq!(statuses[1], Status::Default, "there are readings, so somebody was there");
    let state = &home.replica.state;
    assert!(state.features.find(EntityKind::Resident, "r1").is_some());
    assert!(state.homes().residents_of_dwelling("w1").is_empty());
}

#[test]
fn the_record_of_what_was_there_ends_with_an_empty_row() {
    let mut home = Home::new();
    let state = &mut home.replica.state;
    state.take_changes();
    let row = cells("resident", &[("resident_key", Cell::text("r1"))]);
    let row = FeedRow { seq: 9, time_us: NOON_US + 9, row };
    let command = withdraw("resident", vec![row]);
    let at = Position { index: state.applied + 1, term: 1, time_us: NOON_US + 9 };
    state.apply(at, &[command.encode()]).unwrap();
    let mut told = Vec::new();
    for change in state.take_changes() {
        match change {
            Change::Append { table, row } if table.name == "register_history" => {
                let cells = table.position("cells").unwrap();
                told.push(format!("history {:?} {:?}", row[1], row[cells]));
            }
            Change::Append { table, row } if table.name == "row_provenance" => {
                let withdrawn = table.position("withdrawn").unwrap();
                told.push(format!("provenance {:?} {:?}", row[1], row[withdrawn]));
            }
            Change::Delete { table, key } => told.push(format!("delete {} {key:?}", table.name)),
            other => told.push(format!("{other:?}")),
        }
    }
    let want = [
        "history Text(\"r1\") Null",
        "delete resident [Text(\"r1\")]",
        "provenance Text(\"r1\") Bool(true)",
    ];
    assert_eq!(told, want);
    assert!(encode_row(&[Cell::Null]).is_ok());
}
