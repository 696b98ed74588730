//! The answer's form, and what a model tells of its own.

use crate::Forest;

/// The space in which base and contributions add up to the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// The score itself.
    #[default]
    Identity,
    /// The logarithm of the odds of a probability.
    Logit,
}

impl Link {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Logit => "logit",
        }
    }

    /// From this space to the score.
    pub fn score(self, total: f64) -> f64 {
        match self {
            Self::Identity => total,
            Self::Logit => 1.0 / (1.0 + (-total).exp()),
        }
    }
}

/// How contributions were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Linear,
    TreeShap,
    Sampled,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::TreeShap => "tree_shap",
            Self::Sampled => "sampled",
        }
    }
}

/// `link.score(base + sum(contributions))` is the score.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub base: f64,
    /// One for each feature, in the model's order.
    pub contributions: Vec<f64>,
    pub link: Link,
    pub method: Method,
}

impl Explanation {
    pub fn total(&self) -> f64 {
        self.base + self.contributions.iter().sum::<f64>()
    }

    /// The score that the contributions add up to.
    pub fn score(&self) -> f64 {
        self.link.score(self.total())
    }
}

/// What a model lets others see of itself. Rows are those that [`Model::prepare`] has passed.
///
/// [`Model::prepare`]: crate::Model::prepare
#[derive(Clone, Debug)]
pub enum Structure<'a> {
    /// `link(score) = intercept + weights * row`. `means` are those of the training, where known.
    Linear { weights: &'a [f64], intercept: f64, means: Option<&'a [f64]>, link: Link },
    /// `link(score) = base + weights * (sums of the leaves)`, one weight for each output of a leaf.
    Trees { forest: &'a Forest, weights: &'a [f64], base: f64, link: Link },
    /// Only answers are known.
    Opaque,
}
