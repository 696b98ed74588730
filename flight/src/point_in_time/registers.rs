//! Register cells in SQL: the row as it stood when it was known, found by the entity's key or by what
//! the row before it names.

use std::fmt::Write as _;

use features::{
    ColumnPath, EntityKind, Transform,
    table::{ColumnType, Table},
};

use super::{sql::Made, text};

/// Behind it no two changes of one log entry fall together.
const SEQS: u64 = 1 << 24;
/// The column that says since when a register row holds.
const HELD: &str = "as_of";

/// One row that is looked at for each row of the list.
struct Row {
    table: &'static Table,
    /// The row and the column that hold its key; the entity's key where there is none.
    from: Option<(usize, &'static str)>,
}

/// The rows that a view reads, the entity's own first.
pub(super) struct Registers {
    rows: Vec<Row>,
}

impl Registers {
    pub(super) fn of(entity: EntityKind) -> Self {
        let own = entity.table().map(|table| Row { table, from: None });
        Self { rows: own.into_iter().collect() }
    }

    pub(super) fn make(&mut self, path: &ColumnPath, transform: &Transform) -> Made {
        let (mut from, mut at, mut last) = (None, 0, None);
        for step in path.steps() {
            let found = self
                .rows
                .iter()
                .position(|row| row.table.name == step.table.name && row.from == from);
            at = found.unwrap_or_else(|| {
                self.rows.push(Row { table: step.table, from });
                self.rows.len() - 1
            });
            let column = &step.table.columns[step.column];
            from = Some((at, column.name));
            last = Some(column);
        }
        let Some(column) = last else {
            return Made { value: "CAST(NULL AS DOUBLE)".to_owned(), event_us: "0".to_owned() };
        };
        let cell = cell(at, column.name);
        let held = if self.rows[at].table.position(HELD).is_some() {
            format!("coalesce(CAST(r{at}.cells->>'{HELD}' AS BIGINT), 0)")
        } else {
            "0".to_owned()
        };
        Made { value: number(&cell, column.kind, transform), event_us: held }
    }

    pub(super) fn write(&self, sql: &mut String, through: Option<u64>) {
        let cut = through.map_or_else(String::new, |last| format!(" AND h.log_index <= {last}"));
        for (at, row) in self.rows.iter().enumerate() {
            let key =
                row.from.map_or_else(|| "a.entity".to_owned(), |(row, column)| cell(row, column));
            let join = row.from.map_or_else(String::new, |(row, _)| {
                format!(" JOIN hearth_row_{row} AS r{row} ON r{row}.ask = a.ask")
            });
            let _ = write!(
                sql,
                ",\nhearth_row_{at} AS MATERIALIZED (SELECT a.ask, \
                 arg_max_null(h.cells, h.log_index * {SEQS} + h.seq) AS cells, \
                 arg_max(h.log_index, h.log_index * {SEQS} + h.seq) AS log_index \
                 FROM hearth_ask AS a{join} JOIN hearth.civil.register_history AS h \
                 ON h.register = {} AND h.key = {key} WHERE h.recv_ts <= a.known{cut} GROUP BY a.ask)",
                text(row.table.name)
            );
        }
    }

    pub(super) fn join(&self, sql: &mut String) {
        for at in 0..self.rows.len() {
            let _ = write!(sql, " LEFT JOIN hearth_row_{at} AS r{at} ON r{at}.ask = a.ask");
        }
    }

    /// Whether the registers know the entity.
    pub(super) fn any_found(&self) -> String {
        let found: Vec<String> =
            (0..self.rows.len()).map(|at| format!("r{at}.cells IS NOT NULL")).collect();
        if found.is_empty() { "false".to_owned() } else { format!("({})", found.join(" OR ")) }
    }

    /// The entries that the rows came with.
    pub(super) fn indexes(&self) -> String {
        let all: Vec<String> = (0..self.rows.len()).map(|at| format!("r{at}.log_index")).collect();
        if all.is_empty() { "NULL".to_owned() } else { all.join(", ") }
    }
}

fn cell(row: usize, column: &str) -> String {
    format!("(r{row}.cells->>{})", text(column))
}

/// The cell as a number, as `Transform::apply` has it.
fn number(cell: &str, kind: ColumnType, transform: &Transform) -> String {
    match transform {
        Transform::Number | Transform::IsTrue => match kind {
            ColumnType::Bool => format!("CAST(CAST({cell} AS BOOLEAN) AS INTEGER)::DOUBLE"),
            ColumnType::Real => format!("CAST({cell} AS DOUBLE)"),
            _ => format!("CAST(CAST({cell} AS BIGINT) AS DOUBLE)"),
        },
        Transform::Equals(want) => format!(
            "CASE WHEN {cell} IS NULL THEN NULL WHEN {cell} = {} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END",
            text(want)
        ),
        Transform::YearsSince => years_since(cell, kind),
    }
}

/// Whole years from a day to the day of the row's time, as an age is counted. Of a text the parts are
/// compared, since a day that no month has, such as 02-30, is a day here too.
fn years_since(cell: &str, kind: ColumnType) -> String {
    let until = "make_timestamp(a.at_us)";
    let (year, month, day, is_day) = match kind {
        ColumnType::Text => (
            format!("TRY_CAST({cell}[1:4] AS INTEGER)"),
            format!("TRY_CAST({cell}[6:7] AS INTEGER)"),
            format!("coalesce(TRY_CAST(nullif({cell}[9:10], '') AS INTEGER), 1)"),
            format!(
                "regexp_full_match({cell}, '[0-9]{{4}}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?')"
            ),
        ),
        ColumnType::Date => {
            let date = format!("(DATE '1970-01-01' + CAST({cell} AS INTEGER))");
            parts(&date, cell)
        }
        _ => parts(&format!("make_timestamp(CAST({cell} AS BIGINT))"), cell),
    };
    format!(
        "CASE WHEN {is_day} THEN CAST(year({until}) - {year} - CASE WHEN month({until}) < {month} \
         OR (month({until}) = {month} AND day({until}) < {day}) THEN 1 ELSE 0 END AS DOUBLE) END"
    )
}

fn parts(time: &str, cell: &str) -> (String, String, String, String) {
    (
        format!("year({time})"),
        format!("month({time})"),
        format!("day({time})"),
        format!("{cell} IS NOT NULL"),
    )
}
