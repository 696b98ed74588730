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
            if self.rows.upsert(table, &row).unwrap_or(false) {
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
            let relative = table.position("other_key").and_then(|at| row.get(at)?.as_text());
            self.withdrawn_consents.extend(relative.map(str::to_owned));
        }
        if let Some(key) = row.first().and_then(Cell::as_text) {
            let Self { conditions, rows, features, .. } = self;
            conditions.learn(table.name, key, Registers { rows, store: features });
        }
        if register_history::is_kept(table) {
            self.keep_history(table, row);
        }
    }
}

/// Whether a row of `relation` says in so many words that the relative may know.
fn agrees(table: &Table, row: &[Cell]) -> bool {
    let cell = table.position("consent").and_then(|at| row.get(at));
    matches!(cell, Some(Cell::Bool(true)))
}
