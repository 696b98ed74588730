//! Opening the file, its settings, and what is shared between the writer and the readers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use duckdb::{Config, Connection};
use features::{
    civil,
    table::{Cell, Table},
};
use parking_lot::Mutex;

use super::{
    Recording, Relation, hold::Hold, layout, live_tables::LiveTables, pool::Pool, reader::Reader,
    record::Writer,
};
use crate::{Error, Live};

/// The name that the file must have: DuckDB calls the catalog by it.
pub const WAREHOUSE_FILE: &str = "hearth.duckdb";
/// DuckDB's log stands beside the file.
const LOG_EXTENSION: &str = "duckdb.wal";
/// The write-ahead log is folded into the file past this, or earlier when the recorder is idle.
const CHECKPOINT_THRESHOLD: &str = "1GB";

/// What the warehouse may use of the machine.
#[derive(Clone, Debug)]
pub struct Settings {
    pub memory_bytes_max: u64,
    pub spill_bytes_max: u64,
    pub threads: usize,
    /// How many queries run at once; four times as many may wait for their turn.
    pub queries_max: usize,
    /// How long a query may wait for its turn.
    pub queue_time_max: Duration,
    pub query_time_max: Duration,
    pub result_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2 << 30,
            spill_bytes_max: 16 << 30,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            queries_max: 16,
            queue_time_max: Duration::from_secs(10),
            query_time_max: Duration::from_mins(5),
            result_bytes_max: 16 << 30,
        }
    }
}

/// The DuckDB file: one writer, pooled readers.
#[derive(Debug)]
pub struct Warehouse {
    file: PathBuf,
    log: PathBuf,
    writer: Mutex<Writer>,
    recorded: Arc<AtomicU64>,
    reader: Reader,
    live: LiveTables,
    relations: Vec<Relation>,
    // Last, so that it is let go after the connections.
    _hold: Arc<Hold>,
}

impl Warehouse {
    /// Opens the warehouse at `file`, which must be called [`WAREHOUSE_FILE`], or makes it.
    pub fn open(file: &Path, settings: Settings) -> Result<Self, Error> {
        if file.file_name().is_none_or(|name| name != WAREHOUSE_FILE) {
            return Err(Error::Invalid(format!(
                "the warehouse must be called {WAREHOUSE_FILE}, not {}",
                file.display()
            )));
        }
        let hold = Hold::take(file)?;
        let existed = file.exists();
        let classify = |error: &duckdb::Error| classify_opening(file, existed, error);
        let connection =
            Connection::open_with_flags(file, config(&settings).map_err(|error| classify(&error))?)
                .map_err(|error| classify(&error))?;
        layout::prepare(&connection, file).map_err(|error| classify(&error))??;
        let live = LiveTables::register(&connection).map_err(|error| classify(&error))?;
        layout::create_views(&connection, live.id())?;
        connection
            .execute_batch(
                "SET GLOBAL TimeZone = 'UTC'; USE hearth.civil; SET lock_configuration = true",
            )
            .map_err(|error| classify(&error))?;
        let relations = layout::relations(&connection).map_err(|error| classify(&error))?;
        let root = connection.try_clone().map_err(|error| classify(&error))?;
        let writer = Writer::new(connection).map_err(|error| classify(&error))?;
        let recorded = Arc::new(AtomicU64::new(writer.recorded_index()));
        let pool = Pool::new(root, settings, Arc::clone(&recorded), Arc::clone(&hold));
        let reader = Reader::new(Arc::new(pool));
        Ok(Self {
            file: file.to_path_buf(),
            log: file.with_extension(LOG_EXTENSION),
            writer: Mutex::new(writer),
            recorded,
            reader,
            live,
            relations,
            _hold: hold,
        })
    }

    /// Opens a warehouse that must be there already.
    pub fn open_existing(file: &Path, settings: Settings) -> Result<Self, Error> {
        if file.exists() {
            Self::open(file, settings)
        } else {
            Err(Error::NotFound(format!("there is no warehouse at {}", file.display())))
        }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The log index that everything up to has been recorded.
    pub fn recorded_index(&self) -> u64 {
        self.recorded.load(Ordering::Acquire)
    }

    /// Records a batch and its index in one transaction. A batch that was recorded before is skipped
    /// whole. Blocks: call it from the recorder's own thread.
    pub fn record(&self, recording: &Recording) -> Result<(), Error> {
        let index = self.writer.lock().record(recording, || self.reader.pool().take_notes())?;
        self.recorded.fetch_max(index, Ordering::AcqRel);
        Ok(())
    }

    /// Entries up to this index say nothing about tables, so what is recorded holds for it, too. The
    /// file learns of it with the next recording.
    pub fn pass_over(&self, index: u64) {
        self.recorded.fetch_max(index, Ordering::AcqRel);
    }

    /// Adds the rows of a Parquet file to a table, all or none; says how many. The recorded index
    /// stays as it is: this is how a new warehouse gets what an old one had recorded.
    pub fn load_parquet(&self, table: &'static Table, path: &Path) -> Result<u64, Error> {
        self.writer.lock().load_parquet(table, path)
    }

    /// Reads every row of every table, and so every block of the file against its checksum; gives
    /// the tables' names and how many rows they have.
    pub fn read_all(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let writer = self.writer.lock();
        civil::TABLES.iter().map(|table| Ok((table.name, writer.read_whole(table)?))).collect()
    }

    /// How long the write-ahead log is, that a start has to read.
    pub fn unfolded_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Folds the write-ahead log into the file. False where somebody writes just now.
    pub fn checkpoint(&self) -> Result<bool, Error> {
        self.writer.lock().checkpoint()
    }

    /// Read-only access, as an analyst has it.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Lends the node's resident state to the live tables. The warehouse keeps no hold on the node.
    pub fn attach(&self, live: &Arc<dyn Live>) {
        self.live.attach(live);
    }

    /// Every table and view.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// Writes one row of `query_log` with the next recording.
    pub fn note_query(&self, row: Vec<Cell>) {
        self.reader.pool().note(row);
    }
}

fn config(settings: &Settings) -> duckdb::Result<Config> {
    Config::default()
        .enable_external_access(false)?
        .enable_autoload_extension(false)?
        .with("allow_community_extensions", "false")?
        .with("checkpoint_threshold", CHECKPOINT_THRESHOLD)?
        .with("preserve_insertion_order", "true")?
        .with("max_temp_directory_size", format!("{}B", settings.spill_bytes_max))?
        .max_memory(&format!("{}B", settings.memory_bytes_max))?
        .threads(i64::try_from(settings.threads.max(1)).unwrap_or(1))
}

fn classify_opening(file: &Path, existed: bool, error: &duckdb::Error) -> Error {
    let text = one_line(error);
    if text.contains("Could not set lock") || text.contains("already attached") {
        return Error::Unavailable(format!(
            "{} is open in another process; stop it first",
            file.display()
        ));
    }
    if existed {
        Error::Damaged { file: file.to_path_buf(), reason: text }
    } else {
        Error::Internal(format!("{} cannot be made: {text}", file.display()))
    }
}

/// DuckDB's message without the excerpt and the caret below it, in one line.
pub(super) fn one_line(error: &duckdb::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("LINE "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
