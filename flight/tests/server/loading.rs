//! Rows in, by ingest, and out, by history.

use std::sync::Arc;

use crate::fake_node::blank_row;
use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::Float64Type,
};
use features::{civil, table::Cell};
use futures::TryStreamExt;

use crate::running::*;

#[tokio::test]
async fn reference_tables_are_loaded_by_ingest() {
    let running = start(true).await;
    let mut client = running.client().await;
    let batch = |ids: Vec<&str>, floors: Vec<f64>| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("floor", Arc::new(arrow::array::Float64Array::from(floors))),
            ("dwelling_id", Arc::new(StringArray::from(ids))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let taken =
        client.ingest("dwelling", vec![batch(vec!["a", "b"], vec![1.0, f64::NAN])]).await.unwrap();
    assert_eq!(taken, 2);
    assert_eq!(client.ingest("dwelling", vec![batch(vec!["b"], vec![7.0])]).await.unwrap(), 1);
    let answered = client.query("SELECT floor FROM dwelling ORDER BY dwelling_id").await.unwrap();
    assert_eq!(ints(&answered.batches, 0), [1, 7]);
    let refused = |table: &'static str, batch: RecordBatch| {
        let mut client = client.clone();
        async move { client.ingest(table, vec![batch]).await.unwrap_err().to_string() }
    };
    let said = refused("dweling", batch(vec!["a"], vec![1.0])).await;
    assert!(said.contains("did you mean dwelling?"), "{said}");
    let said = refused("alert", batch(vec!["a"], vec![1.0])).await;
    assert!(said.contains("kept by the cluster"), "{said}");
    let said = refused("dwelling", batch(vec!["a"], vec![1.5])).await;
    assert!(said.contains("dwelling.floor") && said.contains("1.5"), "{said}");
    let wrong = RecordBatch::try_from_iter(vec![(
        "dwelling_ids",
        Arc::new(StringArray::from(vec!["a"])) as ArrayRef,
    )]);
    let said = refused("dwelling", wrong.unwrap()).await;
    assert!(said.contains("did you mean dwelling_id?"), "{said}");
    let keyless = RecordBatch::try_from_iter(vec![(
        "floor",
        Arc::new(Int64Array::from(vec![1])) as ArrayRef,
    )]);
    let said = refused("dwelling", keyless.unwrap()).await;
    assert!(said.contains("part of the key"), "{said}");
}

#[tokio::test]
async fn a_peer_fetches_what_it_missed() {
    let running = start(true).await;
    let events = civil::table("sensor_event").unwrap();
    for index in 1..=3 {
        let mut event = blank_row("sensor_event", "s");
        event[1] = Cell::text(format!("e{index}"));
        *event.last_mut().unwrap() = Cell::Int(index);
        running.node.write(events, vec![event]);
    }
    let mut client = running.client().await;
    let batches: Vec<RecordBatch> =
        client.history("sensor_event", 1, 3).await.unwrap().try_collect().await.unwrap();
    assert_eq!(texts(&batches, "event_id"), ["e2", "e3"]);
    assert!(client.history("sensor_event", 1, 4).await.err().unwrap().is_retryable());
    assert!(client.history("grid", 1, 3).await.is_err());
    let value = client.query("SELECT avg(log_index) FROM sensor_event").await.unwrap();
    assert!((value.batches[0].column(0).as_primitive::<Float64Type>().value(0) - 2.0).abs() < 1e-9);
}
