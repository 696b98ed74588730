//! Rows as models read them, and scores with everything that they were made from.

use super::{Loaded, ServingError};
use crate::proto::hearth::{Contribution, FeatureReading, ScoreResponse};
use crate::state::DecisionRecord;
use crate::state::ledger::{Contribution as Part, Reading};
use crate::watch::Codes;
use features::{FeatureVector, FeatureView};
use models::{Manifest, Reason};
use sha2::{Digest as _, Sha256};

/// A row as a model reads it, with what is known about each value.
#[derive(Clone, Debug)]
pub struct Row {
    pub entity: String,
    pub vector: FeatureVector,
    pub log_index: u64,
    /// The groups of the entity, for the rates by group.
    pub groups: Codes,
}

impl Row {
    /// Hash over the view and the values' bits.
    pub fn hash(&self) -> String {
        hash(&self.vector.fingerprint, &self.vector.values)
    }
}

/// [`Row::hash`] of values that were read by a view.
pub fn feature_hash(view: &FeatureView, values: &[f32]) -> String {
    hash(view.fingerprint(), values)
}

fn hash(fingerprint: &str, values: &[f32]) -> String {
    let mut hash = Sha256::new();
    hash.update(fingerprint.as_bytes());
    for value in values {
        hash.update(value.to_bits().to_le_bytes());
    }
    crate::hex::encode(&hash.finalize()[..16])
}

/// What a feature did, with the manifest's words for a person.
pub(crate) fn contribution(
    feature: &str,
    value: f64,
    contribution: f64,
    manifest: Option<&Manifest>,
) -> Contribution {
    let words = manifest.and_then(|manifest| manifest.reasons.get(feature));
    let (zh, en) = words.map(|Reason { zh, en }| (zh.clone(), en.clone())).unwrap_or_default();
    Contribution {
        feature: feature.to_owned(),
        value,
        contribution,
        reason: if words.is_some() { format!("{zh} / {en}") } else { String::new() },
        reason_zh: zh,
        reason_en: en,
    }
}

/// A score with everything it was made from.
#[derive(Clone, Debug)]
pub struct Scored {
    pub row: Row,
    pub score: f64,
    pub band: String,
    pub base: f64,
    /// The space in which `base` and contributions add up to the score; empty without contributions.
    pub link: &'static str,
    /// Feature, value, contribution; empty where none were asked for or none can be found.
    pub contributions: Vec<(String, f64, f64)>,
    /// Why there are no contributions although they were asked for.
    pub unexplained: Option<String>,
    pub log_index: u64,
}

impl Scored {
    /// Adds what each feature did to the score. A model that cannot be explained is still scored.
    pub(super) fn explain(&mut self, loaded: &Loaded) -> Result<(), ServingError> {
        let vector = &self.row.vector;
        let explanation = match loaded.explain(&vector.values) {
            Ok(explanation) => explanation,
            Err(models::Error::NoScore(reason)) => {
                self.unexplained = Some(reason);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let parts = vector.names.iter().zip(&vector.values).zip(explanation.contributions);
        self.contributions =
            parts.map(|((name, value), part)| (name.clone(), f64::from(*value), part)).collect();
        self.base = explanation.base;
        self.link = explanation.link.as_str();
        Ok(())
    }

    pub fn to_message(&self, loaded: &Loaded) -> ScoreResponse {
        ScoreResponse {
            entity: self.row.entity.clone(),
            model: loaded.name().to_owned(),
            version: loaded.version().to_owned(),
            model_sha256: loaded.sha256().to_vec(),
            score: self.score,
            band: self.band.clone(),
            contributions: self
                .contributions
                .iter()
                .map(|(feature, value, part)| {
                    contribution(feature, *value, *part, Some(loaded.manifest()))
                })
                .collect(),
            base: self.base,
            link: self.link.to_owned(),
            log_index: self.log_index,
            known_at_us: self.row.vector.as_of_us,
            readings: Vec::new(),
            oldest_feature_us: self.row.vector.oldest_us().unwrap_or(0),
            missing_features: self.row.vector.missing().map(str::to_owned).collect(),
            stale_features: self.row.vector.stale().map(str::to_owned).collect(),
            decision_id: String::new(),
            error: String::new(),
        }
    }

    /// Each value of the row with where it came from.
    pub fn readings(&self) -> Vec<FeatureReading> {
        let vector = &self.row.vector;
        let reading = |(at, name): (usize, &String)| FeatureReading {
            feature: name.clone(),
            value: f64::from(vector.values[at]),
            event_time_us: vector.event_times_us[at],
            status: vector.statuses[at].as_str().to_owned(),
            known_at_us: vector.as_of_us,
            log_index: self.log_index,
        };
        vector.names.iter().enumerate().map(reading).collect()
    }

    pub fn to_record(&self, loaded: &Loaded) -> DecisionRecord {
        let vector = &self.row.vector;
        let readings = vector
            .names
            .iter()
            .zip(&vector.values)
            .zip(&vector.event_times_us)
            .zip(&vector.statuses);
        DecisionRecord {
            entity: self.row.entity.clone(),
            model: loaded.name().to_owned(),
            version: loaded.version().to_owned(),
            model_sha256: loaded.sha256_hex().to_owned(),
            score: self.score,
            band: self.band.clone(),
            base: self.base,
            link: self.link.to_owned(),
            contributions: self
                .contributions
                .iter()
                .map(|(feature, value, contribution)| Part {
                    feature: feature.clone(),
                    value: *value,
                    contribution: *contribution,
                })
                .collect(),
            features: readings
                .map(|(((name, value), time_us), status)| Reading {
                    feature: name.clone(),
                    value: *value,
                    event_time_us: *time_us,
                    status: status.as_str().to_owned(),
                })
                .collect(),
            view: vector.view.to_string(),
            view_fingerprint: vector.fingerprint.to_string(),
            as_of_us: vector.as_of_us,
            read_index: self.log_index,
            policy: loaded.policy(),
            effect: loaded.manifest().effect.as_str().to_owned(),
            ..DecisionRecord::default()
        }
    }
}
