//! A feature view: a named, versioned list of numbers about one kind of entity, written as TOML.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aggregate::Aggregate;
use crate::column::{ColumnPath, Transform};
use crate::entity::EntityKind;
use crate::expression::{Expression, ExpressionError, REQUEST_PREFIX};
use crate::kind::Kind;
use crate::plan::Plan;
pub use crate::view_error::{FeatureError, ViewError};
use crate::view_text::{FeatureText, ViewText};
use crate::window::Window;

/// How many features a view may have.
pub const FEATURES_MAX: usize = 512;
/// The longest name of a view or a feature, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// How many values of the request a view may name.
pub const REQUEST_VALUES_MAX: usize = 32;
/// The longest text of a view, in bytes.
pub const VIEW_TEXT_BYTES_MAX: usize = 256 * 1024;

/// A checked view. Its names and fingerprint are shared, so a vector costs no copy of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ViewText", into = "ViewText")]
pub struct FeatureView {
    name: Arc<str>,
    entity: EntityKind,
    version: u32,
    utc_offset_h: i8,
    request: Vec<RequestValue>,
    features: Vec<FeatureDef>,
    names: Arc<[String]>,
    fingerprint: Arc<str>,
    plan: Plan,
}

/// A number that whoever asks for a vector may send along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestValue {
    pub name: String,
    /// Stands in where none is sent; without it the value is then missing.
    #[serde(default)]
    pub default: Option<f64>,
}

/// What a view says of itself beside its features.
#[derive(Clone, Debug, PartialEq)]
pub struct Head<'a> {
    pub name: &'a str,
    pub entity: EntityKind,
    pub version: u32,
    /// What has to be added to UTC for the view's time of day, in hours.
    pub utc_offset_h: i8,
    pub request: Vec<RequestValue>,
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
    /// `hour` is of the day, in the view's time.
    Window { kind: Option<Kind>, aggregate: Aggregate, window: Option<Window>, hour: Option<u8> },
    /// A cell of a register row.
    Column { path: ColumnPath, transform: Transform },
    /// Arithmetic over features that stand before it, and over values of the request.
    Expression(Expression),
}

impl FeatureView {
    pub fn new(head: Head<'_>, features: Vec<FeatureDef>) -> Result<Self, ViewError> {
        let Head { name, entity, version, utc_offset_h, request } = head;
        check_name(name)?;
        if version == 0 {
            return Err(ViewError::Version);
        }
        if !(-12..=14).contains(&utc_offset_h) {
            return Err(ViewError::Offset(utc_offset_h));
        }
        check_request(&request)?;
        if features.is_empty() || features.len() > FEATURES_MAX {
            return Err(ViewError::Count { view: name.to_owned(), got: features.len() });
        }
        let mut seen = BTreeSet::new();
        for feature in &features {
            check_name(&feature.name)?;
            let checked = if seen.contains(feature.name.as_str()) {
                Err(FeatureError::Twice)
            } else {
                feature.check(entity).and_then(|()| feature.check_inputs(&seen, &request))
            };
            checked.map_err(|why| ViewError::Feature { feature: feature.name.clone(), why })?;
            seen.insert(feature.name.as_str());
        }
        let names = features.iter().map(|feature| feature.name.clone()).collect();
        let fingerprint = fingerprint(entity, utc_offset_h, &request, &features).into();
        let plan = Plan::of(&features, utc_offset_h, &request);
        Ok(Self {
            name: name.into(),
            entity,
            version,
            utc_offset_h,
            request,
            features,
            names,
            fingerprint,
            plan,
        })
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

    /// What has to be added to UTC for the view's time of day, in hours.
    pub fn utc_offset_h(&self) -> i8 {
        self.utc_offset_h
    }

    /// The numbers that whoever asks for a vector may send along.
    pub fn request(&self) -> &[RequestValue] {
        &self.request
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
            Source::Window { aggregate, window, hour, .. } => {
                check_window(entity, *aggregate, *window, *hour)
            }
            Source::Column { path, transform } => Ok(path.check(entity, transform)?),
            Source::Expression(_) => Ok(()),
        }
    }

    fn check_inputs(
        &self,
        before: &BTreeSet<&str>,
        request: &[RequestValue],
    ) -> Result<(), FeatureError> {
        let Source::Expression(expression) = &self.source else { return Ok(()) };
        for name in expression.names() {
            match name.strip_prefix(REQUEST_PREFIX) {
                Some(sent) if !request.iter().any(|value| value.name == sent) => {
                    return Err(ExpressionError::Request(sent.to_owned()).into());
                }
                None if !before.contains(name.as_str()) => {
                    return Err(ExpressionError::Name(name.clone()).into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn check_window(
    entity: EntityKind,
    aggregate: Aggregate,
    window: Option<Window>,
    hour: Option<u8>,
) -> Result<(), FeatureError> {
    if !entity.has_readings() {
        return Err(FeatureError::NoReadings(entity));
    }
    if hour.is_some() != aggregate.wants_hour() || hour.is_some_and(|hour| hour > 23) {
        return Err(FeatureError::Hour);
    }
    match window {
        None if aggregate.is_lifelong() => Ok(()),
        None => Err(FeatureError::NoWindow(aggregate)),
        Some(window) if aggregate.fits(window) => Ok(()),
        Some(window) => Err(FeatureError::WindowOf(aggregate, window)),
    }
}

fn check_request(request: &[RequestValue]) -> Result<(), ViewError> {
    if request.len() > REQUEST_VALUES_MAX {
        return Err(ViewError::Requests(request.len()));
    }
    let mut seen = BTreeSet::new();
    for value in request {
        check_name(&value.name)?;
        if !seen.insert(&value.name) || value.default.is_some_and(|default| !default.is_finite()) {
            return Err(ViewError::Request(value.name.clone()));
        }
    }
    Ok(())
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

fn fingerprint(
    entity: EntityKind,
    utc_offset_h: i8,
    request: &[RequestValue],
    features: &[FeatureDef],
) -> String {
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
        // Said only where there is any: views from before have the fingerprints that they had.
        if let Some(expression) = &text.expression {
            part("expression");
            part(expression);
        }
        if let Some(hour) = text.hour {
            part("hour");
            part(&(i16::from(hour) - i16::from(utc_offset_h)).rem_euclid(24).to_string());
        }
    }
    for value in request {
        part("request");
        part(&value.name);
        part(&value.default.map(|default| default.to_bits().to_string()).unwrap_or_default());
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
        // Decisions name it: what a view from before computes keeps the fingerprint that it had.
        assert_eq!(same, "129e3f44e3f51973d87f0aa3ebbfefefb610f3ac07905d635bf7e22488682482");
        let renamed = HEAD.replace("\"v\"", "\"w\"").replace('1', "2");
        assert_eq!(print(&format!("{renamed}[[feature]]\n{base}")), same);
        let asked = format!("request = [{{ name = 'x' }}]\n[[feature]]\n{base}");
        assert_ne!(print(&format!("{HEAD}{asked}")), same);
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
                .contains("5m, 15m, 1h")
        );
        assert!(refusal("name = 'a'\ncolumn = 'resident.birth'").contains("birth_ym"));
        assert!(
            refusal("name = 'a'\ncolumn = 'resident.birth_ym'\nkind = 'door'").contains("either")
        );
        for (feature, want) in [
            ("expression = 'b + 1'", "\"b\" is no feature before this one"),
            ("expression = 'a + 1'", "\"a\" is no feature before this one"),
            ("expression = 'request.b'", "add it to `request`"),
            ("expression = '1 +'", "character 4"),
            ("kind = 'door'\naggregate = 'hour_share'\nwindow = '1d'", "hour = 0 to 23"),
            ("kind = 'door'\naggregate = 'count'\nwindow = '1d'\nhour = 3", "hour = 0 to 23"),
            ("kind = 'door'\naggregate = 'hour_z'\nwindow = '365d'", "7d, 28d or 90d"),
        ] {
            let said = refusal(&format!("name = 'a'\n{feature}"));
            assert!(said.contains(want), "{feature}: {said}");
        }
        let household = "name = 'v'\nentity = 'household'\nversion = 1\n[[feature]]\nname = 'a'\n\
                         kind = 'door'\naggregate = 'count'\nwindow = '1d'";
        let said = FeatureView::parse(household).unwrap_err().to_string();
        assert!(said.contains("has no readings"), "{said}");
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
