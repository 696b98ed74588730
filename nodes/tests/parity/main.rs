//! What the online store said at a moment, and what DuckDB makes of the recorded events for the same
//! moment: the same bits, on shuffled, repeated, late and early input, while people move.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at once"
)]

mod street;
mod view;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use features::{EntityKind, FeatureView};
use flight::{Give, OnlineRow, Question, Recording, features_sql, online_rows, status_code};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use street::{CLOCK_US, Street};

/// What the online store said of an entity.
#[derive(Debug)]
struct Said {
    key: String,
    at_us: i64,
    known_us: i64,
    index: u64,
    row: OnlineRow,
}

fn said(street: &Street, view: &FeatureView, key: &str, at_us: i64) -> Said {
    let state = &street.state;
    let read = state.features.read(view, key, at_us, state.registers());
    assert_eq!(read.as_of_us, at_us.max(state.clock_us));
    Said {
        key: key.to_owned(),
        at_us: read.as_of_us,
        known_us: state.clock_us,
        index: state.applied,
        row: OnlineRow {
            view: 0,
            key: key.to_owned(),
            values: read.values,
            statuses: read.statuses.into_iter().map(status_code).collect(),
            event_times_us: read.event_times_us,
        },
    }
}

fn list(all: &[Said]) -> String {
    let mut list = String::from("(VALUES ");
    for (at, said) in all.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(
            list,
            "{comma}('{}', make_timestamp({}), make_timestamp({}), {at})",
            said.key, said.at_us, said.known_us
        )
        .unwrap();
    }
    format!("(SELECT col0, col1, col2 AS known, col3::BIGINT AS number FROM {list}))")
}

/// What DuckDB makes of it, by number.
async fn made(
    street: &Street,
    view: &FeatureView,
    list: &str,
    through: Option<u64>,
) -> BTreeMap<usize, OnlineRow> {
    let question = Question { view, list, known_at: Some("known"), through, give: Give::Lists };
    let sql = format!("FROM {}", features_sql(&question));
    let answer = street.warehouse.reader().query(&sql, Vec::new()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let batches: Vec<RecordBatch> = answer.collect().await.unwrap();
    let mut found = BTreeMap::new();
    for batch in batches {
        let number = batch.column_by_name("number").unwrap();
        let columns = [
            number.clone(),
            batch.column(0).clone(),
            batch.column_by_name("made_values").unwrap().clone(),
            batch.column_by_name("made_statuses").unwrap().clone(),
            batch.column_by_name("made_times").unwrap().clone(),
        ];
        let numbers = number.as_primitive::<Int64Type>().values().to_vec();
        let rows = online_rows(&columns).unwrap();
        found.extend(numbers.into_iter().map(|number| number as usize).zip(rows));
    }
    found
}

/// The first feature of which the two differ.
fn difference(view: &FeatureView, said: &OnlineRow, made: &OnlineRow) -> Option<String> {
    for (at, feature) in view.features().iter().enumerate() {
        let of = |row: &OnlineRow| {
            (row.values[at].to_bits(), row.statuses[at], row.event_times_us[at], row.values[at])
        };
        let (online, made) = (of(said), of(made));
        if (online.0, online.1, online.2) != (made.0, made.1, made.2) {
            return Some(format!("{}: online {online:?}, made {made:?}", feature.name));
        }
    }
    None
}

async fn compare(street: &Street, view: &FeatureView, all: &[Said]) {
    let made = made(street, view, &list(all), None).await;
    assert_eq!(made.len(), all.len(), "{}", view.name());
    for (number, said) in all.iter().enumerate() {
        let found = difference(view, &said.row, &made[&number]);
        if let Some(found) = found {
            let (at, known) = (said.at_us, said.known_us);
            panic!(
                "seed {}: {} {} at {at} known at {known} (index {}): {found}",
                street.seed,
                view.name(),
                said.key,
                said.index
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_made_again_bit_for_bit() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut street = Street::new(seed);
        let views = view::all();
        let mut told: Vec<Vec<Said>> = views.iter().map(|_| Vec::new()).collect();
        for step in 0..160 {
            street.live_on();
            if step % 8 != 7 {
                continue;
            }
            for (view, told) in views.iter().zip(&mut told) {
                for key in street.some_keys(view.entity()) {
                    // A later time than the log's is read, too: ages grow, tails move on.
                    let later_us =
                        street.dice(&[0, 0, 0, 90_000_000, 40 * 60_000_000, 26 * 3_600_000_000]);
                    told.push(said(&street, view, &key, street.state.clock_us + later_us));
                }
            }
        }
        let kinds = street.seen();
        assert!(kinds.late > 20 && kinds.ahead > 20 && kinds.repeated > 20, "{kinds:?}");
        assert!(
            kinds.wrong_clocks > 5 && kinds.moves > 20 && kinds.mixed > 20 && kinds.gone > 5,
            "{kinds:?}"
        );
        for (view, told) in views.iter().zip(&told) {
            compare(&street, view, told).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_index_is_cut_exactly_and_a_planted_reading_is_found() {
    let mut street = Street::new(seeds()[0]);
    for _ in 0..60 {
        street.live_on();
    }
    let view = view::busy();
    let keys = Street::keys(EntityKind::Resident);
    let now_us = street.state.clock_us;
    let told: Vec<Said> = keys.iter().map(|key| said(&street, &view, key, now_us)).collect();
    let (device, dwelling, planted) = street.home();
    // More comes at the very same time of the log: only the index tells what was there before.
    street.stand_still(6);
    assert!(street.state.applied > told[0].index && street.state.clock_us == now_us);
    let cut = made(&street, &view, &list(&told), Some(told[0].index)).await;
    let open = made(&street, &view, &list(&told), None).await;
    let differing = |made: &BTreeMap<usize, OnlineRow>| {
        told.iter()
            .enumerate()
            .filter(|(at, said)| difference(&view, &said.row, &made[at]).is_some())
            .count()
    };
    assert_eq!(differing(&cut), 0);
    assert!(differing(&open) > 0);

    street.plant_reading(CLOCK_US, told[0].index, device, dwelling);
    let made = made(&street, &view, &list(&told), Some(told[0].index)).await;
    for (at, said) in told.iter().enumerate() {
        let found = difference(&view, &said.row, &made[&at]);
        assert_eq!(found.is_some(), planted.contains(&said.key), "{}: {found:?}", said.key);
    }
    assert!(!planted.is_empty());
}

#[expect(clippy::disallowed_methods, reason = "which seed to repeat")]
fn seeds() -> Vec<u64> {
    match std::env::var("HEARTH_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![rand::random(), 7],
    }
}

/// What the recorder writes of some changes.
fn recording(through: u64, changes: Vec<nodes::state::Change>) -> Recording {
    use nodes::state::Change;
    let mut recording = Recording { through, ..Recording::default() };
    for change in changes {
        match change {
            Change::Append { table, row } => recording.appends.push((table, vec![row])),
            Change::Upsert { table, row } => recording.upserts.push((table, vec![row])),
            Change::Delete { table, key } => {
                // As the recorder does: what was written of it before goes, too.
                for (other, rows) in &mut recording.upserts {
                    if other.name == table.name {
                        rows.retain(|row| row[..table.key] != key);
                    }
                }
                recording.deletes.push((table, vec![key]));
            }
            Change::Events(events) => recording.events = *events,
        }
    }
    recording
}
