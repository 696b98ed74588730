//! What the live table of department feeds holds.

use arrow::{array::ArrayRef, datatypes::SchemaRef};

use super::{
    live_sources::{From, Taken, column_of, schema_of, taken},
    live_tables::{Failure, Source},
};
use crate::{FeedRow, Live};

pub(super) struct FeedTable;

const FEED: &[Taken<FeedRow>] = &[
    taken("feed", From::Text(|row| &row.feed)),
    taken("department", From::Text(|row| &row.department)),
    taken("table_name", From::Text(|row| &row.table)),
    taken("version", From::Number(|row| Some(row.version))),
    taken("last_event_time", From::Time(|row| row.last_event_us)),
    taken("watermark", From::Time(|row| row.watermark_us)),
    taken("received", From::Time(|row| row.received_us)),
    taken("lag_s", From::Real(|row| row.lag_s)),
    taken("stale", From::Bool(|row| row.stale)),
    taken("rows", From::Number(|row| Some(row.rows))),
    taken("applied", From::Number(|row| Some(row.applied))),
    taken("superseded", From::Number(|row| Some(row.superseded))),
    taken("duplicates", From::Number(|row| Some(row.duplicates))),
    taken("late", From::Number(|row| Some(row.late))),
    taken("rejected", From::Number(|row| Some(row.rejected))),
    taken("withdrawn", From::Number(|row| Some(row.withdrawn))),
    taken("missing", From::Number(|row| Some(row.missing))),
];

impl Source for FeedTable {
    type Row = FeedRow;

    fn schema() -> SchemaRef {
        schema_of(FEED)
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<Vec<FeedRow>>, Failure> {
        Ok((page == 0).then(|| live.feeds()))
    }

    fn column(rows: &[FeedRow], at: usize) -> ArrayRef {
        column_of(&FEED[at], rows)
    }
}
