//! One line of a feed: `{"seq":17,"time":"2026-11-22T08:00:00+08:00","row":{"resident_key":"r1",...}}`.

use crate::state::FeedRow;
use crate::state::feeds::{FeedSpec, NO_WAY_BACK};
use chrono::NaiveDate;
use features::event::{TIME_AHEAD_MAX_US, TIME_MIN_US};
use features::table::{Cell, ColumnType, Mode, Table, encode_row};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The sender's number of the row, from 1.
    #[serde(default)]
    seq: u64,
    /// Since when the row holds: RFC 3339 ...
    #[serde(default)]
    time: Option<String>,
    /// ... or microseconds since 1970.
    #[serde(default)]
    time_us: Option<i64>,
    /// The department took the record back; of the row the key alone counts.
    #[serde(default)]
    deleted: bool,
    row: Map<String, Value>,
}

/// A line as the log takes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) row: FeedRow,
    pub(crate) deleted: bool,
}

/// What a line says; the error is one line for its sender.
pub(crate) fn parse(
    spec: &FeedSpec,
    table: &'static Table,
    line: &str,
    now_us: i64,
) -> Result<Told, String> {
    if !line.trim_start().starts_with('{') {
        return Err("a row is a JSON object with seq, time and row".to_owned());
    }
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let time_us = match (line.time, line.time_us) {
        (Some(text), None) => parse_time(&text).ok_or_else(|| {
            format!("time {text:?} is not RFC 3339, as in 2026-11-22T08:00:00+08:00")
        })?,
        (None, Some(time_us)) => time_us,
        _ => return Err("a row needs either time or time_us".to_owned()),
    };
    if time_us < TIME_MIN_US {
        return Err(format!("time_us {time_us} is before 1990: send microseconds"));
    }
    if time_us > now_us.saturating_add(TIME_AHEAD_MAX_US) {
        return Err(format!(
            "time_us {time_us} is more than an hour ahead: set the source's clock"
        ));
    }
    if table.mode == Mode::History && line.deleted {
        return Err(NO_WAY_BACK.to_owned());
    }
    if table.mode == Mode::History && line.seq == 0 {
        return Err(format!(
            "rows of {} need a seq: a repeat is known by nothing else",
            table.name
        ));
    }
    let mut cells = vec![Cell::Null; table.columns.len()];
    for (name, value) in &line.row {
        let Some(at) = table.position(name) else {
            return Err(format!("{} has no column {name:?}", table.name));
        };
        if line.deleted && at >= table.key {
            continue;
        }
        if !spec.takes(table, at) {
            return Err(format!("feed {} does not own {}.{name}", spec.feed, table.name));
        }
        if let (Some(cell), Some(column)) = (cells.get_mut(at), table.columns.get(at)) {
            *cell = to_cell(value, column.kind)
                .ok_or_else(|| format!("{name} {value} is no {:?}", column.kind))?;
        }
    }
    table.key_of(&cells).map_err(|error| error.to_string())?;
    let row = encode_row(&cells).map_err(|error| error.to_string())?;
    Ok(Told { row: FeedRow { seq: line.seq, time_us, row }, deleted: line.deleted })
}

/// RFC 3339 as microseconds since 1970.
fn parse_time(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// Texts stand for numbers, times and truths too, so that a CSV file needs no types.
fn to_cell(value: &Value, kind: ColumnType) -> Option<Cell> {
    let is_empty = value.as_str().is_some_and(|text| text.is_empty() && kind != ColumnType::Text);
    if value.is_null() || is_empty {
        return Some(Cell::Null);
    }
    let text = value.as_str();
    Some(match kind {
        ColumnType::Bool => Cell::Bool(match (value, text) {
            (Value::Bool(truth), _) => *truth,
            (_, Some("true" | "1")) => true,
            (_, Some("false" | "0")) => false,
            _ => return None,
        }),
        ColumnType::Int => Cell::Int(value.as_i64().or_else(|| text?.trim().parse().ok())?),
        ColumnType::Real => {
            let number: f64 = value.as_f64().or_else(|| text?.trim().parse().ok())?;
            number.is_finite().then_some(Cell::Real(number))?
        }
        ColumnType::Text => Cell::text(text?),
        ColumnType::Time => Cell::Time(value.as_i64().or_else(|| parse_time(text?))?),
        ColumnType::Date => {
            let day = NaiveDate::parse_from_str(text?, "%Y-%m-%d").ok()?;
            Cell::Date(day.signed_duration_since(NaiveDate::default()).num_days() as i32)
        }
        ColumnType::Texts => {
            let texts = value.as_array()?.iter().map(|each| each.as_str().map(str::to_owned));
            Cell::Texts(texts.collect::<Option<_>>()?)
        }
        ColumnType::Ints => {
            Cell::Ints(value.as_array()?.iter().map(Value::as_i64).collect::<Option<_>>()?)
        }
        ColumnType::Reasons => return None,
    })
}

/// A cell as a value that [`parse`] reads back.
pub(crate) fn cell_text(cell: &Cell) -> Value {
    match cell {
        Cell::Time(us) => Value::from(*us),
        Cell::Texts(texts) => Value::from(texts.clone()),
        Cell::Ints(numbers) => Value::from(numbers.clone()),
        other => crate::json::cell(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::table::decode_row;

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn read(table: &str, columns: &[&str], line: &str) -> Result<Told, String> {
        let spec = FeedSpec {
            feed: "f".to_owned(),
            version: 1,
            department: "d".to_owned(),
            table: table.to_owned(),
            columns: columns.iter().map(|each| (*each).to_owned()).collect(),
            lateness_h: 48,
            stale_after_h: 48,
        };
        parse(&spec, spec.check().unwrap(), line, NOW_US)
    }

    #[test]
    fn every_type_is_read_from_json_and_from_text() {
        let typed = r#"{"seq":3,"time_us":1780000000000000,"row":{"assess_id":"a","items":[1,2],"total":7,"date":"2026-01-02"}}"#;
        let told = r#"{"seq":3,"time":"2026-05-28T20:26:40Z","row":{"assess_id":"a","items":[1,2],"total":"7","date":"2026-01-02","valid_to":""}}"#;
        let row = read("assessment", &[], typed).unwrap();
        assert_eq!(read("assessment", &[], told).unwrap(), row);
        let cells = decode_row(&row.row.row).unwrap();
        assert_eq!(cells[3..5], [Cell::Ints(vec![1, 2]), Cell::Int(7)]);
        assert_eq!(cells[7], Cell::Date(20_455));
        assert_eq!(cell_text(&cells[7]), Value::from("2026-01-02"));
    }

    #[test]
    fn of_a_record_that_was_taken_back_the_key_counts() {
        let line = r#"{"seq":3,"time_us":1780000000000000,"deleted":true,"row":{"resident_key":"r","edu":"x"}}"#;
        let told = read("resident", &["living"], line).unwrap();
        let cells = decode_row(&told.row.row).unwrap();
        assert!(told.deleted && cells[1..].iter().all(|cell| *cell == Cell::Null), "{cells:?}");
        assert!(read("resident", &[], &line.replace("resident_key", "id_mask")).is_err());
        let check = r#"{"seq":1,"time_us":1780000000000000,"deleted":true,"row":{"org_id":"o","check_id":"c"}}"#;
        assert!(read("supervision_event", &[], check).unwrap_err().contains("never deleted"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let owned = &["living"][..];
        let row = |row: &str| format!(r#"{{"seq":1,"time_us":1780000000000000,"row":{row}}}"#);
        let said = |line: &str| read("resident", owned, line).unwrap_err();
        assert!(said("[]").contains("JSON object"));
        assert!(said(&row(r#"{"living":"alone"}"#)).contains("resident_key"));
        assert!(said(&row(r#"{"resident_key":"r","edu":"x"}"#)).contains("own resident.edu"));
        assert!(said(&row(r#"{"resident_key":"r","livin":"x"}"#)).contains("\"livin\""));
        assert!(said(&row(r#"{"resident_key":"r","living":5}"#)).contains("living 5"));
        assert!(said(r#"{"seq":1,"row":{}}"#).contains("time"));
        assert!(said(r#"{"seq":1,"time_us":1780000000,"row":{}}"#).contains("1990"));
        assert!(said(r#"{"seq":1,"time_us":1880000000000000,"row":{}}"#).contains("ahead"));
        let check = r#"{"time_us":1780000000000000,"row":{"org_id":"o","check_id":"c"}}"#;
        assert!(read("supervision_event", &[], check).unwrap_err().contains("seq"));
    }
}
