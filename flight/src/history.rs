//! What a peer missed: rows of history tables by the log index that they were written at.

use features::table::{Cell, Mode, Table};

use crate::{Answer, CATALOG, Error, SCHEMA, Warehouse};

/// The rows of a history table with `after < log_index <= through`, in the order of their recording.
pub async fn export_history(
    warehouse: &Warehouse,
    table: &Table,
    after: u64,
    through: u64,
) -> Result<Answer, Error> {
    if table.mode != Mode::History || table.position("log_index").is_none() {
        return Err(Error::Invalid(format!(
            "table {} keeps no log index; it has no history to export",
            table.name
        )));
    }
    let recorded = warehouse.recorded_index();
    if through > recorded {
        return Err(Error::Unavailable(format!(
            "this node has recorded up to {recorded}, not {through}; ask later"
        )));
    }
    let sql = format!(
        "SELECT * FROM {CATALOG}.{SCHEMA}.\"{}\" WHERE log_index > ? AND log_index <= ?",
        table.name
    );
    let bounds = vec![Cell::Int(after as i64), Cell::Int(through as i64)];
    warehouse.reader().query(&sql, bounds).await
}
