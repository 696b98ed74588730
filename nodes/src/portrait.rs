//! One resident whole, and the live features as rows: read from memory, no query.

use crate::state::{Alert, State};
use features::table::{Cell, Table};
use features::{CellRef, EntityKind, Part, Status, Transform};
use features::{civil, fixed};
use flight::{FeatureRow, Indicator, LastEvent, Portrait};
use std::sync::Arc;

/// Rows of one section of a portrait at most.
const SECTION_ROWS_MAX: usize = 200;
/// Entities whose features are read while the state is held once.
const ENTITIES_PER_PAGE: usize = 500;

/// The portrait of a resident that the registers know.
pub(crate) fn of(state: &State, resident_key: &str) -> Option<Portrait> {
    let resident = state.rows.get("resident", resident_key.as_bytes())?;
    let text = |table: &str, row: &[Cell], column: &str| {
        cell(table, row, column)?.as_text().map(str::to_owned)
    };
    let household_id = text("resident", &resident, "household_id");
    let household = household_id.and_then(|id| state.rows.get("household", id.as_bytes()));
    let dwelling_id = state.homes().dwelling_of_resident(resident_key);
    let alerts = state
        .alerts
        .iter()
        .rev()
        .filter(|alert| alert.is_open())
        .filter(|alert| {
            alert.resident_key == resident_key || Some(alert.dwelling_id.as_str()) == dwelling_id
        })
        .take(SECTION_ROWS_MAX)
        .map(Alert::to_row)
        .collect();
    Some(Portrait {
        age: age(state, resident_key),
        region: dwelling_id.and_then(|id| state.homes().region_of(id).map(str::to_owned)),
        dwelling: dwelling_id.and_then(|id| state.rows.get("dwelling", id.as_bytes())),
        devices: dwelling_id.map_or_else(Vec::new, |id| devices(state, id)),
        tags: keyed(state, "tag", resident_key),
        relations: keyed(state, "relation", resident_key),
        subsidies: state
            .homes()
            .subsidies_of(resident_key)
            .filter_map(|id| state.rows.get("subsidy", id.as_bytes()))
            .collect(),
        indicators: indicators(state, resident_key),
        alerts,
        events: last_events(state, resident_key),
        household,
        resident,
    })
}

fn cell<'a>(table: &str, row: &'a [Cell], column: &str) -> Option<&'a Cell> {
    row.get(civil::table(table)?.position(column)?)
}

fn keyed(state: &State, table: &str, resident_key: &str) -> Vec<Vec<Cell>> {
    civil::table(table).map_or_else(Vec::new, |table: &Table| {
        state.rows.with_first_key(table, resident_key, SECTION_ROWS_MAX)
    })
}

fn devices(state: &State, dwelling: &str) -> Vec<Vec<Cell>> {
    let devices = state.homes().devices_of_dwelling(dwelling);
    devices
        .filter_map(|id| state.rows.get("device", id.as_bytes()))
        .take(SECTION_ROWS_MAX)
        .collect()
}

fn age(state: &State, resident_key: &str) -> Option<i64> {
    let resident = state.rows.get("resident", resident_key.as_bytes())?;
    let born = CellRef::from(cell("resident", &resident, "birth_ym")?);
    Transform::YearsSince.apply(born, state.clock_us).map(|years| years as i64)
}

/// The newest score of every model, then the live features of the resident's view.
fn indicators(state: &State, resident_key: &str) -> Vec<Indicator> {
    let scores = state.scores.of(resident_key).map(|score| Indicator {
        name: score.model().to_owned(),
        value: Some(score.score()),
        band: Some(score.band().to_owned()),
        model: Some(score.model().to_owned()),
        version: Some(score.version().to_owned()),
        event_time_us: Some(score.scored_us()),
        known_us: Some(state.clock_us),
        status: Status::Present.as_str().to_owned(),
        log_index: Some(score.read_index()),
    });
    let features = state.views.current("resident_activity").into_iter().flat_map(|view| {
        let vector = state.features.read(view, resident_key, state.clock_us, state.registers());
        let known = |status: &Status| !matches!(status, Status::Default | Status::NotFound);
        let places = (0..vector.names.len()).filter(|at| known(&vector.statuses[*at]));
        places
            .map(|at| Indicator {
                name: vector.names[at].clone(),
                value: Some(f64::from(vector.values[at])),
                event_time_us: Some(vector.event_times_us[at]).filter(|us| *us != 0),
                known_us: Some(vector.as_of_us),
                status: vector.statuses[at].as_str().to_owned(),
                log_index: Some(state.applied),
                ..Indicator::default()
            })
            .collect::<Vec<_>>()
    });
    scores.chain(features).collect()
}

fn last_events(state: &State, resident_key: &str) -> Vec<LastEvent> {
    let mut events: Vec<LastEvent> = state
        .features
        .series(EntityKind::Resident, resident_key)
        .filter(|series| series.part() == Part::Values)
        .filter_map(|series| Some((series.kind()?, series.last()?)))
        .map(|(kind, last)| LastEvent {
            kind: kind.as_str().to_owned(),
            ts_us: last.at_us,
            value: Some(fixed::from_micros(last.value)),
        })
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.ts_us));
    events
}

/// One page of `feature_current`: the built-in views over the entities that have features.
pub(crate) fn feature_page(state: &State, page: usize) -> Option<Vec<FeatureRow>> {
    let mut rows = Vec::new();
    let mut any = false;
    for view in state.views.all_current() {
        let (kind, name): (Arc<str>, Arc<str>) =
            (view.entity().as_str().into(), view.name().into());
        let names: Vec<Arc<str>> =
            view.features().iter().map(|feature| feature.name.as_str().into()).collect();
        for key in state
            .features
            .entities(view.entity())
            .skip(page * ENTITIES_PER_PAGE)
            .take(ENTITIES_PER_PAGE)
        {
            any = true;
            let vector = state.features.read(view, key, state.clock_us, state.registers());
            let key: Arc<str> = key.into();
            for (at, feature) in names.iter().enumerate() {
                rows.push(FeatureRow {
                    entity_kind: Arc::clone(&kind),
                    entity_key: Arc::clone(&key),
                    view: Arc::clone(&name),
                    feature: Arc::clone(feature),
                    value: vector.values.get(at).map(|value| f64::from(*value)),
                    event_time_us: vector.event_times_us.get(at).copied().filter(|us| *us != 0),
                    status: vector.statuses.get(at).map_or("", |status| status.as_str()).into(),
                    known_us: state.clock_us,
                    log_index: state.applied,
                });
            }
        }
    }
    any.then_some(rows)
}
