//! `manifest.toml`: what a model is for, what it reads, and what its score means.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::oversight::check_bands;
use crate::{Effect, Error, FeatureDemand, Gates, Layout, Priority, WatchRules};

/// The longest manifest, in bytes.
pub(crate) const MANIFEST_BYTES_MAX: usize = 256 * 1024;
const FEATURES_MAX: usize = 4096;
const NAME_CHARS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub format: Format,
    /// Whose row the model reads: resident, dwelling, organisation, application. Empty in a bare file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// The feature view the row comes from. Empty in a bare file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub view: String,
    /// The features, in the order of the file's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// How urgent a call is, unless the caller says that it is less so.
    #[serde(default)]
    pub priority: Priority,
    #[serde(default)]
    pub missing: Missing,
    /// What happens to a row with a stale feature; as for a missing one where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Missing>,
    /// A feature older than this, in seconds, is stale, also where its view allows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// Whether its decisions are about a benefit, which only a person may refuse.
    #[serde(default, skip_serializing_if = "Effect::is_advice")]
    pub effect: Effect,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub intended_use: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    #[serde(default)]
    pub input: Input,
    #[serde(default)]
    pub output: Output,
    #[serde(default)]
    pub golden: GoldenRule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// What it has to show before it is promoted.
    #[serde(default, skip_serializing_if = "Gates::is_open")]
    pub gates: Gates,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// By feature: the words a person reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, Reason>,
    #[serde(default, skip_serializing_if = "WatchRules::is_empty")]
    pub watch: WatchRules,
    /// By feature: where it is treated otherwise than `missing`, `stale` and `max_age_s` say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub demands: BTreeMap<String, FeatureDemand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Onnx,
    Linfa,
}

impl Format {
    pub fn file(self) -> &'static str {
        match self {
            Self::Onnx => "model.onnx",
            Self::Linfa => "model.linfa",
        }
    }
}

/// What happens to a row with a missing or stale feature. The answer names them in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Scored with the view's default, also in the place of a stale value.
    #[default]
    Default,
    /// Not scored.
    Refuse,
    /// Scored with the default, or with the stale value as it is.
    Flag,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The output that holds the score: two columns (the second is taken) or one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// The class whose probability is the score, where there are more than two or it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenRule {
    /// How far a score may lie from its golden row.
    pub tolerance: f64,
}

impl Default for GoldenRule {
    fn default() -> Self {
        Self { tolerance: 1e-5 }
    }
}

/// A score at or above `min_score` is in this band, unless a higher one takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    pub name: String,
    pub min_score: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    pub min_score: f64,
    pub kind: String,
    /// critical, major or minor.
    pub severity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub zh: String,
    pub en: String,
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(Error::Limit(format!(
                "manifest.toml has {} bytes; at most {MANIFEST_BYTES_MAX} are taken",
                text.len()
            )));
        }
        let manifest: Self = toml::from_str(text).map_err(|error| refuse(&locate(text, &error)))?;
        manifest.check()?;
        Ok(manifest)
    }

    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|error| refuse(&error.to_string()))
    }

    /// A file that was pushed alone: it keeps its own names and reads no view.
    pub fn bare(name: &str, version: &str, format: Format) -> Result<Self, Error> {
        let manifest = Self {
            name: name.into(),
            version: version.into(),
            format,
            entity: String::new(),
            view: String::new(),
            features: Vec::new(),
            priority: Priority::default(),
            missing: Missing::default(),
            stale: None,
            max_age_s: None,
            effect: Effect::default(),
            intended_use: String::new(),
            author: String::new(),
            licence: String::new(),
            input: Input::default(),
            output: Output::default(),
            golden: GoldenRule::default(),
            alert: None,
            gates: Gates::default(),
            bands: Vec::new(),
            reasons: BTreeMap::new(),
            watch: WatchRules::default(),
            demands: BTreeMap::new(),
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether the model reads no view: it is asked with tensors only.
    pub fn is_bare(&self) -> bool {
        self.features.is_empty()
    }

    /// The highest band whose minimum the score reaches.
    pub fn band(&self, score: f64) -> Option<&str> {
        let reached = self.bands.iter().filter(|band| score >= band.min_score);
        reached.max_by(|a, b| a.min_score.total_cmp(&b.min_score)).map(|band| band.name.as_str())
    }

    pub fn layout(&self) -> Layout {
        Layout {
            input: self.input.name.clone(),
            score: self.output.score.clone(),
            class: self.output.class.clone(),
            features: self.features.clone(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_name("name", &self.name)?;
        check_name("version", &self.version)?;
        self.check_features()?;
        let mut names = BTreeSet::new();
        let mut minima = Vec::new();
        for band in &self.bands {
            check_name("a band's name", &band.name)?;
            if !band.min_score.is_finite()
                || minima.contains(&band.min_score)
                || !names.insert(&band.name)
            {
                return Err(refuse(&format!(
                    "band `{}` repeats a name or a min_score, or is not finite",
                    band.name
                )));
            }
            minima.push(band.min_score);
        }
        check_bands(self.effect, self.bands.iter().map(|band| band.name.as_str()))?;
        self.watch.check()?;
        if let Some(alert) = &self.alert {
            check_name("alert.kind", &alert.kind)?;
            if !alert.min_score.is_finite() {
                return Err(refuse("alert.min_score must be a finite number"));
            }
            if !["critical", "major", "minor"].contains(&alert.severity.as_str()) {
                return Err(refuse(&format!(
                    "alert.severity `{}` must be critical, major or minor",
                    alert.severity
                )));
            }
        }
        if !(self.golden.tolerance.is_finite() && self.golden.tolerance >= 0.0) {
            return Err(refuse("golden.tolerance must be a number of at least 0"));
        }
        self.gates.check().map_err(|said| refuse(&said))
    }

    fn check_features(&self) -> Result<(), Error> {
        if self.features.len() > FEATURES_MAX {
            return Err(Error::Limit(format!(
                "manifest.toml lists {} features; at most {FEATURES_MAX} are taken",
                self.features.len()
            )));
        }
        let mut seen = BTreeSet::new();
        for feature in &self.features {
            check_name("a feature", feature)?;
            if !seen.insert(feature) {
                return Err(refuse(&format!("feature `{feature}` is listed twice")));
            }
        }
        if self.is_bare() != self.view.is_empty() || self.is_bare() != self.entity.is_empty() {
            return Err(refuse(
                "entity, view and features belong together: give all three or none",
            ));
        }
        if self.is_bare() && self.alert.is_some() {
            return Err(refuse("alert needs entity, view and features"));
        }
        if let Some(name) = self.demands.keys().find(|name| !seen.contains(name)) {
            return Err(refuse(&format!("demands name `{name}`, which is no feature")));
        }
        match self.reasons.keys().find(|name| !seen.contains(name)) {
            Some(name) if !self.is_bare() => {
                Err(refuse(&format!("reasons name `{name}`, which is no feature")))
            }
            _ => Ok(()),
        }
    }
}

fn refuse(reason: &str) -> Error {
    Error::Manifest(reason.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// toml draws the place over several lines; a message has one.
fn locate(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    }
}

/// Names become folders, metric labels and keys.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let plain = |each: char| each.is_ascii_alphanumeric() || "_-.".contains(each);
    if name.is_empty()
        || name.len() > NAME_CHARS_MAX
        || !name.chars().all(plain)
        || name.starts_with('.')
    {
        return Err(refuse(&format!(
            "{what} `{}` must have 1 to {NAME_CHARS_MAX} of a-z A-Z 0-9 _ - . and not start with a dot",
            name.escape_debug()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "m"
version = "1"
format = "onnx"
entity = "resident"
view = "v"
features = ["a", "b"]
[[bands]]
name = "low"
min_score = 0.0
[[bands]]
name = "high"
min_score = 0.5
[reasons.a]
zh = "甲"
en = "first"
"#;

    #[track_caller]
    fn refused(text: &str, fragment: &str) {
        let error = Manifest::parse(text).unwrap_err().to_string();
        assert!(error.contains(fragment) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_manifest_round_trips() {
        let manifest = Manifest::parse(SMALL).unwrap();
        assert_eq!(Manifest::parse(&manifest.to_toml().unwrap()), Ok(manifest.clone()));
        assert_eq!(manifest.missing, Missing::Default);
        assert_eq!(manifest.band(0.49), Some("low"));
        assert_eq!(manifest.band(0.5), Some("high"));
        assert_eq!(manifest.band(-1.0), None);
        assert_eq!(manifest.layout().features, ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        refused(&SMALL.replace("view =", "veiw ="), "line 6: unknown field `veiw`");
        refused(&SMALL.replace("\"onnx\"", "\"pickle\""), "pickle");
        refused(&SMALL.replace("view = \"v\"", ""), "belong together");
        refused(&SMALL.replace("\"b\"]", "\"a\"]"), "listed twice");
        refused(&SMALL.replace("[reasons.a]", "[reasons.c]"), "`c`, which is no feature");
        refused(&SMALL.replace("name = \"m\"", "name = \"../m\""), "name `../m`");
        refused(&SMALL.replace("min_score = 0.5", "min_score = 0.0"), "band `high`");
    }

    #[test]
    fn demands_are_of_features_and_priorities_are_known() {
        let text = SMALL.replace("view =", "priority = \"safety\"\nstale = \"flag\"\nview =");
        let text = text + "[demands.b]\nmissing = \"refuse\"\nmax_age_s = 60\n";
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!((manifest.priority, manifest.stale), (Priority::Safety, Some(Missing::Flag)));
        assert_eq!(manifest.demands["b"].missing, Some(Missing::Refuse));
        assert_eq!(Manifest::parse(&manifest.to_toml().unwrap()), Ok(manifest));
        refused(&text.replace("\"safety\"", "\"urgent\""), "urgent");
        refused(&text.replace("demands.b", "demands.c"), "`c`, which is no feature");
    }

    #[test]
    fn a_bare_file_reads_no_view() {
        let bare = Manifest::bare("m", "3", Format::Onnx).unwrap();
        assert!(bare.is_bare());
        assert_eq!(bare.layout(), Layout::default());
        assert_eq!(Manifest::parse(&bare.to_toml().unwrap()), Ok(bare));
        assert!(Manifest::bare("a/b", "3", Format::Onnx).is_err());
    }
}
