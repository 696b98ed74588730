//! Entries as the warehouse of this node holds them.

use crate::node::Node;
use crate::state::Entry;
use crate::state::ledger::{ENTRY_TABLES, What, entry_of};
use features::civil;
use features::table::{Cell, Table};
use flight::{CATALOG, Error, SCHEMA, batch_to_rows};
use futures::TryStreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long a read waits until the warehouse has what the state has.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);
/// Entries of one decision that are shown.
const FOLLOWERS_MAX: usize = 1_000;

/// Waits until everything that this node has applied is in its warehouse.
pub(super) async fn level(node: &Node) -> Result<(), Status> {
    let index = node.machine().read().applied;
    let mut recorded = node.watch_recorded();
    node.machine().want_recorded(index);
    let reached = recorded.wait_for(|recorded| *recorded >= index);
    match tokio::time::timeout(RECORDED_WITHIN, reached).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Status::unavailable(format!(
            "this node's warehouse has not recorded log index {index} yet: ask again, or another node"
        ))),
    }
}

/// Rows of a table under a condition.
pub(super) async fn rows(
    node: &Node,
    table: &Table,
    rest: &str,
    params: Vec<Cell>,
) -> Result<Vec<Vec<Cell>>, Status> {
    let sql = format!("SELECT * FROM {CATALOG}.{SCHEMA}.\"{}\" {rest}", table.name);
    let read = async {
        let mut answer = node.warehouse().reader().query(&sql, params).await?;
        let mut rows = Vec::new();
        while let Some(batch) = answer.try_next().await? {
            rows.extend(batch_to_rows(table, &batch)?);
        }
        Ok::<_, Error>(rows)
    };
    read.await.map_err(|error| match error {
        Error::Late(_) | Error::Unavailable(_) | Error::TooMuch(_) => {
            Status::unavailable(error.to_string())
        }
        Error::Damaged { .. } => Status::data_loss(error.to_string()),
        // DuckDB's own word when a block of its file does not fit its checksum.
        _ if error.to_string().contains("orrupt") => Status::data_loss(error.to_string()),
        _ => Status::internal(error.to_string()),
    })
}

fn table(name: &str) -> Result<&'static Table, Status> {
    civil::table(name).ok_or_else(|| Status::internal(format!("no table {name}")))
}

/// A decision with all that followed from it; from memory, where it is still there.
pub(crate) async fn entries_of(node: &Node, id: &str) -> Result<Vec<Arc<Entry>>, Status> {
    let resident = node.machine().read().ledger.decision(id);
    if let Some(entries) = resident {
        return Ok(entries);
    }
    level(node).await?;
    let mut found = Vec::new();
    for name in ENTRY_TABLES {
        let rest = format!("WHERE decision_id = ? ORDER BY seq LIMIT {FOLLOWERS_MAX}");
        for row in rows(node, table(name)?, &rest, vec![Cell::text(id)]).await? {
            let entry = entry_of(name, &row).map_err(|said| {
                Status::data_loss(format!(
                    "decision {id} is damaged on this node: {said}; run `hearth audit verify`"
                ))
            })?;
            found.push(Arc::new(entry));
        }
        if found.is_empty() {
            return Err(Status::not_found(format!(
                "no decision {id:?}: only those made with record=true are kept"
            )));
        }
    }
    found.sort_by_key(|entry| entry.seq);
    Ok(found)
}

/// The newest decision about an entity by a model at or before a time.
pub(crate) async fn decision_before(
    node: &Node,
    entity: &str,
    model: &str,
    before_us: i64,
) -> Result<Option<Entry>, Status> {
    level(node).await?;
    let rest = "WHERE entity = ? AND model = ? AND decided_ts <= ? ORDER BY seq DESC LIMIT 1";
    let params = vec![Cell::text(entity), Cell::text(model), Cell::Time(before_us)];
    let found = rows(node, table(ENTRY_TABLES[0])?, rest, params).await?;
    let entry = found.first().map(|row| entry_of(ENTRY_TABLES[0], row));
    let entry = entry.transpose().map_err(Status::data_loss)?;
    Ok(entry.filter(|entry| matches!(entry.what, What::Decision(_))))
}

/// Version, score and time of the newest score of the scorer at or before a time.
pub(crate) async fn score_before(
    node: &Node,
    entity: &str,
    model: &str,
    before_us: i64,
) -> Result<Option<(String, f64, i64)>, Status> {
    let table = table("risk_score")?;
    let rest = "WHERE resident_key = ? AND model = ? AND ts <= ? ORDER BY ts DESC LIMIT 1";
    let params = vec![Cell::text(entity), Cell::text(model), Cell::Time(before_us)];
    let found = rows(node, table, rest, params).await?;
    let row = found.first();
    let cell = |name: &str| row.and_then(|row| row.get(table.position(name)?));
    Ok(match (cell("ver"), cell("p"), cell("ts")) {
        (Some(Cell::Text(version)), Some(Cell::Real(score)), Some(Cell::Time(at_us))) => {
            Some((version.clone(), *score, *at_us))
        }
        _ => None,
    })
}
