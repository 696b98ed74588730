//! Table functions that read the node's resident state.
//!
//! Each open warehouse has a number, and the views of `schema/views.sql` pass it.

use std::{
    error::Error as StdError,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema, SchemaRef},
};
use duckdb::{
    Connection,
    core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId},
    vtab::{
        BindInfo, InitInfo, TableFunctionInfo, VTab, record_batch_to_duckdb_data_chunk,
        to_duckdb_logical_type_for_field,
    },
};
use parking_lot::{Mutex, RwLock};

use super::feed_source::FeedTable;
use super::held::{CHUNK_ROWS, Held};
use super::live_lists;
use super::live_sources::{FeatureTable, NodeTable, PortraitTable};
use super::watch_sources::{CalibrationTable, DriftTable, GroupTable};
use crate::Live;

type Slot = RwLock<Option<Weak<dyn Live>>>;
pub(super) type Failure = Box<dyn StdError>;

static SLOTS: Held<u64, Slot> = Held::new();
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One warehouse's place for the node.
pub(super) struct LiveTables {
    id: u64,
    slot: Arc<Slot>,
}

impl std::fmt::Debug for LiveTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTables").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LiveTables {
    pub(super) fn register(connection: &Connection) -> duckdb::Result<Self> {
        let tables = Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), slot: Arc::default() };
        SLOTS.hold(tables.id, &tables.slot);
        connection.register_table_function::<LiveTable<FeatureTable>>("hearth_live_features")?;
        connection.register_table_function::<LiveTable<NodeTable>>("hearth_live_nodes")?;
        connection.register_table_function::<LiveTable<PortraitTable>>("hearth_live_portrait")?;
        connection.register_table_function::<LiveTable<FeedTable>>("hearth_live_feeds")?;
        connection.register_table_function::<LiveTable<DriftTable>>("hearth_live_drift")?;
        connection.register_table_function::<LiveTable<GroupTable>>("hearth_live_groups")?;
        connection
            .register_table_function::<LiveTable<CalibrationTable>>("hearth_live_calibration")?;
        live_lists::register(connection)?;
        Ok(tables)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn attach(&self, live: &Arc<dyn Live>) {
        *self.slot.write() = Some(Arc::downgrade(live));
    }
}

fn live_of(id: u64) -> Result<Arc<dyn Live>, Failure> {
    let live = SLOTS.find(&id).and_then(|slot| slot.read().as_ref().and_then(Weak::upgrade));
    live.ok_or_else(|| "this warehouse is not attached to a running node".into())
}

/// What one of the functions gives: its columns, and its rows page by page.
pub(super) trait Source: Send + Sync + 'static {
    type Row: Send + Sync;
    /// Whether a resident's key follows the number.
    const KEYED: bool = false;
    fn schema() -> SchemaRef;
    /// The rows of a page; `None` after the last.
    fn page(live: &dyn Live, key: &str, page: usize) -> Result<Option<Vec<Self::Row>>, Failure>;
    /// One column of some rows.
    fn column(rows: &[Self::Row], at: usize) -> ArrayRef;
}

struct LiveTable<S>(std::marker::PhantomData<S>);

pub(super) struct Bound {
    id: u64,
    key: String,
}

/// Where a scan stands: the wanted columns, the next page, and how far the present one was read.
pub(super) struct Scan<R> {
    columns: Vec<usize>,
    next_page: usize,
    rows: Vec<R>,
    at: usize,
}

impl<S: Source> VTab for LiveTable<S> {
    type InitData = Mutex<Scan<S::Row>>;
    type BindData = Bound;

    fn bind(bind: &BindInfo) -> Result<Bound, Failure> {
        for field in S::schema().fields() {
            bind.add_result_column(field.name(), to_duckdb_logical_type_for_field(field)?);
        }
        let key = if S::KEYED { bind.get_parameter(1).to_string() } else { String::new() };
        Ok(Bound { id: bind.get_parameter(0).to_int64().unsigned_abs(), key })
    }

    fn init(info: &InitInfo) -> Result<Self::InitData, Failure> {
        let columns = info.get_column_indices().into_iter();
        let columns = columns.map(|at| usize::try_from(at).unwrap_or(usize::MAX)).collect();
        Ok(Mutex::new(Scan { columns, next_page: 0, rows: Vec::new(), at: 0 }))
    }

    fn func(info: &TableFunctionInfo<Self>, output: &mut DataChunkHandle) -> Result<(), Failure> {
        let bound = info.get_bind_data();
        let mut scan = info.get_init_data().lock();
        while scan.at == scan.rows.len() {
            let live = live_of(bound.id)?;
            let Some(rows) = S::page(live.as_ref(), &bound.key, scan.next_page)? else {
                output.set_len(0);
                return Ok(());
            };
            scan.next_page += 1;
            scan.rows = rows;
            scan.at = 0;
        }
        let end = scan.rows.len().min(scan.at + CHUNK_ROWS);
        let batch = chunk::<S>(&scan.rows[scan.at..end], &scan.columns, output)?;
        record_batch_to_duckdb_data_chunk(&batch, output)?;
        scan.at = end;
        Ok(())
    }

    fn supports_pushdown() -> bool {
        true
    }

    fn parameters() -> Option<Vec<LogicalTypeHandle>> {
        let mut kinds = vec![LogicalTypeHandle::from(LogicalTypeId::Bigint)];
        if S::KEYED {
            kinds.push(LogicalTypeHandle::from(LogicalTypeId::Varchar));
        }
        Some(kinds)
    }
}

/// The wanted columns of some rows, in the order in which DuckDB wants them.
fn chunk<S: Source>(
    rows: &[S::Row],
    columns: &[usize],
    output: &DataChunkHandle,
) -> Result<RecordBatch, Failure> {
    let schema = S::schema();
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (place, at) in columns.iter().enumerate() {
        let array = if *at < schema.fields().len() {
            S::column(rows, *at)
        } else {
            // Where rows are only counted DuckDB asks for a column that is not there.
            match output.flat_vector(place).logical_type().id() {
                LogicalTypeId::Boolean => {
                    Arc::new(BooleanArray::from(vec![true; rows.len()])) as ArrayRef
                }
                LogicalTypeId::Bigint => Arc::new(Int64Array::from(vec![0; rows.len()])),
                other => {
                    return Err(
                        format!("a live table has no column of type {other:?} there").into()
                    );
                }
            }
        };
        fields.push(Field::new(place.to_string(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?)
}
