//! A simulated district as files: Parquet tables, one NDJSON file of events a day, and their hashes.

use crate::simulate::{Sink, write_event};
use anyhow::Context as _;
use features::Event;
use features::table::{Cell, Table};
use flight::{ParquetWriter, rows_to_batch, table_schema};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes hashed at once.
const BLOCK_BYTES: usize = 1 << 20;

pub(crate) struct Folder {
    out: PathBuf,
    /// The file that rows are written to, and its name below `out`.
    open: Option<(String, ParquetWriter)>,
    files: Vec<String>,
}

impl Folder {
    pub(crate) fn make(out: &Path) -> anyhow::Result<Self> {
        for folder in ["tables", "events", "truth"] {
            let folder = out.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Ok(Self { out: out.to_owned(), open: None, files: Vec::new() })
    }

    fn rows(
        &mut self,
        folder: &str,
        table: &'static Table,
        rows: &[Vec<Cell>],
    ) -> anyhow::Result<()> {
        let name = format!("{folder}/{}.parquet", table.name);
        if self.open.as_ref().is_none_or(|(open, _)| *open != name) {
            self.close()?;
            let writer = ParquetWriter::new(&self.out.join(&name), &table_schema(table))?;
            self.files.push(name.clone());
            self.open = Some((name, writer));
        }
        if let Some((_, writer)) = self.open.as_mut().filter(|_| !rows.is_empty()) {
            writer.append(rows_to_batch(table, rows)?)?;
        }
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        match self.open.take() {
            Some((_, writer)) => Ok(writer.finish()?),
            None => Ok(()),
        }
    }

    /// Writes SHA256SUMS; says how many files it lists.
    pub(crate) fn finish(mut self) -> anyhow::Result<usize> {
        self.close()?;
        let sums: BTreeMap<&String, String> = self
            .files
            .iter()
            .map(|name| Ok((name, sha256_of(&self.out.join(name))?)))
            .collect::<anyhow::Result<_>>()?;
        let mut file = BufWriter::new(File::create(self.out.join("SHA256SUMS"))?);
        for (name, sum) in &sums {
            writeln!(file, "{sum}  {name}")?;
        }
        file.flush()?;
        Ok(sums.len())
    }
}

impl Sink for Folder {
    type Error = anyhow::Error;

    fn table(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> anyhow::Result<()> {
        self.rows("tables", table, rows)
    }

    fn truth(&mut self, table: &'static Table, rows: &[Vec<Cell>]) -> anyhow::Result<()> {
        self.rows("truth", table, rows)
    }

    fn events(&mut self, day: u32, events: &mut dyn Iterator<Item = Event>) -> anyhow::Result<()> {
        self.close()?;
        let name = format!("events/day-{day:04}.ndjson");
        let mut file = BufWriter::new(File::create(self.out.join(&name))?);
        for event in events {
            write_event(&mut file, &event)?;
        }
        file.flush()?;
        self.files.push(name);
        Ok(())
    }
}

fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(crate::hex::encode(&hash.finalize()));
        }
        hash.update(&block[..read]);
    }
}
