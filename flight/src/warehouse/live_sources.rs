//! What the live tables hold: features, nodes, one portrait.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, new_empty_array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};

use super::live_tables::{Failure, Source};
use crate::{FeatureRow, Live, NodeRow, portrait_batch, portrait_schema};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// One column: its name, its type, and how it is taken from a row.
pub(super) struct Taken<R> {
    name: &'static str,
    from: From<R>,
}

pub(super) enum From<R> {
    Text(fn(&R) -> &str),
    Number(fn(&R) -> Option<u64>),
    Real(fn(&R) -> Option<f64>),
    Time(fn(&R) -> Option<i64>),
    Bool(fn(&R) -> bool),
}

pub(super) const fn taken<R>(name: &'static str, from: From<R>) -> Taken<R> {
    Taken { name, from }
}

pub(super) fn schema_of<R>(columns: &[Taken<R>]) -> SchemaRef {
    let field = |column: &Taken<R>| {
        let kind = match column.from {
            From::Text(_) => DataType::Utf8,
            From::Number(_) => DataType::Int64,
            From::Real(_) => DataType::Float64,
            From::Time(_) => TIME,
            From::Bool(_) => DataType::Boolean,
        };
        Field::new(column.name, kind, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

pub(super) fn column_of<R>(column: &Taken<R>, rows: &[R]) -> ArrayRef {
    match column.from {
        From::Text(of) => Arc::new(StringArray::from_iter_values(rows.iter().map(of))),
        From::Number(of) => {
            let number = |row| of(row).map(|each| each as i64);
            Arc::new(rows.iter().map(number).collect::<Int64Array>())
        }
        From::Real(of) => Arc::new(rows.iter().map(of).collect::<Float64Array>()),
        From::Time(of) => Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>()),
        From::Bool(of) => Arc::new(rows.iter().map(|row| Some(of(row))).collect::<BooleanArray>()),
    }
}

pub(super) struct FeatureTable;

const FEATURE: &[Taken<FeatureRow>] = &[
    taken("entity_kind", From::Text(|row| &row.entity_kind)),
    taken("entity_key", From::Text(|row| &row.entity_key)),
    taken("view", From::Text(|row| &row.view)),
    taken("feature", From::Text(|row| &row.feature)),
    taken("value", From::Real(|row| row.value)),
    taken("event_time", From::Time(|row| row.event_time_us)),
    taken("status", From::Text(|row| &row.status)),
    taken("known_at", From::Time(|row| Some(row.known_us))),
    taken("log_index", From::Number(|row| Some(row.log_index))),
];

impl Source for FeatureTable {
    type Row = FeatureRow;

    fn schema() -> SchemaRef {
        schema_of(FEATURE)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<FeatureRow>>, Failure> {
        Ok(live.feature_page(page))
    }

    fn column(rows: &[FeatureRow], at: usize) -> ArrayRef {
        column_of(&FEATURE[at], rows)
    }
}

pub(super) struct NodeTable;

const NODE: &[Taken<NodeRow>] = &[
    taken("node", From::Number(|row| Some(row.id))),
    taken("district", From::Text(|row| &row.group)),
    taken("role", From::Text(|row| &row.role)),
    taken("state", From::Text(|row| &row.state)),
    taken("leader", From::Bool(|row| row.role == "leader")),
    taken("term", From::Number(|row| row.term)),
    taken("committed_index", From::Number(|row| row.committed_index)),
    taken("applied_index", From::Number(|row| row.applied_index)),
    taken("recorded_index", From::Number(|row| row.recorded_index)),
    taken("grpc", From::Text(|row| &row.grpc)),
    taken("flight", From::Text(|row| &row.flight)),
    taken("raft", From::Text(|row| &row.raft)),
    taken("http", From::Text(|row| &row.http)),
    taken("version", From::Text(|row| &row.version)),
    taken("started", From::Time(|row| row.started_us)),
];

impl Source for NodeTable {
    type Row = NodeRow;

    fn schema() -> SchemaRef {
        schema_of(NODE)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<NodeRow>>, Failure> {
        Ok((page == 0).then(|| live.nodes()))
    }

    fn column(rows: &[NodeRow], at: usize) -> ArrayRef {
        column_of(&NODE[at], rows)
    }
}

/// Its one row is a batch already.
pub(super) struct PortraitTable;

impl Source for PortraitTable {
    type Row = RecordBatch;
    const KEYED: bool = true;

    fn schema() -> SchemaRef {
        portrait_schema()
    }

    fn page(live: &dyn Live, key: &str, page: usize) -> Result<Option<Vec<RecordBatch>>, Failure> {
        if page > 0 {
            return Ok(None);
        }
        let Some(found) = live.portrait(key) else { return Ok(None) };
        Ok(Some(vec![portrait_batch(Some(&found), live.log_index())?]))
    }

    fn column(rows: &[RecordBatch], at: usize) -> ArrayRef {
        let empty = || new_empty_array(Self::schema().field(at).data_type());
        rows.first().map_or_else(empty, |batch| Arc::clone(batch.column(at)))
    }
}
