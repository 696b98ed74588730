//! The values of a request, read at one log index, and their message.

use super::asked::{Asked, Keys, Wanted, key_text};
use crate::proto::feast::serving::get_online_features_response::FeatureVector as Column;
use crate::proto::feast::serving::{
    FeatureList, FeatureViewMetadata, FieldStatus, GetOnlineFeaturesResponse,
    GetOnlineFeaturesResponseMetadata,
};
use crate::proto::feast::types::{Value, value::Val};
use crate::serving::Sent;
use crate::state::State;
use features::{FeatureVector, FeatureView, Status as Found};
use prost_types::Timestamp;
use std::collections::BTreeMap;
use tonic::Status;

/// The columns in the order of their names, those of the entities first.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) views: Vec<FeatureViewMetadata>,
    pub(super) log_index: u64,
    /// The log's time: what was received until then is in the values.
    pub(super) known_us: i64,
}

impl Answer {
    pub(super) fn read(state: &State, asked: Asked, wanted: &[Wanted]) -> Result<Self, Status> {
        let known_us = state.clock_us;
        let rows = asked.rows();
        let mut names: Vec<String> = asked.keys.iter().map(|keys| keys.name.clone()).collect();
        names.extend(wanted.iter().map(|each| each.name(asked.full_names)));
        let mut columns: Vec<Column> = wanted.iter().map(|_| Column::default()).collect();
        // Every view is read once for each of its entities.
        let views: BTreeMap<(&str, usize), &FeatureView> =
            wanted.iter().map(|each| ((each.view.name(), each.keys), &*each.view)).collect();
        let sent = views.iter().map(|(of, view)| Ok((*of, asked.sent(view)?)));
        let sent: BTreeMap<(&str, usize), Sent> = sent.collect::<Result<_, Status>>()?;
        let registers = state.registers();
        for row in 0..rows {
            let read: BTreeMap<(&str, usize), FeatureVector> = views
                .iter()
                .map(|(of, view)| {
                    let key = key_text(&asked.keys[of.1].values[row]);
                    let request = sent.get(of).map_or(&[][..], |sent| sent.row(row));
                    let asked =
                        features::Asked { key: &key, as_of_us: known_us, rows: registers, request };
                    (*of, state.features.read_asked(view, &asked))
                })
                .collect();
            for (each, column) in wanted.iter().zip(&mut columns) {
                if let Some(vector) = read.get(&(each.view.name(), each.keys)) {
                    put(column, vector, each.feature, asked.with_defaults);
                }
            }
        }
        let views = if asked.with_versions { versions(wanted) } else { Vec::new() };
        let mut all: Vec<Column> =
            asked.keys.into_iter().map(|keys| echo(keys, known_us)).collect();
        all.append(&mut columns);
        Ok(Self { names, columns: all, views, log_index: state.applied, known_us })
    }

    pub(super) fn into_message(self) -> GetOnlineFeaturesResponse {
        GetOnlineFeaturesResponse {
            metadata: Some(GetOnlineFeaturesResponseMetadata {
                feature_names: Some(FeatureList { val: self.names }),
                feature_view_metadata: self.views,
            }),
            results: self.columns,
            status: true,
        }
    }
}

fn put(column: &mut Column, vector: &FeatureVector, at: usize, with_defaults: bool) {
    let status = match vector.statuses[at] {
        // A value of fewer readings than its window had is a value.
        Found::Present | Found::Partial => FieldStatus::Present,
        Found::Default => FieldStatus::NullValue,
        Found::Stale => FieldStatus::OutsideMaxAge,
        Found::NotFound => FieldStatus::NotFound,
    };
    let is_there =
        with_defaults || matches!(status, FieldStatus::Present | FieldStatus::OutsideMaxAge);
    let value = is_there.then(|| Val::FloatVal(vector.values[at]));
    column.values.push(Value { val: value });
    column.statuses.push(status.into());
    column.event_timestamps.push(timestamp(vector.event_times_us[at]));
}

/// The keys as they came.
fn echo(keys: Keys, known_us: i64) -> Column {
    let count = keys.values.len();
    Column {
        values: keys.values,
        statuses: vec![FieldStatus::Present.into(); count],
        event_timestamps: vec![timestamp(known_us); count],
    }
}

fn versions(wanted: &[Wanted]) -> Vec<FeatureViewMetadata> {
    let views: BTreeMap<&str, u32> =
        wanted.iter().map(|each| (each.view.name(), each.view.version())).collect();
    let told = views.into_iter().map(|(name, version)| FeatureViewMetadata {
        name: name.to_owned(),
        version: i32::try_from(version).unwrap_or(i32::MAX),
    });
    told.collect()
}

fn timestamp(at_us: i64) -> Timestamp {
    Timestamp {
        seconds: at_us.div_euclid(1_000_000),
        nanos: (at_us.rem_euclid(1_000_000) * 1_000) as i32,
    }
}
