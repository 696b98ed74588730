//! What people work on is silenced for a stated time: by whom, why, and until when is replicated, and it
//! ends by itself.

use crate::state::alert::words;
use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const SILENCES_MAX: usize = 10_000;
/// Silences of one place at once.
const AT_PLACE_MAX: usize = 8;

words! { Scope { Device "device", Dwelling "dwelling", Building "building", Gateway "gateway" } }
// What fires in a maintenance and still does at its end is told then; what fires in a test was the test.
words! { SilenceMode { Maintenance "maintenance", Test "test" } }

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceWanted {
    pub scope: Scope,
    pub key: String,
    /// Kinds of alerts; empty for all.
    pub kinds: Vec<String>,
    pub mode: SilenceMode,
    pub for_s: u32,
    pub actor: String,
    pub reason: String,
    /// A repeat with the same id changes nothing; empty for none.
    pub request_id: String,
}

/// A silence that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceSilence {
    pub silence_id: String,
    pub wanted: SilenceWanted,
    pub from_us: i64,
    pub until_us: i64,
    /// Hazards are silenced no longer than this.
    pub hazards_until_us: i64,
    /// Cases that were recorded and told nobody.
    pub cases: u32,
    /// Lines written of it so far.
    pub lines: u32,
    /// When hazards were silenced first in the row of silences that this one is of.
    pub hazards_since_us: i64,
}

impl PlaceSilence {
    /// Whether it holds for a kind of alert now.
    fn holds(&self, kind: &str, is_hazard: bool, now_us: i64) -> bool {
        let until_us = if is_hazard { self.hazards_until_us } else { self.until_us };
        let kinds = &self.wanted.kinds;
        now_us < until_us && (kinds.is_empty() || kinds.iter().any(|each| each == kind))
    }
}

/// Every silence that is on, and when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceSilences {
    by_id: OrdMap<String, Arc<PlaceSilence>>,
    by_place: OrdMap<(Scope, String), Vector<String>>,
    due: OrdSet<(i64, String)>,
    /// How many there ever were.
    total: u64,
    /// Those that silenced hazards until lately, by when that ended.
    past: OrdMap<(i64, String), Arc<PlaceSilence>>,
}

impl PlaceSilences {
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PlaceSilence> {
        self.by_id.values().map(Arc::as_ref)
    }

    pub fn get(&self, id: &str) -> Option<&PlaceSilence> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    /// The silences of a place, the oldest first.
    pub(crate) fn at(&self, scope: Scope, key: &str) -> impl Iterator<Item = &PlaceSilence> {
        let ids = self.by_place.get(&(scope, key.to_owned())).into_iter().flatten();
        ids.filter_map(|id| self.get(id))
    }

    /// The silence that holds at a place for a kind of alert.
    pub(crate) fn over(
        &self,
        (scope, key): (Scope, &str),
        (kind, is_hazard): (&str, bool),
        now_us: i64,
    ) -> Option<&PlaceSilence> {
        self.at(scope, key).find(|silence| silence.holds(kind, is_hazard, now_us))
    }

    /// Why there is no room for one more there.
    pub(super) fn full(&self, scope: Scope, key: &str) -> Option<String> {
        if self.len() >= SILENCES_MAX {
            return Some(format!("there are {SILENCES_MAX} silences already: end some first"));
        }
        let is_full = self.at(scope, key).count() >= AT_PLACE_MAX;
        is_full.then(|| {
            format!("{} {key} has {AT_PLACE_MAX} silences already: end some first", scope.as_str())
        })
    }

    /// The id of the next one.
    pub(super) fn name(&mut self, log_index: u64) -> String {
        self.total += 1;
        format!("s{log_index:012}-{}", self.total)
    }

    pub(super) fn put(&mut self, silence: PlaceSilence) {
        let id = silence.silence_id.clone();
        self.due.insert((silence.until_us, id.clone()));
        self.due.insert((silence.hazards_until_us, id.clone()));
        let place = (silence.wanted.scope, silence.wanted.key.clone());
        self.by_place.entry(place).or_default().push_back(id.clone());
        self.by_id.insert(id, Arc::new(silence));
    }

    pub(super) fn change(&mut self, id: &str) -> Option<&mut PlaceSilence> {
        self.by_id.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn take(&mut self, id: &str) -> Option<PlaceSilence> {
        let silence = self.by_id.remove(id)?;
        self.due.remove(&(silence.until_us, id.to_owned()));
        self.due.remove(&(silence.hazards_until_us, id.to_owned()));
        let place = (silence.wanted.scope, silence.wanted.key.clone());
        if let Some(ids) = self.by_place.get_mut(&place) {
            ids.retain(|each| each != id);
            if ids.is_empty() {
                self.by_place.remove(&place);
            }
        }
        Some(Arc::unwrap_or_clone(silence))
    }

    /// Remembers one that has ended: what begins soon after it is of the same row. Those that ended up to
    /// `until_us` are forgotten.
    pub(super) fn remember(&mut self, silence: PlaceSilence, (until_us, now_us): (i64, i64)) {
        let is_full = self.past.len() >= SILENCES_MAX;
        let mut oldest = self.past.get_min().filter(|it| is_full || it.0.0 <= until_us).cloned();
        while let Some((key, _)) = oldest {
            self.past.remove(&key);
            oldest = self.past.get_min().filter(|it| it.0.0 <= until_us).cloned();
        }
        let ended_us = silence.hazards_until_us.min(now_us);
        self.past.insert((ended_us, silence.silence_id.clone()), Arc::new(silence));
    }

    /// Those that silence hazards now, or did until this time.
    pub(super) fn since(&self, from_us: i64) -> impl Iterator<Item = &PlaceSilence> {
        let on = self.by_id.values().filter(move |it| it.hazards_until_us > from_us);
        let past = self.past.range((from_us + 1, String::new())..).map(|(_, silence)| silence);
        on.chain(past).map(Arc::as_ref)
    }

    pub(crate) fn next_due_us(&self) -> Option<i64> {
        self.due.get_min().map(|(due_us, _)| *due_us)
    }

    /// The next time that has come, taken out.
    pub(super) fn take_due(&mut self, now_us: i64) -> Option<(i64, String)> {
        let due = self.due.get_min().filter(|(due_us, _)| *due_us <= now_us)?.clone();
        self.due.remove(&due);
        Some(due)
    }
}
