//! Days of a simulated district through the replicated state, every event at the moment at which it
//! arrives: which hazards of the truth became a case and how soon, what was called out for nothing,
//! and what it cost. Beside it the best that anybody could do who is told by the same events.
//!
//! People work on a case as it is opened here and close it two hours later, so that the next hazard of
//! the same home opens one again.

mod told;

use anyhow::Context as _;
use features::table::{Cell, encode_row};
use nodes::simulate::{District, Feed, Plan};
use nodes::state::{Action, Change, Command, State, Work};
use raft::Position;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use told::Told;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PEOPLE: u32 = 8_000;
/// A habit is known after 28 days.
const DAYS: u32 = 42;
/// Hazards and faults come so many times as often as published, so that there are enough to count.
const HAZARD_RATE: f64 = 40.0;
const SEED: u64 = 11;
const ROWS_AT_ONCE: usize = 5_000;
/// One entry holds what arrives in this time; a tick stands where nothing does.
const ENTRY_US: i64 = 1_000_000;
const TICK_US: i64 = 60_000_000;
const CLOSED_AFTER_US: i64 = 2 * 3_600_000_000;
/// A case that comes this long after its hazard still counts as found.
const GRACE_US: i64 = 3_600_000_000;
/// Hazards of the truth and the alerts that mean them.
const WATCHED: [(&str, &[&str]); 4] = [
    ("gas", &["gas_leak"]),
    ("smoke", &["smoke"]),
    ("inactivity", &["inactivity"]),
    ("apnoea", &["no_breath", "breath_low"]),
];
/// The file that `summary` reads, in `CRITERION_HOME`.
const TABLE: &str = "recall.md";

fn main() -> anyhow::Result<()> {
    let people = setting("HEARTH_PEOPLE").unwrap_or(PEOPLE);
    let days = setting("HEARTH_DAYS").unwrap_or(DAYS);
    let plan = Plan { people, days, seed: SEED, hazard_rate: HAZARD_RATE, ..Plan::default() };
    let district = District::generate(&plan)?;
    let mut run = Run::new(plan.start_us, Told::of(&district)?);
    run.load(&district)?;
    let loaded = std::mem::take(&mut run.took);
    println!("registers: {} rows, {:.2} us each to apply", run.rows, micros(loaded, run.rows));
    run.live(&district, days)?;
    let text = run.judge(&district)?;
    println!("{text}");
    keep(&text)
}

/// A case, each time that it was opened.
#[derive(Clone, Debug)]
struct Case {
    kind: String,
    dwelling: String,
    opened_us: i64,
}

/// Its id, and when it was opened.
type CaseKey = (String, i64);

/// The state and what has come out of it.
struct Run {
    state: State,
    now_us: i64,
    cases: BTreeMap<CaseKey, Case>,
    /// Which are still to be closed, in the order of opening.
    open: VecDeque<CaseKey>,
    told: Told,
    rows: u64,
    events: u64,
    /// What apply took, of registers first and of the days then.
    took: Duration,
}

impl Run {
    fn new(now_us: i64, told: Told) -> Self {
        let (state, cases, open) = (State::new(), BTreeMap::new(), VecDeque::new());
        Self { state, now_us, cases, open, told, rows: 0, events: 0, took: Duration::ZERO }
    }

    fn load(&mut self, district: &District) -> anyhow::Result<()> {
        for table in District::tables() {
            let rows = district.rows(table.name).context("a table of the district")?;
            for part in rows.chunks(ROWS_AT_ONCE) {
                let rows = part.iter().map(|row| encode_row(row)).collect::<Result<_, _>>()?;
                self.rows += part.len() as u64;
                self.put(&Command::UpsertRows { table: table.name.to_owned(), rows })?;
            }
        }
        Ok(())
    }

    fn live(&mut self, district: &District, days: u32) -> anyhow::Result<()> {
        let mut feed = Feed::new(district, 0..days);
        while let Some(next_us) = feed.next_us() {
            while self.now_us + TICK_US < next_us {
                self.now_us += TICK_US;
                self.step(&Command::Tick)?;
            }
            self.now_us = self.now_us.max(next_us) + ENTRY_US;
            let arrived = std::iter::from_fn(|| feed.next_before(self.now_us));
            let events: Vec<_> = arrived.map(|arrival| arrival.event).collect();
            for event in &events {
                self.told.see(event);
            }
            self.events += events.len() as u64;
            self.step(&Command::IngestEvents { events })?;
        }
        Ok(())
    }

    fn step(&mut self, command: &Command) -> anyhow::Result<()> {
        self.put(command)?;
        while let Some((id, opened_us)) = self.open.front().cloned()
            && opened_us + CLOSED_AFTER_US <= self.now_us
        {
            self.open.pop_front();
            self.work_on(&id)?;
        }
        Ok(())
    }

    fn work_on(&mut self, id: &str) -> anyhow::Result<()> {
        for action in
            [Action::Ack, Action::Dispatch, Action::Arrive, Action::Feedback, Action::Close]
        {
            let outcome = if action == Action::Close { "handled" } else { "" };
            self.put(&Command::ActOnAlert {
                alert_id: id.to_owned(),
                action,
                actor: "grid worker".to_owned(),
                note: String::new(),
                outcome: outcome.to_owned(),
                action_id: String::new(),
            })?;
        }
        let left = self.state.alerts.get(id).map(|alert| alert.work);
        anyhow::ensure!(left.is_none_or(|work| work == Work::Closed), "{id} stays {left:?}");
        Ok(())
    }

    fn put(&mut self, command: &Command) -> anyhow::Result<()> {
        let bytes = command.encode();
        let index = self.state.applied + 1;
        let begun = on_processor();
        self.state.apply(Position { index, term: 1, time_us: self.now_us }, &[bytes])?;
        self.took += on_processor().saturating_sub(begun);
        for change in self.state.take_changes() {
            let Change::Upsert { table, row } = change else { continue };
            if table.name != "alert" {
                continue;
            }
            let cell = |name: &str| {
                let at = table.columns.iter().position(|column| column.name == name)?;
                row.get(at)
            };
            let text = |name: &str| match cell(name) {
                Some(Cell::Text(text)) => text.clone(),
                _ => String::new(),
            };
            let (id, kind, dwelling) = (text("alert_id"), text("kind"), text("dwelling_id"));
            // A case that fires again soon after it was closed is opened again, and told again.
            let Some(opened_us) = self.state.alerts.get(&id).map(|alert| alert.opened_us) else {
                continue;
            };
            let key = (id, opened_us);
            if self.cases.insert(key.clone(), Case { kind, dwelling, opened_us }).is_none() {
                self.open.push_back(key);
            }
        }
        Ok(())
    }

    fn judge(&self, district: &District) -> anyhow::Result<String> {
        let truth = hazards(district)?;
        let (_, _, homes) = district.counts();
        anyhow::ensure!(self.events > 0, "no home has sensors");
        let home_days = f64::from(homes) * f64::from(district.plan().days);
        let mut text = format!(
            "\n{} residents, {homes} homes with sensors, {} days, hazards {HAZARD_RATE} times as often as \
             published: {} events, {:.2} us each to apply\n\n\
             | hazard | happened | found | recall | best possible | after p50, p99 | cases | of them false | a home and day |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            district.plan().people,
            district.plan().days,
            self.events,
            micros(self.took, self.events),
        );
        for (kind, alerts) in WATCHED {
            let real: Vec<_> = truth.iter().filter(|each| each.kind == kind && each.real).collect();
            let cases: Vec<_> =
                self.cases.values().filter(|case| alerts.contains(&case.kind.as_str())).collect();
            let mut after: Vec<f64> =
                real.iter().filter_map(|hazard| hazard.found_after_s(&cases)).collect();
            after.sort_unstable_by(f64::total_cmp);
            let seen = real.iter().filter(|hazard| self.told.shows(hazard, &truth)).count();
            let of = |part: usize| part as f64 / real.len().max(1) as f64;
            let false_ones = cases
                .iter()
                .filter(|case| !real.iter().any(|hazard| hazard.explains(case)))
                .count();
            let at = |share: f64| after.get((after.len() as f64 * share) as usize).or(after.last());
            let [half, most] = [at(0.5), at(0.99)].map(|s| s.copied().unwrap_or(f64::NAN) / 60.0);
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "| {kind} | {} | {} | {:.3} | {:.3} | {half:.1} min, {most:.1} min | {} | {false_ones} | {:.5} |",
                real.len(),
                after.len(),
                of(after.len()),
                of(seen),
                cases.len(),
                false_ones as f64 / home_days,
            );
        }
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for case in self.cases.values() {
            if !WATCHED.iter().any(|(_, alerts)| alerts.contains(&case.kind.as_str())) {
                *others.entry(&case.kind).or_default() += 1;
            }
        }
        let _ = writeln!(text, "\nOther cases: {others:?}");
        Ok(text)
    }
}

fn micros(took: Duration, count: u64) -> f64 {
    took.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// This thread's time on a processor: apply waits for nothing.
fn on_processor() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// A hazard of the truth.
#[derive(Clone, Debug)]
pub(crate) struct Hazard {
    pub(crate) kind: String,
    pub(crate) dwelling: String,
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    real: bool,
}

impl Hazard {
    fn explains(&self, case: &Case) -> bool {
        self.dwelling == case.dwelling
            && (self.start_us..=self.end_us + GRACE_US).contains(&case.opened_us)
    }

    fn found_after_s(&self, cases: &[&Case]) -> Option<f64> {
        let opened = cases.iter().filter(|case| self.explains(case)).map(|case| case.opened_us);
        Some((opened.min()? - self.start_us) as f64 / 1e6)
    }
}

fn hazards(district: &District) -> anyhow::Result<Vec<Hazard>> {
    let rows = district.truth("hazard_true").context("the truth about hazards")?;
    rows.into_iter()
        .map(|row| match &row[..] {
            [
                _,
                Cell::Text(dwelling),
                _,
                Cell::Text(kind),
                Cell::Time(start),
                Cell::Time(end),
                _,
                Cell::Bool(real),
            ] => Ok(Hazard {
                kind: kind.clone(),
                dwelling: dwelling.clone(),
                start_us: *start,
                end_us: *end,
                real: *real,
            }),
            other => anyhow::bail!("not a row of hazard_true: {other:?}"),
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how large a bench is, and where criterion keeps its figures"
)]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn setting(name: &str) -> Option<u32> {
    variable(name)?.to_str()?.parse().ok()
}

fn keep(text: &str) -> anyhow::Result<()> {
    let Some(folder) = variable("CRITERION_HOME") else { return Ok(()) };
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(Path::new(&folder).join(TABLE), text)?)
}
