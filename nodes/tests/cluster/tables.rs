//! What a node's Flight port says.

use crate::local::Process;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use std::collections::BTreeMap;

/// The rows of an answer as texts, read once the node has recorded an index.
pub(crate) async fn rows(node: &Process, index: u64, sql: &str) -> Vec<Vec<String>> {
    let address = format!("http://{}", node.member.flight);
    let mut client = flight::Client::connect(&address).await.unwrap();
    client.wait_for(index);
    let answered = client.query(sql).await;
    let answered = answered.unwrap_or_else(|error| panic!("node {}: {sql}: {error}", node.id));
    assert!(answered.log_index.unwrap() >= index, "older than what was waited for");
    answered.batches.iter().flat_map(texts).collect()
}

/// The one number of an answer.
pub(crate) async fn number(node: &Process, index: u64, sql: &str) -> i64 {
    rows(node, index, sql).await[0][0].parse().unwrap()
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| text(column.as_ref(), row)).collect())
        .collect()
}

fn text(column: &dyn arrow::array::Array, row: usize) -> String {
    if column.is_null(row) {
        return String::new();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(row).to_string(),
        other => panic!("cast a column of {other} to text in the query"),
    }
}

/// How often each event of a source stands in `sensor_event`.
pub(crate) async fn event_counts(
    node: &Process,
    index: u64,
    source: &str,
) -> BTreeMap<String, i64> {
    let sql = format!(
        "SELECT event_id, count(*) FROM sensor_event WHERE source = '{source}' GROUP BY event_id"
    );
    let counted = rows(node, index, &sql).await;
    counted.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

/// Number of rows and a checksum that no order of rows changes.
pub(crate) async fn fingerprint(node: &Process, index: u64, table: &str, upto: u64) -> Vec<String> {
    let sql = format!(
        "SELECT count(*), coalesce(sum(hash(t) % 1000000007), 0)::VARCHAR FROM {table} t {}",
        if upto == 0 { String::new() } else { format!("WHERE log_index <= {upto}") }
    );
    rows(node, index, &sql).await.remove(0)
}
