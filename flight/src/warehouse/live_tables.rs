//! Table functions that read the node's resident state.
//!
//! DuckDB calls them back without saying on whose behalf, so each open warehouse has a number, and
//! the views of `schema/views.sql` pass it.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
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

use crate::{FeatureRow, Live, NodeRow, portrait_batch, portrait_schema};

/// DuckDB's own chunk.
const CHUNK_ROWS: usize = 2048;

type Slot = RwLock<Option<Weak<dyn Live>>>;
type Failure = Box<dyn StdError>;

static SLOTS: LazyLock<RwLock<BTreeMap<u64, Weak<Slot>>>> = LazyLock::new(RwLock::default);
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
        SLOTS.write().insert(tables.id, Arc::downgrade(&tables.slot));
        connection.register_table_function::<LiveTable<FeatureTable>>("hearth_live_features")?;
        connection.register_table_function::<LiveTable<NodeTable>>("hearth_live_nodes")?;
        connection.register_table_function::<LiveTable<PortraitTable>>("hearth_live_portrait")?;
        Ok(tables)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn attach(&self, live: &Arc<dyn Live>) {
        *self.slot.write() = Some(Arc::downgrade(live));
    }
}

impl Drop for LiveTables {
    fn drop(&mut self) {
        SLOTS.write().remove(&self.id);
    }
}

fn live_of(id: u64) -> Result<Arc<dyn Live>, Failure> {
    let slot = SLOTS.read().get(&id).and_then(Weak::upgrade);
    let live = slot.and_then(|slot| slot.read().as_ref().and_then(Weak::upgrade));
    live.ok_or_else(|| "this warehouse is not attached to a running node".into())
}

/// What one of the functions gives: its columns, and its rows page by page.
trait Source: Send + Sync + 'static {
    /// Whether a resident's key follows the number.
    const KEYED: bool = false;
    fn schema() -> SchemaRef;
    fn page(live: &dyn Live, key: &str, page: usize) -> Result<Option<RecordBatch>, Failure>;
}

struct LiveTable<S>(std::marker::PhantomData<S>);

pub(super) struct Bound {
    id: u64,
    key: String,
}

/// Where a scan stands: the next page, and what is left of the present one.
#[derive(Default)]
pub(super) struct Scan {
    page: usize,
    rest: Option<RecordBatch>,
}

impl<S: Source> VTab for LiveTable<S> {
    type InitData = Mutex<Scan>;
    type BindData = Bound;

    fn bind(bind: &BindInfo) -> Result<Bound, Failure> {
        for field in S::schema().fields() {
            bind.add_result_column(field.name(), to_duckdb_logical_type_for_field(field)?);
        }
        let key = if S::KEYED { bind.get_parameter(1).to_string() } else { String::new() };
        Ok(Bound { id: bind.get_parameter(0).to_int64().unsigned_abs(), key })
    }

    fn init(_: &InitInfo) -> Result<Mutex<Scan>, Failure> {
        Ok(Mutex::default())
    }

    fn func(info: &TableFunctionInfo<Self>, output: &mut DataChunkHandle) -> Result<(), Failure> {
        let bound = info.get_bind_data();
        let mut scan = info.get_init_data().lock();
        while scan.rest.is_none() {
            let live = live_of(bound.id)?;
            let Some(batch) = S::page(live.as_ref(), &bound.key, scan.page)? else {
                output.set_len(0);
                return Ok(());
            };
            scan.page += 1;
            scan.rest = (batch.num_rows() > 0).then_some(batch);
        }
        let Some(batch) = scan.rest.take() else { return Ok(()) };
        let count = batch.num_rows().min(CHUNK_ROWS);
        record_batch_to_duckdb_data_chunk(&batch.slice(0, count), output)?;
        let left = batch.num_rows() - count;
        scan.rest = (left > 0).then(|| batch.slice(count, left));
        Ok(())
    }

    fn parameters() -> Option<Vec<LogicalTypeHandle>> {
        let mut kinds = vec![LogicalTypeHandle::from(LogicalTypeId::Bigint)];
        if S::KEYED {
            kinds.push(LogicalTypeHandle::from(LogicalTypeId::Varchar));
        }
        Some(kinds)
    }
}

fn schema_of(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>(),
    ))
}

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

struct FeatureTable;

impl Source for FeatureTable {
    fn schema() -> SchemaRef {
        schema_of(&[
            ("entity_kind", DataType::Utf8),
            ("entity_key", DataType::Utf8),
            ("view", DataType::Utf8),
            ("feature", DataType::Utf8),
            ("value", DataType::Float64),
            ("event_time", TIME),
            ("status", DataType::Utf8),
            ("log_index", DataType::Int64),
        ])
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<RecordBatch>, Failure> {
        let Some(rows) = live.feature_page(page) else { return Ok(None) };
        let text = |of: fn(&FeatureRow) -> &str| {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef
        };
        let arrays = vec![
            text(|row| &row.entity_kind),
            text(|row| &row.entity_key),
            text(|row| &row.view),
            text(|row| &row.feature),
            Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.event_time_us).collect::<TimestampMicrosecondArray>()),
            text(|row| &row.status),
            Arc::new(rows.iter().map(|row| Some(row.log_index as i64)).collect::<Int64Array>()),
        ];
        Ok(Some(RecordBatch::try_new(Self::schema(), arrays)?))
    }
}

struct NodeTable;

impl Source for NodeTable {
    fn schema() -> SchemaRef {
        let text = |name| (name, DataType::Utf8);
        let number = |name| (name, DataType::Int64);
        schema_of(&[
            number("node"),
            text("district"),
            text("role"),
            text("state"),
            ("leader", DataType::Boolean),
            number("term"),
            number("committed_index"),
            number("applied_index"),
            number("recorded_index"),
            text("grpc"),
            text("flight"),
            text("raft"),
            text("http"),
            text("version"),
            ("started", TIME),
        ])
    }

    fn page(live: &dyn Live, _: &str, page: usize) -> Result<Option<RecordBatch>, Failure> {
        if page > 0 {
            return Ok(None);
        }
        let rows = live.nodes();
        let text = |of: fn(&NodeRow) -> &str| {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef
        };
        let number = |of: fn(&NodeRow) -> Option<u64>| {
            Arc::new(rows.iter().map(|row| of(row).map(|each| each as i64)).collect::<Int64Array>()) as ArrayRef
        };
        let arrays = vec![
            number(|row| Some(row.id)),
            text(|row| &row.group),
            text(|row| &row.role),
            text(|row| &row.state),
            Arc::new(rows.iter().map(|row| Some(row.role == "leader")).collect::<BooleanArray>()),
            number(|row| row.term),
            number(|row| row.committed_index),
            number(|row| row.applied_index),
            number(|row| row.recorded_index),
            text(|row| &row.grpc),
            text(|row| &row.flight),
            text(|row| &row.raft),
            text(|row| &row.http),
            text(|row| &row.version),
            Arc::new(rows.iter().map(|row| row.started_us).collect::<TimestampMicrosecondArray>()),
        ];
        Ok(Some(RecordBatch::try_new(Self::schema(), arrays)?))
    }
}

struct PortraitTable;

impl Source for PortraitTable {
    const KEYED: bool = true;

    fn schema() -> SchemaRef {
        portrait_schema()
    }

    fn page(live: &dyn Live, key: &str, page: usize) -> Result<Option<RecordBatch>, Failure> {
        if page > 0 {
            return Ok(None);
        }
        let index = live.log_index();
        Ok(Some(portrait_batch(live.portrait(key).as_ref(), index)?))
    }
}
