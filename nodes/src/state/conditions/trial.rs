//! A rule set tried on events of the past: the very same engine, with a book of cases of its own.
//! Nothing in here touches a state.

use super::engine::Conditions;
use super::groups::Registers;
use super::kept::Kept;
use super::sight::{PlaceId, Sight};
use super::verdict::{Spot, Verdict, What};
use crate::state::rules::Rules;
use crate::state::{Rows, Severity};
use features::table::{Cell, RowError, Table};
use features::{EntityKind, Event, Kind, Quality, Store, effective_time_us, fixed};
use std::collections::BTreeMap;

/// A running cluster lets its clock move more often; rules cannot tell the difference.
const TICK_US: i64 = 5_000_000;
/// Ids of events that are kept with a find.
const EVIDENCE_MAX: usize = 8;

/// One alert that the set would have raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub alert: String,
    pub place: String,
    pub severity: Severity,
    pub level: u32,
    pub raised_us: i64,
    /// 0 while it lasts.
    pub over_us: i64,
    /// A later event showed that it was wrong.
    pub was_wrong: bool,
    pub evidence: Vec<String>,
    pub reason: String,
    /// When something of it was seen last.
    seen_us: i64,
}

#[derive(Debug)]
pub struct Trial {
    conditions: Conditions,
    rows: Rows,
    store: Store,
    now_us: i64,
    /// Open finds by kind and place.
    open: BTreeMap<(String, String), usize>,
    found: Vec<Found>,
    /// A find of which nothing more is seen for so long was handled.
    handled_us: i64,
}

impl Trial {
    pub fn new(rules: &Rules, handled_us: i64) -> Self {
        let (rows, store) = (Rows::default(), Store::default());
        let registers = Registers { rows: &rows, store: &store };
        let conditions = Conditions::restore(Kept::default(), rules, registers);
        let (open, found) = (BTreeMap::new(), Vec::new());
        Self { conditions, rows, store, now_us: 0, open, found, handled_us }
    }

    pub fn register(&mut self, table: &'static Table, row: &[Cell]) -> Result<(), RowError> {
        self.rows.upsert(table, row).map(drop)
    }

    /// An event as it was received.
    pub fn see(&mut self, event: &Event, received_us: i64) {
        self.wait_until(received_us);
        let Ok(kind) = event.kind.parse::<Kind>() else { return };
        let (at_us, quality) = effective_time_us(event.event_time_us, received_us);
        let slot = self.store.slot(EntityKind::Device, &event.device_id);
        let (Some(slot), Some(value)) = (slot, fixed::to_micros(event.value)) else { return };
        if quality == Quality::Backfill {
            return;
        }
        let dwelling = self.rows.homes().dwelling_of_device(&event.device_id);
        let home = dwelling.and_then(|name| self.store.slot(EntityKind::Dwelling, name));
        let sight = Sight {
            place: home.map_or(PlaceId::device(slot as u32), |home| PlaceId::home(home as u32)),
            device: slot as u32,
            kind,
            value,
            at_us,
            now_us: self.now_us,
            boot: event.boot_id,
            id: &event.event_id,
            source: &event.source,
        };
        let mut verdicts = Vec::new();
        let registers = Registers { rows: &self.rows, store: &self.store };
        self.conditions.see(&sight, registers, &mut verdicts);
        self.write_down(verdicts);
    }

    /// Lets time pass as in a running cluster.
    pub fn wait_until(&mut self, to_us: i64) {
        if self.now_us == 0 {
            self.now_us = to_us;
            self.tick();
        }
        while self.now_us < to_us {
            self.now_us = (self.now_us + TICK_US).min(to_us);
            self.tick();
        }
    }

    fn tick(&mut self) {
        let mut verdicts = Vec::new();
        let registers = Registers { rows: &self.rows, store: &self.store };
        self.conditions.advance(self.now_us, registers, &mut verdicts);
        self.write_down(verdicts);
    }

    fn write_down(&mut self, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            let registers = Registers { rows: &self.rows, store: &self.store };
            let (dwelling, other) = registers.names_of(&verdict.spot);
            let place = if dwelling.is_empty() { other } else { dwelling };
            let key = (verdict.alert.to_string(), place);
            let open = self.open.get(&key).copied().filter(|at| self.is_open(*at));
            match (verdict.what, open) {
                (What::Fire { severity, level, evidence, reason, .. }, open) => {
                    self.fire(key, open, (severity, level), (evidence, reason));
                }
                (What::Again { id, .. }, Some(at)) => self.add(at, &[id]),
                (What::Again { id, rule, .. }, None) => {
                    if let Spot::Place(place) = verdict.spot
                        && let Some(again) = self.conditions.begin_anew(place, rule, &id)
                    {
                        self.write_down(vec![again]);
                    }
                }
                (What::Over | What::Explained { .. } | What::Withdrawn { .. }, Some(at)) => {
                    self.end(at, false);
                }
                (What::Wrong { .. }, Some(at)) => self.end(at, true),
                (_, None) => {}
            }
        }
    }

    fn is_open(&self, at: usize) -> bool {
        self.found.get(at).is_some_and(|found| {
            found.over_us == 0 && self.now_us - found.seen_us < self.handled_us
        })
    }

    fn fire(
        &mut self,
        (alert, place): (String, String),
        open: Option<usize>,
        (severity, level): (Severity, u32),
        (evidence, reason): (Vec<String>, String),
    ) {
        if let Some(at) = open {
            self.add(at, &evidence);
            if let Some(found) = self.found.get_mut(at) {
                found.severity = found.severity.min(severity);
                found.level = found.level.max(level);
            }
            return;
        }
        self.open.insert((alert.clone(), place.clone()), self.found.len());
        let evidence = evidence.into_iter().take(EVIDENCE_MAX).collect();
        self.found.push(Found {
            alert,
            place,
            severity,
            level,
            raised_us: self.now_us,
            over_us: 0,
            was_wrong: false,
            evidence,
            reason,
            seen_us: self.now_us,
        });
    }

    fn add(&mut self, at: usize, ids: &[String]) {
        let now_us = self.now_us;
        let Some(found) = self.found.get_mut(at) else { return };
        found.seen_us = now_us;
        for id in ids {
            if found.evidence.len() < EVIDENCE_MAX && !found.evidence.contains(id) {
                found.evidence.push(id.clone());
            }
        }
    }

    fn end(&mut self, at: usize, was_wrong: bool) {
        let now_us = self.now_us;
        if let Some(found) = self.found.get_mut(at) {
            (found.over_us, found.was_wrong) = (now_us, was_wrong);
        }
    }

    /// Everything that was found, in the order in which it was raised.
    pub fn found(&self) -> &[Found] {
        &self.found
    }
}

/// What two sets found of the same events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// By kind: found by the set in force, by the new one.
    pub kinds: BTreeMap<String, (usize, usize)>,
    pub added: Vec<Found>,
    pub missing: Vec<Found>,
}

/// Two finds of a kind at a place are one if they were raised this near to each other.
const SAME_US: i64 = 6 * 3_600 * 1_000_000;

impl Comparison {
    pub fn of(in_force: &[Found], new: &[Found]) -> Self {
        let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for found in in_force {
            kinds.entry(found.alert.clone()).or_default().0 += 1;
        }
        for found in new {
            kinds.entry(found.alert.clone()).or_default().1 += 1;
        }
        Self { kinds, added: without(new, in_force), missing: without(in_force, new) }
    }
}

/// What of these is not among the others, each of which is taken once.
fn without(these: &[Found], others: &[Found]) -> Vec<Found> {
    let mut left: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for other in others {
        left.entry((&other.alert, &other.place)).or_default().push(other.raised_us);
    }
    let mut missing = Vec::new();
    for found in these {
        let times = left.entry((&found.alert, &found.place)).or_default();
        match times.iter().position(|us| (us - found.raised_us).abs() <= SAME_US) {
            Some(at) => {
                times.remove(at);
            }
            None => missing.push(found.clone()),
        }
    }
    missing
}
