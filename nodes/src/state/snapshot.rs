//! The whole state as bytes and back, a version byte first.

use super::{
    Alerts, Checks, Dedup, Homes, Ledger, ModelRecord, Once, Recent, Rows, Rules, Scores, State,
};
use features::Store;
use models::Registry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result};

const SNAPSHOT_VERSION: u8 = 2;

/// Borrowed on the way out, owned on the way in: the same bytes.
#[derive(Serialize, Deserialize)]
struct Parts<'a> {
    applied: u64,
    clock_us: i64,
    rows: Held<'a, Rows>,
    features: Vec<u8>,
    dedup: Held<'a, Dedup>,
    alerts: Held<'a, Alerts>,
    rules: Held<'a, Rules>,
    registry: Held<'a, Registry>,
    models: Held<'a, BTreeMap<(String, String), ModelRecord>>,
    model_indexes: Held<'a, BTreeMap<(String, String), u64>>,
    scores: Held<'a, Scores>,
    ledger: Held<'a, Ledger>,
    checks: Held<'a, Checks>,
    once: Held<'a, Once>,
    events_total: u64,
    alerts_total: u64,
    hash: [u8; 32],
}

type Held<'a, T> = std::borrow::Cow<'a, T>;

impl State {
    /// The state as bytes; the same state gives the same bytes on every node.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut features = Vec::new();
        self.features.write(&mut features);
        let parts = Parts {
            applied: self.applied,
            clock_us: self.clock_us,
            rows: Held::Borrowed(&self.rows),
            features,
            dedup: Held::Borrowed(&self.dedup),
            alerts: Held::Borrowed(&self.alerts),
            rules: Held::Borrowed(&self.rules),
            registry: Held::Borrowed(&self.registry),
            models: Held::Borrowed(&self.models),
            model_indexes: Held::Borrowed(&self.model_indexes),
            scores: Held::Borrowed(&self.scores),
            ledger: Held::Borrowed(&self.ledger),
            checks: Held::Borrowed(&self.checks),
            once: Held::Borrowed(&self.once),
            events_total: self.events_total,
            alerts_total: self.alerts_total,
            hash: self.hash,
        };
        postcard::to_extend(&parts, vec![SNAPSHOT_VERSION]).map_err(Error::other)
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
        let parts: Parts<'_> =
            postcard::from_bytes(rest).map_err(|error| damaged(&error.to_string()))?;
        let rows = parts.rows.into_owned();
        Ok(Self {
            applied: parts.applied,
            clock_us: parts.clock_us,
            homes: Homes::rebuild(&rows),
            rows,
            features: Store::from_bytes(&parts.features)
                .map_err(|error| damaged(&error.to_string()))?,
            dedup: parts.dedup.into_owned(),
            alerts: parts.alerts.into_owned(),
            rules: parts.rules.into_owned(),
            registry: parts.registry.into_owned(),
            models: parts.models.into_owned(),
            model_indexes: parts.model_indexes.into_owned(),
            scores: parts.scores.into_owned(),
            ledger: parts.ledger.into_owned(),
            checks: parts.checks.into_owned(),
            once: parts.once.into_owned(),
            events_total: parts.events_total,
            alerts_total: parts.alerts_total,
            hash: parts.hash,
            recent: Recent::default(),
            changes: Vec::new(),
            check_due: false,
        })
    }
}
