//! The way of explaining that fits a model, made ready once.

use super::covers::count_covers;
use super::tree_shap::TreeShap;
use super::{Explanation, Link, Method, Structure, linear, sampled};
use crate::{Error, Model};

/// How far base and contributions may lie from the score, in the score's own unit or, for large
/// scores, in parts of them: trees and sums of weights are added in single precision.
const TOLERANCE: f64 = 1e-5;

/// What is computed ahead to explain the rows of one model.
#[derive(Clone, Debug)]
pub struct Explainer {
    way: Way,
    width: usize,
}

#[derive(Clone, Debug)]
enum Way {
    Linear {
        means: Vec<f64>,
    },
    Trees(Box<TreeShap>),
    Sampled {
        reference: Vec<f32>,
    },
    /// Why there is none.
    Never(String),
}

impl Explainer {
    /// `reference` holds rows as the model takes them; it may be empty.
    pub fn new(model: &dyn Model, reference: &[f32]) -> Self {
        let width = model.features();
        let way = match choose(model, reference, width) {
            Ok(way) => way,
            Err(error) => Way::Never(error.to_string()),
        };
        Self { way, width }
    }

    /// How contributions are found; `None` where they cannot be.
    pub fn method(&self) -> Option<Method> {
        match &self.way {
            Way::Linear { .. } => Some(Method::Linear),
            Way::Trees(_) => Some(Method::TreeShap),
            Way::Sampled { .. } => Some(Method::Sampled),
            Way::Never(_) => None,
        }
    }

    /// The space in which base and contributions add up to the score.
    pub fn link(&self, model: &dyn Model) -> Link {
        match (&self.way, model.structure()) {
            (Way::Linear { .. } | Way::Trees(_), Structure::Linear { link, .. })
            | (Way::Linear { .. } | Way::Trees(_), Structure::Trees { link, .. }) => link,
            _ => Link::Identity,
        }
    }

    /// What each feature of a row added to its score.
    pub fn explain(&self, model: &dyn Model, row: &[f32]) -> Result<Explanation, Error> {
        if let Way::Never(reason) = &self.way {
            return Err(Error::NoScore(reason.clone()));
        }
        if row.len() != self.width {
            let (want, got) = (self.width, row.len());
            return Err(Error::Tensor(format!("a row must have {want} values, got {got}")));
        }
        let explanation = self.find(model, row)?;
        check(model, row, &explanation)?;
        Ok(explanation)
    }

    fn find(&self, model: &dyn Model, row: &[f32]) -> Result<Explanation, Error> {
        let mut prepared = row.to_vec();
        model.prepare(&mut prepared);
        match (&self.way, model.structure()) {
            (Way::Linear { means }, Structure::Linear { weights, intercept, link, .. }) => {
                let base = linear::base(weights, means, intercept);
                let contributions = linear::contributions(weights, means, &prepared)?;
                Ok(Explanation { base, contributions, link, method: Method::Linear })
            }
            (Way::Trees(shap), Structure::Trees { link, .. }) => {
                let mut contributions = vec![0.0; self.width];
                shap.explain(&prepared, &mut contributions);
                let (base, method) = (shap.base, Method::TreeShap);
                Ok(Explanation { base, contributions, link, method })
            }
            (Way::Sampled { reference }, _) => {
                let (base, contributions) = sampled::explain(model, reference, row)?;
                let (link, method) = (Link::Identity, Method::Sampled);
                Ok(Explanation { base, contributions, link, method })
            }
            _ => Err(Error::NoScore("the explanation belongs to another model".into())),
        }
    }
}

fn choose(model: &dyn Model, reference: &[f32], width: usize) -> Result<Way, Error> {
    if !model.has_score() || width == 0 {
        return Err(Error::NoScore(
            "the model has no single score that contributions could add up to".into(),
        ));
    }
    let mut prepared = reference.to_vec();
    prepared.chunks_exact_mut(width).for_each(|row| model.prepare(row));
    let without = || {
        Error::NoScore(
            "the model has no reference rows to explain a score against: push it as a package with background.csv \
             (a header of the features, then rows) or golden.csv"
                .into(),
        )
    };
    match model.structure() {
        Structure::Linear { means: Some(means), .. } if reference.is_empty() => {
            Ok(Way::Linear { means: means.to_vec() })
        }
        Structure::Linear { .. } if !reference.is_empty() => {
            let finite = prepared.chunks_exact(width);
            let rows: Vec<f32> = finite
                .filter(|row| row.iter().all(|value| value.is_finite()))
                .flatten()
                .copied()
                .collect();
            if rows.is_empty() {
                Err(without())
            } else {
                Ok(Way::Linear { means: linear::means(&rows, width) })
            }
        }
        Structure::Trees { forest, weights, base, .. } => {
            let told: Option<Vec<Vec<f64>>> =
                (0..forest.trees()).map(|at| forest.covers(at).map(<[f64]>::to_vec)).collect();
            let covers = match told {
                Some(covers) => covers,
                None if prepared.is_empty() => return Err(without()),
                None => count_covers(forest, &prepared),
            };
            match TreeShap::new(forest, weights, base, &covers) {
                Ok(shap) => Ok(Way::Trees(Box::new(shap))),
                // Too large for exact values; sampled ones are always possible.
                Err(_) if !reference.is_empty() => {
                    Ok(Way::Sampled { reference: reference.to_vec() })
                }
                Err(error) => Err(error),
            }
        }
        _ if reference.is_empty() => Err(without()),
        _ => Ok(Way::Sampled { reference: reference.to_vec() }),
    }
}

/// Base and contributions must be the score that the model gives.
fn check(model: &dyn Model, row: &[f32], explanation: &Explanation) -> Result<(), Error> {
    let mut scores = Vec::with_capacity(1);
    model.score_into(row, 1, &mut scores)?;
    let score = f64::from(scores.first().copied().unwrap_or(f32::NAN));
    let sum = explanation.score();
    let parts = explanation.contributions.iter().map(|each| each.abs()).sum::<f64>();
    if (sum - score).abs() <= TOLERANCE * (explanation.base.abs() + parts).max(1.0) {
        return Ok(());
    }
    Err(Error::Run(format!("its contributions add up to {sum}, but the score is {score}")))
}
