//! Windows in SQL: what each kind had in each window, in whole millionths as the online store counts,
//! and what an aggregate makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use features::{Aggregate, Kind, Window};

use super::{quoted, sql::Made, statistics::Statistics, text};

/// 2^64: the time stands before it and the value, made positive, behind.
const WIDE: &str = "18446744073709551616::HUGEINT";
const HALF: &str = "9223372036854775808::HUGEINT";

/// A reading as one number, its time before its value, so that the larger one is the newer.
pub(super) struct Packed;

impl Packed {
    /// Of the columns of `hearth_seen`.
    pub(super) fn of_columns() -> String {
        format!("us::HUGEINT * {WIDE} + (micros::HUGEINT + {HALF})")
    }

    pub(super) fn time_of(packed: &str) -> String {
        format!("CAST({packed} // {WIDE} AS BIGINT)")
    }

    pub(super) fn value_of(packed: &str) -> String {
        units(&format!("CAST({packed} % {WIDE} - {HALF} AS BIGINT)"))
    }
}

/// What is counted of the readings of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    Count,
    Sum,
    Min,
    Max,
    /// The newest reading, as one number: its time before its value.
    Last,
}

impl Base {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "n",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Last => "last",
        }
    }

    fn of_readings(self, flag: &str) -> String {
        let of = match self {
            Self::Count => "count(*)".to_owned(),
            Self::Sum => "sum(micros)".to_owned(),
            Self::Min => "min(micros)".to_owned(),
            Self::Max => "max(micros)".to_owned(),
            Self::Last => format!("max({})", Packed::of_columns()),
        };
        format!("{of} FILTER ({flag})")
    }

    /// Of several kinds together.
    const fn of_kinds(self) -> &'static str {
        match self {
            Self::Count | Self::Sum => "sum",
            Self::Min => "min",
            Self::Max | Self::Last => "max",
        }
    }
}

/// A window, or the whole life.
type Reach = Option<Window>;

/// The windows that a view reads.
#[derive(Default)]
pub(super) struct Windows {
    /// What is counted of every kind.
    counted: BTreeSet<(Reach, Base)>,
    /// What is looked at of one kind, or of all.
    read: BTreeMap<(Option<Kind>, Reach, Base), String>,
    statistics: Statistics,
}

impl Windows {
    /// The column of `hearth_wide` with this.
    fn column(&mut self, kind: Option<Kind>, reach: Reach, base: Base) -> String {
        self.counted.insert((reach, base));
        let name = format!(
            "{} {} {}",
            kind.map_or("any", Kind::as_str),
            reach.map_or("life", Window::as_str),
            base.as_str()
        );
        self.read.insert((kind, reach, base), name.clone());
        format!("w.{}", quoted(&name))
    }

    /// `hour` is of the UTC day.
    pub(super) fn make(
        &mut self,
        (kind, reach): (Option<Kind>, Reach),
        aggregate: Aggregate,
        hour: Option<u8>,
    ) -> Made {
        // A sensor that never spoke says nothing, whatever is asked; a silent one counts 0.
        let newest = self.column(kind, None, Base::Last);
        let event_us = Packed::time_of(&newest);
        let value = match aggregate {
            Aggregate::Count => {
                let count = self.column(kind, reach, Base::Count);
                format!("CAST(coalesce({count}, 0) AS DOUBLE)")
            }
            Aggregate::Sum => {
                let sum = self.column(kind, reach, Base::Sum);
                units(&format!("coalesce({sum}, 0)"))
            }
            Aggregate::Mean => {
                let count = self.column(kind, reach, Base::Count);
                let sum = self.column(kind, reach, Base::Sum);
                format!("{} / CAST(nullif({count}, 0) AS DOUBLE)", units(&sum))
            }
            Aggregate::Min => units(&self.column(kind, reach, Base::Min)),
            Aggregate::Max => units(&self.column(kind, reach, Base::Max)),
            Aggregate::Last => Packed::value_of(&self.column(kind, reach, Base::Last)),
            Aggregate::TimeSinceS => {
                let last = self.column(kind, reach, Base::Last);
                format!("CAST(a.at_us - {} AS DOUBLE) / 1e6", Packed::time_of(&last))
            }
            Aggregate::RatePerH => match reach {
                Some(window) => {
                    let count = self.column(kind, reach, Base::Count);
                    let span = format!("(a.at_us - ({}))", start_of(window, "a.at_us"));
                    format!(
                        "CAST(coalesce({count}, 0) AS DOUBLE) * 3600000000.0 / CAST(nullif({span}, 0) AS DOUBLE)"
                    )
                }
                None => "CAST(NULL AS DOUBLE)".to_owned(),
            },
            _ => match reach {
                Some(window) => self.statistics.make((kind, window), aggregate, hour),
                None => "CAST(NULL AS DOUBLE)".to_owned(),
            },
        };
        Made { value: format!("CASE WHEN {newest} IS NOT NULL THEN {value} END"), event_us }
    }

    /// Of each reading, in which windows it is: the edge rule of `features::window`.
    pub(super) fn flags(&self) -> String {
        let mut flags = String::from("us <= at_us AS in_life");
        for window in self.reaches().into_iter().flatten() {
            let start = start_of(window, "at_us");
            let _ = write!(flags, ", us <= at_us AND us >= {start} AS in_{window}");
        }
        flags
    }

    fn reaches(&self) -> BTreeSet<Reach> {
        let counted = self.counted.iter().map(|(reach, _)| *reach);
        counted.chain(self.statistics.windows().map(Some)).collect()
    }

    /// Adds `hearth_kind`, a row for each row of the list and kind, and `hearth_wide`, a row of the list.
    pub(super) fn write(&self, sql: &mut String) {
        sql.push_str(",\nhearth_kind AS (SELECT ask, kind, max(log_index) AS log_index");
        for (reach, base) in &self.counted {
            let reach = reach.map_or("life", Window::as_str);
            let name = format!("{reach} {}", base.as_str());
            let _ =
                write!(sql, ", {} AS {}", base.of_readings(&format!("in_{reach}")), quoted(&name));
        }
        sql.push_str(" FROM hearth_seen GROUP BY ask, kind)");
        sql.push_str(",\nhearth_wide AS (SELECT ask, max(log_index) AS log_index");
        for ((kind, reach, base), name) in &self.read {
            let from = format!("{} {}", reach.map_or("life", Window::as_str), base.as_str());
            let only = kind.map_or_else(String::new, |kind| {
                format!(" FILTER (kind = {})", text(kind.as_str()))
            });
            let _ =
                write!(sql, ",\n {}({}){only} AS {}", base.of_kinds(), quoted(&from), quoted(name));
        }
        sql.push_str(" FROM hearth_kind GROUP BY ask)");
        self.statistics.write(sql);
    }

    pub(super) fn join(&self, sql: &mut String) {
        sql.push_str(" LEFT JOIN hearth_wide AS w ON w.ask = a.ask");
        self.statistics.join(sql);
    }
}

/// Where a window begins that is read at a time: the edge rule.
pub(super) fn start_of(window: Window, at_us: &str) -> String {
    let (length, hop) = (window.length_us(), window.hop_us());
    format!("({at_us} - {length}) - ({at_us} - {length}) % {hop}")
}

/// Millionths as a number: the whole number is rounded to a double once, as the online store rounds it,
/// and then divided. DuckDB rounds a wide whole number twice, so that goes by its digits.
fn units(micros: &str) -> String {
    format!(
        "(coalesce(CAST(TRY_CAST({micros} AS BIGINT) AS DOUBLE), CAST(CAST({micros} AS VARCHAR) AS DOUBLE)) / 1e6)"
    )
}
