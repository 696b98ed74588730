//! One query: a thread that owns the connection, and the stream that it fills.
//!
//! ```text
//!  query() --place--> thread: BEGIN READ ONLY, index, prepare, step ... --batches--> Answer
//!                        ^-- watchdog: receiver gone or time over => interrupt, until the thread ends
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray},
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use duckdb::{Connection, InterruptHandle, Statement, params_from_iter, types::Value};
use features::table::Cell;
use futures::{Stream, TryStreamExt};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Described, guard::Checked, open::one_line, pool::Pool};
use crate::{Error, LOG_INDEX_KEY};

/// DuckDB gives 2,048 rows at a time; a message should be worth its journey.
const BATCH_ROWS: usize = 64 * 1024;
const BATCH_BYTES: usize = 8 << 20;
/// Batches between the thread and the one who reads them.
const BATCHES_AHEAD: usize = 3;
/// An interrupt that comes before the query has begun is lost, so it is repeated.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// The rows of a query, as they come.
#[derive(Debug)]
pub struct Answer {
    /// All fields nullable; the metadata says which index the query saw.
    pub schema: SchemaRef,
    /// The recorded index that the query saw.
    pub log_index: u64,
    batches: mpsc::Receiver<RecordBatch>,
    failure: Failure,
}

/// How the query ended, for the one who reads: an end without an error is a whole answer. Beside the
/// batches, so that an error finds room even where nobody reads.
type Failure = Arc<Mutex<Option<Error>>>;

impl Answer {
    /// All batches at once.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, Error> {
        self.try_collect().await
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches
            .poll_recv(cx)
            .map(|next| next.map(Ok).or_else(|| self.failure.lock().take().map(Err)))
    }
}

/// What to do: run a text that is still to be checked, run one that was, or only describe it.
pub(super) enum Task {
    Check(String),
    Run(Checked),
    Describe(Checked),
}

/// What is known before the first row.
struct Head {
    schema: SchemaRef,
    log_index: u64,
    parameters: usize,
}

struct Run {
    /// Where they are not given, each counts as empty.
    params: Option<Vec<Cell>>,
    head: Option<oneshot::Sender<Result<Head, Error>>>,
    batches: mpsc::Sender<RecordBatch>,
    failure: Failure,
    deadline: Instant,
    time_over: Arc<AtomicBool>,
    pool: Arc<Pool>,
}

/// Starts a query and returns once its first rows are there, or its error.
pub(super) async fn query(
    pool: &Arc<Pool>,
    task: Task,
    params: Vec<Cell>,
) -> Result<Answer, Error> {
    let (head, batches, failure) = start(pool, task, Some(params)).await?;
    Ok(Answer { schema: head.schema, log_index: head.log_index, batches, failure })
}

/// A statement's columns and parameters. The values decide types that the text leaves open.
pub(super) async fn describe(
    pool: &Arc<Pool>,
    statement: &Checked,
    params: Option<Vec<Cell>>,
) -> Result<Described, Error> {
    let (head, ..) = start(pool, Task::Describe(statement.clone()), params).await?;
    Ok(Described { schema: head.schema, parameters: head.parameters })
}

type Started = (Head, mpsc::Receiver<RecordBatch>, Failure);

async fn start(pool: &Arc<Pool>, task: Task, params: Option<Vec<Cell>>) -> Result<Started, Error> {
    let place = pool.place().await?;
    let deadline = Instant::now() + pool.settings.query_time_max;
    let (head_sender, head) = oneshot::channel();
    let (batch_sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let (interrupt_sender, interrupt) = oneshot::channel();
    let time_over = Arc::new(AtomicBool::new(false));
    let failure = Arc::new(Mutex::new(Some(Error::Internal("the query ended early".to_owned()))));
    let (over_sender, over) = oneshot::channel::<()>();
    let watchdog = tokio::spawn(watch(
        interrupt,
        batch_sender.clone(),
        deadline,
        Arc::clone(&time_over),
        over,
    ));
    let pool = Arc::clone(pool);
    let mut run = Run {
        params,
        head: Some(head_sender),
        batches: batch_sender,
        failure: Arc::clone(&failure),
        deadline,
        time_over,
        pool: Arc::clone(&pool),
    };
    tokio::task::spawn_blocking(move || {
        let borrowed = match pool.borrow(place) {
            Ok(borrowed) => borrowed,
            Err(error) => return run.fail(error),
        };
        let outcome = borrowed.connection().and_then(|connection| {
            drop(interrupt_sender.send(connection.interrupt_handle()));
            run.work(connection, task)
        });
        match outcome {
            Ok(()) => *run.failure.lock() = None,
            Err(error) => run.fail(error),
        }
        drop(run);
        drop(over_sender);
        // The watchdog must be gone before the connection serves anybody else.
        drop(Handle::current().block_on(watchdog));
        drop(borrowed);
    });
    let head = head
        .await
        .map_err(|_| Error::Internal("the query ended without an answer".to_owned()))??;
    Ok((head, batches, failure))
}

/// Interrupts the query when nobody wants its rows any more, or when its time is over.
async fn watch(
    interrupt: oneshot::Receiver<Arc<InterruptHandle>>,
    batches: mpsc::Sender<RecordBatch>,
    deadline: Instant,
    time_over: Arc<AtomicBool>,
    mut over: oneshot::Receiver<()>,
) {
    let Ok(interrupt) = interrupt.await else { return };
    tokio::select! {
        _ = &mut over => return,
        () = batches.closed() => (),
        () = tokio::time::sleep_until(deadline) => time_over.store(true, Ordering::Release),
    }
    drop(batches);
    loop {
        interrupt.interrupt();
        if tokio::time::timeout(INTERRUPT_AGAIN, &mut over).await.is_ok() {
            return;
        }
    }
}

impl Run {
    fn work(&mut self, connection: &Connection, task: Task) -> Result<(), Error> {
        let (checked, describes) = match task {
            Task::Check(sql) => (self.pool.verdicts.check(connection, &sql)?, false),
            Task::Run(checked) => (checked, false),
            Task::Describe(checked) => (checked, true),
        };
        let log_index = begin(connection, &self.pool.recorded)?;
        if describes {
            let (schema, parameters) = describe_at(connection, &checked, self.params.take())?;
            let schema = with_log_index(&schema, log_index);
            self.tell(Head { schema, log_index, parameters });
            return Ok(());
        }
        let mut statement = connection.prepare(checked.sql()).map_err(|error| classify(&error))?;
        let parameters = statement.parameter_count();
        let schema = execute(&mut statement, &self.params.take().unwrap_or_default())?;
        let schema = with_log_index(&schema, log_index);
        self.tell(Head { schema: Arc::clone(&schema), log_index, parameters });
        self.send_all(&statement, &schema)
    }

    fn tell(&mut self, head: Head) {
        if let Some(sender) = self.head.take() {
            drop(sender.send(Ok(head)));
        }
    }

    fn send_all(&self, statement: &Statement<'_>, schema: &SchemaRef) -> Result<(), Error> {
        let mut ready = Vec::new();
        let (mut rows, mut bytes, mut sent_bytes) = (0, 0, 0_u64);
        while let Some(chunk) = statement.step().map_err(|error| classify(&error))? {
            let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
            let columns = plain_columns(&chunk, schema)?;
            let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            ready.push(batch);
            if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                sent_bytes += bytes as u64;
                if sent_bytes > self.pool.settings.result_bytes_max {
                    let most = self.pool.settings.result_bytes_max;
                    return Err(Error::TooMuch(format!(
                        "a result may have {most} bytes; narrow it down"
                    )));
                }
                self.send(concat_batches(schema, &ready)?)?;
                ready.clear();
                (rows, bytes) = (0, 0);
            }
        }
        if ready.is_empty() { Ok(()) } else { self.send(concat_batches(schema, &ready)?) }
    }

    /// Waits for the reader, but not beyond the query's time.
    fn send(&self, batch: RecordBatch) -> Result<(), Error> {
        let sent = Handle::current()
            .block_on(tokio::time::timeout_at(self.deadline, self.batches.send(batch)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::Cancelled),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Error {
        let seconds = self.pool.settings.query_time_max.as_secs_f64();
        Error::Late(format!("a query may take {seconds} s; narrow it down"))
    }

    fn fail(&mut self, error: Error) {
        let error = if self.time_over.load(Ordering::Acquire) { self.late() } else { error };
        match self.head.take() {
            Some(head) => drop(head.send(Err(error))),
            None => *self.failure.lock() = Some(error),
        }
    }
}

/// Begins the read-only transaction and says which index it sees: that of the last recording in it, or
/// a later one that was passed over before it began.
fn begin(connection: &Connection, recorded: &AtomicU64) -> Result<u64, Error> {
    // Before the transaction: what is recorded after this may or may not be in it.
    let passed = recorded.load(Ordering::Acquire);
    connection.execute_batch("BEGIN TRANSACTION READ ONLY").map_err(|error| classify(&error))?;
    connection
        .query_row("SELECT recorded_index FROM internal.meta", [], |row| row.get(0))
        .map(|written: u64| written.max(passed))
        .map_err(|error| classify(&error))
}

fn execute(statement: &mut Statement<'_>, params: &[Cell]) -> Result<SchemaRef, Error> {
    let values = params.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
    let (given, wanted) = (values.len(), statement.parameter_count());
    if given != wanted {
        return Err(Error::Query(format!(
            "the statement has {wanted} parameters, {given} were given"
        )));
    }
    Ok(statement
        .stream_arrow(params_from_iter(values))
        .map_err(|error| classify(&error))?
        .get_schema())
}

fn bound(cell: &Cell) -> Result<Value, Error> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Boolean(*value),
        Cell::Int(value) => Value::BigInt(*value),
        Cell::Real(value) => Value::Double(*value),
        Cell::Text(value) => Value::Text(value.clone()),
        Cell::Time(value) => Value::Timestamp(duckdb::types::TimeUnit::Microsecond, *value),
        Cell::Date(value) => Value::Date32(*value),
        Cell::Texts(_) | Cell::Ints(_) | Cell::Reasons(_) => {
            return Err(Error::Query(
                "a list cannot be a parameter; pass its items one by one".to_owned(),
            ));
        }
    })
}

/// The columns in the types of the schema that clients see.
fn plain_columns(chunk: &StructArray, schema: &Schema) -> Result<Vec<ArrayRef>, Error> {
    let columns = chunk.columns().iter().zip(schema.fields());
    columns
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                Ok(cast(column, field.data_type())?)
            }
        })
        .collect()
}

/// The schema that clients see: every field may be empty, enums are text, and the index is told.
fn with_log_index(schema: &Schema, log_index: u64) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let kind = match field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        field.as_ref().clone().with_nullable(true).with_data_type(kind)
    };
    let fields: Vec<_> = schema.fields().iter().map(field).collect();
    let metadata = HashMap::from([(LOG_INDEX_KEY.to_owned(), log_index.to_string())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// DuckDB's errors by what the caller can do about them.
fn classify(error: &duckdb::Error) -> Error {
    let text = one_line(error);
    let starts = |prefix: &str| text.starts_with(prefix);
    if starts("INTERRUPT") {
        Error::Cancelled
    } else if starts("Out of Memory") {
        let (reason, _advice) = text.split_once(" Possible solutions").unwrap_or((&text, ""));
        Error::TooMuch(format!("the query needs too much memory; narrow it down ({reason})"))
    } else if starts("IO Error")
        || starts("FATAL")
        || starts("INTERNAL")
        || starts("TransactionContext")
    {
        Error::Internal(text)
    } else {
        Error::Query(text)
    }
}

fn describe_at(
    connection: &Connection,
    statement: &Checked,
    params: Option<Vec<Cell>>,
) -> Result<(Schema, usize), Error> {
    if statement.explains() {
        let prepared = connection.prepare(statement.sql()).map_err(|error| classify(&error))?;
        let text = |name| Field::new(name, DataType::Utf8, true);
        return Ok((
            Schema::new(vec![text("explain_key"), text("explain_value")]),
            prepared.parameter_count(),
        ));
    }
    // The line break ends a comment that the statement may end with.
    let empty = format!("SELECT * FROM (\n{}\n) LIMIT 0", statement.sql());
    let mut prepared = connection.prepare(&empty).map_err(|error| classify(&error))?;
    let parameters = prepared.parameter_count();
    let params = params.unwrap_or_else(|| vec![Cell::Null; parameters]);
    let schema = execute(&mut prepared, &params)?;
    Ok((first_names(&schema), parameters))
}

/// A subquery numbers columns that share a name; the statement itself does not.
fn first_names(schema: &Schema) -> Schema {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let plain = field.name().rsplit_once('_').filter(|(name, number)| {
            seen.get(*name).is_some_and(|count| number.parse() == Ok(*count))
        });
        let name = plain.map_or(field.name().as_str(), |(name, _)| name).to_owned();
        *seen.entry(name.clone()).or_default() += 1;
        fields.push(field.as_ref().clone().with_name(name));
    }
    Schema::new(fields)
}
