//! On the leader: residents whose features moved, through every active model, back into the log.
//!
//! It goes round the residents, so that nobody waits for ever where more move than can be scored, and it
//! gives way to calls: its runs are the least urgent of the lane, short, and have pauses between them.

use crate::node::Node;
use crate::serving::{Beside, Loaded, Routed, Rows, Sent, feature_hash, look_ahead};
use crate::state::{Command, ScoreAlert, ScoreRecord, Severity, State};
use crate::watch::{Codes, Groups};
use models::Priority;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Residents scored in one round; one round is one command.
const RESIDENTS_PER_ROUND: usize = 512;
/// Residents scored in one run: with the reasons of a forest, about a millisecond.
const RESIDENTS_PER_RUN: usize = 32;
/// Turns looked at while the state is held once.
const TURNS_PER_LOOK: usize = 65_536;
/// Between two rounds where nobody is left waiting, and where somebody is.
const PAUSE: Duration = Duration::from_millis(100);
const BREATH: Duration = Duration::from_millis(5);
/// While urgent calls come in, a run is followed by a rest of so many times its length.
const REST: u32 = 4;
/// Reasons kept with a score.
const REASONS_MAX: usize = 5;

pub(crate) async fn run(node: Arc<Node>) {
    let mut applied = node.machine().watch_applied();
    let mut slot = 0;
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = PAUSE;
        if !node.raft().is_leader() {
            // Nothing to do until something is applied, by whoever leads.
            if applied.changed().await.is_err() {
                return;
            }
            continue;
        }
        let begun = Instant::now();
        let Some(round) = score_round(&node, &mut slot).await else { continue };
        if matches!(&round, Command::RecordScores { residents, .. } if residents.len() == RESIDENTS_PER_ROUND)
        {
            // Others wait: half of the time for them, half for everybody else.
            pause = begun.elapsed().clamp(BREATH, PAUSE);
        }
        if let Err(error) = node.propose(&round).await {
            tracing::warn!(%error, "scores were not recorded; these residents are scored again");
        }
    }
}

/// Scores of the next who are due, by every active model; nothing where nobody or no model is.
async fn score_round(node: &Arc<Node>, slot: &mut usize) -> Option<Command> {
    let now_us = node.raft().now_us();
    let models = node.serving().active_for(&node.machine().read(), "resident");
    if models.is_empty() {
        return None;
    }
    let residents = next_due(node, slot, now_us);
    if residents.is_empty() {
        return None;
    }
    let (mut scores, mut read_index) = (Vec::new(), u64::MAX);
    for part in residents.chunks(RESIDENTS_PER_RUN) {
        let (own, part, models) = (Arc::clone(node), part.to_vec(), models.clone());
        let begun = Instant::now();
        let work = move || score_part(&own, &part, &models, now_us);
        // Where the lane is full others are in need of it: these residents stay due.
        let (index, scored) = node.lane().run(Priority::Batch, None, work).await.ok()?;
        read_index = read_index.min(index);
        scores.extend(scored);
        if node.gate().is_pressed() {
            tokio::time::sleep(begun.elapsed() * REST).await;
        }
    }
    Some(Command::RecordScores { residents, read_index, scores })
}

/// The next who are due, once round at the most.
fn next_due(node: &Node, slot: &mut usize, now_us: i64) -> Vec<String> {
    let mut residents = Vec::new();
    let mut seen = 0;
    loop {
        // Anew each time: applying the log waits for nobody longer than for one look.
        let state = node.machine().read();
        let turns = state.turns();
        let look = (*slot, TURNS_PER_LOOK.min(turns.saturating_sub(seen)));
        let left = RESIDENTS_PER_ROUND - residents.len();
        let (due, next) = state.due_residents(now_us, look, left);
        residents.extend(due);
        seen += if next > *slot { next - *slot } else { turns.saturating_sub(*slot) };
        *slot = next;
        if residents.len() >= RESIDENTS_PER_ROUND || seen >= turns {
            return residents;
        }
    }
}

/// An index that all rows were read at or behind, and the scores of all models.
fn score_part(
    node: &Node,
    residents: &[String],
    models: &[Routed],
    now_us: i64,
) -> (u64, Vec<ScoreRecord>) {
    let read_index = node.machine().applied();
    let mut scores = Vec::new();
    for routed in models {
        for (model, residents) in routed.split(residents) {
            let groups = node.serving().groups();
            let part = Part::read(&node.machine().read(), groups, model, &residents);
            let Some(part) = part else { continue };
            if let Err(error) = part.score((node, routed, model), now_us, &mut scores) {
                tracing::warn!(model = model.name(), %error, "residents could not be scored");
            }
        }
    }
    (read_index, scores)
}

/// Rows of some residents that say something new.
struct Part<'a> {
    rows: Rows,
    residents: Vec<&'a String>,
    hashes: Vec<String>,
    groups: Vec<Codes>,
}

impl<'a> Part<'a> {
    fn read(
        state: &State,
        groups: &Groups,
        model: &Loaded,
        residents: &'a [String],
    ) -> Option<Self> {
        let view = model.view()?;
        let mut part = Self {
            rows: Rows::open(state, model, residents.len()).ok()?,
            residents: Vec::with_capacity(residents.len()),
            hashes: Vec::with_capacity(residents.len()),
            groups: Vec::with_capacity(residents.len()),
        };
        for (at, resident) in residents.iter().enumerate() {
            look_ahead(state, model, residents, at);
            let from = part.rows.features.values.len();
            // Who is refused or gone has no score; that is no failure of the others.
            let is_known = part.rows.add(state, model, (resident, &[])).unwrap_or(false);
            let hash = feature_hash(view, &part.rows.features.values[from..]);
            let old = state.scores.latest(resident, model.name());
            let is_old = old.is_some_and(|old| old.is_of(&hash, model.sha256_hex()));
            if !is_known || is_old {
                part.rows.features.truncate(from);
                continue;
            }
            part.residents.push(resident);
            part.hashes.push(hash);
            part.groups.push(groups.of(state, model, resident));
        }
        Some(part)
    }

    fn score(
        self,
        (node, routed, model): (&Node, &Routed, &Arc<Loaded>),
        now_us: i64,
        into: &mut Vec<ScoreRecord>,
    ) -> Result<(), models::Error> {
        let count = self.residents.len();
        if count == 0 {
            return Ok(());
        }
        let values = &self.rows.features.values;
        let begun = Instant::now();
        let scores = model.model().score(values, count);
        model.runs.count(begun, count as u64, scores.is_ok());
        let (scores, took) = (scores?, begun.elapsed());
        // Nobody has called, so nobody has sent anything.
        let sent = &Sent::default();
        let beside = Beside { routed, answered: model, values, scores: &scores, sent, took };
        node.serving().shade(&beside, self.residents.iter().map(|each| each.as_str()));
        let rows = values.chunks_exact(self.rows.width.max(1));
        let statuses = self.rows.features.statuses.chunks_exact(self.rows.width.max(1));
        for (((row, statuses), score), groups) in
            rows.clone().zip(statuses).zip(&scores).zip(self.groups)
        {
            model.watch().observe(row, statuses, f64::from(*score), groups);
        }
        let of = self.residents.into_iter().zip(self.hashes).zip(scores).zip(rows);
        for (((resident, feature_hash), score), row) in of {
            let score = f64::from(score);
            let wanted = model.manifest().alert.as_ref().filter(|alert| score >= alert.min_score);
            into.push(ScoreRecord {
                resident_key: resident.clone(),
                model: model.name().to_owned(),
                version: model.version().to_owned(),
                model_sha256: model.sha256_hex().to_owned(),
                score,
                band: model.manifest().band(score).unwrap_or_default().to_owned(),
                reasons: reasons(model, row),
                feature_hash,
                read_index: self.rows.log_index,
                scored_us: now_us,
                alert: wanted.map(|alert| ScoreAlert {
                    kind: alert.kind.clone(),
                    severity: Severity::parse(&alert.severity).unwrap_or(Severity::Minor),
                }),
            });
        }
        Ok(())
    }
}

/// The features that weighed most: feature, value, contribution.
fn reasons(model: &Loaded, row: &[f32]) -> Vec<(String, f64, f64)> {
    if !model.explains_exactly() {
        return Vec::new();
    }
    let Ok(explanation) = model.explain(row) else { return Vec::new() };
    let named = model.manifest().features.iter().zip(row).zip(explanation.contributions);
    let mut reasons: Vec<(String, f64, f64)> =
        named.map(|((name, value), part)| (name.clone(), f64::from(*value), part)).collect();
    reasons.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    reasons.truncate(REASONS_MAX);
    reasons
}
