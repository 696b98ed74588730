//! Short ways to write the cells of a row.

use features::table::Cell;

use super::dice::rounded;
use super::plan::{DAY_US, Plan};

pub(super) type Row = Vec<Cell>;

pub(super) fn text(value: impl Into<String>) -> Cell {
    Cell::text(value)
}

pub(super) fn int(value: impl Into<i64>) -> Cell {
    Cell::Int(value.into())
}

/// A number of at most so many decimals.
pub(super) fn real(value: f64, decimals: i32) -> Cell {
    Cell::Real(rounded(value, decimals))
}

/// The date so many days before the day of the registers.
pub(super) fn date_before(plan: &Plan, days: i32) -> Cell {
    Cell::Date(plan.today() - days)
}

/// The moment so many days before the start.
pub(super) fn time_before(plan: &Plan, days: f64) -> Cell {
    Cell::Time(plan.start_us - (days * 86_400.0) as i64 * (DAY_US / 86_400))
}

/// The row with the two columns that every register's row ends with.
pub(super) fn from(mut row: Row, department: &str, plan: &Plan) -> Row {
    row.push(text(department));
    row.push(Cell::Time(plan.start_us));
    row
}

/// Year and month of a day, as `1948-03`.
pub(super) fn year_month(day: i32) -> String {
    let (year, month) = civil(day);
    format!("{year:04}-{month:02}")
}

/// The month so many months before that of a day.
pub(super) fn month_before(day: i32, ago: i32) -> String {
    let (year, month) = civil(day);
    let months = year * 12 + month - 1 - ago;
    format!("{:04}-{:02}", months.div_euclid(12), months.rem_euclid(12) + 1)
}

/// Year and month of a count of days since 1970 (after the public-domain algorithm for the
/// Gregorian calendar with years that begin in March).
fn civil(day: i32) -> (i32, i32) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i32::from(month <= 2), month)
}

/// The year of a day.
pub(super) fn year(day: i32) -> i32 {
    civil(day).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_months() {
        assert_eq!(year_month(0), "1970-01");
        assert_eq!(year_month(-1), "1969-12");
        assert_eq!(year_month(20_454), "2026-01");
        assert_eq!(year_month(20_453), "2025-12");
        assert_eq!(month_before(20_454, 1), "2025-12");
        assert_eq!(month_before(20_454, 12), "2025-01");
        assert_eq!(year_month(11_016), "2000-02");
        assert_eq!(year_month(11_017), "2000-03");
    }
}
