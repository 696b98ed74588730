//! What the leader's scorer found. Results are replicated, computation is not.

use super::cases::Raise;
use super::newest_scores::{NewestScore, NewestScores};
use super::{Reply, Severity, State};
use features::table::Cell;
use features::{EntityKind, Paged};
use raft::Position;
use serde::{Deserialize, Serialize};

/// The alert that a score asks for, by its model's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreAlert {
    pub kind: String,
    pub severity: Severity,
}

/// One score of one resident, with all that says how it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRecord {
    pub resident_key: String,
    pub model: String,
    pub version: String,
    pub model_sha256: String,
    pub score: f64,
    pub band: String,
    /// Feature, value, contribution.
    pub reasons: Vec<(String, f64, f64)>,
    /// Hash of the feature vector that was read.
    pub feature_hash: String,
    /// The applied index at which the features were read.
    pub read_index: u64,
    pub scored_us: i64,
    pub alert: Option<ScoreAlert>,
}

/// A resident's turn to be scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Turn {
    /// The entry that moved the resident's features last; 0 where nothing has since the last score.
    moved_index: u64,
    /// The earliest time of the next score.
    due_us: i64,
    /// When the last score was; 0 where there is none.
    scored_us: i64,
}

/// The newest score by resident and model, and who is waiting to be scored again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    latest: NewestScores,
    /// By the resident's slot in the features.
    turns: Paged<Turn>,
    /// Features up to this index were read by the scorer.
    pub scored_index: u64,
}

impl Scores {
    pub(crate) fn touch(&mut self, slot: usize, index: u64, interval_us: i64) {
        while self.turns.len() <= slot {
            self.turns.push(Turn::default());
        }
        let Some(turn) = self.turns.get_mut(slot) else { return };
        if turn.moved_index == 0 {
            turn.due_us = if turn.scored_us == 0 { 0 } else { turn.scored_us + interval_us };
        }
        turn.moved_index = index;
    }

    /// Looks at what [`Scores::touch`] will change, and gives something that depends on it.
    pub(crate) fn warm(&self, slot: usize) -> usize {
        self.turns.get(slot).map_or(0, |turn| turn.moved_index as usize)
    }

    /// The resident was scored from features at `read_index`; what moved later is scored again.
    fn settle(&mut self, slot: usize, read_index: u64, now_us: i64, interval_us: i64) {
        let Some(turn) = self.turns.get_mut(slot) else { return };
        turn.scored_us = now_us;
        if turn.moved_index <= read_index {
            turn.moved_index = 0;
        } else {
            turn.due_us = now_us + interval_us;
        }
    }

    pub fn latest(&self, resident: &str, model: &str) -> Option<NewestScore<'_>> {
        self.latest.get(resident, model)
    }

    /// The newest scores of a resident, by model name.
    pub fn of(&self, resident: &str) -> impl Iterator<Item = NewestScore<'_>> {
        self.latest.of(resident)
    }
}

impl State {
    /// Residents that may be scored now: of so many slots from `from` on, `limit` at most. Gives the
    /// slot to go on at, which is 0 behind the last: who asks on from there comes by everybody in turn,
    /// however many wait.
    pub fn due_residents(
        &self,
        now_us: i64,
        (from, slots): (usize, usize),
        limit: usize,
    ) -> (Vec<String>, usize) {
        let turns = &self.scores.turns;
        let (mut due, mut slot) = (Vec::new(), from);
        let end = from.saturating_add(slots).min(turns.len());
        while slot < end && due.len() < limit {
            if turns.get(slot).is_some_and(|turn| turn.moved_index > 0 && turn.due_us <= now_us) {
                due.push(self.features.key(EntityKind::Resident, slot).to_owned());
            }
            slot += 1;
        }
        (due, if slot >= turns.len() { 0 } else { slot })
    }

    /// Residents that have a turn at all.
    pub fn turns(&self) -> usize {
        self.scores.turns.len()
    }

    pub(crate) fn record_scores(
        &mut self,
        at: Position,
        residents: &[String],
        read_index: u64,
        scores: Vec<ScoreRecord>,
    ) -> Reply {
        self.scores.scored_index = self.scores.scored_index.max(read_index);
        for resident in residents {
            if let Some(slot) = self.features.find(EntityKind::Resident, resident) {
                let interval_us = self.rules.score_interval_us();
                self.scores.settle(slot, read_index, self.clock_us, interval_us);
            }
        }
        for score in scores {
            // The same vector under the same model says nothing new.
            let old = self.scores.latest.get(&score.resident_key, &score.model);
            if old.is_some_and(|old| old.is_of(&score.feature_hash, &score.model_sha256)) {
                continue;
            }
            self.append("risk_score", score_row(at, &score));
            if let Some(alert) = &score.alert {
                self.raise_from_score(at, &score, alert);
            }
            self.scores.latest.put(&score);
        }
        Reply::Done
    }

    /// One alert for a resident and kind while one is open.
    fn raise_from_score(&mut self, at: Position, score: &ScoreRecord, wanted: &ScoreAlert) {
        let dwelling =
            self.homes().dwelling_of_resident(&score.resident_key).unwrap_or_default().to_owned();
        let place = if dwelling.is_empty() { &score.resident_key } else { &dwelling };
        if self.open_case(&wanted.kind, place).is_some() {
            return;
        }
        let raise = Raise {
            kind: wanted.kind.clone(),
            severity: wanted.severity,
            level: 1,
            dwelling,
            resident: score.resident_key.clone(),
            evidence: Vec::new(),
            event_us: 0,
            model: score.model.clone(),
            version: score.version.clone(),
            reason: format!("score {:.4}, band {}", score.score, score.band),
            suppressed_by: String::new(),
        };
        self.raise(at, raise);
    }
}

fn score_row(at: Position, score: &ScoreRecord) -> Vec<Cell> {
    vec![
        Cell::text(&score.resident_key),
        Cell::text(&score.model),
        Cell::text(&score.version),
        Cell::Time(score.scored_us),
        Cell::Real(score.score),
        Cell::text(&score.band),
        Cell::Reasons(score.reasons.clone()),
        Cell::Null,
        Cell::text(&score.feature_hash),
        Cell::text(&score.model_sha256),
        Cell::Int(at.index as i64),
    ]
}
