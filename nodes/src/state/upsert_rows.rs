//! Department rows into the reference tables.

use super::conditions::Registers;
use super::{Change, Refusal, Reply, State, register_history};
use features::civil;
use features::table::{Cell, Mode, RowError, Table, decode_row};

impl State {
    pub(crate) fn upsert_rows(&mut self, table: &str, rows: &[Vec<u8>]) -> Reply {
        let Some(table) = civil::table(table).filter(|table| table.mode == Mode::Reference) else {
            let said = format!(
                "{table:?} is not a reference table: its rows come from the cluster itself"
            );
            return Reply::Refused(Refusal::Invalid(said));
        };
        // All or nothing: every row is checked before the first one moves.
        let decoded: Result<Vec<Vec<Cell>>, RowError> = rows
            .iter()
            .map(|bytes| {
                let row = decode_row(bytes)?;
                table.check(&row)?;
                table.key_of(&row).map(|_| row)
            })
            .collect();
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return Reply::Refused(Refusal::Invalid(error.to_string())),
        };
        let mut changed = 0;
        for row in decoded {
            let was_taken_back = self.put_back(table, &row);
            if self.rows.upsert(table, &row).unwrap_or(false) || was_taken_back {
                self.learn_row(table, &row);
                self.changes.push(Change::Upsert { table, row });
                changed += 1;
            }
        }
        Reply::Upserted { rows: changed }
    }

    /// What else follows from a row that was put in its place.
    pub(crate) fn learn_row(&mut self, table: &Table, row: &[Cell]) {
        if table.name == "relation" && !agrees(table, row) {
            self.withdrawn_consents.extend(relative_of(table, row));
        }
        if let Some(key) = row.first().and_then(Cell::as_text) {
            let Self { conditions, rows, features, .. } = self;
            conditions.learn(table.name, key, Registers { rows, store: features });
        }
        if register_history::is_kept(table)
            && let Some(key) = row.first().and_then(Cell::as_text)
        {
            self.keep_history(table, key, Some(row));
        }
    }

    /// What follows from a row that is gone; `before` is how it stood.
    pub(crate) fn forget_row(&mut self, table: &Table, before: &[Cell]) {
        if table.name == "relation" {
            self.withdrawn_consents.extend(relative_of(table, before));
        }
        let Some(key) = before.first().and_then(Cell::as_text) else { return };
        let Self { conditions, rows, features, .. } = self;
        conditions.learn(table.name, key, Registers { rows, store: features });
        if register_history::is_kept(table) {
            self.keep_history(table, key, None);
        }
    }

    /// A row that was taken back stands in its place again, with its versions, to be held against what
    /// comes; false where there is none. Whoever calls looks whether it may stay.
    pub(crate) fn put_back(&mut self, table: &Table, row: &[Cell]) -> bool {
        let Ok(key) = table.key_of(row) else { return false };
        let Some(stored) = self.tombstones.take(table, &key) else { return false };
        self.rows.put_stored(table, &key, &stored).is_ok()
    }
}

fn relative_of(table: &Table, row: &[Cell]) -> Option<String> {
    let relative = table.position("other_key").and_then(|at| row.get(at)?.as_text());
    relative.map(str::to_owned)
}

/// Whether a row of `relation` says in so many words that the relative may know.
fn agrees(table: &Table, row: &[Cell]) -> bool {
    let cell = table.position("consent").and_then(|at| row.get(at));
    matches!(cell, Some(Cell::Bool(true)))
}
