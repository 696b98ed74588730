//! A feature view: a named, versioned list of numbers about one kind of entity, written as TOML.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aggregate::{Aggregate, UnknownAggregate};
use crate::column::{ColumnPath, PathError, Transform};
use crate::entity::{EntityKind, UnknownEntity};
use crate::kind::{Kind, UnknownKind};
use crate::plan::Plan;
use crate::view_text::{FeatureText, ViewText};
use crate::window::{UnknownWindow, Window};

/// How many features a view may have.
pub const FEATURES_MAX: usize = 512;
/// The longest name of a view or a feature, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest text of a view, in bytes.
pub const VIEW_TEXT_BYTES_MAX: usize = 256 * 1024;

/// A checked view. Its names and fingerprint are shared, so a vector costs no copy of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ViewText", into = "ViewText")]
pub struct FeatureView {
    name: Arc<str>,
    entity: EntityKind,
    version: u32,
    features: Vec<FeatureDef>,
    names: Arc<[String]>,
    fingerprint: Arc<str>,
    plan: Plan,
}

/// One feature of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureDef {
    pub name: String,
    pub source: Source,
    /// The value where there is none.
    pub default: f64,
    /// A value older than this is marked stale.
    pub ttl_us: Option<i64>,
}

/// Where the value of a feature comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The readings of one kind (of every kind where it is `None`) in one window (over the whole
    /// life of the series where it is `None`).
    Window { kind: Option<Kind>, aggregate: Aggregate, window: Option<Window> },
    /// A cell of a register row.
    Column { path: ColumnPath, transform: Transform },
}

/// Why a view was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ViewError {
    #[error("the text of the view is no TOML of a view: {0}")]
    Text(String),
    #[error("the text of the view has {got} bytes: it may have {VIEW_TEXT_BYTES_MAX}")]
    Long { got: usize },
    #[error(
        "{0:?} is no name: begin with a-z, go on with a-z, 0-9 and _, at most {NAME_BYTES_MAX} bytes"
    )]
    Name(String),
    #[error("view {view}: {got} features: it may have 1 to {FEATURES_MAX}")]
    Count { view: String, got: usize },
    #[error("version 0 stands for no view: versions begin at 1")]
    Version,
    #[error(transparent)]
    Entity(#[from] UnknownEntity),
    #[error("feature {feature}: {why}")]
    Feature { feature: String, why: FeatureError },
}

/// What is wrong with one feature.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FeatureError {
    #[error("the name is taken by an earlier feature of the view: choose another")]
    Twice,
    #[error("it needs either kind and aggregate, or column and transform")]
    Source,
    #[error("aggregate {0} needs a window: 5m, 1h, 1d or 7d")]
    NoWindow(Aggregate),
    #[error("default is not a finite number: give one")]
    Default,
    #[error("ttl_us is {0}: give a positive number of microseconds, or leave it out")]
    Ttl(i64),
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error(transparent)]
    Aggregate(#[from] UnknownAggregate),
    #[error(transparent)]
    Window(#[from] UnknownWindow),
    #[error(transparent)]
    Column(#[from] PathError),
}

impl FeatureView {
    pub fn new(
        name: &str,
        entity: EntityKind,
        version: u32,
        features: Vec<FeatureDef>,
    ) -> Result<Self, ViewError> {
        check_name(name)?;
        if version == 0 {
            return Err(ViewError::Version);
        }
        if features.is_empty() || features.len() > FEATURES_MAX {
            return Err(ViewError::Count { view: name.to_owned(), got: features.len() });
        }
        let mut seen = BTreeSet::new();
        for feature in &features {
            check_name(&feature.name)?;
            let checked = if seen.insert(&feature.name) {
                feature.check(entity)
            } else {
                Err(FeatureError::Twice)
            };
            checked.map_err(|why| ViewError::Feature { feature: feature.name.clone(), why })?;
        }
        let names = features.iter().map(|feature| feature.name.clone()).collect();
        let fingerprint = fingerprint(entity, &features).into();
        let plan = Plan::of(&features);
        Ok(Self { name: name.into(), entity, version, features, names, fingerprint, plan })
    }

    /// Reads a view from its TOML text.
    pub fn parse(text: &str) -> Result<Self, ViewError> {
        if text.len() > VIEW_TEXT_BYTES_MAX {
            return Err(ViewError::Long { got: text.len() });
        }
        let text: ViewText =
            toml::from_str(text).map_err(|error| ViewError::Text(one_line(&error)))?;
        text.try_into()
    }

    /// The view as TOML text that [`FeatureView::parse`] reads back.
    pub fn to_toml(&self) -> Result<String, ViewError> {
        toml::to_string(self).map_err(|error| ViewError::Text(error.to_string()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn entity(&self) -> EntityKind {
        self.entity
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn features(&self) -> &[FeatureDef] {
        &self.features
    }

    /// The names of the features, in the order of a vector's values.
    pub fn names(&self) -> &Arc<[String]> {
        &self.names
    }

    /// SHA-256, in hex, of what the view computes: its entity and, in order, every feature. Two views
    /// of one fingerprint give the same numbers, whatever they are called.
    pub fn fingerprint(&self) -> &Arc<str> {
        &self.fingerprint
    }
}

impl FeatureDef {
    fn check(&self, entity: EntityKind) -> Result<(), FeatureError> {
        // The values of a vector are f32: a default must have one too.
        if !(self.default as f32).is_finite() {
            return Err(FeatureError::Default);
        }
        if let Some(ttl_us) = self.ttl_us.filter(|ttl_us| *ttl_us <= 0) {
            return Err(FeatureError::Ttl(ttl_us));
        }
        match &self.source {
            Source::Window { aggregate, window: None, .. } if !aggregate.is_lifelong() => {
                Err(FeatureError::NoWindow(*aggregate))
            }
            Source::Window { .. } => Ok(()),
            Source::Column { path, transform } => Ok(path.check(entity, transform)?),
        }
    }
}

fn check_name(name: &str) -> Result<(), ViewError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(ViewError::Name(name.chars().take(NAME_BYTES_MAX).collect()))
}

fn fingerprint(entity: EntityKind, features: &[FeatureDef]) -> String {
    let mut hash = Sha256::new();
    // Every part ends in a byte that no text of it holds, so no two lists of parts look alike.
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part("feature view 1");
    part(entity.as_str());
    for feature in features {
        let text = FeatureText::from(feature.clone());
        part(&text.name);
        for field in [&text.kind, &text.aggregate, &text.window, &text.column, &text.transform] {
            part(field.as_deref().unwrap_or_default());
        }
        part(&feature.default.to_bits().to_string());
        part(&feature.ttl_us.map(|ttl_us| ttl_us.to_string()).unwrap_or_default());
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"v\"\nentity = \"resident\"\nversion = 1\n";

    fn view(feature: &str) -> Result<FeatureView, ViewError> {
        FeatureView::parse(&format!("{HEAD}[[feature]]\n{feature}"))
    }

    fn refusal(feature: &str) -> String {
        let said = view(feature).unwrap_err().to_string();
        assert!(!said.contains('\n'), "{said}");
        said
    }

    #[test]
    fn a_view_leads_back_from_text_and_bytes() {
        let text = "name = 'doors'\nkind = 'door'\naggregate = 'count'\nwindow = '1d'\nttl_us = 5\n[[feature]]\n\
                    name = 'age'\ncolumn = 'resident.birth_ym'\ntransform = 'years_since'\ndefault = 75\n[[feature]]\n\
                    name = 'seen'\nkind = 'any'\naggregate = 'time_since_s'";
        let view = view(text).unwrap();
        assert_eq!(view.names().as_ref(), ["doors", "age", "seen"]);
        assert_eq!(FeatureView::parse(&view.to_toml().unwrap()).unwrap(), view);
        let bytes = postcard::to_stdvec(&view).unwrap();
        assert_eq!(postcard::from_bytes::<FeatureView>(&bytes).unwrap(), view);
        assert_eq!(view.fingerprint().len(), 64);
    }

    #[test]
    fn the_fingerprint_follows_the_numbers_only() {
        let base = "name = 'a'\nkind = 'door'\naggregate = 'count'\nwindow = '1d'\n";
        let print = |text: &str| FeatureView::parse(text).unwrap().fingerprint().to_string();
        let same = print(&format!("{HEAD}[[feature]]\n{base}"));
        let renamed = HEAD.replace("\"v\"", "\"w\"").replace('1', "2");
        assert_eq!(print(&format!("{renamed}[[feature]]\n{base}")), same);
        for changed in
            [base.replace("1d", "7d"), format!("{base}default = 1"), format!("{base}ttl_us = 1")]
        {
            assert_ne!(print(&format!("{HEAD}[[feature]]\n{changed}")), same, "{changed}");
        }
    }

    #[test]
    fn every_refusal_says_which_feature_and_why() {
        assert!(
            refusal("name = 'a'\nkind = 'dor'\naggregate = 'count'\nwindow = '1d'")
                .contains("feature a: kind")
        );
        assert!(
            refusal("name = 'a'\nkind = 'door'\naggregate = 'mean'").contains("needs a window")
        );
        assert!(
            refusal("name = 'a'\nkind = 'door'\naggregate = 'avg'\nwindow = '1d'").contains("mean")
        );
        assert!(
            refusal("name = 'a'\nkind = 'door'\naggregate = 'sum'\nwindow = '2d'")
                .contains("5m, 1h")
        );
        assert!(refusal("name = 'a'\ncolumn = 'resident.birth'").contains("birth_ym"));
        assert!(
            refusal("name = 'a'\ncolumn = 'resident.birth_ym'\nkind = 'door'").contains("either")
        );
        assert!(refusal("name = 'A'\ncolumn = 'resident.disab_level'").contains("no name"));
        assert!(
            refusal("name = 'a'\ncolumn = 'resident.disab_level'\ndefault = nan")
                .contains("default")
        );
        assert!(
            refusal("name = 'a'\ncolumn = 'resident.disab_level'\nttl_us = 0")
                .contains("ttl_us is 0")
        );
        assert!(refusal("name = 'a'\ncolum = 'resident.disab_level'").contains("unknown field"));
        let twice = "name = 'a'\ncolumn = 'resident.disab_level'\n[[feature]]\n".repeat(2);
        assert!(
            refusal(twice.trim_end_matches("[[feature]]\n"))
                .contains("feature a: the name is taken")
        );
        assert!(
            FeatureView::parse(&format!("{HEAD}feature = []"))
                .unwrap_err()
                .to_string()
                .contains("0 features")
        );
    }
}
