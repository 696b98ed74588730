//! What a manifest says about people: whether they must look at a decision, and what stops a version
//! from being promoted.

use crate::Error;
use serde::{Deserialize, Serialize};

/// What a decision of the model is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Advice.
    #[default]
    Advice,
    /// A benefit that somebody gets or not: a person has to review every decision.
    Benefit,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advice => "",
            Self::Benefit => "benefit",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(crate) fn is_advice(&self) -> bool {
        *self == Self::Advice
    }
}

/// Words that no machine may say about a benefit.
const REFUSALS: [&str; 8] =
    ["refuse", "refused", "reject", "rejected", "deny", "denied", "cut", "declined"];

/// `[watch]`: what a version must keep to be promoted. What is not named is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRules {
    /// Scores that must have been seen before anything is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_scores: Option<u64>,
    /// The largest population stability index of the score or of any feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psi_max: Option<f64>,
    /// The largest Kolmogorov-Smirnov distance of the score or of any feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ks_max: Option<f64>,
    /// The largest share of missing values of any feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_max: Option<f64>,
    /// The largest share of stale values of any feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_max: Option<f64>,
    /// The largest expected calibration error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ece_max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brier_max: Option<f64>,
    /// Outcomes that the calibration must rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_outcomes: Option<u64>,
    /// The least ratio of the lowest to the highest rate of selection among groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_ratio_min: Option<f64>,
    /// A score at or above this one is a selection; without it, the highest band's minimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_min_score: Option<f64>,
}

impl WatchRules {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let shares = [
            ("ks_max", self.ks_max),
            ("missing_max", self.missing_max),
            ("stale_max", self.stale_max),
            ("ece_max", self.ece_max),
            ("brier_max", self.brier_max),
            ("group_ratio_min", self.group_ratio_min),
        ];
        for (name, share) in shares {
            if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return Err(Error::Manifest(format!("watch.{name} must be from 0 to 1")));
            }
        }
        if self.psi_max.is_some_and(|psi| !(psi.is_finite() && psi >= 0.0)) {
            return Err(Error::Manifest("watch.psi_max must be a number of at least 0".to_owned()));
        }
        if self.selected_min_score.is_some_and(|score| !score.is_finite()) {
            return Err(Error::Manifest(
                "watch.selected_min_score must be a finite number".to_owned(),
            ));
        }
        Ok(())
    }
}

/// A model for a benefit has no band that refuses: a person does that.
pub(crate) fn check_bands<'a>(
    effect: Effect,
    bands: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    if effect.is_advice() {
        return Ok(());
    }
    for band in bands {
        if REFUSALS.contains(&band.to_lowercase().as_str()) {
            return Err(Error::Manifest(format!(
                "band `{band}`: a machine refuses no benefit; name the band by how soon a person looks at it"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Manifest;

    const SMALL: &str = "name = \"m\"\nversion = \"1\"\nformat = \"onnx\"\neffect = \"benefit\"\n\
        [[bands]]\nname = \"soon\"\nmin_score = 0.5\n[watch]\npsi_max = 0.2\n";

    #[test]
    fn a_benefit_has_no_band_that_refuses() {
        let manifest = Manifest::parse(SMALL).unwrap();
        assert_eq!(manifest.effect.as_str(), "benefit");
        assert_eq!(manifest.watch.psi_max, Some(0.2));
        assert_eq!(Manifest::parse(&manifest.to_toml().unwrap()), Ok(manifest));
        let said = Manifest::parse(&SMALL.replace("soon", "Refused")).unwrap_err().to_string();
        assert!(said.contains("a machine refuses no benefit"), "{said}");
        let advice = SMALL.replace("soon", "refused").replace("benefit", "advice");
        assert!(Manifest::parse(&advice).is_ok());
    }

    #[test]
    fn wrong_thresholds_are_said() {
        for (text, fragment) in [
            ("ks_max = 1.5", "watch.ks_max"),
            ("psi_max = -1", "watch.psi_max"),
            ("psi = 1", "unknown field"),
        ] {
            let said = Manifest::parse(&SMALL.replace("psi_max = 0.2", text)).unwrap_err();
            assert!(said.to_string().contains(fragment), "{said}");
        }
    }
}
