//! The columns of `sensor_event` as Arrow arrays, buffer by buffer.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
};
use features::{EventColumns, Texts, table::Table};

use crate::{Error, table_schema};

/// One batch of all rows, in the order of the table's columns.
pub(crate) fn event_batch(table: &Table, events: &EventColumns) -> Result<RecordBatch, Error> {
    let ints = |column: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(column.to_vec())) };
    let times =
        |column: &[i64]| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(column.to_vec())) };
    let dwellings = NullBuffer::from(events.has_dwelling.as_slice());
    let columns = vec![
        texts(&events.source, None)?,
        texts(&events.event_id, None)?,
        texts(&events.device_id, None)?,
        texts(&events.dwelling_id, Some(dwellings))?,
        times(&events.event_time_us),
        texts(&events.kind, None)?,
        Arc::new(Float64Array::from(events.value.clone())),
        texts(&events.unit, None)?,
        texts(&events.quality, None)?,
        times(&events.received_us),
        ints(&events.boot_id),
        ints(&events.seq),
        ints(&events.log_index),
    ];
    Ok(RecordBatch::try_new(table_schema(table), columns)?)
}

fn texts(column: &Texts, nulls: Option<NullBuffer>) -> Result<ArrayRef, Error> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(column.offsets().to_vec()));
    let text = Buffer::from(column.text().as_bytes());
    Ok(Arc::new(StringArray::try_new(offsets, text, nulls)?))
}

#[cfg(test)]
mod tests {
    use features::{EventRow, civil};

    use super::*;
    use crate::rows_to_batch;

    #[test]
    fn columns_are_the_batch_of_their_rows() {
        let mut events = EventColumns::default();
        for (id, dwelling_id) in [("e-1", Some("w")), ("事件", None), ("", Some(""))] {
            events.push(&EventRow {
                source: "g",
                event_id: id,
                device_id: "d",
                dwelling_id,
                event_time_us: 5,
                kind: "door",
                value: -0.5,
                unit: "",
                quality: "good",
                received_us: 6,
                boot_id: 7,
                seq: u64::MAX,
                log_index: 9,
            });
        }
        let table = civil::table("sensor_event").unwrap();
        let rows: Vec<_> = (0..events.len()).filter_map(|at| events.row(at)).collect();
        assert_eq!(event_batch(table, &events).unwrap(), rows_to_batch(table, &rows).unwrap());
        let none = event_batch(table, &EventColumns::default()).unwrap();
        assert_eq!(none.num_rows(), 0);
    }
}
