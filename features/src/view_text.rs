//! A view in the words of its TOML text, which are also what is stored of it.

use serde::{Deserialize, Serialize};

use crate::column::Transform;
use crate::expression::Expression;
use crate::kind::Kind;
use crate::view::{FeatureDef, FeatureError, FeatureView, Head, RequestValue, Source, ViewError};

/// What a feature's `kind` says when it means every kind.
const ANY_KIND: &str = "any";

/// A view as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewText {
    pub(crate) name: String,
    pub(crate) entity: String,
    pub(crate) version: u32,
    #[serde(default)]
    pub(crate) utc_offset_h: i8,
    #[serde(default)]
    pub(crate) request: Vec<RequestValue>,
    pub(crate) feature: Vec<FeatureText>,
}

/// A feature as it is written: from a window, from a column, or from other features.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    pub(crate) hour: Option<u8>,
    #[serde(default)]
    pub(crate) column: Option<String>,
    #[serde(default)]
    pub(crate) transform: Option<String>,
    #[serde(default)]
    pub(crate) expression: Option<String>,
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
        let head = Head {
            name: &text.name,
            entity: text.entity.parse()?,
            version: text.version,
            utc_offset_h: text.utc_offset_h,
            request: text.request,
        };
        Self::new(head, features)
    }
}

impl From<FeatureView> for ViewText {
    fn from(view: FeatureView) -> Self {
        let feature = view.features().iter().cloned().map(FeatureText::from).collect();
        Self {
            name: view.name().to_owned(),
            entity: view.entity().to_string(),
            version: view.version(),
            utc_offset_h: view.utc_offset_h(),
            request: view.request().to_vec(),
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
        match (&self.kind, &self.aggregate, &self.column, &self.expression) {
            (Some(kind), Some(aggregate), None, None) if self.transform.is_none() => {
                let kind = if kind == ANY_KIND { None } else { Some(kind.parse()?) };
                let window = self.window.as_deref().map(str::parse).transpose()?;
                Ok(Source::Window { kind, aggregate: aggregate.parse()?, window, hour: self.hour })
            }
            (None, None, Some(column), None) if self.window.is_none() && self.hour.is_none() => {
                let transform =
                    self.transform.as_deref().map_or(Ok(Transform::Number), str::parse)?;
                Ok(Source::Column { path: column.parse()?, transform })
            }
            (None, None, None, Some(text))
                if self.window.is_none() && self.hour.is_none() && self.transform.is_none() =>
            {
                Ok(Source::Expression(Expression::parse(text)?))
            }
            _ => Err(FeatureError::Source),
        }
    }
}

impl From<FeatureDef> for FeatureText {
    fn from(def: FeatureDef) -> Self {
        let FeatureDef { name, source, default, ttl_us } = def;
        let mut text = Self { name, default, ttl_us, ..Self::default() };
        match source {
            Source::Window { kind, aggregate, window, hour } => {
                text.kind = Some(kind.map_or(ANY_KIND, Kind::as_str).to_owned());
                text.aggregate = Some(aggregate.to_string());
                text.window = window.map(|over| over.to_string());
                text.hour = hour;
            }
            Source::Column { path, transform } => {
                text.column = Some(path.as_str().to_owned());
                text.transform = Some(transform.to_string());
            }
            Source::Expression(expression) => {
                text.expression = Some(expression.as_str().to_owned());
            }
        }
        text
    }
}
