//! What became of a score, told once however often it is said.
//!
//! An outcome is the same if it has the same `outcome_id`, or, without one, is of the same decision
//! (or score of an entity) by the same source. Said again it changes nothing; said otherwise it is an
//! entry of its own, and in the calibration it takes the place of what was said before.

use super::chain::Hash;
use super::entry::{ObservedRecord, What};
use super::resident::Written;
use crate::state::{Refusal, Reply, State};
use imbl::{OrdMap, Vector};
use raft::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Outcomes remembered; one that is repeated after so many others counts again.
const KEPT: usize = 65_536;
/// Longest id of an outcome, in bytes.
pub const OUTCOME_ID_BYTES_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Said {
    decision_id: String,
    seq: u64,
    hash: Hash,
    observed: f64,
}

/// The newest outcomes, by what makes them the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcomes {
    said: OrdMap<u128, Said>,
    /// In which they were said first.
    order: Vector<u128>,
}

impl Outcomes {
    fn remember(&mut self, key: u128, said: Said) {
        if self.said.insert(key, said).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
    }
}

/// The first half of a digest over what makes an outcome the same.
fn key(outcome_id: &str, of: &ObservedRecord) -> u128 {
    let scored = of.scored_us.to_string();
    let parts = match (outcome_id, of.decision_id.as_str()) {
        ("", "") => vec!["score", &of.source, &of.entity, &of.model, &of.version, &scored],
        ("", decision) => vec!["decision", &of.source, decision],
        (id, _) => vec!["id", &of.source, id],
    };
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(first)
}

impl State {
    /// What was observed, and the groups that its entity belonged to, for the rates by group.
    pub(crate) fn record_outcome(
        &mut self,
        at: Position,
        outcome_id: &str,
        observed: ObservedRecord,
        groups: &[(String, String)],
    ) -> Reply {
        if !observed.observed.is_finite() || outcome_id.len() > OUTCOME_ID_BYTES_MAX {
            let said = format!(
                "an outcome is a finite number, 0 or 1, or a value; its id has {OUTCOME_ID_BYTES_MAX} bytes at most"
            );
            return Reply::Refused(Refusal::Invalid(said));
        }
        let key = key(outcome_id, &observed);
        let before = self.ledger.outcomes_said.said.get(&key).cloned();
        if let Some(said) = &before
            && said.observed.to_bits() == observed.observed.to_bits()
        {
            let Said { decision_id, seq, hash, .. } = said.clone();
            return Reply::Written(Written { decision_id, seq, hash });
        }
        self.watched.observe_outcome(&observed, groups, before.map(|said| said.observed));
        let value = observed.observed;
        let reply = self.write_entry(at, What::Outcome(observed));
        if let Reply::Written(Written { decision_id, seq, hash }) = &reply {
            let (decision_id, seq, hash) = (decision_id.clone(), *seq, *hash);
            let said = Said { decision_id, seq, hash, observed: value };
            self.ledger.outcomes_said.remember(key, said);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::watched::Tenth;

    const AT: Position = Position { index: 1, term: 1, time_us: 5 };

    fn of(entity: &str, observed: f64, observed_us: i64) -> ObservedRecord {
        ObservedRecord {
            entity: entity.to_owned(),
            model: "m".to_owned(),
            version: "1".to_owned(),
            score: 0.5,
            scored_us: 7,
            observed,
            observed_us,
            source: "office".to_owned(),
            ..ObservedRecord::default()
        }
    }

    fn say(state: &mut State, id: &str, observed: ObservedRecord) -> u64 {
        let groups = [("sex".to_owned(), "2".to_owned())];
        let Reply::Written(written) = state.record_outcome(AT, id, observed, &groups) else {
            panic!("refused")
        };
        written.seq
    }

    fn counted(state: &State) -> (Tenth, u64, u64) {
        let version = state.watched.version("m", "1").unwrap();
        let group = &version.groups[&("sex".to_owned(), "2".to_owned())];
        (version.calibration[5], group.outcomes, group.positives)
    }

    #[test]
    fn an_outcome_counts_once() {
        let mut state = State::new();
        assert_eq!(say(&mut state, "", of("r1", 1.0, 10)), 1);
        let once = counted(&state);
        assert_eq!((once.0.outcomes, once.1, once.2), (1, 1, 1));
        // Another clock time is no other outcome; another source, person or score is one.
        assert_eq!(say(&mut state, "", of("r1", 1.0, 11)), 1);
        assert_eq!(counted(&state), once);
        let other = ObservedRecord { source: "clinic".to_owned(), ..of("r1", 1.0, 10) };
        assert_eq!(say(&mut state, "", other), 2);
        assert_eq!(say(&mut state, "", of("r2", 1.0, 10)), 3);
        assert_eq!(say(&mut state, "", ObservedRecord { scored_us: 8, ..of("r1", 1.0, 10) }), 4);
        assert_eq!(counted(&state).0.outcomes, 4);
    }

    #[test]
    fn an_id_holds_although_a_newer_score_was_found() {
        let mut state = State::new();
        assert_eq!(say(&mut state, "fall-17", of("r1", 1.0, 10)), 1);
        let newer = ObservedRecord { scored_us: 9, score: 0.9, ..of("r1", 1.0, 10) };
        assert_eq!(say(&mut state, "fall-17", newer), 1);
        assert_eq!(say(&mut state, "fall-18", of("r1", 1.0, 10)), 2);
        let long = "x".repeat(OUTCOME_ID_BYTES_MAX + 1);
        let refused = state.record_outcome(AT, &long, of("r1", 1.0, 10), &[]);
        assert!(matches!(refused, Reply::Refused(_)));
    }

    #[test]
    fn a_correction_is_an_entry_and_takes_the_others_place() {
        let mut state = State::new();
        assert_eq!(say(&mut state, "", of("r1", 1.0, 10)), 1);
        assert_eq!(say(&mut state, "", of("r1", 0.0, 12)), 2);
        assert_eq!(say(&mut state, "", of("r1", 0.0, 12)), 2);
        let mut right = State::new();
        say(&mut right, "", of("r1", 0.0, 12));
        assert_eq!(counted(&state), counted(&right));
    }

    #[test]
    fn as_many_as_are_kept() {
        let mut outcomes = Outcomes::default();
        let said = Said { decision_id: String::new(), seq: 1, hash: [0; 32], observed: 1.0 };
        for key in 0..=KEPT as u128 {
            outcomes.remember(key, said.clone());
        }
        assert_eq!((outcomes.said.len(), outcomes.order.len()), (KEPT, KEPT));
        assert!(!outcomes.said.contains_key(&0));
    }
}
