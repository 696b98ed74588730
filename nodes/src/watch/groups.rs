//! The groups that people belong to, from the registers: which columns, the configuration says.
//!
//! A score carries a code for each column, eight bits each; what a code means is this node's own. The
//! codes of an entity are looked up once and then kept for a while: registers change seldom.

use crate::config;
use crate::serving::Loaded;
use crate::state::State;
use crate::state::watched::{GROUP_COLUMNS_MAX, GROUP_VALUES_MAX, OTHER};
use features::table::Cell;
use features::table::Table;
use features::{ColumnPath, EntityKind, Transform};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// What is kept of a register is looked up again after this time.
const KEPT_US: i64 = 600_000_000;
/// Entities of a kind whose codes are kept.
const KEPT_MAX: usize = 1 << 20;
const UNKNOWN: &str = "unknown";
/// Codes of a column: 0 for none, one a value, and one for the rest.
pub(super) const CODES: usize = GROUP_VALUES_MAX + 2;
const OTHER_CODE: u8 = (CODES - 1) as u8;

/// A code for each group column; 0 where the column does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes([u8; GROUP_COLUMNS_MAX]);

impl Codes {
    pub(super) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        let codes = self.0.into_iter().enumerate();
        codes.filter(|(_, code)| *code > 0).map(|(column, code)| (column, usize::from(code)))
    }
}

#[derive(Debug)]
struct Column {
    name: String,
    path: ColumnPath,
    /// Lower ends of bands of years; empty where the values are taken as they are.
    years: Vec<i64>,
    values: RwLock<Vec<String>>,
}

#[derive(Debug, Default)]
pub struct Groups {
    columns: Vec<Column>,
    kept: RwLock<Vec<Codes>>,
    kept_since_us: AtomicI64,
}

impl Groups {
    pub fn new(wanted: &[config::Group]) -> Result<Self, String> {
        if wanted.len() > GROUP_COLUMNS_MAX {
            return Err(format!("watch.groups: at most {GROUP_COLUMNS_MAX} columns"));
        }
        let column = |group: &config::Group| {
            let path: ColumnPath = group
                .column
                .parse()
                .map_err(|error| format!("watch.groups, {}: {error}", group.name))?;
            if group.years.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(format!("watch.groups, {}: years must rise", group.name));
            }
            Ok(Column {
                name: group.name.clone(),
                path,
                years: group.years.clone(),
                values: RwLock::default(),
            })
        };
        let columns = wanted.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns, ..Self::default() })
    }

    /// The codes of an entity; only residents have groups.
    pub fn of(&self, state: &State, loaded: &Loaded, entity: &str) -> Codes {
        let kind = loaded.view().map(|view| view.entity());
        kind.map_or_else(Codes::default, |kind| self.of_kind(state, kind, entity))
    }

    /// The codes of an entity of a kind.
    pub fn of_kind(&self, state: &State, kind: EntityKind, entity: &str) -> Codes {
        if kind != EntityKind::Resident || self.columns.is_empty() {
            return Codes::default();
        }
        let now_us = state.clock_us;
        let since_us = self.kept_since_us.load(Ordering::Relaxed);
        if now_us - since_us > KEPT_US {
            self.kept.write().clear();
            self.kept_since_us.store(now_us, Ordering::Relaxed);
        }
        let slot = state.features.find(kind, entity).filter(|slot| *slot < KEPT_MAX);
        let known = slot.and_then(|slot| self.kept.read().get(slot).copied());
        if let Some(codes) = known.filter(|codes| *codes != Codes::default()) {
            return codes;
        }
        let codes = self.look_up(state, entity);
        if let Some(slot) = slot {
            let mut kept = self.kept.write();
            if kept.len() <= slot {
                kept.resize(slot + 1, Codes::default());
            }
            kept[slot] = codes;
        }
        codes
    }

    fn look_up(&self, state: &State, entity: &str) -> Codes {
        let mut codes = Codes::default();
        for (place, column) in codes.0.iter_mut().zip(&self.columns) {
            *place = column.code(&column.label(state, entity));
        }
        codes
    }

    /// Column and value by a code.
    pub(super) fn name(&self, column: usize, code: usize) -> Option<(String, String)> {
        let column = self.columns.get(column)?;
        let value = match code {
            0 => return None,
            code if code == usize::from(OTHER_CODE) => OTHER.to_owned(),
            code => column.values.read().get(code - 1)?.clone(),
        };
        Some((column.name.clone(), value))
    }

    /// The groups of an entity, in words.
    pub(super) fn named(&self, state: &State, entity: &str) -> Vec<(String, String)> {
        let is_known = state.rows.get("resident", entity.as_bytes()).is_some();
        let columns = self.columns.iter().filter(|_| is_known);
        columns.map(|column| (column.name.clone(), column.label(state, entity))).collect()
    }
}

impl Column {
    fn label(&self, state: &State, entity: &str) -> String {
        let Some(cell) = self.cell(state, entity) else { return UNKNOWN.to_owned() };
        if !self.years.is_empty() {
            let years = Transform::YearsSince.apply((&cell).into(), state.clock_us);
            return years.map_or_else(|| UNKNOWN.to_owned(), |years| self.band(years as i64));
        }
        let text = match cell {
            Cell::Text(text) => text,
            Cell::Bool(value) => value.to_string(),
            Cell::Int(value) => value.to_string(),
            _ => return UNKNOWN.to_owned(),
        };
        // It becomes a label of a metric.
        let plain = text.chars().filter(|each| !each.is_control()).take(40).collect::<String>();
        if plain.is_empty() { UNKNOWN.to_owned() } else { plain }
    }

    fn band(&self, years: i64) -> String {
        let at = self.years.partition_point(|from| *from <= years);
        match (at.checked_sub(1).and_then(|at| self.years.get(at)), self.years.get(at)) {
            (None, Some(to)) => format!("under {to}"),
            (Some(from), Some(to)) => format!("{from}-{}", to - 1),
            (Some(from), None) => format!("{from} and over"),
            (None, None) => UNKNOWN.to_owned(),
        }
    }

    fn cell(&self, state: &State, entity: &str) -> Option<Cell> {
        let mut key = entity.to_owned();
        let (last, before) = self.path.steps().split_last()?;
        for step in before {
            match read(state, step.table, &key, step.column)? {
                Cell::Text(text) => key = text,
                _ => return None,
            }
        }
        read(state, last.table, &key, last.column).filter(|cell| *cell != Cell::Null)
    }

    fn code(&self, label: &str) -> u8 {
        let find = |values: &[String]| values.iter().position(|value| value == label);
        if let Some(at) = find(&self.values.read()) {
            return at as u8 + 1;
        }
        let mut values = self.values.write();
        match find(&values) {
            Some(at) => at as u8 + 1,
            None if values.len() >= GROUP_VALUES_MAX => OTHER_CODE,
            None => {
                values.push(label.to_owned());
                values.len() as u8
            }
        }
    }
}

fn read(state: &State, table: &Table, key: &str, column: usize) -> Option<Cell> {
    state.rows.get(table.name, key.as_bytes())?.into_iter().nth(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::civil;

    fn state() -> State {
        let mut state = State::new();
        state.clock_us = 1_800_000_000_000_000; // 2027-01-15
        let mut put = |table: &str, cells: &[(&str, &str)]| {
            let table = civil::table(table).unwrap();
            let mut row = vec![Cell::Null; table.columns.len()];
            for (name, text) in cells {
                row[table.position(name).unwrap()] = Cell::text(*text);
            }
            state.rows.upsert(table, &row).unwrap();
        };
        put("household", &[("household_id", "h"), ("type", "empty nest")]);
        put(
            "resident",
            &[("resident_key", "a"), ("sex", "F"), ("birth_ym", "1940-02"), ("household_id", "h")],
        );
        put("resident", &[("resident_key", "b"), ("birth_ym", "1990-02")]);
        state
    }

    #[test]
    fn groups_come_from_the_registers() {
        let groups = Groups::new(&config::Watch::default().groups).unwrap();
        let state = state();
        let words = |entity: &str| {
            let codes = groups.of_kind(&state, EntityKind::Resident, entity);
            let named = codes.iter().filter_map(|(column, code)| groups.name(column, code));
            named.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("a"), "sex=F age=80-89 household=empty nest");
        assert_eq!(words("b"), "sex=unknown age=under 60 household=unknown");
        assert_eq!(groups.named(&state, "a")[1], ("age".to_owned(), "80-89".to_owned()));
        assert_eq!(groups.named(&state, "nobody"), []);
        assert_eq!(groups.of_kind(&state, EntityKind::Device, "a"), Codes::default());
    }

    #[test]
    fn values_past_the_bound_are_others() {
        let groups = Groups::new(&config::Watch::default().groups).unwrap();
        let codes: Vec<u8> = (0..GROUP_VALUES_MAX + 5)
            .map(|value| groups.columns[0].code(&value.to_string()))
            .collect();
        assert_eq!(codes[GROUP_VALUES_MAX], OTHER_CODE);
        assert_eq!(groups.columns[0].code("0"), 1);
        assert_eq!(groups.name(0, usize::from(OTHER_CODE)).unwrap().1, OTHER);
    }

    #[test]
    fn a_wrong_column_is_said() {
        let wrong = config::Group {
            name: "x".to_owned(),
            column: "resident.sexe".to_owned(),
            years: Vec::new(),
        };
        assert!(Groups::new(&[wrong]).unwrap_err().contains("\"sex\""));
    }
}
