//! What is recorded, skipped, exported; which files are refused.

use std::sync::Arc;

use arrow::{array::AsArray, datatypes::Int64Type};
use features::{
    civil,
    table::{Cell, Mode},
};
use flight::{
    Error, LOG_INDEX_KEY, Recording, WAREHOUSE_FILE, Warehouse, batch_to_rows, export_history,
    rows_to_batch, write_parquet,
};

use crate::folder::*;

#[tokio::test]
async fn rows_of_every_table_come_back_as_they_went() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut recording = Recording { through: 3, ..Recording::default() };
    for table in civil::TABLES {
        // More than one chunk where there are lists.
        let count = if table.name == "risk_score" { 2100 } else { 40 };
        let rows: Vec<_> = (1..=count).map(|seed| row(table, seed)).collect();
        match table.mode {
            Mode::History => recording.appends.push((table, rows)),
            Mode::Reference | Mode::Current => recording.upserts.push((table, rows)),
        }
    }
    let expected = recording.clone();
    warehouse.record(&recording).unwrap();
    for (table, rows) in expected.appends.into_iter().chain(expected.upserts) {
        let sql = format!("SELECT * FROM \"{}\"", table.name);
        let answer = warehouse.reader().query(&sql, Vec::new()).await.unwrap();
        assert_eq!(answer.log_index, 3);
        assert_eq!(answer.schema.metadata()[LOG_INDEX_KEY], "3");
        let mut found = Vec::new();
        for batch in answer.collect().await.unwrap() {
            found.append(&mut batch_to_rows(table, &batch).unwrap());
        }
        assert!(found == rows, "{}", table.name);
        let batch = rows_to_batch(table, &rows).unwrap();
        assert!(batch_to_rows(table, &batch).unwrap() == rows, "{}", table.name);
    }
}

#[tokio::test]
async fn upserts_take_the_place_and_deletes_remove() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let relation = table("relation");
    let key = |seed: i64| row(relation, seed)[..relation.key].to_vec();
    let changed = |seed: i64, km: f64| {
        let mut row = row(relation, seed);
        row[5] = Cell::Real(km);
        row
    };
    let first = (1..=10).map(|seed| changed(seed, 1.0)).collect();
    warehouse
        .record(&Recording { through: 1, upserts: vec![(relation, first)], ..Recording::default() })
        .unwrap();
    let second = vec![changed(2, 2.0), changed(11, 3.0), changed(2, 4.0)];
    let recording = Recording {
        through: 2,
        deletes: vec![(relation, vec![key(1), key(99)])],
        upserts: vec![(relation, second)],
        ..Recording::default()
    };
    warehouse.record(&recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT count(*) FROM relation").await, 10);
    assert_eq!(
        number(&warehouse, "SELECT sum(distance_km)::BIGINT FROM relation").await,
        8 + 4 + 3
    );
    let recording = Recording {
        through: 3,
        replaces: vec![relation],
        upserts: vec![(relation, vec![changed(5, 7.0)])],
        ..Recording::default()
    };
    warehouse.record(&recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT sum(distance_km)::BIGINT FROM relation").await, 7);
}

#[tokio::test]
async fn an_answer_names_the_entries_that_were_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let seen = async || warehouse.reader().query("SELECT 1", Vec::new()).await.unwrap().log_index;
    let recording = |through| Recording { through, ..Recording::default() };
    warehouse.record(&recording(5)).unwrap();
    warehouse.pass_over(9);
    assert_eq!((warehouse.recorded_index(), seen().await), (9, 9));
    // What was recorded before is skipped, and takes nothing back.
    warehouse.record(&recording(5)).unwrap();
    assert_eq!(seen().await, 9);
    warehouse.record(&recording(10)).unwrap();
    assert_eq!((warehouse.recorded_index(), seen().await), (10, 10));
}

#[tokio::test]
async fn no_answer_is_older_than_what_was_there_when_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Arc::new(open(folder.path()));
    let writer = Arc::clone(&warehouse);
    let writing = tokio::task::spawn_blocking(move || {
        for through in (10..1_000).step_by(10) {
            writer.record(&Recording { through, ..Recording::default() }).unwrap();
            writer.pass_over(through + 5);
        }
    });
    while !writing.is_finished() {
        let before = warehouse.recorded_index();
        let answer = warehouse.reader().query("SELECT 1", Vec::new()).await.unwrap();
        assert!(answer.log_index >= before, "{} after {before}", answer.log_index);
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn what_was_recorded_is_skipped_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let events = table("sensor_event");
    let recording = |through: u64| Recording {
        through,
        appends: vec![(events, vec![row(events, through as i64)])],
        ..Recording::default()
    };
    {
        let warehouse = open(folder.path());
        assert_eq!(warehouse.recorded_index(), 0);
        warehouse.record(&recording(5)).unwrap();
        warehouse.record(&recording(5)).unwrap();
        warehouse.record(&recording(4)).unwrap();
        assert!(warehouse.checkpoint().unwrap());
        warehouse.record(&recording(6)).unwrap();
    }
    let warehouse =
        Warehouse::open_existing(&folder.path().join(WAREHOUSE_FILE), settings()).unwrap();
    assert_eq!(warehouse.recorded_index(), 6);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM sensor_event").await, 2);
}

#[tokio::test]
async fn a_recording_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let (grid, region) = (table("grid"), table("region"));
    let recording = Recording {
        through: 9,
        upserts: vec![(grid, vec![row(grid, 1)]), (region, vec![vec![Cell::Int(1)]])],
        ..Recording::default()
    };
    assert!(matches!(warehouse.record(&recording), Err(Error::Invalid(_))));
    assert_eq!(warehouse.recorded_index(), 0);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 0);
    let recording =
        Recording { through: 9, upserts: vec![(grid, vec![row(grid, 1)])], ..Recording::default() };
    warehouse.record(&recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 1);
}

#[tokio::test]
async fn history_is_exported_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let events = table("sensor_event");
    for index in 1..=4_i64 {
        let mut event = row(events, index);
        *event.last_mut().unwrap() = Cell::Int(index);
        let appends = vec![(events, vec![event])];
        warehouse
            .record(&Recording { through: index as u64, appends, ..Recording::default() })
            .unwrap();
    }
    let batches = export_history(&warehouse, events, 1, 3).await.unwrap().collect().await.unwrap();
    let indexes: Vec<Cell> = batches
        .iter()
        .flat_map(|batch| batch_to_rows(events, batch).unwrap())
        .filter_map(|row| row.last().cloned())
        .collect();
    assert_eq!(indexes, [Cell::Int(2), Cell::Int(3)]);
    let early = export_history(&warehouse, events, 1, 5).await.unwrap_err();
    assert!(early.is_retryable());
    assert!(export_history(&warehouse, table("grid"), 0, 1).await.is_err());
}

#[tokio::test]
async fn readers_see_whole_recordings_while_the_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Arc::new(open(folder.path()));
    let writer = Arc::clone(&warehouse);
    let grid = table("grid");
    let writing = tokio::task::spawn_blocking(move || {
        for index in 1..=40_u64 {
            let rows = (0..3).map(|each| row(grid, index as i64 * 3 + each)).collect();
            writer
                .record(&Recording {
                    through: index,
                    upserts: vec![(grid, rows)],
                    ..Recording::default()
                })
                .unwrap();
        }
    });
    while !writing.is_finished() {
        let answer =
            warehouse.reader().query("SELECT count(*) FROM grid", Vec::new()).await.unwrap();
        let index = answer.log_index;
        let batches = answer.collect().await.unwrap();
        let count = batches[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(count, index as i64 * 3);
    }
    writing.await.unwrap();
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(WAREHOUSE_FILE);
    assert!(matches!(Warehouse::open_existing(&file, settings()), Err(Error::NotFound(_))));
    assert!(matches!(
        Warehouse::open(&folder.path().join("x.duckdb"), settings()),
        Err(Error::Invalid(_))
    ));
    let first = Warehouse::open(&file, settings()).unwrap();
    assert!(matches!(Warehouse::open(&file, settings()), Err(Error::Unavailable(_))));
    drop(first);
    std::fs::write(&file, vec![7_u8; 20_000]).unwrap();
    let error = Warehouse::open(&file, settings()).unwrap_err();
    assert!(
        matches!(error, Error::Damaged { .. }) && error.to_string().contains(WAREHOUSE_FILE),
        "{error}"
    );
}

#[tokio::test]
async fn rows_of_every_history_table_come_back_from_parquet_files() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let file = folder.path().join("rows.parquet");
    let mut expected = Vec::new();
    for table in civil::TABLES.iter().filter(|table| table.mode == Mode::History) {
        // More than one chunk where there are lists.
        let count = if table.name == "risk_score" { 2100 } else { 40 };
        let rows: Vec<_> = (1..=count).map(|seed| row(table, seed)).collect();
        write_parquet(&file, table, &rows).unwrap();
        assert_eq!(warehouse.load_parquet(table, &file).unwrap(), rows.len() as u64);
        expected.push((table, rows));
    }
    assert_eq!(warehouse.recorded_index(), 0);
    warehouse.record(&Recording { through: 7, ..Recording::default() }).unwrap();
    for (table, rows) in &expected {
        let sql = format!("SELECT * FROM \"{}\"", table.name);
        let answer = warehouse.reader().query(&sql, Vec::new()).await.unwrap();
        let mut found = Vec::new();
        for batch in answer.collect().await.unwrap() {
            found.append(&mut batch_to_rows(table, &batch).unwrap());
        }
        assert!(found == *rows, "{}", table.name);
    }
    let counted = warehouse.read_all().unwrap();
    for (table, rows) in expected {
        assert!(counted.contains(&(table.name, rows.len() as u64)), "{}", table.name);
    }
    // A file of another table, or none, leaves nothing.
    let events = table("sensor_event");
    assert!(warehouse.load_parquet(events, &folder.path().join("none")).is_err());
    write_parquet(&file, table("grid"), &[row(table("grid"), 1)]).unwrap();
    assert!(warehouse.load_parquet(events, &file).is_err());
    assert_eq!(number(&warehouse, "SELECT count(*) FROM sensor_event").await, 40);
}
