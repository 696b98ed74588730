//! Feature views in the replicated state: pushed, bound, retired, restored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

use features::event::Event;
use features::table::{Cell, encode_row};
use features::{EntityKind, Status, civil};
use nodes::state::{Change, Command, ModelPush, ModelRecord, Refusal, Reply, State};
use raft::Position;

const NOW_US: i64 = 1_800_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const NIGHT: &str = "name = 'night'\nentity = 'resident'\nversion = 1\n[[feature]]\n\
                     name = 'unrest'\nkind = 'motion'\naggregate = 'std'\nwindow = '1d'\n";

fn apply(state: &mut State, index: u64, time_us: i64, command: &Command) -> Reply {
    let at = Position { index, term: 1, time_us };
    let replies = state.apply(at, &[command.encode()]).unwrap();
    Reply::decode(&replies[0]).unwrap()
}

fn push(text: &str) -> Command {
    Command::PushView { text: text.to_owned(), author: "ann".to_owned() }
}

fn retire(name: &str, version: u32) -> Command {
    Command::RetireView { name: name.to_owned(), version, actor: "ann".to_owned() }
}

fn refused(reply: Reply) -> String {
    let Reply::Refused(refusal) = reply else { panic!("taken: {reply:?}") };
    let said = refusal.to_string();
    assert!(!said.contains('\n'), "{said}");
    said
}

fn upsert(table: &str, given: &[(&str, &str)]) -> Command {
    let columns = civil::table(table).unwrap().columns.iter();
    let cell = |name: &str| {
        let found = given.iter().find(|(each, _)| *each == name);
        found.map_or(Cell::Null, |(_, text)| Cell::text(*text))
    };
    let row: Vec<Cell> = columns.map(|column| cell(column.name)).collect();
    Command::UpsertRows { table: table.to_owned(), rows: vec![encode_row(&row).unwrap()] }
}

/// One resident with a motion sensor.
fn home() -> State {
    let mut state = State::new();
    for (index, command) in (1..).zip([
        upsert("dwelling", &[("dwelling_id", "w")]),
        upsert("household", &[("household_id", "h"), ("dwelling_id", "w")]),
        upsert("resident", &[("resident_key", "r"), ("household_id", "h")]),
        upsert("device", &[("device_id", "d"), ("dwelling_id", "w"), ("kind", "motion")]),
    ]) {
        assert!(matches!(apply(&mut state, index, NOW_US, &command), Reply::Upserted { .. }));
    }
    state
}

fn motion(state: &mut State, index: u64, value: f64) {
    let time_us = NOW_US + index as i64 * HOUR_US;
    let event = Event {
        event_id: index.to_string(),
        device_id: "d".to_owned(),
        kind: "motion".to_owned(),
        event_time_us: time_us,
        value,
        unit: String::new(),
        source: "gw".to_owned(),
        boot_id: 1,
        seq: index,
        attributes: std::collections::BTreeMap::new(),
    };
    apply(state, index, time_us, &Command::IngestEvents { events: vec![event] });
}

fn read(state: &State, view: &str, entity: &str) -> (f32, Status) {
    let view = state.views.current(view).unwrap();
    assert!(view.entity() == EntityKind::Resident || view.entity() == EntityKind::Dwelling);
    let vector = state.features.read(view, entity, state.clock_us, state.registers());
    (vector.values[0], vector.statuses[0])
}

fn restored(state: &State) -> State {
    let restored = State::from_reader(&mut state.to_bytes().unwrap().as_slice()).unwrap();
    assert_eq!(restored.to_bytes().unwrap(), state.to_bytes().unwrap());
    restored
}

#[test]
fn a_view_is_in_force_from_its_entry_on_and_in_a_snapshot() {
    let mut state = home();
    motion(&mut state, 10, 3.0);
    assert!(state.views.current("night").is_none());
    assert_eq!(apply(&mut state, 11, NOW_US + 11 * HOUR_US, &push(NIGHT)), Reply::Done);
    let hash = state.features.hash();
    // Once more changes nothing.
    assert_eq!(apply(&mut state, 12, NOW_US + 11 * HOUR_US, &push(NIGHT)), Reply::Done);
    assert_eq!(state.features.hash(), hash);
    for index in 13..=14 {
        motion(&mut state, index, index as f64);
    }
    assert_eq!(read(&state, "night", "r"), (0.5_f32.sqrt(), Status::Partial));
    let mut state = restored(&state);
    for index in 15..=80 {
        motion(&mut state, index, 1.0);
    }
    assert_eq!(read(&state, "night", "r"), (0.0, Status::Present));
    let mut other = restored(&state);
    for state in [&mut state, &mut other] {
        motion(state, 81, 2.0);
    }
    assert_eq!(state.to_bytes().unwrap(), other.to_bytes().unwrap());
}

#[test]
fn a_version_never_changes_and_a_refusal_says_what_to_do() {
    let mut state = home();
    apply(&mut state, 10, NOW_US, &push(NIGHT));
    let other = NIGHT.replace("1d", "7d");
    let said = refused(apply(&mut state, 11, NOW_US, &push(&other)));
    assert!(said.contains("push this one as version 2"), "{said}");
    let device = other.replace("resident", "device").replace("version = 1", "version = 2");
    assert!(refused(apply(&mut state, 12, NOW_US, &push(&device))).contains("another name"));
    let wrong = NIGHT.replace("std", "sdt");
    assert!(refused(apply(&mut state, 13, NOW_US, &push(&wrong))).contains("feature unrest"));
    let second = other.replace("version = 1", "version = 2");
    assert_eq!(apply(&mut state, 14, NOW_US, &push(&second)), Reply::Done);
    assert_eq!(state.views.current("night").unwrap().version(), 2);
    assert_eq!(apply(&mut state, 15, NOW_US, &retire("night", 2)), Reply::Done);
    assert_eq!(state.views.current("night").unwrap().version(), 1);
    assert!(refused(apply(&mut state, 16, NOW_US, &retire("day", 1))).contains("hearth view list"));
    let known: Vec<_> = state.views.versions("night").map(|each| each.record.retired).collect();
    assert_eq!(known, [false, true]);
}

#[test]
fn a_version_that_a_model_reads_stays() {
    let mut state = home();
    apply(&mut state, 10, NOW_US, &push(NIGHT));
    let record = ModelRecord {
        name: "unrest".to_owned(),
        version: "1".to_owned(),
        digests: models::Digests { model: "00".repeat(32), package: "11".repeat(32) },
        blob: [1; 32],
        size_bytes: 1,
        format: "onnx".to_owned(),
        entity: "resident".to_owned(),
        view: "night".to_owned(),
        features: vec!["unrest".to_owned()],
        author: "ann".to_owned(),
    };
    let gates = models::Gates::default();
    let pushed = Command::PushModel(Box::new(ModelPush { record, gates }));
    assert_eq!(apply(&mut state, 11, NOW_US, &pushed), Reply::Done);
    // The same names, other numbers: the model stays with what it was made for.
    let second = NIGHT.replace("1d", "7d").replace("version = 1", "version = 2");
    apply(&mut state, 12, NOW_US, &push(&second));
    let bound = |state: &State| state.views.of_model("night", "unrest", "1").unwrap().version();
    assert_eq!(bound(&state), 1);
    let said = refused(apply(&mut state, 13, NOW_US, &retire("night", 1)));
    assert!(said.contains("is read by model unrest 1: retire that first"), "{said}");
    assert_eq!(apply(&mut state, 14, NOW_US, &retire("night", 2)), Reply::Done);
    assert_eq!(bound(&restored(&state)), 1);
}

#[test]
fn the_table_lists_every_version() {
    let mut state = home();
    let rows = |state: &mut State| -> Vec<Vec<Cell>> {
        let rows = state.take_changes().into_iter().filter_map(|change| match change {
            Change::Upsert { table, row } if table.name == "feature_view" => Some(row),
            _ => None,
        });
        rows.collect()
    };
    let first = rows(&mut state);
    assert_eq!(first.len(), features::builtin::VIEW_TEXTS.len());
    apply(&mut state, 10, NOW_US, &push(NIGHT));
    apply(&mut state, 11, NOW_US, &retire("night", 1));
    let states: Vec<Cell> = rows(&mut state).into_iter().map(|row| row[5].clone()).collect();
    assert_eq!(states, [Cell::text("current"), Cell::text("retired")]);
}

#[test]
fn a_dwelling_has_windows_where_a_view_asks_for_them() {
    let mut state = home();
    let view = "name = 'home'\nentity = 'dwelling'\nversion = 1\n[[feature]]\n\
                name = 'n'\nkind = 'any'\naggregate = 'count'\nwindow = '1d'\n";
    apply(&mut state, 10, NOW_US, &push(view));
    for index in 11..14 {
        motion(&mut state, index, 1.0);
    }
    assert_eq!(read(&state, "home", "w").0.to_bits(), 3.0_f32.to_bits());
}

#[test]
fn what_is_too_much_is_refused() {
    let mut state = home();
    let filler = "#".repeat(200_000);
    let mut last = Reply::Done;
    for version in 1..60 {
        let text = NIGHT.replace("version = 1", &format!("version = {version}"));
        last = apply(&mut state, 10 + version, NOW_US, &push(&format!("{text}{filler}\n")));
        if last != Reply::Done {
            break;
        }
    }
    assert!(matches!(last, Reply::Refused(Refusal::Exhausted(_))), "{last:?}");
}
