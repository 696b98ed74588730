//! The recomputation and the comparison.

use super::copy::Copied;
use super::{Limits, Outcome};
use crate::clock;
use arrow::array::{ArrayRef, RecordBatch};
use features::FeatureView;
use flight::{Error, Give, OnlineRow, Question, Scratch, features_sql, online_rows};
use std::fmt;

/// Differences that are kept to be told.
const TOLD_MAX: usize = 20;
const STATUSES: [&str; 5] = ["present", "default", "stale", "not found", "partial"];
/// [`features::Status::Partial`]: the view came after the readings, which were not kept for it.
const PARTIAL: i8 = flight::status_code(features::Status::Partial);

/// One value that is not what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) entity: String,
    pub(crate) key: String,
    pub(crate) view: String,
    pub(crate) feature: String,
    pub(crate) online: Value,
    pub(crate) made: Value,
}

/// A value with all that is said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) number: f32,
    pub(crate) status: i8,
    pub(crate) event_us: i64,
}

impl Value {
    fn of(row: &OnlineRow, at: usize) -> Option<Self> {
        Some(Self {
            number: *row.values.get(at)?,
            status: *row.statuses.get(at)?,
            event_us: *row.event_times_us.get(at)?,
        })
    }

    /// By bits; one number that is none is as good as another.
    fn is_same(self, other: Self) -> bool {
        let same = self.number.to_bits() == other.number.to_bits()
            || (self.number.is_nan() && other.number.is_nan());
        same && self.status == other.status && self.event_us == other.event_us
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = STATUSES.get(self.status as usize).unwrap_or(&"unknown");
        write!(out, "{:?} {status}", self.number)?;
        if self.event_us != 0 {
            write!(out, " of {}", clock::text(self.event_us))?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entity, key, view, feature, online, made } = self;
        write!(
            out,
            "{entity} {key}, view {view}, feature {feature}: online {online}, recomputed {made}"
        )
    }
}

pub(super) fn compare(
    scratch: &Scratch,
    copied: &Copied,
    limits: &Limits,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome {
        log_index: copied.log_index,
        clock_us: copied.clock_us,
        views: copied.views.len(),
        events: copied.events,
        registers: copied.registers,
        ..Outcome::default()
    };
    for (at, view) in copied.views.iter().enumerate() {
        let only = limits.part.has("key");
        let count =
            scratch.number(&format!("SELECT count(*) FROM online WHERE view = {at} AND {only}"))?;
        let parts = count.div_ceil(limits.entities.max(1));
        let mut compared = 0;
        for part in 0..parts {
            let only = limits.part.has_within("key", (part, parts));
            scratch.query(&part_sql(copied, at, view, &only), |batch| {
                compared += batch.num_rows() as u64;
                compare_batch(view, &batch, &mut outcome)
            })?;
        }
        if compared != count {
            return Err(Error::Internal(format!(
                "view {}: {count} entities are online, {compared} were recomputed",
                view.name()
            )));
        }
        outcome.entities += count;
    }
    Ok(outcome)
}

fn part_sql(copied: &Copied, at: usize, view: &FeatureView, only: &str) -> String {
    let list = format!(
        "(SELECT key, make_timestamp({}::BIGINT) AS read_at, view, online_values, online_statuses, online_times \
         FROM hearth.civil.online WHERE view = {at} AND {only})",
        copied.clock_us
    );
    let question = Question {
        view,
        list: &list,
        known_at: None,
        through: Some(copied.log_index),
        give: Give::Lists,
    };
    format!("FROM {}", features_sql(&question))
}

fn compare_batch(
    view: &FeatureView,
    batch: &RecordBatch,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let columns = |side: &str| -> Result<Vec<ArrayRef>, Error> {
        let names = ["view", "key"].map(str::to_owned).into_iter();
        let lists = ["values", "statuses", "times"].map(|list| format!("{side}_{list}"));
        let column = |name: String| {
            let found = batch.column_by_name(&name).cloned();
            found.ok_or_else(|| Error::Internal(format!("the recomputation has no column {name}")))
        };
        names.chain(lists).map(column).collect()
    };
    let online = online_rows(&columns("online")?)?;
    let made = online_rows(&columns("made")?)?;
    for (online, made) in online.iter().zip(&made) {
        for (at, feature) in view.features().iter().enumerate() {
            let (Some(said), Some(again)) = (Value::of(online, at), Value::of(made, at)) else {
                let lost = format!("{} of {} has no value", feature.name, online.key);
                return Err(Error::Internal(lost));
            };
            if said.status == PARTIAL {
                outcome.partial += 1;
                continue;
            }
            outcome.values += 1;
            if said.is_same(again) {
                continue;
            }
            outcome.differing += 1;
            if outcome.first.len() < TOLD_MAX {
                outcome.first.push(Difference {
                    entity: view.entity().as_str().to_owned(),
                    key: online.key.clone(),
                    view: view.name().to_owned(),
                    feature: feature.name.clone(),
                    online: said,
                    made: again,
                });
            }
        }
    }
    Ok(())
}
