//! The whole state as bytes and back, a version byte first.

use super::conditions::{Kept, Registers};
use super::dedup::Order;
use super::rules::RuleHistory;
use super::{
    Alerts, Casework, Checks, Conditions, DeadLetters, Dedup, Feeds, FrozenRows, Ledger,
    ModelRecord, Once, Rows, Rules, Scores, State, Tombstones, Views, Watched,
};
use features::{FrozenStore, Store};
use imbl::OrdMap;
use models::Registry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;

const SNAPSHOT_VERSION: u8 = 8;

/// The parts of a snapshot in their order, all but the features, which follow them. Of what is
/// remembered of events a frozen state has the keys alone, of the registers the pages.
#[derive(Debug, Serialize, Deserialize)]
struct Parts<Registered, Seen> {
    applied: u64,
    clock_us: i64,
    rows: Registered,
    dedup: Seen,
    alerts: Alerts,
    casework: Casework,
    rules: Rules,
    rule_history: RuleHistory,
    conditions: Kept,
    registry: Registry,
    models: OrdMap<(String, String), Arc<ModelRecord>>,
    model_indexes: OrdMap<(String, String), u64>,
    views: Views,
    scores: Scores,
    ledger: Ledger,
    watched: Watched,
    checks: Checks,
    once: Once,
    feeds: Feeds,
    tombstones: Tombstones,
    dead_letters: DeadLetters,
    events_total: u64,
    alerts_total: u64,
    hash: [u8; 32],
}

/// The state as it was at one moment. What is large is shared with the state, which copies what it
/// changes from then on: freezing takes no time that anybody waits for.
#[derive(Debug)]
pub struct FrozenState {
    parts: Parts<FrozenRows, Order>,
    features: FrozenStore,
}

impl FrozenState {
    /// Writes the state; the same state gives the same bytes on every node.
    pub fn write(&self, to: &mut dyn Write) -> Result<()> {
        to.write_all(&[SNAPSHOT_VERSION])?;
        postcard::to_io(&self.parts, &mut *to).map_err(Error::other)?;
        let mut outcome = Ok(());
        self.features.each_part(|part| {
            if outcome.is_ok() {
                outcome = to.write_all(part);
            }
        });
        outcome
    }
}

impl State {
    /// The content-addressed files that this state names: without them it is not whole.
    pub fn files(&self) -> BTreeSet<[u8; 32]> {
        self.models.values().map(|model| model.blob).collect()
    }

    pub fn freeze(&self) -> FrozenState {
        let parts = Parts {
            applied: self.applied,
            clock_us: self.clock_us,
            rows: self.rows.freeze(),
            dedup: self.dedup.freeze(),
            alerts: self.alerts.clone(),
            casework: self.casework.clone(),
            rules: self.rules.clone(),
            rule_history: self.rule_history.clone(),
            conditions: self.conditions.kept().clone(),
            registry: self.registry.clone(),
            models: self.models.clone(),
            model_indexes: self.model_indexes.clone(),
            views: self.views.clone(),
            scores: self.scores.clone(),
            ledger: self.ledger.clone(),
            watched: self.watched.clone(),
            checks: self.checks.clone(),
            once: self.once.clone(),
            feeds: self.feeds.clone(),
            tombstones: self.tombstones.clone(),
            dead_letters: self.dead_letters.clone(),
            events_total: self.events_total,
            alerts_total: self.alerts_total,
            hash: self.hash,
        };
        FrozenState { parts, features: self.features.freeze() }
    }

    /// The state as bytes; the same state gives the same bytes on every node.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.freeze().write(&mut bytes)?;
        Ok(bytes)
    }

    pub fn from_reader(from: &mut dyn Read) -> Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let damaged = |what: &str| {
            Error::new(ErrorKind::InvalidData, format!("snapshot of the state: {what}"))
        };
        let Some((&version, rest)) = bytes.split_first() else {
            return Err(damaged("it is empty"));
        };
        if version != SNAPSHOT_VERSION {
            return Err(damaged(&format!(
                "version {version}, this program reads {SNAPSHOT_VERSION}: update the node"
            )));
        }
        let (parts, features): (Parts<Rows, Dedup>, _) =
            postcard::take_from_bytes(rest).map_err(|error| damaged(&error.to_string()))?;
        let features = Store::from_bytes(features).map_err(|error| damaged(&error.to_string()))?;
        let registers = Registers { rows: &parts.rows, store: &features };
        let conditions = Conditions::restore(parts.conditions, &parts.rules, registers);
        Ok(Self {
            applied: parts.applied,
            clock_us: parts.clock_us,
            conditions,
            rows: parts.rows,
            features,
            dedup: parts.dedup,
            alerts: parts.alerts,
            casework: parts.casework,
            rules: parts.rules,
            rule_history: parts.rule_history,
            registry: parts.registry,
            models: parts.models,
            model_indexes: parts.model_indexes,
            views: parts.views,
            scores: parts.scores,
            ledger: parts.ledger,
            watched: parts.watched,
            checks: parts.checks,
            once: parts.once,
            feeds: parts.feeds,
            tombstones: parts.tombstones,
            dead_letters: parts.dead_letters,
            events_total: parts.events_total,
            alerts_total: parts.alerts_total,
            hash: parts.hash,
            ..Self::new()
        })
    }
}
