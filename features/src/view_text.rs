//! A view in the words of its TOML text, which are also what is stored of it.

use serde::{Deserialize, Serialize};

use crate::column::Transform;
use crate::kind::Kind;
use crate::view::{FeatureDef, FeatureError, FeatureView, Source, ViewError};

/// What a feature's `kind` says when it means every kind.
const ANY_KIND: &str = "any";

/// A view as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewText {
    pub(crate) name: String,
    pub(crate) entity: String,
    pub(crate) version: u32,
    pub(crate) feature: Vec<FeatureText>,
}

/// A feature as it is written: from a window, or from a column.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureText {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) aggregate: Option<String>,
    #[serde(default)]
    pub(crate) window: Option<String>,
    #[serde(default)]
    pub(crate) column: Option<String>,
    #[serde(default)]
    pub(crate) transform: Option<String>,
    #[serde(default)]
    pub(crate) default: f64,
    #[serde(default)]
    pub(crate) ttl_us: Option<i64>,
}

impl TryFrom<ViewText> for FeatureView {
    type Error = ViewError;

    fn try_from(text: ViewText) -> Result<Self, ViewError> {
        let features =
            text.feature.into_iter().map(FeatureDef::try_from).collect::<Result<_, _>>()?;
        Self::new(&text.name, text.entity.parse()?, text.version, features)
    }
}

impl From<FeatureView> for ViewText {
    fn from(view: FeatureView) -> Self {
        let feature = view.features().iter().cloned().map(FeatureText::from).collect();
        Self {
            name: view.name().to_owned(),
            entity: view.entity().to_string(),
            version: view.version(),
            feature,
        }
    }
}

impl TryFrom<FeatureText> for FeatureDef {
    type Error = ViewError;

    fn try_from(text: FeatureText) -> Result<Self, ViewError> {
        let source =
            text.source().map_err(|why| ViewError::Feature { feature: text.name.clone(), why })?;
        Ok(Self { name: text.name, source, default: text.default, ttl_us: text.ttl_us })
    }
}

impl FeatureText {
    fn source(&self) -> Result<Source, FeatureError> {
        match (&self.kind, &self.aggregate, &self.column) {
            (Some(kind), Some(aggregate), None) if self.transform.is_none() => {
                let kind = if kind == ANY_KIND { None } else { Some(kind.parse()?) };
                let window = self.window.as_deref().map(str::parse).transpose()?;
                Ok(Source::Window { kind, aggregate: aggregate.parse()?, window })
            }
            (None, None, Some(column)) if self.window.is_none() => {
                let transform =
                    self.transform.as_deref().map_or(Ok(Transform::Number), str::parse)?;
                Ok(Source::Column { path: column.parse()?, transform })
            }
            _ => Err(FeatureError::Source),
        }
    }
}

impl From<FeatureDef> for FeatureText {
    fn from(def: FeatureDef) -> Self {
        let FeatureDef { name, source, default, ttl_us } = def;
        let (mut kind, mut aggregate, mut window, mut column, mut transform) =
            (None, None, None, None, None);
        match source {
            Source::Window { kind: of, aggregate: how, window: over } => {
                kind = Some(of.map_or(ANY_KIND, Kind::as_str).to_owned());
                aggregate = Some(how.to_string());
                window = over.map(|over| over.to_string());
            }
            Source::Column { path, transform: how } => {
                column = Some(path.as_str().to_owned());
                transform = Some(how.to_string());
            }
        }
        Self { name, kind, aggregate, window, column, transform, default, ttl_us }
    }
}
