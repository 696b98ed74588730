//! What a register row said, and from which entry on: one row of `register_history` a change, so that
//! features can be made again as of a moment in the past.

use super::State;
use features::table::{Cell, ColumnType, Mode, Table};
use features::{EntityKind, civil};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The registers that a feature can read: those found by an entity's key, and those that a row of
/// one of them leads to.
static KEPT: LazyLock<Vec<&'static Table>> = LazyLock::new(|| {
    let is_register = |table: &&Table| {
        table.mode == Mode::Reference && table.key == 1 && table.columns[0].kind == ColumnType::Text
    };
    let entities: Vec<&str> = EntityKind::ALL
        .into_iter()
        .filter_map(EntityKind::table)
        .map(|table| table.columns[0].name)
        .collect();
    let (mut kept, mut others): (Vec<&Table>, Vec<&Table>) = civil::TABLES
        .iter()
        .filter(is_register)
        .partition(|table| entities.contains(&table.columns[0].name));
    let is_led_to = |kept: &[&Table], table: &Table| {
        kept.iter().any(|each| each.position(table.columns[0].name).is_some())
    };
    while let Some(at) = others.iter().position(|table| is_led_to(&kept, table)) {
        kept.push(others.swap_remove(at));
    }
    kept
});

pub(crate) fn is_kept(table: &Table) -> bool {
    KEPT.iter().any(|each| each.name == table.name)
}

impl State {
    /// `seq` orders the changes of an entry; `events_before` says how many events of the entry came
    /// before the change, and so counted for the row as it stood.
    /// A row that is gone has no cells.
    pub(crate) fn keep_history(&mut self, table: &Table, key: &str, row: Option<&[Cell]>) {
        let history = vec![
            Cell::text(table.name),
            Cell::text(key),
            Cell::Int(self.applied as i64),
            Cell::Int(i64::from(self.entry_rows)),
            Cell::Int(i64::from(self.entry_events)),
            Cell::Time(self.clock_us),
            row.map_or(Cell::Null, |row| Cell::Text(cells(table, row))),
        ];
        self.entry_rows += 1;
        self.append("register_history", history);
    }
}

/// The cells that are not empty as a JSON object: times in microseconds and dates in days since 1970.
/// A real number is written so that it leads back to its bits.
fn cells(table: &Table, row: &[Cell]) -> String {
    let object: Map<String, Value> = table
        .columns
        .iter()
        .zip(row)
        .filter_map(|(column, cell)| Some((column.name.to_owned(), value(cell)?)))
        .collect();
    Value::Object(object).to_string()
}

fn value(cell: &Cell) -> Option<Value> {
    Some(match cell {
        Cell::Null | Cell::Reasons(_) => return None,
        Cell::Bool(value) => json!(value),
        Cell::Int(value) | Cell::Time(value) => json!(value),
        // JSON has no word for what is not finite.
        Cell::Real(value) if !value.is_finite() => json!(value.to_string()),
        Cell::Real(value) => json!(value),
        Cell::Text(text) => json!(text),
        Cell::Date(days) => json!(days),
        Cell::Texts(texts) => json!(texts),
        Cell::Ints(ints) => json!(ints),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Change, Command};
    use features::Event;
    use features::table::encode_row;
    use raft::Position;

    #[test]
    fn what_a_feature_can_read_is_kept() {
        let mut kept: Vec<&str> = KEPT.iter().map(|table| table.name).collect();
        kept.sort_unstable();
        let want = [
            "building",
            "device",
            "dwelling",
            "grid",
            "health_summary",
            "household",
            "organisation",
            "resident",
            "subsidy",
        ];
        assert_eq!(kept, want);
    }

    #[test]
    fn a_real_number_leads_back_to_its_bits() {
        for real in [0.1, -0.0, 1e300, 5e-324, 0.300_000_000_000_000_04] {
            let text = value(&Cell::Real(real)).unwrap().to_string();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), real.to_bits(), "{text}");
        }
        assert_eq!(value(&Cell::Real(f64::NAN)), Some(json!("NaN")));
        assert_eq!(value(&Cell::Null), None);
    }

    #[test]
    fn a_change_says_how_many_events_of_its_entry_came_before() {
        let table = civil::table("resident").unwrap();
        let resident = |household: &str| {
            let mut row = vec![Cell::Null; table.columns.len()];
            row[0] = Cell::text("r");
            row[table.position("household_id").unwrap()] = Cell::text(household);
            let rows = vec![encode_row(&row).unwrap()];
            Command::UpsertRows { table: table.name.to_owned(), rows }.encode()
        };
        let events = |ids: &[&str]| {
            let event = |id: &&str| Event {
                event_id: (*id).to_owned(),
                device_id: "d".to_owned(),
                kind: "door".to_owned(),
                source: "g".to_owned(),
                event_time_us: 1_790_000_000_000_000,
                ..Event::default()
            };
            Command::IngestEvents { events: ids.iter().map(event).collect() }.encode()
        };
        let mut state = State::new();
        let at = Position { index: 4, term: 1, time_us: 1_790_000_000_000_000 };
        let entry = [resident("h1"), events(&["a", "b", "a"]), resident("h1"), resident("h2")];
        state.apply(at, &entry).unwrap();
        let told: Vec<(Cell, Cell, Cell)> = state
            .take_changes()
            .into_iter()
            .filter_map(|change| match change {
                Change::Append { table, row } if table.name == "register_history" => {
                    Some((row[3].clone(), row[4].clone(), row[6].clone()))
                }
                _ => None,
            })
            .collect();
        let said = |household: &str| {
            Cell::Text(format!(r#"{{"household_id":"{household}","resident_key":"r"}}"#))
        };
        let want =
            [(Cell::Int(0), Cell::Int(0), said("h1")), (Cell::Int(1), Cell::Int(2), said("h2"))];
        assert_eq!(told, want);
    }
}
