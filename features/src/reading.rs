//! How a view becomes a vector: windows from the store, cells from the registers.

use std::borrow::Cow;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Summary};
use crate::column::{ColumnPath, Step, Transform};
use crate::entity::EntityKind;
use crate::kind::Kind;
use crate::store::Store;
use crate::table::{Cell, Table};
use crate::vector::{FeatureVector, Status};
use crate::view::{FeatureDef, FeatureView, Source};
use crate::window::Window;

/// The column that says when a register row held.
const HELD_COLUMN: &str = "as_of";

/// The register rows, wherever they are kept.
pub trait RowSource {
    /// One cell of the row with this key; nothing where there is no such row.
    fn cell(&self, table: &Table, key: &str, column: usize) -> Option<Cell>;
}

/// No rows at all: every column takes its default.
impl RowSource for () {
    fn cell(&self, _: &Table, _: &str, _: usize) -> Option<Cell> {
        None
    }
}

impl Store {
    /// The vector of a view for one entity. A time before the log time reads as of the log time, and
    /// the vector says so in its `as_of_us`.
    pub fn read(
        &self,
        view: &FeatureView,
        key: &str,
        as_of_us: i64,
        rows: &dyn RowSource,
    ) -> FeatureVector {
        let as_of_us = as_of_us.max(self.now_us);
        let entity = view.entity();
        let slot = self.rosters[entity as usize].find(key);
        let mut reader = Reader {
            store: self,
            entity,
            key,
            slot,
            as_of_us,
            rows,
            is_known: slot.is_some(),
            recent: None,
            held: None,
        };
        let count = view.features().len();
        let mut vector = FeatureVector {
            view: Arc::clone(view.shared_name()),
            fingerprint: Arc::clone(view.fingerprint()),
            names: Arc::clone(view.names()),
            values: Vec::with_capacity(count),
            statuses: Vec::with_capacity(count),
            event_times_us: Vec::with_capacity(count),
            as_of_us,
        };
        for feature in view.features() {
            let found = reader.find(feature);
            let (value, at_us, status) = match found {
                Some(Found { value, at_us }) if is_stale(feature, at_us, as_of_us) => {
                    (value, at_us, Status::Stale)
                }
                Some(Found { value, at_us }) => (value, at_us, Status::Present),
                None => (feature.default, 0, Status::Default),
            };
            vector.values.push(value as f32);
            vector.statuses.push(status);
            vector.event_times_us.push(at_us);
        }
        if !reader.is_known && !reader.has_row() {
            vector.statuses.fill(Status::NotFound);
        }
        vector
    }
}

/// A value without a time is taken as fresh: a register row without `as_of` says nothing about its age.
fn is_stale(feature: &FeatureDef, at_us: i64, as_of_us: i64) -> bool {
    at_us != 0 && feature.ttl_us.is_some_and(|ttl_us| as_of_us.saturating_sub(at_us) > ttl_us)
}

struct Found {
    value: f64,
    at_us: i64,
}

/// What the features of one vector share.
struct Reader<'a> {
    store: &'a Store,
    entity: EntityKind,
    key: &'a str,
    slot: Option<usize>,
    as_of_us: i64,
    rows: &'a dyn RowSource,
    is_known: bool,
    /// The window that was read last: its neighbours in a view often ask for the same.
    recent: Option<(Option<Kind>, Option<Window>, Summary)>,
    /// Since when the row that was read last holds.
    held: Option<(&'a str, Cow<'a, str>, i64)>,
}

impl<'a> Reader<'a> {
    fn find(&mut self, feature: &'a FeatureDef) -> Option<Found> {
        match &feature.source {
            Source::Window { kind, aggregate, window } => {
                self.find_window(*kind, *aggregate, *window)
            }
            Source::Column { path, transform } => self.find_column(path, transform),
        }
    }

    fn find_window(
        &mut self,
        kind: Option<Kind>,
        aggregate: Aggregate,
        window: Option<Window>,
    ) -> Option<Found> {
        let slot = self.slot?;
        let summary = match self.recent {
            Some((of, over, summary)) if (of, over) == (kind, window) => summary,
            _ => {
                let read = self.store.summary_at(self.entity, slot, kind, window, self.as_of_us);
                self.recent = Some((kind, window, read));
                read
            }
        };
        let last = match summary.last {
            Some(last) => last,
            // A silent sensor counts 0; a sensor that never spoke is not there, and says nothing.
            None => self.store.summary_at(self.entity, slot, kind, None, self.as_of_us).last?,
        };
        Some(Found { value: summary.value(aggregate, self.as_of_us)?, at_us: last.at_us })
    }

    fn find_column(&mut self, path: &ColumnPath, transform: &Transform) -> Option<Found> {
        let (last, before) = path.steps().split_last()?;
        let mut key = Cow::Borrowed(self.key);
        for step in before {
            match self.cell(step, &key)? {
                Cell::Text(next) => key = Cow::Owned(next),
                _ => return None,
            }
        }
        let cell = self.cell(last, &key)?;
        let value = transform.apply(&cell, self.as_of_us)?;
        Some(Found { value, at_us: self.held_us(last.table, key) })
    }

    fn cell(&mut self, step: &Step, key: &str) -> Option<Cell> {
        let cell = self.rows.cell(step.table, key, step.column);
        self.is_known |= cell.is_some();
        cell
    }

    fn held_us(&mut self, table: &'static Table, key: Cow<'a, str>) -> i64 {
        if let Some((name, held_key, at_us)) = &self.held
            && *name == table.name
            && *held_key == key
        {
            return *at_us;
        }
        let cell =
            table.position(HELD_COLUMN).and_then(|column| self.rows.cell(table, &key, column));
        let at_us = if let Some(Cell::Time(at_us)) = cell { at_us } else { 0 };
        self.held = Some((table.name, key, at_us));
        at_us
    }

    /// Whether the entity has a register row: asked only where nothing else is known of it.
    fn has_row(&self) -> bool {
        self.entity.table().is_some_and(|table| self.rows.cell(table, self.key, 0).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{DAY_US, HOUR_US};
    use std::collections::BTreeMap;

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[derive(Default)]
    struct Rows(BTreeMap<(&'static str, &'static str, &'static str), Cell>);

    impl RowSource for Rows {
        fn cell(&self, table: &Table, key: &str, column: usize) -> Option<Cell> {
            let exists = self.0.keys().any(|(name, of, _)| *name == table.name && *of == key);
            let found = self.0.iter().find(|((name, of, cell), _)| {
                *name == table.name && *of == key && *cell == table.columns[column].name
            });
            found.map(|(_, cell)| cell.clone()).or(exists.then_some(Cell::Null))
        }
    }

    fn view() -> FeatureView {
        FeatureView::parse(
            "name = 'v'\nentity = 'resident'\nversion = 1\nfeature = [\n\
             { name = 'door_n', kind = 'door', aggregate = 'count', window = '1h' },\n\
             { name = 'door_mean', kind = 'door', aggregate = 'mean', window = '1h', default = -1 },\n\
             { name = 'gas_n', kind = 'gas', aggregate = 'count', window = '7d', default = -1 },\n\
             { name = 'seen_s', kind = 'any', aggregate = 'time_since_s', ttl_us = 3_600_000_000 },\n\
             { name = 'income', column = 'resident.household_id>household.income_pc', default = 9 },\n\
             { name = 'age', column = 'resident.birth_ym', transform = 'years_since', ttl_us = 86_400_000_000 },\n]",
        )
        .unwrap()
    }

    fn rows() -> Rows {
        Rows(BTreeMap::from([
            (("resident", "r", "household_id"), Cell::text("h")),
            (("resident", "r", "birth_ym"), Cell::text("1940-02")),
            (("resident", "r", "as_of"), Cell::Time(NOW_US - 2 * DAY_US)),
            (("household", "h", "income_pc"), Cell::Real(1200.5)),
        ]))
    }

    #[test]
    fn every_value_says_where_it_came_from() {
        let mut store = Store::new();
        store.advance(NOW_US);
        store.record(EntityKind::Resident, "r", Kind::Door, NOW_US - 2 * HOUR_US, 1.0);
        let vector = store.read(&view(), "r", 0, &rows());
        assert_eq!(vector.values, [0.0, -1.0, -1.0, 7200.0, 1200.5, 86.0]);
        let want = [
            Status::Present, // No door event within the hour, but there is a door sensor.
            Status::Default, // No mean of nothing.
            Status::Default, // No gas sensor.
            Status::Stale,
            Status::Present,
            Status::Stale,
        ];
        assert_eq!(vector.statuses, want);
        let door_us = NOW_US - 2 * HOUR_US;
        assert_eq!(vector.event_times_us, [door_us, 0, 0, door_us, 0, NOW_US - 2 * DAY_US]);
        assert_eq!((vector.as_of_us, vector.oldest_us()), (NOW_US, Some(NOW_US - 2 * DAY_US)));
        assert_eq!(vector.missing().collect::<Vec<_>>(), ["door_mean", "gas_n"]);
    }

    #[test]
    fn an_unknown_entity_has_defaults_and_says_so() {
        let vector = Store::new().read(&view(), "nobody", NOW_US, &rows());
        assert_eq!(vector.statuses, [Status::NotFound; 6]);
        assert_eq!(vector.values, [0.0, -1.0, -1.0, 0.0, 9.0, 0.0]);
        assert!(!vector.is_found());
        assert!(!Store::new().read(&view(), "r", NOW_US, &()).is_found());
    }

    #[test]
    fn a_row_without_events_is_an_entity_too() {
        let doors = "name = 'v'\nentity = 'resident'\nversion = 1\n[[feature]]\n\
                     name = 'n'\nkind = 'door'\naggregate = 'count'\nwindow = '1h'";
        let vector = Store::new().read(&FeatureView::parse(doors).unwrap(), "r", NOW_US, &rows());
        assert_eq!(vector.statuses, [Status::Default]);
    }
}
