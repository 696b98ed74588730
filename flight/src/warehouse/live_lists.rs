//! A table function over lists that callers have sent: each is found by a handle that only its owner's
//! statements carry.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use duckdb::{
    Connection,
    core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId},
    vtab::{
        BindInfo, InitInfo, TableFunctionInfo, VTab, record_batch_to_duckdb_data_chunk,
        to_duckdb_logical_type_for_field,
    },
};
use parking_lot::Mutex;

use super::held::{CHUNK_ROWS, Held};
use super::live_tables::Failure;

/// Rows that somebody sent, for as long as somebody holds them.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

static LISTS: Held<String, List> = Held::new();

/// The handle that the function finds the list by.
pub(crate) fn hold(list: &Arc<List>) -> String {
    let random = || RandomState::new().build_hasher().finish();
    let handle = format!("{:016x}{:016x}", random(), random());
    LISTS.hold(handle.clone(), list);
    handle
}

pub(super) fn register(connection: &Connection) -> duckdb::Result<()> {
    connection.register_table_function::<ListTable>("hearth_list")
}

struct ListTable;

/// The next batch, and how far it was read.
#[derive(Default)]
pub(super) struct Scan {
    batch: usize,
    row: usize,
}

impl VTab for ListTable {
    type InitData = Mutex<Scan>;
    type BindData = Arc<List>;

    fn bind(bind: &BindInfo) -> Result<Arc<List>, Failure> {
        let handle = bind.get_parameter(0).to_string();
        let list = LISTS.find(&handle);
        let list = list.ok_or("the list is gone; send it again")?;
        for field in list.schema.fields() {
            bind.add_result_column(field.name(), to_duckdb_logical_type_for_field(field)?);
        }
        Ok(list)
    }

    fn init(_: &InitInfo) -> Result<Self::InitData, Failure> {
        Ok(Mutex::default())
    }

    fn func(info: &TableFunctionInfo<Self>, output: &mut DataChunkHandle) -> Result<(), Failure> {
        let list = info.get_bind_data();
        let mut scan = info.get_init_data().lock();
        while let Some(batch) = list.batches.get(scan.batch) {
            let rows = CHUNK_ROWS.min(batch.num_rows() - scan.row);
            if rows > 0 {
                record_batch_to_duckdb_data_chunk(&batch.slice(scan.row, rows), output)?;
                scan.row += rows;
                return Ok(());
            }
            *scan = Scan { batch: scan.batch + 1, row: 0 };
        }
        output.set_len(0);
        Ok(())
    }

    fn parameters() -> Option<Vec<LogicalTypeHandle>> {
        Some(vec![LogicalTypeHandle::from(LogicalTypeId::Varchar)])
    }
}
