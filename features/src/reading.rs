//! How a view becomes a vector: windows from the store, cells from the registers.

use std::sync::Arc;

use crate::cell_ref::{CellRef, Cells};
use crate::entity::EntityKind;
use crate::plan::{Plan, SeriesPlan};
use crate::store::Store;
use crate::vector::{FeatureRows, FeatureVector, Status};
use crate::view::FeatureView;
use crate::window::Window;

/// The register rows, wherever they are kept.
pub trait RowSource {
    /// The row with this key of the table at this place in [`crate::civil::TABLES`], as
    /// [`crate::table::encode_row`] stores it; nothing where there is no such row.
    fn row(&self, table: usize, key: &str) -> Option<&[u8]>;
}

/// No rows at all: every column takes its default.
impl RowSource for () {
    fn row(&self, _: usize, _: &str) -> Option<&[u8]> {
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
        let mut read = FeatureRows::with_capacity(view.features().len());
        self.read_into(view, key, as_of_us, rows, &mut read);
        FeatureVector {
            view: Arc::clone(view.shared_name()),
            fingerprint: Arc::clone(view.fingerprint()),
            names: Arc::clone(view.names()),
            values: read.values,
            statuses: read.statuses,
            event_times_us: read.event_times_us,
            as_of_us: as_of_us.max(self.now_us),
        }
    }

    /// Puts the row of one entity behind those that are there, and says whether the entity is known:
    /// what [`Store::read`] gives, without a copy of what all rows of a view share.
    pub fn read_into(
        &self,
        view: &FeatureView,
        key: &str,
        as_of_us: i64,
        rows: &dyn RowSource,
        into: &mut FeatureRows,
    ) -> bool {
        let as_of_us = as_of_us.max(self.now_us);
        let (entity, plan) = (view.entity(), view.plan());
        let slot = self.rosters[entity as usize].find(key);
        let mut row = Row::open(plan, as_of_us, into);
        let mut is_known = row.read_registers(key, rows) | slot.is_some();
        if let Some(slot) = slot {
            for series in &plan.series {
                self.read_series(entity, slot, series, &mut row);
            }
        }
        // The entity's own row is asked for only where nothing else is known of it.
        is_known = is_known || entity.table_place().is_some_and(|at| rows.row(at, key).is_some());
        if !is_known {
            row.statuses.fill(Status::NotFound);
        }
        is_known
    }

    fn read_series(&self, entity: EntityKind, slot: usize, plan: &SeriesPlan, row: &mut Row<'_>) {
        let as_of_us = row.as_of_us;
        // Readings that wait for their time count only where the time is past the log's.
        let series = match plan.kind {
            Some(kind) if as_of_us == self.now_us => {
                match self.rosters[entity as usize].find_series(slot, kind) {
                    Some(series) => Some(series),
                    None => return,
                }
            }
            _ => None,
        };
        for (window, features) in &plan.windows {
            let summary = match (series, window) {
                (Some(series), Some(window)) => series.read_from(row.starts_us[*window as usize]),
                (Some(series), None) => series.life(),
                (None, _) => self.summary_at(entity, slot, plan.kind, *window, as_of_us),
            };
            let last = summary.last.or_else(|| match series {
                // A silent sensor counts 0; a sensor that never spoke is not there, and says nothing.
                Some(series) => series.last(),
                None => self.summary_at(entity, slot, plan.kind, None, as_of_us).last,
            });
            let Some(last) = last else { continue };
            for (feature, aggregate) in features {
                if let Some(value) = summary.value(*aggregate, as_of_us) {
                    row.put(*feature, value, last.at_us);
                }
            }
        }
    }
}

/// One row while it is being read.
struct Row<'a> {
    plan: &'a Plan,
    as_of_us: i64,
    /// Where each window begins.
    starts_us: [i64; Window::ALL.len()],
    values: &'a mut [f32],
    statuses: &'a mut [Status],
    event_times_us: &'a mut [i64],
}

impl<'a> Row<'a> {
    /// A row of defaults behind those that are there.
    fn open(plan: &'a Plan, as_of_us: i64, into: &'a mut FeatureRows) -> Self {
        let from = into.values.len();
        into.values.extend_from_slice(&plan.defaults);
        let to = into.values.len();
        into.statuses.resize(to, Status::Default);
        into.event_times_us.resize(to, 0);
        Self {
            plan,
            as_of_us,
            starts_us: Window::ALL.map(|window| window.start_us(as_of_us)),
            values: &mut into.values[from..],
            statuses: &mut into.statuses[from..],
            event_times_us: &mut into.event_times_us[from..],
        }
    }

    /// A value without a time is taken as fresh: a register row without `as_of` says nothing about its
    /// age.
    fn put(&mut self, feature: usize, value: f64, at_us: i64) {
        let age_us = self.as_of_us.saturating_sub(at_us);
        let stale = at_us != 0 && self.plan.ttls_us[feature].is_some_and(|ttl_us| age_us > ttl_us);
        self.values[feature] = value as f32;
        self.statuses[feature] = if stale { Status::Stale } else { Status::Present };
        self.event_times_us[feature] = at_us;
    }

    /// Says whether any row was there.
    fn read_registers(&mut self, entity: &str, source: &dyn RowSource) -> bool {
        let plan = self.plan;
        let mut cells = vec![CellRef::Null; plan.cells];
        let mut is_known = false;
        for row in &plan.rows {
            let key = match row.key.map(|cell| cells[cell]) {
                None => entity,
                Some(CellRef::Text(key)) => key,
                Some(_) => continue,
            };
            let Some(bytes) = source.row(row.table, key) else { continue };
            is_known = true;
            let mut stored = Cells::of(bytes);
            let mut passed = 0;
            for (at, column) in row.columns.iter().enumerate() {
                cells[row.first + at] = stored.nth(column - passed).unwrap_or_default();
                passed = column + 1;
            }
            let held_us = match row.held.map(|cell| cells[cell]) {
                Some(CellRef::Time(at_us)) => at_us,
                _ => 0,
            };
            for feature in &row.features {
                let value = feature.transform.apply(cells[feature.cell], self.as_of_us);
                if let Some(value) = value {
                    self.put(feature.feature, value, held_us);
                }
            }
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil;
    use crate::kind::Kind;
    use crate::table::{Cell, encode_row};
    use crate::window::{DAY_US, HOUR_US};
    use std::collections::BTreeMap;

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[derive(Default)]
    struct Rows(BTreeMap<(usize, String), Vec<u8>>);

    impl Rows {
        fn with(mut self, table: &str, key: &str, cells: &[(&str, Cell)]) -> Self {
            let at = civil::TABLES.iter().position(|each| each.name == table).unwrap();
            let columns = civil::TABLES[at].columns;
            let mut row = vec![Cell::Null; columns.len()];
            row[0] = Cell::text(key);
            for (name, cell) in cells {
                row[civil::TABLES[at].position(name).unwrap()] = cell.clone();
            }
            self.0.insert((at, key.to_owned()), encode_row(&row).unwrap());
            self
        }
    }

    impl RowSource for Rows {
        fn row(&self, table: usize, key: &str) -> Option<&[u8]> {
            self.0.get(&(table, key.to_owned())).map(Vec::as_slice)
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
        let held = Cell::Time(NOW_US - 2 * DAY_US);
        let resident = [
            ("household_id", Cell::text("h")),
            ("birth_ym", Cell::text("1940-02")),
            ("as_of", held),
        ];
        Rows::default().with("resident", "r", &resident).with(
            "household",
            "h",
            &[("income_pc", Cell::Real(1200.5))],
        )
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
