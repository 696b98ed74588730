//! What the nodes say once nothing changes any more: the same, all of them.

use crate::cluster::{Cluster, PATIENCE};
use crate::load;
use crate::process::Process;
use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Int64Type};
use nodes::client::alerts_client;
use nodes::proto::hearth::{Alert, ListAlertsRequest};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);
/// Tables whose rows are compared.
const TABLES: [&str; 4] = ["sensor_event", "alert", "alert_history", "grid"];

/// Asks again until the nodes agree; gives a sentence for each thing that they do not agree on.
pub(crate) async fn differences(cluster: &Cluster) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(agree("states", async || states(cluster).await).await);
    said.extend(agree("alerts", async || alerts(cluster).await).await);
    for table in TABLES {
        said.extend(agree(table, async || fingerprints(cluster, table).await).await);
    }
    said
}

/// What was seen last where the answers do not become equal, and something, in time.
async fn agree<T: PartialEq + std::fmt::Debug>(
    what: &str,
    ask: impl AsyncFn() -> Vec<Option<T>>,
) -> Option<String> {
    let begun = Instant::now();
    loop {
        let seen = ask().await;
        if seen[0].is_some() && seen.iter().all(|each| *each == seen[0]) {
            return None;
        }
        if begun.elapsed() > PATIENCE {
            return Some(format!("{what} differ, or there are none, after {PATIENCE:?}: {seen:?}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn states(cluster: &Cluster) -> Vec<Option<(u64, Vec<u8>)>> {
    let asked = cluster.nodes.iter().map(Process::status);
    let statuses = futures::future::join_all(asked).await.into_iter();
    statuses.map(|status| status.map(|s| (s.state_hash_index, s.state_hash))).collect()
}

async fn alerts(cluster: &Cluster) -> Vec<Option<Vec<Alert>>> {
    let mut seen = Vec::new();
    for node in cluster.nodes.iter() {
        let mut client = alerts_client(node.channel());
        let listed = client.list(ListAlertsRequest::default()).await;
        let alerts = listed.ok().map(|listed| listed.into_inner().alerts);
        seen.push(alerts.filter(|alerts| !alerts.is_empty()));
    }
    seen
}

/// A checksum of a table's rows that their order does not change.
async fn fingerprints(cluster: &Cluster, table: &str) -> Vec<Option<i64>> {
    let sql =
        format!("SELECT (count(*) * 1000003 + sum(hash(t) % 1000000007))::BIGINT FROM {table} t");
    let asked = cluster.nodes.iter().map(|node| load::number(node, 0, &sql));
    futures::future::join_all(asked).await
}

/// Event ids in a node's table, once it has recorded an index, and how often each stands there.
pub(crate) async fn counts(
    node: &Process,
    index: u64,
    round: Option<u64>,
) -> Result<BTreeMap<String, i64>, String> {
    let wanted = match round {
        Some(round) => format!("source = '{}'", load::source(round)),
        None => "source LIKE 'round%'".to_owned(),
    };
    let sql =
        format!("SELECT event_id, count(*) FROM sensor_event WHERE {wanted} GROUP BY event_id");
    let begun = Instant::now();
    loop {
        let mut client = node.flight();
        client.wait_for(index);
        let answered = tokio::time::timeout(PATIENCE, client.query(&sql)).await;
        let why = match answered {
            Ok(Ok(answered)) => {
                let mut rows = BTreeMap::new();
                for batch in answered.batches {
                    let (ids, times) = (batch.column(0), batch.column(1));
                    let times = times.as_primitive::<Int64Type>();
                    let ids = arrow::compute::cast(ids, &DataType::Utf8).unwrap();
                    for (id, times) in ids.as_string::<i32>().iter().zip(times.values()) {
                        rows.insert(id.unwrap_or_default().to_owned(), *times);
                    }
                }
                return Ok(rows);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if begun.elapsed() > PATIENCE {
            return Err(format!("the table cannot be read: {why}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
