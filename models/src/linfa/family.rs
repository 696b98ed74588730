//! The families that are fitted, and what can be set about a fit.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// In the file by position: new ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Two classes, or one row of weights a class where there are more.
    Logistic,
    Linear,
    ElasticNet,
    Tree,
    Forest,
    KMeans,
    /// Gaussian naive Bayes.
    Bayes,
    Pca,
}

impl Family {
    pub const ALL: [Self; 8] = [
        Self::Logistic,
        Self::Linear,
        Self::ElasticNet,
        Self::Tree,
        Self::Forest,
        Self::KMeans,
        Self::Bayes,
        Self::Pca,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Linear => "linear",
            Self::ElasticNet => "elastic-net",
            Self::Tree => "tree",
            Self::Forest => "forest",
            Self::KMeans => "k-means",
            Self::Bayes => "bayes",
            Self::Pca => "pca",
        }
    }

    /// Whether it learns classes.
    pub fn classifies(self) -> bool {
        matches!(self, Self::Logistic | Self::Tree | Self::Forest | Self::Bayes)
    }

    /// Whether it learns from a label at all.
    pub fn has_label(self) -> bool {
        !matches!(self, Self::KMeans | Self::Pca)
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|each| each.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|each| each.name()).collect();
            Error::Model(format!("family `{text}` is unknown; use one of {}", known.join(", ")))
        })
    }
}

/// What can be set about a fit; a family reads what it knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Logistic: weight of the squared weights (of standardised features) against the summed log-loss.
    pub l2: f64,
    /// Elastic net: weight of the penalty, features and label standardised.
    pub penalty: f64,
    /// Elastic net: the share of the penalty that is absolute; the rest is squared.
    pub l1_ratio: f64,
    /// Trees: levels of questions.
    pub max_depth: usize,
    /// Trees: rows that a leaf must hold.
    pub min_leaf: usize,
    pub trees: usize,
    /// Forest: the share of the features that each tree may ask.
    pub feature_share: f64,
    /// k-means.
    pub clusters: usize,
    /// PCA.
    pub components: usize,
    /// Of every draw: the same seed gives the same model.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            l2: 1.0,
            penalty: 0.01,
            l1_ratio: 0.5,
            max_depth: 6,
            min_leaf: 10,
            trees: 100,
            feature_share: 0.6,
            clusters: 4,
            components: 2,
            seed: 0,
        }
    }
}

/// A deeper tree would be no model that a person can follow, and its fit recurses.
const DEPTH_MAX: usize = 32;
const TREES_MAX: usize = 2_000;

impl Settings {
    /// What a family does not use may be anything.
    pub(super) fn check(&self, family: Family, rows: usize, width: usize) -> Result<(), Error> {
        let grows = matches!(family, Family::Tree | Family::Forest);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let within = |value: usize, most: usize| (1..=most).contains(&value);
        let checks = [
            (self.l2.is_finite() && self.l2 >= 0.0, "l2 must be a number of at least 0".to_owned()),
            (
                self.penalty.is_finite() && self.penalty >= 0.0,
                "penalty must be a number of at least 0".to_owned(),
            ),
            (share(self.l1_ratio), "l1_ratio must be from 0 to 1".to_owned()),
            (within(self.max_depth, DEPTH_MAX), format!("max_depth must be 1 to {DEPTH_MAX}")),
            (
                !grows || within(self.min_leaf, rows),
                format!("min_leaf must be 1 to the {rows} rows"),
            ),
            (within(self.trees, TREES_MAX), format!("trees must be 1 to {TREES_MAX}")),
            (
                positive(self.feature_share) && share(self.feature_share),
                "feature_share must be above 0 and at most 1".to_owned(),
            ),
            (
                family != Family::KMeans || within(self.clusters, rows),
                format!("clusters must be 1 to the {rows} rows"),
            ),
            (
                family != Family::Pca || within(self.components, width),
                format!("components must be 1 to the {width} features"),
            ),
        ];
        match checks.into_iter().find(|(good, _)| !good) {
            Some((_, reason)) => Err(Error::Model(reason)),
            None => Ok(()),
        }
    }
}
