//! Feature views: declared as text, kept in the log, in force on every node from their entry on.
//!
//! Every version that is not retired is in force: what it asks for is kept of the readings. A name alone
//! means its newest version in force; a model reads the version that it was bound to when it was pushed.

mod change;
mod rows;

use features::{FeatureView, builtin};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many versions of views are kept, retired ones included: old decisions name them.
pub const VIEWS_MAX: usize = 1_024;
/// Bytes of all their texts together.
pub const VIEW_TEXTS_BYTES_MAX: usize = 8 << 20;
/// Who pushed the built-in views.
const BUILTIN_AUTHOR: &str = "hearth";

/// One version of a view, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRecord {
    /// TOML, as it was pushed.
    pub text: String,
    pub author: String,
    pub pushed_us: i64,
    /// The entry that changed it last; 0 for what is there from the start.
    pub log_index: u64,
    pub retired: bool,
}

/// One version of a view, parsed once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ViewRecord", into = "ViewRecord")]
pub struct KnownView {
    pub record: ViewRecord,
    pub view: Arc<FeatureView>,
}

impl TryFrom<ViewRecord> for KnownView {
    type Error = features::ViewError;

    fn try_from(record: ViewRecord) -> Result<Self, features::ViewError> {
        let view = Arc::new(FeatureView::parse(&record.text)?);
        Ok(Self { record, view })
    }
}

impl From<KnownView> for ViewRecord {
    fn from(known: KnownView) -> Self {
        known.record
    }
}

/// Every version of every view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Views {
    /// By name and version.
    all: OrdMap<(String, u32), Arc<KnownView>>,
    /// Which version of its view a model's version reads.
    bound: OrdMap<(String, String), u32>,
}

impl Default for Views {
    /// The built-in views.
    fn default() -> Self {
        let known = builtin::VIEW_TEXTS.into_iter().filter_map(|text| {
            let record = ViewRecord {
                text: text.to_owned(),
                author: BUILTIN_AUTHOR.to_owned(),
                pushed_us: 0,
                log_index: 0,
                retired: false,
            };
            // They are compiled in and parsed by a test of their own crate.
            let known = KnownView::try_from(record).ok()?;
            Some(((known.view.name().to_owned(), known.view.version()), Arc::new(known)))
        });
        Self { all: known.collect(), bound: OrdMap::new() }
    }
}

impl Views {
    /// By name, then version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnownView>> {
        self.all.values()
    }

    pub fn get(&self, name: &str, version: u32) -> Option<&Arc<KnownView>> {
        self.all.get(&(name.to_owned(), version))
    }

    /// The versions of one view, the oldest first.
    pub fn versions(&self, name: &str) -> impl DoubleEndedIterator<Item = &Arc<KnownView>> {
        let range = (name.to_owned(), 0)..=(name.to_owned(), u32::MAX);
        self.all.range(range).map(|(_, known)| known)
    }

    /// What the name means: its newest version in force.
    pub fn current(&self, name: &str) -> Option<&Arc<FeatureView>> {
        let known = self.versions(name).rev().find(|known| !known.record.retired)?;
        Some(&known.view)
    }

    /// Each name's newest version in force.
    pub fn all_current(&self) -> impl Iterator<Item = &Arc<FeatureView>> {
        let is_current = |view: &Arc<FeatureView>| {
            self.current(view.name()).is_some_and(|current| current.version() == view.version())
        };
        self.in_force().filter(move |view| is_current(view))
    }

    /// Every version in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Arc<FeatureView>> {
        self.all.values().filter(|known| !known.record.retired).map(|known| &known.view)
    }

    /// The newest version in force with just these features in this order.
    pub fn fitting(
        &self,
        name: &str,
        entity: &str,
        features: &[String],
    ) -> Option<&Arc<FeatureView>> {
        let in_force = self.versions(name).rev().filter(|known| !known.record.retired);
        let mut views = in_force.map(|known| &known.view);
        views.find(|view| view.entity().as_str() == entity && view.names().as_ref() == features)
    }

    /// The version that a model's version was bound to.
    pub fn of_model(&self, view: &str, model: &str, version: &str) -> Option<&Arc<FeatureView>> {
        let bound = self.bound.get(&(model.to_owned(), version.to_owned()))?;
        self.get(view, *bound).map(|known| &known.view)
    }
}
