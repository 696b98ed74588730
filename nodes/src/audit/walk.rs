//! The whole chain, or a part of it, out of this node's warehouse in the order of its numbers.

use super::apart::apart;
use super::stored::{level, rows};
use crate::node::Node;
use crate::proto::hearth::{LedgerEntry, LedgerHead, LedgerPart, ReadLedgerRequest};
use crate::state::ledger::{ENTRY_TABLES, entry_of, time_column};
use features::civil;
use features::table::{Cell, Table};
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;

/// Entries that are read at once.
const PAGE: u64 = 256;
/// Bytes of text in one message.
const PART_BYTES: usize = 2 << 20;
/// Rows without a place in the chain that are told.
const STRAYS_MAX: usize = 16;

type Parts = mpsc::Sender<Result<LedgerPart, Status>>;

/// Sends the asked part, or the error that ended it.
pub(crate) async fn walk(node: Arc<Node>, asked: ReadLedgerRequest, to: Parts) {
    if let Err(status) = send(&node, &asked, &to).await {
        // Nobody reads any more: nothing to tell.
        drop(to.send(Err(status)).await);
    }
}

pub(crate) fn head(node: &Node) -> LedgerHead {
    let config = &node.config().node;
    let state = node.machine().read();
    let (seq, hash) = state.ledger.head();
    let (_, reviews, outcomes) = state.ledger.counts();
    LedgerHead {
        seq,
        hash: hash.to_vec(),
        reviews,
        outcomes,
        log_index: state.applied,
        group: config.group.clone(),
        cluster_id: config.cluster_id.clone(),
    }
}

async fn send(node: &Arc<Node>, asked: &ReadLedgerRequest, to: &Parts) -> Result<(), Status> {
    let head = head(node);
    level(node).await?;
    let (mut from, mut last) = (asked.from_seq.max(1), head.seq);
    if asked.to_seq > 0 {
        last = last.min(asked.to_seq);
    }
    if asked.from_us > 0 {
        let first = bound(node, "min", ">=", asked.from_us).await?;
        from = from.max(first.unwrap_or(head.seq + 1));
    }
    if asked.to_us > 0 {
        last = last.min(bound(node, "max", "<", asked.to_us).await?.unwrap_or(0));
    }
    let is_whole = last == head.seq && asked.to_seq == 0 && asked.to_us == 0;
    let whole_head = LedgerPart { head: Some(head), entries: Vec::new() };
    if to.send(Ok(whole_head)).await.is_err() {
        return Ok(());
    }
    while from <= last {
        let next = (from + PAGE).min(last + 1);
        let mut entries = page(node, from, next).await?;
        for entry in &mut entries {
            leave_out(entry, &asked.entity);
        }
        if !hand_over(entries, to).await {
            return Ok(());
        }
        from = next;
    }
    if is_whole {
        hand_over(strays(node).await?, to).await;
    }
    Ok(())
}

/// False where nobody reads any more.
async fn hand_over(entries: Vec<LedgerEntry>, to: &Parts) -> bool {
    let mut part = LedgerPart::default();
    let mut bytes = 0;
    for entry in entries {
        bytes += entry.text.len();
        part.entries.push(entry);
        if bytes >= PART_BYTES {
            bytes = 0;
            if to.send(Ok(std::mem::take(&mut part))).await.is_err() {
                return false;
            }
        }
    }
    part.entries.is_empty() || to.send(Ok(part)).await.is_ok()
}

/// The first or last number of the entries before or after a time.
async fn bound(node: &Node, pick: &str, side: &str, us: i64) -> Result<Option<u64>, Status> {
    let order = if pick == "min" { "ASC" } else { "DESC" };
    let mut found: Option<u64> = None;
    for table in tables() {
        let rest =
            format!("WHERE \"{}\" {side} ? ORDER BY seq {order} LIMIT 1", time_column(table.name));
        let row = rows(node, table, &rest, vec![Cell::Time(us)]).await?;
        let seq = row.first().and_then(|row| seq_of(table, row));
        found = match (found, seq) {
            (Some(a), Some(b)) if pick == "min" => Some(a.min(b)),
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(found)
}

fn tables() -> impl Iterator<Item = &'static Table> {
    ENTRY_TABLES.iter().filter_map(|name| civil::table(name))
}

fn seq_of(table: &Table, row: &[Cell]) -> Option<u64> {
    match row.get(table.position("seq")?)? {
        Cell::Int(seq) => u64::try_from(*seq).ok(),
        _ => None,
    }
}

/// The rows with `from <= seq < to`, of all kinds, by number.
async fn page(node: &Node, from: u64, to: u64) -> Result<Vec<LedgerEntry>, Status> {
    let mut entries = Vec::new();
    for table in tables() {
        let bounds = vec![Cell::Int(from as i64), Cell::Int(to as i64)];
        let found = rows(node, table, "WHERE seq >= ? AND seq < ?", bounds).await?;
        entries.extend(found.iter().map(|row| message(node, table, row)));
    }
    entries.sort_by_key(|entry| entry.seq);
    Ok(entries)
}

/// Rows that no page shows: without a number, or past the end of the chain.
async fn strays(node: &Node) -> Result<Vec<LedgerEntry>, Status> {
    let last = node.machine().read().ledger.head().0;
    let mut found = Vec::new();
    for table in tables() {
        let rest = format!("WHERE seq IS NULL OR seq < 1 OR seq > ? LIMIT {STRAYS_MAX}");
        for row in rows(node, table, &rest, vec![Cell::Int(last as i64)]).await? {
            let id = row.first().and_then(Cell::as_text).unwrap_or_default();
            let error = format!(
                "table {} has a row of decision {id:?} that no entry of the ledger belongs to",
                table.name
            );
            found.push(LedgerEntry { error, ..message(node, table, &row) });
        }
    }
    Ok(found)
}

fn message(node: &Node, table: &Table, row: &[Cell]) -> LedgerEntry {
    match entry_of(table.name, row) {
        Ok(entry) => {
            let text = entry.text();
            let known = node.machine().read().ledger.entry(entry.seq).cloned();
            let known = known.filter(|known| **known != entry);
            LedgerEntry {
                seq: entry.seq,
                content_sha256: entry.content_digest().to_vec(),
                text,
                previous_hash: entry.previous_hash.to_vec(),
                hash: entry.hash.to_vec(),
                error: String::new(),
                differs: known.map(|known| apart(&entry, &known)).unwrap_or_default(),
            }
        }
        Err(said) => {
            let id = row.first().and_then(Cell::as_text).unwrap_or_default();
            let error = format!("decision {id:?}: {said}");
            let seq = seq_of(table, row).unwrap_or_default();
            LedgerEntry { seq, error, ..LedgerEntry::default() }
        }
    }
}

/// Of another entity's entry only the digest is told.
fn leave_out(entry: &mut LedgerEntry, entity: &str) {
    if entity.is_empty() || !entry.error.is_empty() {
        return;
    }
    let is_own = crate::state::Entry::parse(&entry.text, [0; 32], [0; 32])
        .is_ok_and(|read| read.entity() == entity);
    if !is_own {
        entry.differs.clear();
        entry.text.clear();
    }
}
