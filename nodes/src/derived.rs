//! What is derived from the log beside the state: the warehouse, and the thread that fills it.

use crate::backlog::Backlog;
use crate::config::{Config, Member};
use crate::freshness::Freshness;
use crate::machine::{CheckPoint, Machine, RECORD_QUEUE_ENTRIES};
use crate::node::NodeError;
use crate::recorder::{History, Recorder};
use features::civil;
use features::table::{Cell as Value, Mode, Table};
use flight::Warehouse;
use futures::TryStreamExt as _;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

pub(crate) struct Derived {
    pub(crate) warehouse: Arc<Warehouse>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) recorder: JoinHandle<()>,
    pub(crate) recorded: watch::Receiver<u64>,
    /// States to be hashed for a check.
    pub(crate) points: mpsc::Receiver<CheckPoint>,
    /// Flight addresses to copy missed history from.
    pub(crate) peers: Arc<Mutex<Vec<String>>>,
}

impl Derived {
    pub(crate) fn open(config: &Config) -> Result<Self, NodeError> {
        let warehouse = Arc::new(open_warehouse(config)?);
        let [recorded, durable] =
            [(); 2].map(|()| Arc::new(AtomicU64::new(warehouse.recorded_index())));
        let backlog = Arc::new(Backlog::default());
        let (queue, waiting) = mpsc::channel(RECORD_QUEUE_ENTRIES);
        let (moved, recorded_moved) = watch::channel(recorded.load(Ordering::Acquire));
        let (checks, points) = mpsc::channel(1);
        let machine = Arc::new(Machine::new(
            queue,
            Arc::clone(&backlog),
            checks,
            Arc::clone(&recorded),
            Arc::clone(&durable),
            Arc::new(Freshness::new(Duration::from_millis(config.watch.visible_goal_ms))),
        ));
        let members = flight_addresses(&config.cluster.members, config.node.id);
        let peers = Arc::new(Mutex::new(members));
        let recorder = Recorder {
            warehouse: Arc::clone(&warehouse),
            queue: waiting,
            backlog,
            recorded,
            durable,
            moved,
            history: history(Arc::clone(&peers)),
            written: Instant::now(),
        };
        // Weak: the recorder ends with its machine.
        let filled = Arc::downgrade(&machine);
        let recorder = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                raft::give_way();
                recorder.run(&filled);
            })
            .map_err(|error| NodeError::Start(format!("the recorder cannot start: {error}")))?;
        Ok(Self { warehouse, machine, recorder, recorded: recorded_moved, points, peers })
    }
}

/// DuckDB's threads are as ready to give way as the one that opens it: what is recorded and what analysts
/// ask takes no core from an alert.
fn open_warehouse(config: &Config) -> Result<Warehouse, NodeError> {
    let file = config.node.dir.join(flight::WAREHOUSE_FILE);
    let open = || {
        raft::give_way();
        Warehouse::open(&file, warehouse_settings(config))
    };
    let opened = std::thread::scope(|scope| scope.spawn(open).join());
    let failed = |_| NodeError::Start("opening the warehouse has failed".to_owned());
    Ok(opened.map_err(failed)??)
}

pub(crate) fn warehouse_settings(config: &Config) -> flight::Settings {
    let usual = flight::Settings::default();
    let threads = config.limits.warehouse_threads;
    flight::Settings {
        memory_bytes_max: (config.limits.warehouse_mib as u64) << 20,
        threads: if threads == 0 { usual.threads } else { threads },
        query_time_max: Duration::from_millis(config.limits.query_ms),
        ..usual
    }
}

fn flight_addresses(members: &[Member], own: u64) -> Vec<String> {
    members.iter().filter(|member| member.id != own).map(|member| member.flight.clone()).collect()
}

/// Asks the peers, one after the other, for the history that this node has missed.
fn history(peers: Arc<Mutex<Vec<String>>>) -> History {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |after, through| {
        let mut said = "no peer is known".to_owned();
        let addresses = peers.lock().clone();
        for address in addresses {
            let copied = runtime.block_on(copy_history(&address, after, through));
            match copied {
                Ok(tables) => return Ok(tables),
                Err(error) => said = format!("{address}: {error}"),
            }
        }
        Err(said)
    })
}

/// The query log is a node's own; every other history table says which entry wrote a row.
pub(crate) fn is_history_of_the_log(table: &Table) -> bool {
    table.mode == Mode::History && table.position("log_index").is_some()
}

async fn copy_history(
    address: &str,
    after: u64,
    through: u64,
) -> Result<Vec<(&'static Table, Vec<Vec<Value>>)>, flight::Error> {
    let mut client = flight::Client::connect(&format!("http://{address}")).await?;
    let mut tables = Vec::new();
    for table in civil::TABLES.iter().filter(|table| is_history_of_the_log(table)) {
        let mut batches = pin!(client.history(table.name, after, through).await?);
        let mut rows = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            rows.extend(flight::batch_to_rows(table, &batch)?);
        }
        tables.push((table, rows));
    }
    Ok(tables)
}
