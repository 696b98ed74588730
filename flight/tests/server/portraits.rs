//! What comes from the node itself: portraits and live tables.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use flight::{Error, Live, portrait_schema};

use crate::running::*;

#[tokio::test]
async fn a_portrait_is_the_same_by_ticket_by_sql_and_prepared() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let by_ticket = client.portrait("r1").await.unwrap();
    assert_eq!(by_ticket.log_index, Some(running.node.log_index()));
    assert_eq!(by_ticket.schema.fields(), portrait_schema().fields());
    let by_sql = client.query("SELECT * FROM portrait('r1')").await.unwrap();
    assert_eq!(by_sql.batches, by_ticket.batches);
    let key = |key: &str| {
        let schema = Schema::new(vec![Field::new("0", DataType::Utf8, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(vec![key]))])
            .unwrap()
    };
    let prepared = client.query_with("SELECT * FROM portrait(?)", key("r1")).await.unwrap();
    assert_eq!(prepared.batches, by_ticket.batches);
    // Through DuckDB, where it is part of something larger.
    let sql = "SELECT p.resident_key, age, len(devices) AS n, indicators[1].value AS fall, household.household_id \
               FROM portrait('r1') p";
    let joined = client.query(sql).await.unwrap();
    assert_eq!(ints(&joined.batches, 1), [83]);
    assert_eq!(ints(&joined.batches, 2), [2]);
    assert_eq!(texts(&joined.batches, "household_id"), ["h1"]);
    let nobody = client.query("SELECT * FROM portrait('x')").await.unwrap();
    assert!(nobody.batches.iter().all(|batch| batch.num_rows() == 0));
    assert!(matches!(client.portrait("x").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn live_tables_are_read_from_the_node() {
    let running = start(true).await;
    running.furnish();
    let mut client = running.client().await;
    let sql = "SELECT count(*), sum(value)::BIGINT FROM feature_current WHERE view = 'activity'";
    let answered = client.query(sql).await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [5000]);
    assert_eq!(ints(&answered.batches, 1), [4999 * 2500]);
    let answered = client
        .query("SELECT node, applied_index FROM civil.node_status WHERE leader")
        .await
        .unwrap();
    assert_eq!(ints(&answered.batches, 0), [1]);
    assert_eq!(ints(&answered.batches, 1), [running.node.log_index() as i64]);
}
