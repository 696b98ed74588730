//! Department rows into the reference tables.

use super::{Change, Refusal, Reply, State, register_history};
use features::civil;
use features::table::{Cell, Mode, RowError, decode_row};
use raft::Position;

impl State {
    pub(crate) fn upsert_rows(&mut self, at: Position, table: &str, rows: &[Vec<u8>]) -> Reply {
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
                self.homes.learn(table.name, &row);
                if let Some(key) = row.first().and_then(Cell::as_text)
                    && let Some(stored) = self.rows.bytes(table.name, key)
                {
                    self.row_index.learn(table.name, stored);
                }
                if register_history::is_kept(table) {
                    self.keep_history(at, table, &row);
                }
                self.changes.push(Change::Upsert { table, row });
                changed += 1;
            }
        }
        Reply::Upserted { rows: changed }
    }
}
