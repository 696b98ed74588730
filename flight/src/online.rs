//! All online values as of one log index, on their way to somebody who checks them.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, Float32Builder, Int8Builder, Int64Array, Int64Builder, ListBuilder,
        RecordBatch, StringArray,
    },
    compute::cast,
    datatypes::{DataType, Field, Float32Type, Int8Type, Int64Type, Schema, SchemaRef},
};
use features::Status;

use crate::{Error, LOG_INDEX_KEY};

/// The keys of the schema's metadata that say the log's time, and each view's TOML text by its place.
pub const CLOCK_KEY: &str = "hearth.clock_us";
pub const VIEW_KEY: &str = "hearth.view.";

/// What the online store holds at one moment.
pub struct Online {
    pub log_index: u64,
    /// The log's time, which windows and ages are read at.
    pub clock_us: i64,
    /// The TOML texts of the views.
    pub views: Vec<String>,
    pub rows: Box<dyn Iterator<Item = OnlineRow> + Send>,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Online").field("log_index", &self.log_index).finish_non_exhaustive()
    }
}

/// One entity in one view; the lists are in the order of the view's features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnlineRow {
    /// The view's place in [`Online::views`].
    pub view: usize,
    pub key: String,
    pub values: Vec<f32>,
    /// [`status_code`] of each.
    pub statuses: Vec<i8>,
    pub event_times_us: Vec<i64>,
}

/// A status as a small number.
pub const fn status_code(status: Status) -> i8 {
    match status {
        Status::Present => 0,
        Status::Default => 1,
        Status::Stale => 2,
        Status::NotFound => 3,
        Status::Partial => 4,
    }
}

pub fn online_schema(online: &Online) -> SchemaRef {
    let mut told = HashMap::from([
        (LOG_INDEX_KEY.to_owned(), online.log_index.to_string()),
        (CLOCK_KEY.to_owned(), online.clock_us.to_string()),
    ]);
    for (at, view) in online.views.iter().enumerate() {
        told.insert(format!("{VIEW_KEY}{at}"), view.clone());
    }
    Arc::new(Schema::new_with_metadata(fields(), told))
}

fn fields() -> Vec<Field> {
    let list = |name: &str, kind: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new_list_field(kind, true))), false)
    };
    vec![
        Field::new("view", DataType::Int64, false),
        Field::new("key", DataType::Utf8, false),
        list("online_values", DataType::Float32),
        list("online_statuses", DataType::Int8),
        list("online_times", DataType::Int64),
    ]
}

pub fn online_batch(schema: &SchemaRef, rows: &[OnlineRow]) -> Result<RecordBatch, Error> {
    let mut values = ListBuilder::new(Float32Builder::new());
    let mut statuses = ListBuilder::new(Int8Builder::new());
    let mut times = ListBuilder::new(Int64Builder::new());
    for row in rows {
        values.values().append_slice(&row.values);
        values.append(true);
        statuses.values().append_slice(&row.statuses);
        statuses.append(true);
        times.values().append_slice(&row.event_times_us);
        times.append(true);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.view as i64)).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.key))),
        Arc::new(values.finish()),
        Arc::new(statuses.finish()),
        Arc::new(times.finish()),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Rows from five columns in the order of [`online_batch`], wherever they stand.
pub fn online_rows(columns: &[ArrayRef]) -> Result<Vec<OnlineRow>, Error> {
    let wrong = || Error::Internal("these are no columns of online values".to_owned());
    let [views, keys, values, statuses, times] = columns else { return Err(wrong()) };
    let views = views.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    // DuckDB may give texts in their other form.
    let keys = cast(keys, &DataType::Utf8)?;
    let keys = keys.as_string_opt::<i32>().ok_or_else(wrong)?;
    let list = |array: &ArrayRef| array.as_list_opt::<i32>().cloned().ok_or_else(wrong);
    let (values, statuses, times) = (list(values)?, list(statuses)?, list(times)?);
    (0..views.len())
        .map(|at| {
            let (values, statuses, times) = (values.value(at), statuses.value(at), times.value(at));
            Ok(OnlineRow {
                view: views.value(at) as usize,
                key: keys.value(at).to_owned(),
                values: values
                    .as_primitive_opt::<Float32Type>()
                    .ok_or_else(wrong)?
                    .values()
                    .to_vec(),
                statuses: statuses
                    .as_primitive_opt::<Int8Type>()
                    .ok_or_else(wrong)?
                    .values()
                    .to_vec(),
                event_times_us: times
                    .as_primitive_opt::<Int64Type>()
                    .ok_or_else(wrong)?
                    .values()
                    .to_vec(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lead_back() {
        let rows = vec![
            OnlineRow {
                view: 1,
                key: "甲".to_owned(),
                values: vec![0.5, -0.0],
                statuses: vec![0, 3],
                event_times_us: vec![7, 0],
            },
            OnlineRow { key: "b".to_owned(), ..OnlineRow::default() },
        ];
        let online = Online {
            log_index: 9,
            clock_us: 8,
            views: vec!["a".to_owned(), "b".to_owned()],
            rows: Box::new(std::iter::empty()),
        };
        let schema = online_schema(&online);
        assert_eq!(schema.metadata()["hearth.view.1"], "b");
        let batch = online_batch(&schema, &rows).unwrap();
        assert_eq!(online_rows(batch.columns()).unwrap(), rows);
        assert!(online_rows(&batch.columns()[1..]).is_err());
    }
}
