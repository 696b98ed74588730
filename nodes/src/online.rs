//! Every online value as of one log index: a copy of the features and the registers, which costs next
//! to nothing to take, is read while the log goes on.

use crate::state::{FrozenRows, State};
use features::{EntityKind, FeatureView, Store};
use flight::{Online, OnlineRow, status_code};
use std::sync::Arc;

/// What the values are read from.
struct Copy {
    features: Store,
    rows: FrozenRows,
    clock_us: i64,
}

/// The values of these views for all entities that have readings or a register row.
pub(crate) fn read(state: &State, views: Vec<Arc<FeatureView>>) -> Result<Online, flight::Error> {
    let broken = |error: features::ViewError| flight::Error::Internal(error.to_string());
    let texts =
        views.iter().map(|view| view.to_toml()).collect::<Result<_, _>>().map_err(broken)?;
    let copy = Arc::new(Copy {
        features: state.features.clone(),
        rows: state.rows.freeze(),
        clock_us: state.clock_us,
    });
    let rows = views.into_iter().enumerate().flat_map(move |(at, view)| {
        let (copy, keys) = (Arc::clone(&copy), keys(&copy, view.entity()));
        keys.into_iter().map(move |key| copy.row(at, &view, key))
    });
    Ok(Online {
        log_index: state.applied,
        clock_us: state.clock_us,
        views: texts,
        rows: Box::new(rows),
    })
}

fn keys(copy: &Copy, entity: EntityKind) -> Vec<String> {
    let known = copy.features.entities(entity).map(str::to_owned);
    let table = entity.table().map_or("", |table| table.name);
    let others = copy.rows.keys(table).filter(|key| copy.features.find(entity, key).is_none());
    known.chain(others.map(str::to_owned)).collect()
}

impl Copy {
    fn row(&self, view_at: usize, view: &FeatureView, key: String) -> OnlineRow {
        let read = self.features.read(view, &key, self.clock_us, &self.rows);
        OnlineRow {
            view: view_at,
            key,
            values: read.values,
            statuses: read.statuses.into_iter().map(status_code).collect(),
            event_times_us: read.event_times_us,
        }
    }
}
