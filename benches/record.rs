//! Rows of events into the warehouse: processor time an event, by how many share a transaction, all
//! threads of DuckDB counted.

mod usage;

use benches::{BEGIN_US, Feed};
use features::{EventColumns, EventRow};
use flight::{Recording, Settings, WAREHOUSE_FILE, Warehouse};
use std::fmt::Write as _;
use std::path::Path;
use usage::Usage;

const HOMES: u32 = 3_334;
/// DuckDB's threads: more of them wait actively for each other.
const THREADS: [usize; 2] = [1, 2];
/// Rows in one transaction and how many of these.
const SIZES: [(usize, usize); 3] = [(500, 200), (5_000, 40), (50_000, 4)];
const REPETITIONS: usize = 3;
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "record.md";

fn main() -> anyhow::Result<()> {
    let own = std::env::current_exe()?;
    // Beside the program, so that the file lies on the disk that is measured.
    let folder = tempfile::tempdir_in(own.parent().unwrap_or(Path::new(".")))?;
    let mut text = "\nEvents into the warehouse, processor time in us an event\n\n\
                    | DuckDB's threads | events in a transaction | every run | folding it into the file | others had |\n\
                    |---|---|---|---|---|\n"
        .to_owned();
    for threads in THREADS {
        let home = folder.path().join(threads.to_string());
        std::fs::create_dir(&home)?;
        let settings = Settings { threads, ..Settings::default() };
        let warehouse = Warehouse::open(&home.join(WAREHOUSE_FILE), settings)?;
        measure(&warehouse, threads, &mut text)?;
    }
    println!("{text}");
    keep(&text)
}

fn measure(warehouse: &Warehouse, threads: usize, text: &mut String) -> anyhow::Result<()> {
    let mut feed = Feed::new(HOMES, BEGIN_US, "gateway-7");
    let mut through = 0;
    for (rows, transactions) in SIZES {
        let (mut written, mut folded, mut others) = (Vec::new(), Vec::new(), 0.0_f64);
        for _ in 0..REPETITIONS {
            let recordings: Vec<_> = (0..transactions)
                .map(|_| {
                    through += 1;
                    Recording { through, events: columns(&mut feed, rows), ..Recording::default() }
                })
                .collect();
            let before = Usage::now(&[])?;
            for recording in &recordings {
                warehouse.record(recording)?;
            }
            let between = Usage::now(&[])?;
            warehouse.checkpoint()?;
            let after = Usage::now(&[])?;
            let [writing, folding] = [before.until(&between), between.until(&after)];
            others = others.max(writing.others);
            let of =
                |used: &usage::Used| used.own_us.iter().sum::<f64>() / (rows * transactions) as f64;
            written.push(format!("{:.2}", of(&writing)));
            folded.push(format!("{:.2}", of(&folding)));
        }
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {threads} | {rows} | {} | {} | {:.0} % |",
            written.join(", "),
            folded.join(", "),
            others * 100.0
        );
    }
    Ok(())
}

fn columns(feed: &mut Feed, rows: usize) -> EventColumns {
    let mut columns = EventColumns::with_capacity(rows);
    for event in feed.take(rows) {
        let dwelling = event.device_id.get(2..10).map(|home| format!("w-{home}"));
        columns.push(&EventRow {
            source: &event.source,
            event_id: &event.event_id,
            device_id: &event.device_id,
            dwelling_id: dwelling.as_deref(),
            event_time_us: event.event_time_us,
            kind: &event.kind,
            value: event.value,
            unit: &event.unit,
            quality: "good",
            received_us: event.event_time_us,
            boot_id: event.boot_id,
            seq: event.seq,
            log_index: event.seq,
        });
    }
    columns
}

#[expect(clippy::disallowed_methods, reason = "where criterion keeps its figures, too")]
fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
