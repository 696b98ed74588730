//! Why a row has its score: what each feature added to a base, so that base and sum are the score.
//!
//! Exact where the model's form is known: a linear model against the means of its reference rows, an
//! ensemble of trees by TreeSHAP, whose covers are those of the training where the file has them and
//! of the replayed reference rows where it has not. Any other model is asked many times with some of
//! its features taken from reference rows, in an order that a fixed seed draws.

mod covers;
mod dice;
mod explainer;
mod explanation;
mod linear;
mod quadrature;
mod sampled;
#[cfg(test)]
mod tests;
mod tree_shap;
mod walk;

pub(crate) use dice::SplitMix;
pub use explainer::Explainer;
pub use explanation::{Explanation, Link, Method, Structure};
