//! The aggregates that need more than sums: squares, distinct values, gaps, hours of the day, trends. Whole
//! numbers are added up as the online store adds them, and rounded where it rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use features::{Aggregate, Kind, Window};

use super::{
    quoted, text,
    windows::{Packed, start_of},
};

/// The last whole hour of the clock, of one kind (or of all) in one window.
type Profile = (Option<Kind>, Window);

/// Distinct values are counted one by one up to so many, then estimated.
const DISTINCT_KEPT: u64 = 64;

/// What a view reads beside the simple windows.
#[derive(Default)]
pub(super) struct Statistics {
    /// The columns of `hearth_more`, by name.
    columns: BTreeMap<String, String>,
    /// What those are of.
    windows: BTreeSet<Window>,
    profiles: Vec<Profile>,
}

impl Statistics {
    pub(super) fn windows(&self) -> impl Iterator<Item = Window> {
        let profiles = self.profiles.iter().map(|(_, window)| *window);
        self.windows.iter().copied().chain(profiles)
    }

    /// The value of an aggregate, empty where the window holds too little to say.
    pub(super) fn make(
        &mut self,
        (kind, window): (Option<Kind>, Window),
        aggregate: Aggregate,
        hour: Option<u8>,
    ) -> String {
        let mut column = |what: &str, of: &str| self.column((kind, window), what, of);
        match aggregate {
            Aggregate::Variance | Aggregate::Std => {
                let n = column("n", "count(*)");
                let sum = column("sum", "sum(micros::HUGEINT)");
                let squares = column("squares", "sum(micros::HUGEINT * micros)");
                let spread = difference_of_products((&n, &squares), (&sum, &sum));
                let variance =
                    format!("({spread} / CAST({n}::HUGEINT * ({n} - 1) AS DOUBLE) / 1e12)");
                let value = if aggregate == Aggregate::Std {
                    format!("sqrt({variance})")
                } else {
                    variance
                };
                format!("CASE WHEN {n} > 1 THEN {value} END")
            }
            Aggregate::First => {
                let first = column("first", &format!("min({})", Packed::of_columns()));
                Packed::value_of(&first)
            }
            Aggregate::Distinct => {
                let hashes = column("hashes", &format!("list(DISTINCT {})", hash("micros")));
                let sorted = format!("list_sort({hashes})");
                let kept = DISTINCT_KEPT;
                format!(
                    "CASE WHEN coalesce(len({hashes}), 0) < {kept} THEN CAST(coalesce(len({hashes}), 0) AS DOUBLE) \
                     ELSE {}.0 * 4294967296.0 / (CAST({sorted}[{kept}] AS DOUBLE) + 1.0) END",
                    kept - 1
                )
            }
            Aggregate::GapMaxS => {
                let slot_us = window.slot_s() * 1_000_000;
                let slots = column("slots", &format!("list(DISTINCT us // {slot_us})"));
                format!(
                    "CAST(list_max(list_transform(list_sort({slots})[2:], \
                     lambda slot, nth: slot - list_sort({slots})[nth])) * {} AS DOUBLE)",
                    window.slot_s()
                )
            }
            Aggregate::HourShare => {
                let n = column("n", "count(*)");
                let of = self.filtered(
                    (kind, window),
                    &format!("hour {}", hour.unwrap_or(0)),
                    "count(*)",
                    &format!("us % 86400000000 // 3600000000 = {}", hour.unwrap_or(0)),
                );
                format!("CAST({of} AS DOUBLE) / CAST(nullif({n}, 0) AS DOUBLE)")
            }
            Aggregate::HourMean | Aggregate::HourZ => self.profile((kind, window), aggregate),
            Aggregate::TrendPerDay => trend(&mut column),
            _ => "CAST(NULL AS DOUBLE)".to_owned(),
        }
    }

    fn column(&mut self, of: (Option<Kind>, Window), what: &str, made: &str) -> String {
        self.filtered(of, what, made, "")
    }

    fn filtered(
        &mut self,
        (kind, window): (Option<Kind>, Window),
        what: &str,
        made: &str,
        more: &str,
    ) -> String {
        let name = format!("{} {window} {what}", kind.map_or("any", Kind::as_str));
        let mut only = format!("in_{window}");
        if let Some(kind) = kind {
            let _ = write!(only, " AND kind = {}", text(kind.as_str()));
        }
        if !more.is_empty() {
            let _ = write!(only, " AND {more}");
        }
        self.windows.insert(window);
        self.columns.insert(name.clone(), format!("{made} FILTER ({only})"));
        format!("m.{}", quoted(&name))
    }

    fn profile(&mut self, of: Profile, aggregate: Aggregate) -> String {
        let at = self.profiles.iter().position(|each| *each == of).unwrap_or_else(|| {
            self.profiles.push(of);
            self.profiles.len() - 1
        });
        let mean = format!("CAST(p{at}.total AS DOUBLE) / CAST(p{at}.days AS DOUBLE)");
        if aggregate == Aggregate::HourMean {
            return format!("CASE WHEN p{at}.days > 0 THEN {mean} END");
        }
        let spread = format!("(p{at}.days * p{at}.squares - p{at}.total * p{at}.total)");
        let std = format!(
            "sqrt(CAST({spread} AS DOUBLE) / CAST(p{at}.days * (p{at}.days - 1) AS DOUBLE))"
        );
        format!(
            "CASE WHEN p{at}.days < 2 THEN NULL WHEN {spread} = 0 THEN \
             CASE WHEN p{at}.now * p{at}.days = p{at}.total THEN 0.0::DOUBLE END \
             WHEN p{at}.days >= 2 THEN (CAST(p{at}.now AS DOUBLE) - {mean}) / {std} END"
        )
    }

    /// Adds `hearth_more`, a row of the list, and a table for each profile.
    pub(super) fn write(&self, sql: &mut String) {
        if !self.columns.is_empty() {
            sql.push_str(",\nhearth_more AS (SELECT ask");
            for (name, made) in &self.columns {
                let _ = write!(sql, ",\n {made} AS {}", quoted(name));
            }
            sql.push_str(" FROM hearth_seen GROUP BY ask)");
        }
        for (at, (kind, window)) in self.profiles.iter().enumerate() {
            let only = kind
                .map_or_else(String::new, |kind| format!(" AND kind = {}", text(kind.as_str())));
            let start = start_of(*window, "at_us");
            // The last whole hour; the first day whose same hour is in the window as a whole; then, of the
            // days between, how much was in that hour.
            let _ = write!(
                sql,
                ",\nhearth_profile_{at} AS (SELECT ask, today - first_day AS days, total, squares, now FROM (\
                 SELECT ask, any_value(today) AS today, min(day) FILTER (day < today) AS first_day, \
                 coalesce(sum(n) FILTER (day < today), 0) AS total, \
                 coalesce(sum(n * n) FILTER (day < today), 0) AS squares, \
                 coalesce(sum(n) FILTER (day = today), 0) AS now FROM (\
                 SELECT ask, us // 86400000000 AS day, hour_us // 86400000000 AS today, \
                 count(*) FILTER (us % 86400000000 // 3600000000 = hour_us % 86400000000 // 3600000000) AS n \
                 FROM (SELECT *, at_us - at_us % 3600000000 - 3600000000 AS hour_us, \
                 {start} AS since_us FROM hearth_seen \
                 WHERE in_{window}{only}) \
                 WHERE us // 86400000000 >= (since_us - hour_us % 86400000000 + 86399999999) // 86400000000 \
                 AND us // 86400000000 <= hour_us // 86400000000 \
                 GROUP BY ask, day, today, hour_us) GROUP BY ask))"
            );
        }
    }

    pub(super) fn join(&self, sql: &mut String) {
        if !self.columns.is_empty() {
            sql.push_str(" LEFT JOIN hearth_more AS m ON m.ask = a.ask");
        }
        for at in 0..self.profiles.len() {
            let _ = write!(sql, " LEFT JOIN hearth_profile_{at} AS p{at} ON p{at}.ask = a.ask");
        }
    }
}

/// Slope of the least-squares line a day, over whole seconds.
fn trend(column: &mut impl FnMut(&str, &str) -> String) -> String {
    const T: &str = "((us - us % 1000000) // 1000000 - 631152000)::HUGEINT";
    let n = column("n", "count(*)");
    let times = column("times", &format!("sum({T})"));
    let squared = column("times squared", &format!("sum({T} * {T})"));
    let values = column("values", "sum(micros::HUGEINT)");
    let products = column("products", &format!("sum({T} * micros)"));
    let over = difference_of_products((&n, &products), (&times, &values));
    let under = difference_of_products((&n, &squared), (&times, &times));
    format!("CASE WHEN {under} > 0 THEN {over} / {under} * 86400.0 / 1e6 END")
}

/// `a * b - c * d`, rounded once. Where 128 bits do not hold it, the digits are put together.
fn difference_of_products((a, b): (&str, &str), (c, d): (&str, &str)) -> String {
    let (a, b, c, d) = (
        format!("{a}::HUGEINT"),
        format!("{b}::HUGEINT"),
        format!("{c}::HUGEINT"),
        format!("{d}::HUGEINT"),
    );
    format!(
        "CAST(coalesce(CAST(TRY({a} * {b} - {c} * {d}) AS VARCHAR), \
         CAST({} + -({}) AS VARCHAR)) AS DOUBLE)",
        wide_product(&a, &b),
        wide_product(&c, &d)
    )
}

/// A product of any size, by halves of eighteen digits.
fn wide_product(a: &str, b: &str) -> String {
    const HALF: &str = "1000000000000000000::HUGEINT";
    let (a1, a0) = (format!("({a} // {HALF})"), format!("({a} % {HALF})"));
    let (b1, b0) = (format!("({b} // {HALF})"), format!("({b} % {HALF})"));
    let digits = |product: &str, zeros: usize| {
        format!("CAST(CAST({product} AS VARCHAR) || '{}' AS BIGNUM)", "0".repeat(zeros))
    };
    format!(
        "({} + {} + {} + {})",
        digits(&format!("({a1} * {b1})"), 36),
        digits(&format!("({a1} * {b0})"), 18),
        digits(&format!("({a0} * {b1})"), 18),
        digits(&format!("({a0} * {b0})"), 0)
    )
}

/// The upper half of SplitMix64's finalizer, in arithmetic that wraps at 2^64.
fn hash(value: &str) -> String {
    const WRAP: &str = "18446744073709551616::UHUGEINT";
    let unsigned = format!(
        "(CASE WHEN {value} < 0 THEN ({value}::HUGEINT + 18446744073709551616::HUGEINT)::UHUGEINT \
         ELSE {value}::UHUGEINT END)"
    );
    let seeded = format!("(({unsigned} + 11400714819323198485::UHUGEINT) % {WRAP})::UBIGINT");
    let mixed = |bits: &str, shift: u32, factor: &str| {
        // A list of one keeps what it is made of from being written twice.
        format!(
            "list_transform([{bits}], lambda b: ((xor(b, b >> {shift})::UHUGEINT * {factor}::UHUGEINT) % {WRAP})::UBIGINT)[1]"
        )
    };
    let once = mixed(&seeded, 30, "13787848793156543929");
    let twice = mixed(&once, 27, "10723151780598845931");
    format!("list_transform([{twice}], lambda b: xor(b, b >> 31) >> 32)[1]")
}
