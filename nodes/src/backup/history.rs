//! The history of the warehouse, from a node's Flight port into Parquet files.

use super::Progress;
use super::draft::Draft;
use super::error::BackupError;
use super::manifest::FileEntry;
use crate::derived::is_history_of_the_log;
use arrow::array::RecordBatch;
use features::civil;
use features::table::Table;
use flight::{ParquetWriter, table_schema};
use futures::TryStreamExt as _;
use std::pin::pin;

/// Rows in one file.
const ROWS_PER_FILE: u64 = 2_000_000;
/// Entries asked for at once, at first; more where they have few rows, fewer where they have many.
const ENTRIES_AT_FIRST: u64 = 1_024;
const ROWS_FEW: u64 = 50_000;
const ROWS_MANY: u64 = 200_000;
/// An answer is held in memory until it is whole: a node may go away in the middle of it.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// As the warehouse takes lists in.
const ROWS_PER_BATCH: usize = 2_048;

/// Where history comes from: the nodes' Flight addresses, the best first.
pub(super) struct Source {
    addresses: Vec<String>,
    client: Option<flight::Client>,
}

/// Rows of `after < log index <= through`, or nothing where they are too many at once.
type Answer = Option<Vec<RecordBatch>>;

impl Source {
    pub(super) fn new(mut addresses: Vec<String>) -> Self {
        addresses.retain(|address| !address.is_empty());
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        Self { addresses, client: None }
    }

    /// Asks the node that answered last, and each of the others where it does not.
    async fn rows(
        &mut self,
        table: &Table,
        after: u64,
        through: u64,
    ) -> Result<Answer, BackupError> {
        let mut last = None;
        for _ in 0..=self.addresses.len() {
            match self.ask(table, after, through).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.client = None;
                    if !self.addresses.is_empty() {
                        self.addresses.rotate_left(1);
                    }
                    last = Some(error);
                }
            }
        }
        let last = last.map_or_else(|| "no address is known".to_owned(), |error| error.to_string());
        Err(BackupError::Unavailable(format!(
            "no node gives the history of {}: {last}",
            table.name
        )))
    }

    async fn ask(
        &mut self,
        table: &Table,
        after: u64,
        through: u64,
    ) -> Result<Answer, flight::Error> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let address = self.addresses.first().map_or("", String::as_str);
                none.insert(flight::Client::connect(&format!("http://{address}")).await?)
            }
        };
        let mut stream = pin!(client.history(table.name, after, through).await?);
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = stream.try_next().await? {
            bytes += batch.get_array_memory_size();
            // One entry is bounded by its command, whatever its rows take.
            if bytes > ANSWER_BYTES_MAX && through > after + 1 {
                return Ok(None);
            }
            batches.push(batch);
        }
        Ok(Some(batches))
    }
}

/// Copies every history table up to an index.
pub(super) async fn copy(
    source: &mut Source,
    draft: &Draft,
    through: u64,
    progress: &Progress,
) -> Result<Vec<FileEntry>, BackupError> {
    let mut files = Vec::new();
    for table in civil::TABLES.iter().filter(|table| is_history_of_the_log(table)) {
        copy_table(source, draft, table, through, progress, &mut files).await?;
    }
    // Where DuckDB has put what did not fit into its memory.
    drop(std::fs::remove_dir_all(draft.dir().join("history/.spill")));
    Ok(files)
}

async fn copy_table(
    source: &mut Source,
    draft: &Draft,
    table: &'static Table,
    through: u64,
    progress: &Progress,
    files: &mut Vec<FileEntry>,
) -> Result<(), BackupError> {
    let (mut done, mut entries) = (0, ENTRIES_AT_FIRST);
    let mut open: Option<Open> = None;
    let mut number = 0;
    while done < through {
        progress.say(&format!("history of {}: {} %", table.name, done * 100 / through));
        let next = through.min(done + entries);
        let Some(batches) = source.rows(table, done, next).await? else {
            entries = ((next - done) / 2).max(1);
            continue;
        };
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows > 0 {
            let file = if let Some(file) = open.take() {
                file
            } else {
                number += 1;
                Open::begin(draft, table, number)?
            };
            let file = file.append(batches)?;
            if file.rows >= ROWS_PER_FILE {
                files.push(file.finish(draft)?);
            } else {
                open = Some(file);
            }
        }
        done = next;
        if rows < ROWS_FEW {
            entries = entries.saturating_mul(2);
        } else if rows > ROWS_MANY {
            entries = (entries / 2).max(1);
        }
    }
    if let Some(file) = open {
        files.push(file.finish(draft)?);
    }
    Ok(())
}

/// A file that rows go to.
struct Open {
    name: String,
    table: &'static str,
    writer: ParquetWriter,
    rows: u64,
}

impl Open {
    fn begin(draft: &Draft, table: &'static Table, number: u32) -> Result<Self, BackupError> {
        let name = format!("history/{}-{number:05}.parquet", table.name);
        let writer = ParquetWriter::new(&draft.dir().join(&name), &table_schema(table))?;
        Ok(Self { name, table: table.name, writer, rows: 0 })
    }

    fn append(mut self, batches: Vec<RecordBatch>) -> Result<Self, BackupError> {
        for batch in batches {
            self.rows += batch.num_rows() as u64;
            for at in (0..batch.num_rows()).step_by(ROWS_PER_BATCH) {
                let rows = ROWS_PER_BATCH.min(batch.num_rows() - at);
                self.writer.append(batch.slice(at, rows))?;
            }
        }
        Ok(self)
    }

    fn finish(self, draft: &Draft) -> Result<FileEntry, BackupError> {
        self.writer.finish()?;
        let entry = draft.adopt(self.name)?;
        Ok(FileEntry { table: self.table.to_owned(), rows: self.rows, ..entry })
    }
}
