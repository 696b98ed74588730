//! The warehouse: what is recorded, what is skipped, what an analyst may ask.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at once")]

use std::{path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    util::pretty::pretty_format_batches,
};
use features::{
    civil,
    table::{Cell, ColumnType, Mode, Table},
};
use flight::{
    Error, LOG_INDEX_KEY, Recording, Settings, WAREHOUSE_FILE, Warehouse, batch_to_rows, export_history,
    rows_to_batch, table_schema,
};

fn settings() -> Settings {
    Settings { threads: 2, queries_max: 4, ..Settings::default() }
}

fn open(folder: &Path) -> Warehouse {
    Warehouse::open(&folder.join(WAREHOUSE_FILE), settings()).unwrap()
}

fn table(name: &str) -> &'static Table {
    civil::table(name).unwrap()
}

/// A row that differs with `seed`, every third one with gaps.
fn row(table: &Table, seed: i64) -> Vec<Cell> {
    let cell = |(at, kind): (usize, ColumnType)| {
        if at >= table.key && (seed + at as i64) % 3 == 0 {
            return Cell::Null;
        }
        match kind {
            ColumnType::Bool => Cell::Bool(seed % 2 == 0),
            ColumnType::Int => Cell::Int(seed * 10 + at as i64),
            ColumnType::Real => Cell::Real(seed as f64 / 4.0),
            ColumnType::Text => Cell::text(format!("{} 名 {seed}", table.columns[at].name)),
            ColumnType::Time => Cell::Time(1_700_000_000_000_001 + seed),
            ColumnType::Date => Cell::Date(19_000 + seed as i32),
            ColumnType::Texts => Cell::Texts((0..seed % 3).map(|each| each.to_string()).collect()),
            ColumnType::Ints => Cell::Ints((0..seed % 4).collect()),
            ColumnType::Reasons => Cell::Reasons(vec![("gap".to_owned(), seed as f64, -0.5); seed as usize % 3]),
        }
    };
    table.columns.iter().map(|each| each.kind).enumerate().map(cell).collect()
}

async fn ask(warehouse: &Warehouse, sql: &str) -> Result<Vec<RecordBatch>, Error> {
    warehouse.reader().query(sql, Vec::new()).await?.collect().await
}

async fn number(warehouse: &Warehouse, sql: &str) -> i64 {
    let batches = ask(warehouse, sql).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn rows_of_every_table_come_back_as_they_went() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let mut recording = Recording { through: 3, ..Recording::default() };
    for table in civil::TABLES {
        let rows: Vec<_> = (1..=2100).map(|seed| row(table, seed)).collect();
        match table.mode {
            Mode::History => recording.appends.push((table, rows)),
            Mode::Reference | Mode::Current => recording.upserts.push((table, rows)),
        }
    }
    let expected = recording.clone();
    warehouse.record(recording).unwrap();
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
    warehouse.record(Recording { through: 1, upserts: vec![(relation, first)], ..Recording::default() }).unwrap();
    let second = vec![changed(2, 2.0), changed(11, 3.0), changed(2, 4.0)];
    let recording = Recording {
        through: 2,
        deletes: vec![(relation, vec![key(1), key(99)])],
        upserts: vec![(relation, second)],
        ..Recording::default()
    };
    warehouse.record(recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT count(*) FROM relation").await, 10);
    assert_eq!(number(&warehouse, "SELECT sum(distance_km)::BIGINT FROM relation").await, 8 + 4 + 3);
    let recording = Recording {
        through: 3,
        replaces: vec![relation],
        upserts: vec![(relation, vec![changed(5, 7.0)])],
        ..Recording::default()
    };
    warehouse.record(recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT sum(distance_km)::BIGINT FROM relation").await, 7);
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
        warehouse.record(recording(5)).unwrap();
        warehouse.record(recording(5)).unwrap();
        warehouse.record(recording(4)).unwrap();
        assert!(warehouse.checkpoint().unwrap());
        warehouse.record(recording(6)).unwrap();
    }
    let warehouse = Warehouse::open_existing(&folder.path().join(WAREHOUSE_FILE), settings()).unwrap();
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
    assert!(matches!(warehouse.record(recording), Err(Error::Invalid(_))));
    assert_eq!(warehouse.recorded_index(), 0);
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 0);
    let recording = Recording { through: 9, upserts: vec![(grid, vec![row(grid, 1)])], ..Recording::default() };
    warehouse.record(recording).unwrap();
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 1);
}

#[tokio::test]
async fn only_reading_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let grid = table("grid");
    warehouse
        .record(Recording { through: 1, upserts: vec![(grid, vec![row(grid, 1)])], ..Recording::default() })
        .unwrap();
    let outside = folder.path().join("out.csv");
    for sql in [
        "DELETE FROM grid",
        "WITH d AS (DELETE FROM grid RETURNING *) SELECT * FROM d",
        &format!("COPY grid TO '{}'", outside.display()),
        "ATTACH ':memory:' AS other",
        "SET threads = 1",
        "SELECT 1; DELETE FROM grid",
        "EXPLAIN ANALYZE DELETE FROM grid",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM query('DELETE FROM grid')",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "CREATE TEMP TABLE x (a INT)",
        "CALL force_checkpoint()",
        "UPDATE main.meta SET recorded_index = 99",
        "SELECT * FROM hearth_live_nodes(1)",
    ] {
        let error = ask(&warehouse, sql).await.expect_err(sql);
        assert!(matches!(error, Error::Query(_)), "{sql}: {error:?}");
        assert!(!error.to_string().contains('\n'), "{sql}: {error}");
    }
    assert!(!outside.exists());
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 1);
    let said = ask(&warehouse, "SELECT * FROM grit").await.unwrap_err().to_string();
    assert!(said.starts_with("Catalog Error: Table with name grit does not exist! Did you mean \"grid\"?"), "{said}");
    let said = ask(&warehouse, "SELECT grid_idd FROM grid").await.unwrap_err().to_string();
    assert!(said.contains("grid_id"), "{said}");
    for sql in ["SHOW TABLES", "DESCRIBE grid", "SUMMARIZE grid", "VALUES (1)", "EXPLAIN SELECT 1", "FROM grid"] {
        ask(&warehouse, sql).await.expect(sql);
    }
}

#[tokio::test]
async fn a_statement_is_described_without_running() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let reader = warehouse.reader();
    let described = reader.describe("SELECT * FROM device WHERE device_id = ? -- one").await.unwrap();
    assert_eq!(described.parameters, 1);
    let names = |fields: &arrow::datatypes::Fields| fields.iter().map(|each| each.name().clone()).collect::<Vec<_>>();
    assert_eq!(names(described.schema.fields()), names(table_schema(table("device")).fields()));
    // A billion rows that are not counted.
    let described = reader.describe("SELECT count(*) AS n, 1 AS a, 2 AS a FROM range(100000000000)").await.unwrap();
    assert_eq!(names(described.schema.fields()), ["n", "a", "a"]);
    let described = reader.describe("EXPLAIN SELECT 1").await.unwrap();
    assert_eq!(names(described.schema.fields()), ["explain_key", "explain_value"]);
    for sql in ["SHOW TABLES", "DESCRIBE grid", "VALUES (1)", "SELECT now(), [1], {'a': 1}", "SELECT * FROM v_timeline"] {
        let described = reader.describe(sql).await.expect(sql);
        let answer = reader.query(sql, Vec::new()).await.unwrap();
        assert_eq!(described.schema, answer.schema, "{sql}");
    }
    assert!(reader.describe("SELECT * FROM nowhere").await.is_err());
}

#[tokio::test]
async fn parameters_are_bound_by_position() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let reader = warehouse.reader();
    let params = vec![Cell::Int(5), Cell::text("x"), Cell::Null, Cell::Date(1), Cell::Time(1), Cell::Real(0.5), Cell::Bool(true)];
    let answer = reader.query("SELECT ?, ?, ?, ?, ?, ?, ?", params).await.unwrap();
    let text = pretty_format_batches(&answer.collect().await.unwrap()).unwrap().to_string();
    assert!(text.contains("| 5 ") && text.contains("1970-01-02") && text.contains("0.5"), "{text}");
    let error = reader.query("SELECT ?", Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("1 parameters, 0"), "{error}");
}

#[tokio::test]
async fn a_query_ends_when_its_time_is_over_or_its_reader_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(WAREHOUSE_FILE);
    let limits = Settings {
        query_time_max: Duration::from_millis(300),
        queue_time_max: Duration::from_secs(20),
        queries_max: 1,
        ..settings()
    };
    let warehouse = Warehouse::open(&file, limits).unwrap();
    let endless = "SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3";
    let error = ask(&warehouse, endless).await.unwrap_err();
    assert!(matches!(error, Error::Late(_)), "{error:?}");
    // The only place is free again once the dropped stream's query was interrupted.
    let stream = warehouse.reader().query("SELECT * FROM range(1000000000000)", Vec::new()).await.unwrap();
    drop(stream);
    assert_eq!(number(&warehouse, "SELECT 42::BIGINT").await, 42);
    let reader = warehouse.reader();
    let waiting = tokio::time::timeout(Duration::from_millis(20), reader.query(endless, Vec::new())).await;
    assert!(waiting.is_err());
    assert_eq!(number(&warehouse, "SELECT 43::BIGINT").await, 43);
}

#[tokio::test]
async fn batches_are_worth_their_journey() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let batches = ask(&warehouse, "SELECT * FROM range(200000)").await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 200_000);
    assert!(batches.len() <= 4, "{}", batches.len());
}

#[tokio::test]
async fn an_error_midway_ends_the_stream_with_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let sql = "SELECT CASE WHEN range < 4000000 THEN '1' ELSE 'x' END::INT FROM range(5000000)";
    let error = ask(&warehouse, sql).await.unwrap_err();
    assert!(error.to_string().contains("Could not convert string 'x'"), "{error}");
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
        warehouse.record(Recording { through: index as u64, appends, ..Recording::default() }).unwrap();
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
            writer.record(Recording { through: index, upserts: vec![(grid, rows)], ..Recording::default() }).unwrap();
        }
    });
    while !writing.is_finished() {
        let answer = warehouse.reader().query("SELECT count(*) FROM grid", Vec::new()).await.unwrap();
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
    assert!(matches!(Warehouse::open(&folder.path().join("x.duckdb"), settings()), Err(Error::Invalid(_))));
    std::fs::write(&file, vec![7_u8; 20_000]).unwrap();
    let error = Warehouse::open(&file, settings()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains(WAREHOUSE_FILE), "{error}");
}
