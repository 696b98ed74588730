//! Alerts: what the machine sees (condition) and what people do about it (work).
//!
//! ```text
//! work: new -> l1_notified -> l1_ack -> dispatched -> on_site -> feedback -> verified -> closed
//!                                            \___________________/    \______________/
//! a deadline that passes raises the level (1 family, 2 grid, 3 centre) and keeps the work state
//! ```

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Evidence events kept with an alert.
pub(crate) const EVIDENCE_MAX: usize = 32;
/// Transitions kept with an alert; later ones stand in the table `alert_history` only.
pub(crate) const HISTORY_MAX: usize = 64;
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
    New "new", L1Notified "l1_notified", L1Ack "l1_ack", Dispatched "dispatched", OnSite "on_site",
    Feedback "feedback", Verified "verified", Closed "closed",
} }

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub from: String,
    pub to: String,
    pub actor: String,
    pub at_us: i64,
    pub reason: String,
    pub log_index: u64,
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
    pub level: u32,
    pub raised_us: i64,
    /// When the next step is due; 0 once closed or silenced.
    pub due_us: i64,
    pub closed_us: i64,
    /// When each level was told; 0 while it was not.
    pub told_us: [i64; 3],
    pub evidence: Vec<String>,
    pub model: String,
    pub version: String,
    pub decision_id: String,
    pub outcome: String,
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

    pub fn is_open(&self) -> bool {
        self.work != Work::Closed
    }

    /// What is told about: the dwelling, or the resident where no dwelling is known.
    pub(crate) fn place(&self) -> &str {
        if self.dwelling_id.is_empty() { &self.resident_key } else { &self.dwelling_id }
    }
}

/// Readings that count towards a rule at one place: event time and event id.
pub(crate) type Counted = Vec<(i64, String)>;

/// Every alert that is open or was closed lately, its timers, and readings on the way to one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alerts {
    by_id: OrdMap<String, Arc<Alert>>,
    /// The open alert of each kind and place: a hazard is one case. Every reading that a rule names
    /// asks here, so that a kind of which nothing is open costs next to nothing.
    open: OrdMap<String, OrdMap<String, String>>,
    due: OrdSet<(i64, String)>,
    closed: OrdSet<(i64, String)>,
    pub(crate) counted: OrdMap<(String, String), Counted>,
}

impl Alerts {
    pub fn get(&self, id: &str) -> Option<&Alert> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    pub fn open_at(&self, kind: &str, place: &str) -> Option<&Alert> {
        self.get(self.open.get(kind)?.get(place)?)
    }

    /// Alerts in the order in which they were raised.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Alert> {
        self.by_id.values().map(Arc::as_ref)
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
        }
        let place = alert.place();
        if alert.is_open() {
            let open = self.open.entry(alert.kind.clone()).or_default();
            open.insert(place.to_owned(), alert.alert_id.clone());
            if alert.due_us > 0 {
                self.due.insert((alert.due_us, alert.alert_id.clone()));
            }
        } else {
            if let Some(open) = self.open.get_mut(&alert.kind)
                && open.get(place) == Some(&alert.alert_id)
            {
                open.remove(place);
            }
            self.closed.insert((alert.closed_us, alert.alert_id.clone()));
        }
        self.by_id.insert(alert.alert_id.clone(), Arc::new(alert));
        while self.closed.len() > CLOSED_MAX {
            if let Some(oldest) = self.closed.get_min().cloned() {
                self.closed.remove(&oldest);
                self.by_id.remove(&oldest.1);
            }
        }
    }

    /// The first alert whose deadline has passed.
    pub(crate) fn overdue(&self, now_us: i64) -> Option<&Alert> {
        let (due_us, id) = self.due.get_min()?;
        if *due_us > now_us { None } else { self.get(id) }
    }
}
