//! The replicated state as a function of its log: the same entries, the same bits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

use features::civil;
use features::table::{Cell, encode_row};
use features::{EntityKind, Event, Kind, Window};
use nodes::state::{
    Action, Alert, CaseStep, Change, Command, Condition, Delivery, Reply, Rules, ScoreRecord,
    State, Work,
};
use proptest::prelude::*;
use raft::Position;
use std::collections::BTreeMap;

const NOW_US: i64 = 1_790_000_000_000_000;
const SECOND_US: i64 = 1_000_000;
const DWELLING: &str = "w1";
const RESIDENT: &str = "r1";

fn at(index: u64, time_us: i64) -> Position {
    Position { index, term: 1, time_us }
}

/// Applies one command at an index and a time and gives its reply.
fn apply(state: &mut State, index: u64, time_us: i64, command: &Command) -> Reply {
    let replies = state.apply(at(index, time_us), &[command.encode()]).unwrap();
    Reply::decode(&replies[0]).unwrap()
}

fn event(id: &str, kind: &str, value: f64, event_time_us: i64) -> Event {
    Event {
        event_id: id.to_owned(),
        device_id: "d1".to_owned(),
        kind: kind.to_owned(),
        event_time_us,
        value,
        source: "gateway".to_owned(),
        ..Event::default()
    }
}

fn ingest(events: impl IntoIterator<Item = Event>) -> Command {
    Command::IngestEvents { events: events.into_iter().collect() }
}

/// A row of a register with the given cells and nothing else.
fn row(table: &str, cells: &[(&str, Cell)]) -> Command {
    let table = civil::table(table).unwrap();
    let mut row = vec![Cell::Null; table.columns.len()];
    for (name, cell) in cells {
        row[table.position(name).unwrap()] = cell.clone();
    }
    Command::UpsertRows { table: table.name.to_owned(), rows: vec![encode_row(&row).unwrap()] }
}

/// One resident in one dwelling with one device, at indexes 1 to 6.
fn street() -> State {
    let mut state = State::new();
    let text = |value: &str| Cell::text(value);
    let rows = [
        row("grid", &[("grid_id", text("g1")), ("community", text("990101001001"))]),
        row("building", &[("building_id", text("b1")), ("grid_id", text("g1"))]),
        row("dwelling", &[("dwelling_id", text(DWELLING)), ("building_id", text("b1"))]),
        row("household", &[("household_id", text("h1")), ("dwelling_id", text(DWELLING))]),
        row("resident", &[("resident_key", text(RESIDENT)), ("household_id", text("h1"))]),
        row("device", &[("device_id", text("d1")), ("dwelling_id", text(DWELLING))]),
    ];
    for (index, command) in (1..).zip(&rows) {
        assert_eq!(apply(&mut state, index, NOW_US, command), Reply::Upserted { rows: 1 });
    }
    state
}

fn gas(state: &mut State, index: u64, id: &str, value: f64) -> Reply {
    let now_us = NOW_US + index as i64 * SECOND_US;
    apply(state, index, now_us, &ingest([event(id, "gas", value, now_us)]))
}

/// Everybody who may be scored at a time.
fn due(state: &State, now_us: i64) -> Vec<String> {
    state.due_residents(now_us, (0, usize::MAX), usize::MAX).0
}

fn act(state: &mut State, index: u64, action: Action, outcome: &str, action_id: &str) -> Reply {
    let alert_id = state.alerts.iter().next().unwrap().alert_id.clone();
    let command = Command::ActOnAlert {
        alert_id,
        action,
        actor: "centre".to_owned(),
        note: String::new(),
        outcome: outcome.to_owned(),
        action_id: action_id.to_owned(),
    };
    apply(state, index, NOW_US + index as i64 * SECOND_US, &command)
}

#[test]
fn three_gas_readings_are_one_case_with_its_home() {
    let mut state = street();
    gas(&mut state, 10, "1", 8.0);
    gas(&mut state, 11, "2", 12.0);
    assert_eq!(state.alerts.iter().count(), 0);
    gas(&mut state, 12, "3", 15.0);
    gas(&mut state, 13, "4", 15.0);
    let alerts: Vec<_> = state.alerts.iter().cloned().collect();
    assert_eq!(alerts.len(), 1, "a hazard is one case");
    let alert = &alerts[0];
    assert_eq!(alert.evidence, ["1", "2", "3", "4"]);
    assert_eq!((alert.kind.as_str(), alert.level), ("gas_leak", 3));
    assert_eq!((alert.dwelling_id.as_str(), alert.resident_key.as_str()), (DWELLING, RESIDENT));
    assert_eq!(alert.region, "990101001001");
    assert_eq!(alert.work, Work::L1Notified);
    gas(&mut state, 14, "5", 0.5);
    assert_eq!(state.alerts.iter().next().unwrap().condition, Condition::Cleared);
}

#[test]
fn readings_too_far_apart_or_too_low_raise_nothing() {
    let mut state = street();
    let day_us = 86_400 * SECOND_US;
    for (index, days) in (10..).zip([0, 2, 4, 6]) {
        let now_us = NOW_US + days * day_us;
        let reading = event(&format!("{index}"), "gas", 9.0, now_us);
        apply(&mut state, index, now_us, &ingest([reading]));
    }
    for index in 20..30 {
        gas(&mut state, index, &format!("low{index}"), 4.9);
    }
    assert_eq!(state.alerts.iter().count(), 0);
}

#[test]
fn history_pages_nobody() {
    let mut state = street();
    let old_us = NOW_US - 8 * 86_400 * SECOND_US;
    let readings = (0..5).map(|n| event(&format!("old{n}"), "gas", 20.0, old_us + n));
    let reply = apply(&mut state, 10, NOW_US, &ingest(readings));
    assert_eq!(reply, Reply::Ingested { accepted: 5, duplicates: 0 });
    assert_eq!(state.alerts.iter().count(), 0);
    let recorded = state.take_changes();
    let Some(Change::Events(events)) = recorded.last() else { panic!("{recorded:?}") };
    assert_eq!(events.len(), 5, "it still is history");
}

#[test]
fn an_event_counts_once_however_often_it_comes() {
    let mut state = street();
    let now_us = NOW_US + 20 * SECOND_US;
    let door = || event("door-1", "door", 1.0, now_us);
    let reply = apply(&mut state, 20, now_us, &ingest([door(), door()]));
    assert_eq!(reply, Reply::Ingested { accepted: 1, duplicates: 1 });
    let reply = apply(&mut state, 21, now_us + 1, &ingest([door()]));
    assert_eq!(reply, Reply::Ingested { accepted: 0, duplicates: 1 });
    let doors = state.features.summary(
        EntityKind::Resident,
        RESIDENT,
        Some(Kind::Door),
        Some(Window::H1),
        now_us,
    );
    assert_eq!(doors.unwrap().count, 1);
}

#[test]
fn a_case_is_closed_only_through_feedback_and_a_repeat_changes_nothing() {
    let mut state = street();
    for (index, id) in (10..).zip(["1", "2", "3"]) {
        gas(&mut state, index, id, 9.0);
    }
    assert!(matches!(act(&mut state, 20, Action::Close, "handled", ""), Reply::Refused(_)));
    assert!(matches!(act(&mut state, 21, Action::Dispatch, "", ""), Reply::Refused(_)));
    let Reply::Alert(first) = act(&mut state, 22, Action::Ack, "", "x1") else { panic!("refused") };
    let Reply::Alert(again) = act(&mut state, 23, Action::Ack, "", "x1") else { panic!("refused") };
    assert_eq!(first, again);
    for (index, action) in (24..).zip([Action::Dispatch, Action::Arrive, Action::Feedback]) {
        assert!(matches!(act(&mut state, index, action, "", ""), Reply::Alert(_)));
    }
    assert!(
        matches!(act(&mut state, 28, Action::Close, "", ""), Reply::Refused(_)),
        "an outcome is needed"
    );
    let Reply::Alert(closed) = act(&mut state, 29, Action::Close, "pipe_replaced", "") else {
        panic!("refused")
    };
    assert_eq!((closed.work, closed.outcome.as_str()), (Work::Closed, "pipe_replaced"));
    assert_eq!(state.alerts.open_count(), 0);
    // The next leak in the same home is the same case again, and later one of its own.
    for (index, id) in (30..).zip(["4", "5", "6"]) {
        gas(&mut state, index, id, 9.0);
    }
    assert_eq!((state.alerts.iter().count(), state.alerts.open_count()), (1, 1));
    let actions = [Action::Ack, Action::Dispatch, Action::Feedback];
    for (index, action) in (40..).zip(actions) {
        assert!(matches!(act(&mut state, index, action, "", ""), Reply::Alert(_)));
    }
    assert!(matches!(act(&mut state, 50, Action::Close, "handled", ""), Reply::Alert(_)));
    for (index, id) in (2_000..).zip(["7", "8", "9"]) {
        gas(&mut state, index, id, 9.0);
    }
    assert_eq!((state.alerts.iter().count(), state.alerts.open_count()), (2, 1));
}

#[test]
fn a_deadline_fires_once_at_the_logs_own_time() {
    let mut state = street();
    let fall_us = NOW_US + 10 * SECOND_US;
    apply(&mut state, 10, fall_us, &ingest([event("f", "fall", 1.0, fall_us)]));
    let alert = state.alerts.iter().next().unwrap().clone();
    assert_eq!(alert.level, 1);
    let due_us = alert.due_us;
    assert_eq!(due_us, fall_us + i64::from(Rules::default().major.ack_s) * SECOND_US);
    apply(&mut state, 11, due_us - 1, &Command::Tick);
    assert_eq!(state.alerts.iter().next().unwrap().level, 1);
    apply(&mut state, 12, due_us, &Command::Tick);
    assert_eq!(state.alerts.iter().next().unwrap().level, 2);
    // A clock that runs back fires nothing again.
    apply(&mut state, 13, due_us - 10 * SECOND_US, &Command::Tick);
    assert_eq!(state.clock_us, due_us);
    assert_eq!(state.alerts.iter().next().unwrap().transitions, alert.transitions + 1);
}

#[test]
fn a_row_that_does_not_fit_leaves_its_whole_batch_out() {
    let mut state = street();
    let good = encode_row(&state.rows.get("device", b"d1").unwrap()).unwrap();
    let before: Vec<_> = state.rows.scan("device").collect();
    let mut other = state.rows.get("device", b"d1").unwrap();
    other[0] = Cell::text("d2");
    let rows = vec![encode_row(&other).unwrap(), encode_row(&[Cell::Null]).unwrap(), good];
    let reply =
        apply(&mut state, 10, NOW_US, &Command::UpsertRows { table: "device".to_owned(), rows });
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    assert_eq!(state.rows.scan("device").collect::<Vec<_>>(), before);
}

#[test]
fn a_proposal_that_is_repeated_does_not_put_an_old_row_over_a_newer_one() {
    let mut state = street();
    let moved = |id, dwelling: &str| {
        let cells = [("device_id", Cell::text("d1")), ("dwelling_id", Cell::text(dwelling))];
        Command::Once { id, command: Box::new(row("device", &cells)) }
    };
    let first = apply(&mut state, 7, NOW_US, &moved(1, "w2"));
    assert_eq!(first, Reply::Upserted { rows: 1 });
    assert_eq!(apply(&mut state, 8, NOW_US, &moved(2, "w3")), first);
    assert_eq!(apply(&mut state, 9, NOW_US, &moved(1, "w2")), first);
    assert_eq!(state.homes().dwelling_of_device("d1"), Some("w3"));
    // Also after a snapshot.
    let mut again = State::from_reader(&mut state.to_bytes().unwrap().as_slice()).unwrap();
    assert_eq!(apply(&mut again, 10, NOW_US, &moved(1, "w2")), first);
    assert_eq!(again.homes().dwelling_of_device("d1"), Some("w3"));
}

#[test]
fn who_moved_while_being_scored_is_scored_again() {
    let mut state = street();
    gas(&mut state, 10, "1", 1.0);
    assert_eq!(due(&state, state.clock_us), [RESIDENT]);
    gas(&mut state, 11, "2", 1.0);
    let score = ScoreRecord {
        resident_key: RESIDENT.to_owned(),
        model: "m".to_owned(),
        version: "1".to_owned(),
        model_sha256: String::new(),
        score: 0.5,
        band: String::new(),
        reasons: Vec::new(),
        feature_hash: "h".to_owned(),
        read_index: 10,
        scored_us: 0,
        alert: None,
    };
    let command = |read_index| Command::RecordScores {
        residents: vec![RESIDENT.to_owned()],
        read_index,
        scores: vec![score.clone()],
    };
    // Read at 10, moved at 11: due again after the interval.
    apply(&mut state, 12, NOW_US + 12 * SECOND_US, &command(10));
    assert_eq!(due(&state, state.clock_us).len(), 0);
    assert_eq!(due(&state, state.clock_us + 61 * SECOND_US), [RESIDENT]);
    apply(&mut state, 13, NOW_US + 80 * SECOND_US, &command(12));
    assert_eq!(due(&state, i64::MAX).len(), 0);
}

#[test]
fn everybody_is_scored_in_turn_however_many_wait() {
    const RESIDENTS: usize = 40;
    let mut state = street();
    for at in 1..RESIDENTS {
        let cells = [
            ("resident_key", Cell::text(format!("r{}", at + 1))),
            ("household_id", Cell::text("h1")),
        ];
        apply(&mut state, 6, NOW_US, &row("resident", &cells));
    }
    let mut scored = BTreeMap::new();
    let mut slot = 0;
    for round in 0..30 {
        // All of them move again before each round, so all of them are always due.
        let index = 10 + 2 * round;
        gas(&mut state, index, &format!("{round}"), 1.0);
        let (residents, next) = state.due_residents(i64::MAX, (slot, 16), 8);
        assert!(residents.len() <= 8 && next < RESIDENTS);
        slot = next;
        for resident in &residents {
            *scored.entry(resident.clone()).or_insert(0) += 1;
        }
        let command = Command::RecordScores { residents, read_index: index, scores: Vec::new() };
        apply(&mut state, index + 1, NOW_US + index as i64 * SECOND_US, &command);
    }
    let (fewest, most) = (scored.values().min().unwrap(), scored.values().max().unwrap());
    assert_eq!(scored.len(), RESIDENTS, "some were never scored");
    assert!(most - fewest <= 1, "{scored:?}");
}

/// A command of a small world, so that ids, places and times meet often.
fn any_command() -> impl Strategy<Value = Command> {
    let kinds = prop::sample::select(vec!["gas", "door", "smoke", "respiration", "sos", "battery"]);
    let events = prop::collection::vec((0_u32..40, kinds, -2.0..30.0_f64, -900_i64..900), 1..8);
    let acts = prop::sample::select(vec![
        Action::Ack,
        Action::Dispatch,
        Action::Feedback,
        Action::Close,
        Action::Reopen,
    ]);
    prop_oneof![
        6 => events.prop_map(|all| ingest(all.into_iter().map(|(id, kind, value, ago)| Event {
            device_id: format!("d{}", 1 + id % 3),
            ..event(&format!("{kind}{id}"), kind, value, NOW_US + ago * SECOND_US)
        }))),
        2 => (1_u64..60, acts).prop_map(|(index, action)| Command::ActOnAlert {
            alert_id: format!("a{index:012}-1"), action, actor: "a".to_owned(), note: String::new(),
            outcome: "handled".to_owned(), action_id: String::new(),
        }),
        2 => any_step(),
        2 => any_move(),
        1 => Just(Command::Tick),
    ]
}

/// Anything that a person may try, and what a provider may say.
fn any_step() -> impl Strategy<Value = Command> {
    let actions: Vec<Action> =
        Action::WORDS.iter().filter_map(|word| Action::parse(word)).collect();
    let words = prop::sample::select(vec!["", "handled", "false_alarm", "pipe_replaced"]);
    let alerts = (10_u64..40, 10_u64..40);
    (alerts, prop::sample::select(actions), words, 0_u32..3).prop_map(
        |((index, into), action, outcome, number)| {
            let alert_id = format!("a{index:012}-1");
            if number == 2 {
                let notice_id = format!("{alert_id}.2.centre");
                let provider_id = (into % 2 == 0).then(String::new);
                let error = String::new();
                let delivery = Delivery { notice_id, attempt: 1, provider_id, error };
                return Command::RecordDeliveries(vec![delivery]);
            }
            Command::StepCase(Box::new(CaseStep {
                outcome: outcome.to_owned(),
                assignee: if number == 1 { "li".to_owned() } else { String::new() },
                into: format!("a{into:012}-2"),
                ..CaseStep::new(&alert_id, action, "wang")
            }))
        },
    )
}

/// Somebody or something moves, so that what is known of places must be looked up again.
fn any_move() -> impl Strategy<Value = Command> {
    let moves = prop::sample::select(vec![
        ("device", "device_id", "d", "dwelling_id", "w"),
        ("resident", "resident_key", "r", "household_id", "h"),
        ("household", "household_id", "h", "dwelling_id", "w"),
    ]);
    (moves, 1_u8..4, 1_u8..4).prop_map(|((table, key, who, column, place), one, other)| {
        let cell = |name: &str, number: u8| Cell::text(format!("{name}{number}"));
        row(table, &[(key, cell(who, one)), (column, cell(place, other))])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// I-1 and I-11: two states agree at every index, and one that went through its bytes on the way too.
    #[test]
    fn two_states_are_bit_equal(commands in prop::collection::vec(any_command(), 1..40), cut in 0_usize..40) {
        let (mut one, mut two) = (street(), street());
        let rows = |state: &mut State| format!("{:?}", state.take_changes());
        prop_assert_eq!(rows(&mut one), rows(&mut two));
        for (step, command) in commands.iter().enumerate() {
            let (index, time_us) = (10 + step as u64, NOW_US + step as i64 * 20 * SECOND_US);
            let first = apply(&mut one, index, time_us, command);
            if step == cut {
                two = State::from_reader(&mut two.to_bytes().unwrap().as_slice()).unwrap();
            }
            let second = apply(&mut two, index, time_us, command);
            prop_assert_eq!(first, second);
            prop_assert_eq!(one.hash, two.hash);
            prop_assert_eq!(rows(&mut one), rows(&mut two));
        }
        prop_assert_eq!(one.to_bytes().unwrap(), two.to_bytes().unwrap());
    }

    /// A frozen state says what the state was, whatever is applied afterwards.
    #[test]
    fn a_frozen_state_stays(commands in prop::collection::vec(any_command(), 1..40), cut in 0_usize..40) {
        let mut state = street();
        let mut frozen = None;
        for (step, command) in commands.iter().enumerate() {
            if step == cut {
                frozen = Some((state.to_bytes().unwrap(), state.freeze()));
            }
            apply(&mut state, 10 + step as u64, NOW_US + step as i64 * 20 * SECOND_US, command);
        }
        if let Some((bytes, frozen)) = frozen {
            let mut later = Vec::new();
            frozen.write(&mut later).unwrap();
            prop_assert_eq!(bytes, later);
        }
    }

    /// I-9: however readings come, a place has at most one open case of a kind.
    #[test]
    fn one_open_case_a_hazard(commands in prop::collection::vec(any_command(), 1..40)) {
        let mut state = street();
        for (step, command) in commands.iter().enumerate() {
            apply(&mut state, 10 + step as u64, NOW_US + step as i64 * 20 * SECOND_US, command);
            // A device that hangs nowhere is a place of its own.
            let place = |alert: &Alert| if alert.dwelling_id.is_empty() {
                (alert.kind.clone(), alert.resident_key.clone())
            } else {
                (alert.kind.clone(), alert.dwelling_id.clone())
            };
            let mut open: Vec<_> = state.alerts.iter().filter(|alert| alert.is_open()).map(place).collect();
            let count = open.len();
            open.sort();
            open.dedup();
            prop_assert_eq!(open.len(), count);
            prop_assert_eq!(state.alerts.open_count(), count);
        }
    }
}

#[test]
fn a_newer_snapshot_or_command_is_refused_with_text() {
    let mut bytes = street().to_bytes().unwrap();
    bytes[0] = 9;
    let said = State::from_reader(&mut bytes.as_slice()).unwrap_err().to_string();
    assert!(said.contains("version 9"), "{said}");
    let mut command = Command::Tick.encode();
    command[0] = 9;
    let said = Command::decode(&command).unwrap_err().to_string();
    assert!(said.contains("version 9"), "{said}");
}
