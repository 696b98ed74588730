//! A file of hearth's own events: NDJSON in the protocol's field names, or Parquet as `sensor_event`.

use super::output::Failure;
use super::sql::failure;
use super::text_lines::TextLines;
use crate::intake;
use crate::replay::LineError;
use features::civil;
use features::event::Event;
use features::table::{Cell, Table};
use std::path::Path;

type Events = Box<dyn Iterator<Item = Result<Event, LineError>> + Send>;

/// The events of a file, one after the other; what is none is said by its line or row.
pub(crate) fn own_events(file: &Path) -> anyhow::Result<Events> {
    let is_a = |extension: &str| file.extension().is_some_and(|each| each == extension);
    if is_a("parquet") {
        return parquet(file);
    }
    let is_filled = |line: &Result<(u64, String), LineError>| {
        line.as_ref().map_or(true, |(_, text)| !text.trim().is_empty())
    };
    Ok(Box::new(TextLines::open(file)?.filter(is_filled).map(|line| {
        let (line, text) = line?;
        intake::event(&text).map_err(|reason| LineError { line, reason })
    })))
}

fn parquet(file: &Path) -> anyhow::Result<Events> {
    let Some(table) = civil::table("sensor_event") else {
        return Err(Failure::refused("there is no table sensor_event").into());
    };
    let rows = flight::read_parquet(file, table).map_err(|error| failure(&error))?;
    Ok(Box::new(rows.into_iter().zip(1_u64..).map(move |(row, line)| {
        let event = event_of(table, &row);
        event.ok_or_else(|| LineError { line, reason: "the row has no time or value".to_owned() })
    })))
}

fn event_of(table: &Table, row: &[Cell]) -> Option<Event> {
    let cell = |name: &str| table.position(name).and_then(|at| row.get(at));
    let text = |name: &str| cell(name).and_then(Cell::as_text).unwrap_or_default().to_owned();
    let whole = |name: &str| match cell(name) {
        Some(Cell::Int(number)) => *number,
        _ => 0,
    };
    let Some(Cell::Time(event_time_us)) = cell("ts") else { return None };
    Some(Event {
        event_id: text("event_id"),
        device_id: text("device_id"),
        kind: text("kind"),
        event_time_us: *event_time_us,
        value: cell("value").and_then(Cell::as_number)?,
        unit: text("unit"),
        source: text("source"),
        boot_id: whole("boot_id") as u32,
        seq: whole("seq").unsigned_abs(),
        ..Event::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flight::{ParquetWriter, rows_to_batch, table_schema};

    #[test]
    fn ndjson_and_parquet_are_the_same_events() {
        let folder = tempfile::tempdir().unwrap();
        let event = Event {
            event_id: "1".to_owned(),
            device_id: "d".to_owned(),
            kind: "gas".to_owned(),
            event_time_us: 1_780_000_000_000_000,
            value: 2.5,
            unit: "%LEL".to_owned(),
            source: "gw".to_owned(),
            boot_id: 3,
            seq: 9,
            ..Event::default()
        };
        let lines = folder.path().join("e.ndjson");
        let text = serde_json::to_string(&event).unwrap();
        std::fs::write(&lines, format!("{text}\n\n{{}}\nnothing\n")).unwrap();
        let read: Vec<_> = own_events(&lines).unwrap().collect();
        assert_eq!(read[0], Ok(event.clone()));
        assert_eq!((read.len(), read[2].clone().unwrap_err().line), (3, 4));

        let table = civil::table("sensor_event").unwrap();
        let mut row = vec![Cell::Null; table.columns.len()];
        for (name, cell) in [
            ("source", Cell::text("gw")),
            ("event_id", Cell::text("1")),
            ("device_id", Cell::text("d")),
            ("kind", Cell::text("gas")),
            ("ts", Cell::Time(event.event_time_us)),
            ("value", Cell::Real(2.5)),
            ("unit", Cell::text("%LEL")),
            ("boot_id", Cell::Int(3)),
            ("seq", Cell::Int(9)),
        ] {
            row[table.position(name).unwrap()] = cell;
        }
        let file = folder.path().join("e.parquet");
        let mut writer = ParquetWriter::new(&file, &table_schema(table)).unwrap();
        writer.append(rows_to_batch(table, &[row]).unwrap()).unwrap();
        writer.finish().unwrap();
        let read: Vec<_> = own_events(&file).unwrap().collect();
        assert_eq!(read, [Ok(event)]);
    }
}
