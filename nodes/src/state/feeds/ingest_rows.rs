//! Rows of a department's feed into its table.

use super::spec::FeedSpec;
use super::{Merged, Version, Write};
use crate::state::dead_letters::DeadLetter;
use crate::state::{Change, Refusal, Reply, State};
use features::table::{Cell, Mode, Table, decode_row};
use raft::Position;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One row as it came, in the encoding of [`features::table::encode_row`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedRow {
    /// The feed's own number of the row, from 1; 0 where it has none.
    pub seq: u64,
    /// Since when it holds, at the source.
    pub time_us: i64,
    pub row: Vec<u8>,
}

/// What became of the rows of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fed {
    pub applied: u32,
    pub superseded: u32,
    pub duplicates: u32,
    pub late: u32,
    pub rejected: u32,
    /// Of the applied: took back what the feed had said.
    pub withdrawn: u32,
}

/// Why a row of a history table cannot be taken back.
pub(crate) const NO_WAY_BACK: &str =
    "rows of a history table are never deleted: send a row that says what holds now";

/// The feed that rows are of.
struct Feeding {
    number: u16,
    spec: Arc<FeedSpec>,
    table: &'static Table,
    /// The row takes back what the feed said.
    takes_back: bool,
}

enum Outcome {
    Applied { columns: u64, row: Vec<Cell> },
    Superseded,
    Duplicate,
    Rejected(String),
}

impl State {
    pub(crate) fn declare_feed(&mut self, at: Position, spec: &FeedSpec) -> Reply {
        match self.feeds.declare(spec, at.index) {
            Ok(()) => Reply::Done,
            Err(said) => Reply::Refused(Refusal::Invalid(said)),
        }
    }

    /// Of the rows, those at the places of `gone` take back what the feed said.
    pub(crate) fn ingest_rows(
        &mut self,
        at: Position,
        feed: &str,
        (rows, gone): (&[FeedRow], &[u32]),
        (rejected, letters): (u32, Vec<DeadLetter>),
    ) -> Reply {
        let mut feeding = match self.feeding(feed) {
            Ok(feeding) => feeding,
            Err(reply) => return reply,
        };
        for letter in letters {
            self.keep_letter(at, letter);
        }
        let mut fed = Fed { rejected, ..Fed::default() };
        for (place, row) in (0_u32..).zip(rows) {
            feeding.takes_back = gone.binary_search(&place).is_ok();
            self.ingest_row(at, &feeding, row, &mut fed);
        }
        if let Some(feed) = self.feeds.get_mut(feed) {
            feed.status.applied += u64::from(fed.applied);
            feed.status.superseded += u64::from(fed.superseded);
            feed.status.duplicates += u64::from(fed.duplicates);
            feed.status.late += u64::from(fed.late);
            feed.status.rejected += u64::from(fed.rejected);
            feed.status.withdrawn += u64::from(fed.withdrawn);
        }
        Reply::Fed(fed)
    }

    fn feeding(&self, feed: &str) -> Result<Feeding, Reply> {
        let Some(known) = self.feeds.get(feed) else {
            let said = format!("no feed {feed:?}: declare it with `hearth feed push FILE`");
            return Err(Reply::Refused(Refusal::NotFound(said)));
        };
        let (number, spec) = (known.number, Arc::clone(&known.spec));
        let Some(table) = FeedSpec::table_of(&spec.table) else {
            let said = format!("feed {feed}: there is no table {}", spec.table);
            return Err(Reply::Refused(Refusal::Precondition(said)));
        };
        Ok(Feeding { number, spec, table, takes_back: false })
    }

    fn ingest_row(&mut self, at: Position, feeding: &Feeding, row: &FeedRow, fed: &mut Fed) {
        match self.take_row(at, feeding, row) {
            Outcome::Applied { columns, row: cells } => {
                fed.applied += 1;
                fed.withdrawn += u32::from(feeding.takes_back);
                self.count(feeding, row, fed, false);
                self.write_provenance(at, feeding, row, (&cells, columns));
            }
            Outcome::Superseded => {
                fed.superseded += 1;
                self.count(feeding, row, fed, false);
            }
            Outcome::Duplicate => {
                fed.duplicates += 1;
                self.count(feeding, row, fed, true);
            }
            Outcome::Rejected(reason) => {
                fed.rejected += 1;
                let payload = format!("seq {} at {} us", row.seq, row.time_us);
                let feed = &feeding.spec.feed;
                self.keep_letter(at, DeadLetter::new("feed", feed, &reason, payload.as_bytes()));
            }
        }
    }

    fn take_row(&mut self, at: Position, feeding: &Feeding, row: &FeedRow) -> Outcome {
        let cells = decode_row(&row.row).and_then(|cells| {
            feeding.table.check(&cells)?;
            feeding.table.key_of(&cells).map(|_| cells)
        });
        let mut cells = match cells {
            Ok(cells) => cells,
            Err(error) => return Outcome::Rejected(error.to_string()),
        };
        if feeding.takes_back {
            // Its key is all that counts.
            cells.iter_mut().skip(feeding.table.key).for_each(|cell| *cell = Cell::Null);
        }
        let Some(feed) = self.feeds.get_mut(&feeding.spec.feed) else { return Outcome::Duplicate };
        let is_known = row.seq > 0 && feed.status.seen.contains(row.seq);
        if feeding.table.mode == Mode::History {
            if feeding.takes_back {
                return Outcome::Rejected(NO_WAY_BACK.to_owned());
            }
            if row.seq == 0 {
                let said = "rows of a history table need a seq: a repeat is known by nothing else";
                return Outcome::Rejected(said.to_owned());
            }
            if is_known {
                return Outcome::Duplicate;
            }
            if feed.status.seen.is_full() && !feed.status.seen.contains(row.seq - 1) {
                let said =
                    "too many gaps among the numbers of this feed: send what is missing first";
                return Outcome::Rejected(said.to_owned());
            }
            return self.write_history(at, feeding, row, cells);
        }
        let merged = self.merge_row(feeding, row, &cells);
        match merged {
            Err(said) => Outcome::Rejected(said),
            _ if is_known => Outcome::Duplicate,
            Ok(Merged::Same) => Outcome::Duplicate,
            Ok(Merged::Superseded) => Outcome::Superseded,
            Ok(Merged::Written { row, columns }) => Outcome::Applied { columns, row },
        }
    }

    fn merge_row(
        &mut self,
        feeding: &Feeding,
        row: &FeedRow,
        cells: &[Cell],
    ) -> Result<Merged, String> {
        let table = feeding.table;
        let version = Version { time_us: row.time_us, seq: row.seq, feed: feeding.number };
        let version = if feeding.takes_back { version.taking_back() } else { version };
        let released = self.feeds.released(&feeding.spec.table);
        let columns = feeding.spec.owned(table);
        let write = Write { cells, columns, version, released: &released };
        let key = table.key_of(cells).map_err(|error| error.to_string())?;
        let was_gone = self.put_back(table, cells);
        let before =
            if was_gone || !feeding.takes_back { None } else { self.rows.get(table.name, &key) };
        let departments = self.feeds.departments();
        let merged = self.rows.merge(table, &write, &departments);
        if (was_gone || feeding.takes_back)
            && let Some(stored) = self.rows.take_back(table, &key)
        {
            if let Some(before) = before {
                self.forget_row(table, &before);
                let key = before.into_iter().take(table.key).collect();
                self.changes.push(Change::Delete { table, key });
            }
            self.tombstones.keep(table, &key, stored);
        } else if let Ok(Merged::Written { row, .. }) = &merged {
            self.learn_row(table, row);
            self.changes.push(Change::Upsert { table, row: row.clone() });
        }
        merged.map_err(|error| error.to_string())
    }

    fn write_history(
        &mut self,
        at: Position,
        feeding: &Feeding,
        row: &FeedRow,
        mut cells: Vec<Cell>,
    ) -> Outcome {
        let table = feeding.table;
        for (name, value) in [
            ("src_dept", Cell::text(feeding.spec.department.clone())),
            ("as_of", Cell::Time(row.time_us)),
            ("log_index", Cell::Int(at.index as i64)),
        ] {
            if let Some(cell) = table.position(name).and_then(|at| cells.get_mut(at)) {
                *cell = value;
            }
        }
        self.append(table.name, cells.clone());
        Outcome::Applied { columns: 0, row: cells }
    }

    /// Counts a row that was not refused, and moves the feed's clock.
    fn count(&mut self, feeding: &Feeding, row: &FeedRow, fed: &mut Fed, is_duplicate: bool) {
        let clock_us = self.clock_us;
        let Some(feed) = self.feeds.get_mut(&feeding.spec.feed) else { return };
        if !is_duplicate && feed.watermark_us().is_some_and(|watermark| row.time_us < watermark) {
            fed.late += 1;
        }
        let status = &mut feed.status;
        status.newest_us =
            if status.rows == 0 { row.time_us } else { status.newest_us.max(row.time_us) };
        status.rows += 1;
        status.received_us = clock_us;
        if row.seq > 0 {
            status.seen.insert(row.seq);
        }
    }

    /// Where the values of a row came from; a history row says so itself.
    fn write_provenance(
        &mut self,
        at: Position,
        feeding: &Feeding,
        row: &FeedRow,
        (cells, columns): (&[Cell], u64),
    ) {
        let table = feeding.table;
        if table.mode == Mode::History {
            return;
        }
        let moved = table.columns.iter().enumerate();
        let moved = moved.filter(|(at, _)| columns & super::spec::bit(*at) != 0);
        self.append(
            "row_provenance",
            vec![
                Cell::text(table.name),
                Cell::text(key_text(table, cells)),
                Cell::text(feeding.spec.feed.clone()),
                Cell::Int(row.seq as i64),
                Cell::Texts(moved.map(|(_, column)| column.name.to_owned()).collect()),
                Cell::text(feeding.spec.department.clone()),
                Cell::Time(row.time_us),
                Cell::Time(self.clock_us),
                Cell::Int(at.index as i64),
                Cell::Bool(feeding.takes_back),
            ],
        );
    }
}

/// The key's cells as one text, with bars between.
fn key_text(table: &Table, row: &[Cell]) -> String {
    let texts = row.iter().take(table.key).map(|cell| match cell {
        Cell::Text(text) => text.clone(),
        Cell::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    });
    texts.collect::<Vec<_>>().join("|")
}
