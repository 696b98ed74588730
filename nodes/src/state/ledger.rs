//! The decision ledger: what was decided about whom, chained by hash.

use super::{Refusal, Reply, State};
use features::table::Cell;
use imbl::OrdMap;
use raft::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Decisions held in memory for GetDecision and ReplayDecision; past it, new ones are refused until
/// older ones are exported.
const DECISIONS_MAX: usize = 1_000_000;

/// One decision: the score with everything it was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    pub decision_id: String,
    pub entity: String,
    pub model: String,
    pub version: String,
    pub model_sha256: String,
    pub score: f64,
    pub band: String,
    pub base: f64,
    pub link: String,
    /// Feature, value, contribution.
    pub contributions: Vec<(String, f64, f64)>,
    /// Feature, value as the model read it, event time, status.
    pub features: Vec<(String, f32, i64, String)>,
    pub read_index: u64,
    pub caller: String,
    pub purpose: String,
    pub policy: String,
    pub outcome: String,
    pub human_reviewer: String,
    pub decided_us: i64,
    pub previous_hash: [u8; 32],
    pub hash: [u8; 32],
}

impl DecisionRecord {
    /// The hash over everything but itself.
    pub fn chained_hash(&self) -> [u8; 32] {
        let mut open = self.clone();
        open.hash = [0; 32];
        let mut hash = Sha256::new();
        hash.update(postcard::to_stdvec(&open).unwrap_or_default());
        hash.finalize().into()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    decisions: OrdMap<String, Arc<DecisionRecord>>,
    pub head: [u8; 32],
}

impl Ledger {
    pub fn get(&self, id: &str) -> Option<&DecisionRecord> {
        self.decisions.get(id).map(Arc::as_ref)
    }

    pub fn len(&self) -> usize {
        self.decisions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }
}

impl State {
    pub(crate) fn record_decision(&mut self, at: Position, mut record: DecisionRecord) -> Reply {
        if let Some(old) = self.ledger.decisions.get(&record.decision_id) {
            return Reply::Decision(Box::new(DecisionRecord::clone(old)));
        }
        if self.ledger.decisions.len() >= DECISIONS_MAX {
            let said = format!(
                "the ledger holds its limit of {DECISIONS_MAX} decisions: export and start a new one"
            );
            return Reply::Refused(Refusal::Exhausted(said));
        }
        record.decided_us = self.clock_us;
        record.previous_hash = self.ledger.head;
        record.hash = record.chained_hash();
        self.ledger.head = record.hash;
        self.append("decision", row(at, &record));
        self.ledger.decisions.insert(record.decision_id.clone(), Arc::new(record.clone()));
        Reply::Decision(Box::new(record))
    }
}

fn row(at: Position, record: &DecisionRecord) -> Vec<Cell> {
    let hex = |bytes: &[u8]| Cell::Text(crate::hex::encode(bytes));
    vec![
        Cell::text(&record.decision_id),
        Cell::text(&record.entity),
        Cell::text(&record.model),
        Cell::text(&record.version),
        Cell::text(&record.model_sha256),
        Cell::Real(record.score),
        Cell::text(&record.band),
        Cell::text(&record.caller),
        Cell::text(&record.purpose),
        Cell::text(&record.policy),
        Cell::text(&record.outcome),
        Cell::text(&record.human_reviewer),
        Cell::Time(record.decided_us),
        hex(&record.previous_hash),
        hex(&record.hash),
        Cell::Int(at.index as i64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_holds_and_a_repeat_changes_nothing() {
        let mut state = State::new();
        let at = Position { index: 1, term: 1, time_us: 5 };
        let record = |id: &str| DecisionRecord {
            decision_id: id.to_owned(),
            score: 0.5,
            ..Default::default()
        };
        let Reply::Decision(first) = state.record_decision(at, record("a")) else {
            panic!("refused")
        };
        let Reply::Decision(second) = state.record_decision(at, record("b")) else {
            panic!("refused")
        };
        let Reply::Decision(again) = state.record_decision(at, record("a")) else {
            panic!("refused")
        };
        assert_eq!(first, again);
        assert_eq!(second.previous_hash, first.hash);
        assert_eq!(second.chained_hash(), second.hash);
        let mut changed = *second;
        changed.score = 0.6;
        assert_ne!(changed.chained_hash(), changed.hash);
    }
}
