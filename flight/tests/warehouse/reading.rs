//! What an analyst may ask, and how the answer comes.

use std::time::Duration;

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use features::table::Cell;
use flight::{Error, Recording, Settings, WAREHOUSE_FILE, Warehouse, table_schema};

use crate::folder::*;

#[tokio::test]
async fn only_reading_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let grid = table("grid");
    warehouse
        .record(&Recording {
            through: 1,
            upserts: vec![(grid, vec![row(grid, 1)])],
            ..Recording::default()
        })
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
        "UPDATE internal.meta SET recorded_index = 99",
        "SELECT * FROM hearth_live_nodes(1)",
    ] {
        let error = ask(&warehouse, sql).await.expect_err(sql);
        assert!(matches!(error, Error::Query(_)), "{sql}: {error:?}");
        assert!(!error.to_string().contains('\n'), "{sql}: {error}");
    }
    assert!(!outside.exists());
    assert_eq!(number(&warehouse, "SELECT count(*) FROM grid").await, 1);
    let said = ask(&warehouse, "SELECT * FROM grit").await.unwrap_err().to_string();
    assert!(
        said.starts_with(
            "Catalog Error: Table with name grit does not exist! Did you mean \"grid\"?"
        ),
        "{said}"
    );
    let said = ask(&warehouse, "SELECT grid_idd FROM grid").await.unwrap_err().to_string();
    assert!(said.contains("grid_id"), "{said}");
    for sql in [
        "SHOW TABLES",
        "DESCRIBE grid",
        "SUMMARIZE grid",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "FROM grid",
    ] {
        ask(&warehouse, sql).await.expect(sql);
    }
}

#[tokio::test]
async fn a_statement_is_described_without_running() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = open(folder.path());
    let reader = warehouse.reader();
    let described =
        reader.describe("SELECT * FROM device WHERE device_id = ? -- one").await.unwrap();
    assert_eq!(described.parameters, 1);
    let names = |fields: &arrow::datatypes::Fields| {
        fields.iter().map(|each| each.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(described.schema.fields()), names(table_schema(table("device")).fields()));
    // A billion rows that are not counted.
    let described = reader
        .describe("SELECT count(*) AS n, 1 AS a, 2 AS a FROM range(100000000000)")
        .await
        .unwrap();
    assert_eq!(names(described.schema.fields()), ["n", "a", "a"]);
    let described = reader.describe("EXPLAIN SELECT 1").await.unwrap();
    assert_eq!(names(described.schema.fields()), ["explain_key", "explain_value"]);
    for sql in [
        "SHOW TABLES",
        "DESCRIBE grid",
        "VALUES (1)",
        "SELECT now(), [1], {'a': 1}",
        "SELECT * FROM v_timeline",
    ] {
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
    let params = vec![
        Cell::Int(5),
        Cell::text("x"),
        Cell::Null,
        Cell::Date(1),
        Cell::Time(1),
        Cell::Real(0.5),
        Cell::Bool(true),
    ];
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
    let stream =
        warehouse.reader().query("SELECT * FROM range(1000000000000)", Vec::new()).await.unwrap();
    drop(stream);
    assert_eq!(number(&warehouse, "SELECT 42::BIGINT").await, 42);
    let reader = warehouse.reader();
    let waiting =
        tokio::time::timeout(Duration::from_millis(20), reader.query(endless, Vec::new())).await;
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
async fn an_answer_that_was_cut_short_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Settings {
        query_time_max: Duration::from_millis(300),
        queue_time_max: Duration::from_secs(20),
        queries_max: 1,
        ..settings()
    };
    let warehouse = Warehouse::open(&folder.path().join(WAREHOUSE_FILE), limits).unwrap();
    let reader = warehouse.reader();
    let unread = reader.query("SELECT * FROM range(100000000)", Vec::new()).await.unwrap();
    // The only place is free once the first query gave up waiting for its reader.
    assert_eq!(number(&warehouse, "SELECT 42::BIGINT").await, 42);
    let error = unread.collect().await.unwrap_err();
    assert!(matches!(error, Error::Late(_)) && error.to_string().contains("0.3 s"), "{error}");
}
