//! Alerts: what the machine sees (condition) and what people do about it (work).
//!
//! ```text
//! work: new -> l1_notified -> l1_ack -> dispatched -> en_route -> on_site -> feedback -> verified -> closed
//!              ^_____________/ \           \_____________________/    / \______________/
//!              no dispatch      \__ a false alarm by telephone ______/
//! a deadline that passes gives the turn to the next level (1 family, 2 grid, 3 centre)
//! ```

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Evidence events kept with an alert.
pub(crate) const EVIDENCE_MAX: usize = 32;
/// Transitions kept with an alert; later ones stand in the table `alert_history` only.
pub(crate) const HISTORY_MAX: usize = 64;
/// People remembered as told of one alert.
const TOLD_MAX: usize = 64;
/// Action ids remembered with an alert.
const ACTION_IDS_MAX: usize = 64;
/// Closed alerts that stay in memory; older ones are in the warehouse.
const CLOSED_MAX: usize = 10_000;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),* }
        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
            pub const WORDS: &'static [&'static str] = &[$($text),*];
        }
    };
}
pub(crate) use words;

words! { Severity { Critical "critical", Major "major", Minor "minor" } }
words! { Condition { Pending "pending", Firing "firing", Clearing "clearing", Cleared "cleared" } }
words! { Work {
    New "new", L1Notified "l1_notified", L1Ack "l1_ack", Dispatched "dispatched",
    EnRoute "en_route", OnSite "on_site", Feedback "feedback", Verified "verified", Closed "closed",
} }

/// One step on the work axis, or one thing that was said of a case without a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub from: String,
    pub to: String,
    pub actor: String,
    pub actor_role: String,
    /// When it happened, as far as the actor says; else the time of the entry.
    pub event_us: i64,
    /// The time of the entry.
    pub at_us: i64,
    pub reason: String,
    pub log_index: u64,
}

/// When each step was first reached; 0 where it was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTimes {
    pub ack_us: i64,
    pub dispatch_us: i64,
    pub arrive_us: i64,
    pub feedback_us: i64,
    pub verify_us: i64,
}

/// Somebody who was told of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub person: String,
    pub role: String,
    pub level: u32,
    /// When the first notice was delivered to them; 0 while none was.
    pub reached_us: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub alert_id: String,
    pub kind: String,
    pub severity: Severity,
    pub dwelling_id: String,
    pub resident_key: String,
    pub region: String,
    pub condition: Condition,
    pub work: Work,
    /// The highest level that was told.
    pub level: u32,
    /// The level whose deadlines run.
    pub turn: u32,
    pub raised_us: i64,
    /// When it was raised or reopened last: what every step is measured from.
    pub opened_us: i64,
    /// Event time of the newest evidence when it was raised.
    pub event_us: i64,
    /// When the next step is due, or when the silence ends; 0 once closed or suppressed.
    pub due_us: i64,
    pub closed_us: i64,
    /// When each level was told; 0 while it was not.
    pub told_us: [i64; 3],
    pub told: Vec<Told>,
    pub steps: StepTimes,
    /// Steps whose deadline passed, each once.
    pub missed: Vec<String>,
    pub escalations: u32,
    pub reopened: u32,
    /// Who has it in hand.
    pub assignee: String,
    pub silent_until_us: i64,
    /// The case of an outage that explains this one.
    pub suppressed_by: String,
    /// The case that this one is a duplicate of.
    pub merged_into: String,
    pub evidence: Vec<String>,
    pub model: String,
    pub version: String,
    pub decision_id: String,
    /// What was found or done, in the words of whoever gave feedback.
    pub outcome: String,
    /// A photo, a report or its hash.
    pub reference: String,
    /// handled, false_alarm, test or duplicate; empty while open.
    pub closed_as: String,
    pub log_index: u64,
    pub transitions: u32,
    pub history: Vec<Transition>,
    /// Ids of the actions already carried out: a repeat changes nothing.
    pub action_ids: Vec<String>,
}

impl Alert {
    pub(crate) fn note(&mut self, transition: Transition) {
        self.log_index = transition.log_index;
        self.transitions += 1;
        self.history.push(transition);
        if self.history.len() > HISTORY_MAX {
            self.history.remove(0);
        }
    }

    pub(crate) fn remember_action(&mut self, action_id: &str) {
        if action_id.is_empty() {
            return;
        }
        self.action_ids.push(action_id.to_owned());
        if self.action_ids.len() > ACTION_IDS_MAX {
            self.action_ids.remove(0);
        }
    }

    pub(crate) fn add_evidence(&mut self, event_ids: impl IntoIterator<Item = String>) {
        let room = EVIDENCE_MAX.saturating_sub(self.evidence.len());
        self.evidence.extend(event_ids.into_iter().take(room));
    }

    pub(crate) fn add_told(&mut self, person: &str, role: &str, level: u32) {
        let is_known = self.told.iter().any(|told| told.person == person && told.level == level);
        if !is_known && self.told.len() < TOLD_MAX {
            let (person, role) = (person.to_owned(), role.to_owned());
            self.told.push(Told { person, role, level, reached_us: 0 });
        }
    }

    pub(crate) fn miss(&mut self, step: &str) {
        if !self.missed.iter().any(|each| each == step) {
            self.missed.push(step.to_owned());
        }
    }

    pub fn is_open(&self) -> bool {
        self.work != Work::Closed
    }

    /// What is told about: the dwelling, or the resident where no dwelling is known.
    pub(crate) fn place(&self) -> &str {
        if self.dwelling_id.is_empty() { &self.resident_key } else { &self.dwelling_id }
    }
}

/// Ids by kind and place. Every reading that a rule names asks here, so that a kind of which nothing
/// is known costs next to nothing.
type ByPlace = OrdMap<String, OrdMap<String, String>>;

/// Every alert that is open or was closed lately, and its timers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alerts {
    by_id: OrdMap<String, Arc<Alert>>,
    /// The open alert of each kind and place: a hazard is one case.
    open: ByPlace,
    /// The alert of each kind and place that was closed last, as long as it is in memory.
    closed_last: ByPlace,
    due: OrdSet<(i64, String)>,
    closed: OrdSet<(i64, String)>,
    /// By the entry that changed each last.
    changed: OrdSet<(u64, String)>,
    /// Open alerts by the case of the outage that explains them.
    explained: OrdSet<(String, String)>,
}

impl Alerts {
    pub fn get(&self, id: &str) -> Option<&Alert> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    pub fn open_at(&self, kind: &str, place: &str) -> Option<&Alert> {
        self.get(self.open.get(kind)?.get(place)?)
    }

    pub(crate) fn closed_last_at(&self, kind: &str, place: &str) -> Option<&Alert> {
        self.get(self.closed_last.get(kind)?.get(place)?)
    }

    /// The open alerts that the case of an outage explains.
    pub(crate) fn explained_by<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a Alert> {
        self.explained
            .range((parent.to_owned(), String::new())..)
            .take_while(move |(of, _)| of == parent)
            .filter_map(|(_, id)| self.get(id))
    }

    /// The open alerts of a kind, by place.
    pub(crate) fn open_of_kind(&self, kind: &str) -> impl Iterator<Item = &Alert> {
        let places = self.open.get(kind).into_iter().flat_map(OrdMap::values);
        places.filter_map(|id| self.get(id))
    }

    /// The open alerts of a place, by kind.
    pub fn open_of(&self, place: &str) -> impl Iterator<Item = &Alert> {
        self.open.values().filter_map(move |places| self.get(places.get(place)?))
    }

    /// Alerts in the order in which they were raised.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Alert> {
        self.by_id.values().map(Arc::as_ref)
    }

    /// Alerts that an entry after this one changed, in the order of their last change.
    pub fn changed_after(&self, log_index: u64) -> impl Iterator<Item = &Alert> {
        let from = (log_index.saturating_add(1), String::new());
        self.changed.range(from..).filter_map(|(_, id)| self.get(id))
    }

    /// The entry that changed any alert last.
    pub fn changed_index(&self) -> u64 {
        self.changed.get_max().map_or(0, |(index, _)| *index)
    }

    pub fn open_count(&self) -> usize {
        self.open.values().map(OrdMap::len).sum()
    }

    pub fn closed_count(&self) -> usize {
        self.closed.len()
    }

    /// Puts a new or changed alert in its place and keeps the indexes true.
    pub(crate) fn put(&mut self, alert: Alert) {
        if let Some(old) = self.by_id.get(&alert.alert_id) {
            self.due.remove(&(old.due_us, old.alert_id.clone()));
            self.closed.remove(&(old.closed_us, old.alert_id.clone()));
            self.changed.remove(&(old.log_index, old.alert_id.clone()));
            self.explained.remove(&(old.suppressed_by.clone(), old.alert_id.clone()));
        }
        let place = alert.place().to_owned();
        if alert.is_open() {
            forget(&mut self.closed_last, &alert, &place);
            let open = self.open.entry(alert.kind.clone()).or_default();
            open.insert(place, alert.alert_id.clone());
            if alert.due_us > 0 {
                self.due.insert((alert.due_us, alert.alert_id.clone()));
            }
            if !alert.suppressed_by.is_empty() {
                self.explained.insert((alert.suppressed_by.clone(), alert.alert_id.clone()));
            }
        } else {
            forget(&mut self.open, &alert, &place);
            let last = self.closed_last.entry(alert.kind.clone()).or_default();
            last.insert(place, alert.alert_id.clone());
            self.closed.insert((alert.closed_us, alert.alert_id.clone()));
        }
        self.changed.insert((alert.log_index, alert.alert_id.clone()));
        self.by_id.insert(alert.alert_id.clone(), Arc::new(alert));
        while self.closed.len() > CLOSED_MAX {
            if let Some(oldest) = self.closed.get_min().cloned() {
                self.closed.remove(&oldest);
                self.drop_closed(&oldest.1);
            }
        }
    }

    fn drop_closed(&mut self, id: &str) {
        let Some(alert) = self.by_id.remove(id) else { return };
        self.changed.remove(&(alert.log_index, alert.alert_id.clone()));
        forget(&mut self.closed_last, &alert, alert.place());
    }

    /// The first alert whose deadline has passed.
    pub(crate) fn overdue(&self, now_us: i64) -> Option<&Alert> {
        let (due_us, id) = self.due.get_min()?;
        if *due_us > now_us { None } else { self.get(id) }
    }

    /// The next deadline of all.
    pub fn next_due_us(&self) -> Option<i64> {
        self.due.get_min().map(|(due_us, _)| *due_us)
    }
}

fn forget(ids: &mut ByPlace, alert: &Alert, place: &str) {
    if let Some(places) = ids.get_mut(&alert.kind)
        && places.get(place) == Some(&alert.alert_id)
    {
        places.remove(place);
    }
}
