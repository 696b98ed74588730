//! Everything that the comparison needs, as of one log index.

use super::Part;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use features::FeatureView;
use flight::{CLOCK_KEY, Client, Error, LOG_INDEX_KEY, Scratch, VIEW_KEY};
use futures::TryStreamExt as _;
use std::collections::HashMap;
use std::pin::pin;

/// Log entries that are asked for first; then so many that about `ROWS_AIM` rows come.
const ENTRIES_FIRST: u64 = 1_000;
const ROWS_AIM: u64 = 500_000;

const EVENTS: &str =
    "SELECT device_id, dwelling_id, ts, kind, value, recv_ts, log_index FROM sensor_event";
const REGISTERS: &str =
    "SELECT register, key, log_index, seq, events_before, recv_ts, cells FROM register_history";

pub(super) struct Copied {
    pub(super) log_index: u64,
    pub(super) clock_us: i64,
    pub(super) views: Vec<FeatureView>,
    pub(super) events: u64,
    pub(super) registers: u64,
}

pub(super) async fn copy(
    client: &mut Client,
    view: &str,
    part: Part,
    scratch: &Scratch,
) -> Result<Copied, Error> {
    let (log_index, clock_us, views) = {
        let (schema, rows) = client.online(view).await?;
        scratch.create("online", &schema)?;
        let mut rows = pin!(rows);
        while let Some(batch) = rows.try_next().await? {
            scratch.append("online", &batch)?;
        }
        told(&schema)?
    };
    // The warehouse is behind the state by a moment.
    client.wait_for(log_index);
    let wanted = (EVENTS, part.of_events());
    let events =
        copy_rows(client, scratch, ("sensor_event", &wanted, &events()), log_index).await?;
    let wanted = (REGISTERS, String::new());
    let registers =
        copy_rows(client, scratch, ("register_history", &wanted, &registers()), log_index).await?;
    Ok(Copied { log_index, clock_us, views, events, registers })
}

fn told(schema: &Schema) -> Result<(u64, i64, Vec<FeatureView>), Error> {
    let wrong = || Error::Internal("the node does not say what its values are of".to_owned());
    let text = |key: &str| schema.metadata().get(key);
    let index = text(LOG_INDEX_KEY).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    let clock_us = text(CLOCK_KEY).and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    let texts = (0..).map_while(|at| text(&format!("{VIEW_KEY}{at}")));
    let views = texts
        .map(|text| FeatureView::parse(text))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Internal(format!("{error}; use a newer program")))?;
    Ok((index, clock_us, views))
}

async fn copy_rows(
    client: &mut Client,
    scratch: &Scratch,
    (table, (select, only), schema): (&str, &(&str, String), &Schema),
    through: u64,
) -> Result<u64, Error> {
    scratch.create(table, schema)?;
    let (mut after, mut step, mut copied) = (0, ENTRIES_FIRST, 0);
    while after < through {
        let upto = through.min(after + step);
        let sql = format!("{select} WHERE log_index > {after} AND log_index <= {upto}{only}");
        let mut rows = pin!(client.stream(&sql).await?);
        let mut got = 0;
        while let Some(batch) = rows.try_next().await? {
            got += batch.num_rows() as u64;
            scratch.append(table, &plain(&batch))?;
        }
        copied += got;
        after = upto;
        // A query has its time, whatever stands in the entries.
        step = (step * ROWS_AIM).checked_div(got).map_or(step * 4, |rows| rows.clamp(1, step * 4));
    }
    Ok(copied)
}

/// Without what the schema says beside the columns.
fn plain(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema().as_ref().clone().with_metadata(HashMap::new());
    batch.clone().with_schema(schema.into()).unwrap_or_else(|_| batch.clone())
}

fn events() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Schema::new(vec![
        text("device_id"),
        text("dwelling_id"),
        time("ts"),
        text("kind"),
        Field::new("value", DataType::Float64, true),
        time("recv_ts"),
        whole("log_index"),
    ])
}

fn registers() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Schema::new(vec![
        text("register"),
        text("key"),
        whole("log_index"),
        whole("seq"),
        whole("events_before"),
        time("recv_ts"),
        text("cells"),
    ])
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true)
}

fn whole(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}
