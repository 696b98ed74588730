//! How a view becomes a vector: windows from the store, cells from the registers.

use std::hint::black_box;
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::cell_ref::{CellRef, Cells};
use crate::demands::Demand;
use crate::entity::EntityKind;
use crate::key::Key;
use crate::part::Part;
use crate::plan::{ExpressionPlan, Input, Plan, SeriesPlan};
use crate::row_source::RowSource;
use crate::statistic::statistic;
use crate::store::Store;
use crate::summary::Summary;
use crate::topic::Topic;
use crate::vector::{FeatureRows, FeatureVector, Status};
use crate::view::{FeatureView, Source};
use crate::window::MINUTE_US;
use crate::zones::Zones;

/// Who is asked about, and with what.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub key: &'a str,
    pub as_of_us: i64,
    pub rows: &'a dyn RowSource,
    /// Values of the request, in the order of [`FeatureView::request`]; those left out are not sent.
    pub request: &'a [Option<f64>],
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Asked").field("key", &self.key).finish_non_exhaustive()
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
        self.read_asked(view, &Asked { key, as_of_us, rows, request: &[] })
    }

    /// [`Store::read`] with values of the request.
    pub fn read_asked(&self, view: &FeatureView, asked: &Asked<'_>) -> FeatureVector {
        let mut read = FeatureRows::with_capacity(view.features().len());
        self.read_asked_into(view, asked, &mut read);
        FeatureVector {
            view: Arc::clone(view.shared_name()),
            fingerprint: Arc::clone(view.fingerprint()),
            names: Arc::clone(view.names()),
            values: read.values,
            statuses: read.statuses,
            event_times_us: read.event_times_us,
            as_of_us: asked.as_of_us.max(self.now_us),
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
        self.read_asked_into(view, &Asked { key, as_of_us, rows, request: &[] }, into)
    }

    /// [`Store::read_into`] with values of the request.
    pub fn read_asked_into(
        &self,
        view: &FeatureView,
        asked: &Asked<'_>,
        into: &mut FeatureRows,
    ) -> bool {
        let as_of_us = asked.as_of_us.max(self.now_us);
        let (entity, plan, key) = (view.entity(), view.plan(), Key::of(asked.key));
        let slot = self.rosters[entity as usize].find_key(key);
        // Everything lies somewhere else in memory: it is asked for all together before any is read.
        let own = own_rows(plan, key, asked.rows);
        if let Some(slot) = slot {
            black_box(self.rosters[entity as usize].series(slot).map(Bundle::warm));
        }
        let mut row = Row::open(plan, (as_of_us, self.zones_at(as_of_us)), into);
        let mut is_known = row.read_registers(key, asked.rows, own) | slot.is_some();
        if let Some(slot) = slot {
            for series in &plan.series {
                self.read_series((entity, slot), series, &mut row);
            }
        }
        // The entity's own row is asked for only where nothing else is known of it.
        let row_is_there = |at| asked.rows.row(at, key).is_some();
        is_known = is_known || entity.table_place().is_some_and(row_is_there);
        if is_known {
            plan.expressions.iter().for_each(|plan| row.work_out(plan, asked.request));
        } else {
            row.statuses.fill(Status::NotFound);
        }
        is_known
    }

    /// By feature of a view: from when on every reading is in it; 0 where all ever were, or where it is not
    /// of readings. Before that, its windows say [`Status::Partial`].
    pub fn since_us(&self, view: &FeatureView) -> Vec<i64> {
        let since_us = |source: &Source| {
            let Source::Window { kind, aggregate, window, .. } = source else { return 0 };
            let place = (view.entity(), Topic::from(*kind), aggregate.part());
            let Some(demand) = self.demands.get(place) else { return 0 };
            let window = window.filter(|_| aggregate.needs_tiles());
            window.map_or(demand.since_us, |window| {
                demand.reach.since_min(window).saturating_mul(MINUTE_US)
            })
        };
        view.features().iter().map(|feature| since_us(&feature.source).max(0)).collect()
    }

    fn read_series(&self, of: (EntityKind, usize), plan: &SeriesPlan, row: &mut Row<'_>) {
        let as_of_us = row.as_of_us;
        let demand = |part| self.demands.get((of.0, plan.topic, part));
        let Some(values) = demand(Part::Values) else { return };
        let place = (plan.topic, Part::Values);
        let series = self.series_at(of, place, values, (as_of_us, false));
        // A silent sensor counts 0; a sensor that never spoke is not there, and says nothing.
        let Some((series, last)) =
            series.and_then(|series| series.last().map(|last| (series, last)))
        else {
            self.read_nothing(of.0, plan, values, row);
            return;
        };
        // Windows stand in the order of their lengths, so one walk over the tiles serves all.
        let mut walk = series.walk();
        for (window, features) in &plan.windows {
            let Some(window) = *window else {
                for (feature, aggregate) in features {
                    let value = series.life().value(*aggregate, last.at_us, as_of_us);
                    let is_partial = if aggregate.needs_tiles() {
                        values.since_us != i64::MIN
                    } else {
                        last.at_us < values.since_us
                    };
                    row.put_of(*feature, value, last.at_us, is_partial);
                }
                continue;
            };
            let start_us = row.zones.start_us(window);
            let is_partial = values.reach.is_partial(window, start_us);
            let is_kept = values.reach.deepest() >= Some(window);
            let summary = match (is_kept, is_partial) {
                (true, false) => walk.down_to(start_us),
                (true, true) => self.read_partly(of, plan.topic, values, (start_us, as_of_us)),
                // Only the newest reading is asked for.
                (false, _) => Summary {
                    last: Some(last).filter(|last| last.at_us >= start_us),
                    ..Summary::default()
                },
            };
            for (feature, aggregate) in features {
                let needs_tiles = aggregate.needs_tiles();
                let value = summary.value(*aggregate, start_us, as_of_us);
                let is_known = !values.reach.counts_only() || !aggregate.needs_values();
                let value = value.filter(|_| is_known && is_kept || !needs_tiles);
                let is_partial = if needs_tiles {
                    is_partial
                } else {
                    // What came before this was kept may be newer than what came late since.
                    last.at_us.max(start_us) < values.since_us
                };
                row.put_of(*feature, value, last.at_us, is_partial);
            }
        }
        for part in &plan.parts {
            let Some(demand) = demand(part.part) else { continue };
            if demand.reach.deepest() < Some(part.window) {
                continue;
            }
            let start_us = row.zones.start_us(part.window);
            let is_partial = demand.reach.is_partial(part.window, start_us);
            let place = (plan.topic, part.part);
            let series = self.series_at(of, place, demand, (as_of_us, is_partial));
            let value = statistic(series.as_ref(), part, as_of_us);
            row.put_of(part.feature, value, last.at_us, is_partial);
        }
    }

    /// Nothing was read since this is kept: where a window began before, that is not known to be all.
    fn read_nothing(
        &self,
        entity: EntityKind,
        plan: &SeriesPlan,
        values: &Demand,
        row: &mut Row<'_>,
    ) {
        let parts = plan.parts.iter().map(|part| (part.feature, part.part, Some(part.window)));
        let windows = plan.windows.iter().flat_map(|(window, features)| {
            features.iter().map(move |(feature, _)| (*feature, Part::Values, *window))
        });
        for (feature, part, window) in windows.chain(parts) {
            let start_us = window.map_or(i64::MIN, |window| row.zones.start_us(window));
            let kept = self.demands.get((entity, plan.topic, part)).zip(window);
            let is_partial = start_us < values.since_us
                || kept.is_some_and(|(kept, window)| kept.reach.is_partial(window, start_us));
            row.put_of(feature, None, 0, is_partial);
        }
    }

    /// A window that begins before its readings were kept.
    fn read_partly(
        &self,
        of: (EntityKind, usize),
        topic: Topic,
        demand: &Demand,
        (start_us, as_of_us): (i64, i64),
    ) -> Summary {
        let series = self.series_at(of, (topic, Part::Values), demand, (as_of_us, true));
        series.map(|series| series.read_from(start_us)).unwrap_or_default()
    }
}

/// How many rows are looked up before the first is read.
const OWN_ROWS: usize = 3;
/// Cells of a view that need no memory of their own while they are read.
const CELLS_FEW: usize = 24;

/// The first register rows of a plan, where they are found by the entity's own key.
fn own_rows<'a>(
    plan: &Plan,
    key: Key<'_>,
    rows: &'a dyn RowSource,
) -> [Option<Cells<'a>>; OWN_ROWS] {
    std::array::from_fn(|at| {
        let row = plan.rows.get(at).filter(|row| row.key.is_none())?;
        rows.row(row.table, key)
    })
}

/// One row while it is being read.
struct Row<'a> {
    plan: &'a Plan,
    as_of_us: i64,
    /// Where each window begins.
    zones: Zones,
    values: &'a mut [f32],
    statuses: &'a mut [Status],
    event_times_us: &'a mut [i64],
}

impl<'a> Row<'a> {
    /// A row of defaults behind those that are there.
    fn open(plan: &'a Plan, (as_of_us, zones): (i64, Zones), into: &'a mut FeatureRows) -> Self {
        let from = into.values.len();
        into.extend(&plan.blank);
        Self {
            plan,
            as_of_us,
            zones,
            values: &mut into.values[from..],
            statuses: &mut into.statuses[from..],
            event_times_us: &mut into.event_times_us[from..],
        }
    }

    /// A value that may rest on too few readings, or the default where there is none.
    fn put_of(&mut self, feature: usize, value: Option<f64>, at_us: i64, is_partial: bool) {
        if let Some(value) = value {
            self.put(feature, value, at_us);
        }
        if is_partial && self.statuses[feature] != Status::Stale {
            self.statuses[feature] = Status::Partial;
        }
    }

    /// A feature out of others, which stand in the row as the vector shows them.
    fn work_out(&mut self, plan: &ExpressionPlan, request: &[Option<f64>]) {
        let is_found = |status| !matches!(status, Status::Default | Status::NotFound);
        let result = plan.expression.evaluate(|at| match plan.inputs[at] {
            Input::Feature(from) => {
                is_found(self.statuses[from]).then_some(f64::from(self.values[from]))
            }
            Input::Request(from, default) => request.get(from).copied().flatten().or(default),
        });
        let Some(value) = result.filter(|value| (*value as f32).is_finite()) else { return };
        let (mut at_us, mut is_stale, mut is_partial) = (0, false, false);
        for input in &plan.inputs {
            if let Input::Feature(from) = *input {
                at_us = self.event_times_us[from].max(at_us);
                is_stale |= self.statuses[from] == Status::Stale;
                is_partial |= self.statuses[from] == Status::Partial;
            }
        }
        self.put_of(plan.feature, Some(value), at_us, is_partial);
        if is_stale {
            self.statuses[plan.feature] = Status::Stale;
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
    fn read_registers<'b>(
        &mut self,
        entity: Key<'b>,
        source: &'b dyn RowSource,
        mut own: [Option<Cells<'b>>; OWN_ROWS],
    ) -> bool {
        let plan = self.plan;
        let (mut few, mut many) = ([CellRef::Null; CELLS_FEW], Vec::new());
        let cells = if let Some(cells) = few.get_mut(..plan.cells) {
            cells
        } else {
            many.resize(plan.cells, CellRef::Null);
            many.as_mut_slice()
        };
        let mut is_known = false;
        for (at, row) in plan.rows.iter().enumerate() {
            let key = match row.key.map(|cell| cells[cell]) {
                None => entity,
                Some(CellRef::Text(key)) => Key::of(key),
                Some(_) => continue,
            };
            let found = match own.get_mut(at) {
                Some(own) if row.key.is_none() => own.take(),
                _ => source.row(row.table, key),
            };
            let Some(mut stored) = found else { continue };
            is_known = true;
            let mut passed = 0;
            for (cell, column) in cells[row.first..].iter_mut().zip(&row.columns) {
                *cell = stored.nth(column - passed).unwrap_or_default();
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
        fn row(&self, table: usize, key: Key<'_>) -> Option<Cells<'_>> {
            let key = String::from_utf8(key.bytes().to_vec()).unwrap();
            self.0.get(&(table, key)).map(|bytes| Cells::of(bytes))
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
    fn expressions_see_what_the_vector_shows() {
        use Status::{Default, Present, Stale};
        let view = FeatureView::parse(
            "name = 'v'\nentity = 'resident'\nversion = 1\n\
             request = [{ name = 'visits' }, { name = 'weight', default = 2 }]\nfeature = [\n\
             { name = 'doors', kind = 'door', aggregate = 'count', window = '1h' },\n\
             { name = 'gas', kind = 'gas', aggregate = 'mean', window = '1h', default = 5, ttl_us = 60_000_000 },\n\
             { name = 'both', expression = 'doors + gas', default = -1 },\n\
             { name = 'either', expression = 'coalesce(gas, doors) * request.weight' },\n\
             { name = 'sent', expression = 'request.visits + either', default = 7 },\n]",
        )
        .unwrap();
        let mut store = Store::serving([view.clone()].iter());
        store.advance(NOW_US);
        store.record(EntityKind::Resident, "r", Kind::Door, NOW_US - 5, 1.0);
        let read = |store: &Store, request: &[Option<f64>]| {
            store.read_asked(&view, &Asked { key: "r", as_of_us: NOW_US, rows: &(), request })
        };
        let vector = read(&store, &[]);
        assert_eq!(vector.values, [1.0, 5.0, -1.0, 2.0, 7.0]);
        assert_eq!(vector.statuses, [Present, Default, Default, Present, Default]);
        assert_eq!(vector.event_times_us, [NOW_US - 5, 0, 0, NOW_US - 5, 0]);
        store.record(EntityKind::Resident, "r", Kind::Gas, NOW_US - HOUR_US, 0.5);
        let vector = read(&store, &[Some(3.0), Some(10.0)]);
        assert_eq!(vector.values, [1.0, 0.5, 1.5, 5.0, 8.0]);
        assert_eq!(vector.statuses, [Present, Stale, Stale, Stale, Stale]);
        let unknown = Asked { key: "nobody", as_of_us: NOW_US, rows: &(), request: &[Some(1.0)] };
        assert_eq!(store.read_asked(&view, &unknown).statuses, [Status::NotFound; 5]);
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
