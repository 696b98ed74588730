//! A fitted model in memory, as the protocol asks it.

use super::body::{Body, bayes_logits, distances, dot, logistic, project, softmax};
use super::family::Family;
use super::file::{self, Stored};
use super::measure::largest;
use super::table::is_whole;
use super::trees::Trees;
use crate::score::{SCORE, check_rows};
use crate::{Data, Datatype, Error, Forest, Layout, Link, Model, Structure, Tensor, TensorSpec};

const FEATURES: &str = "features";
const LABEL: &str = "label";
const PROBABILITIES: &str = "probabilities";
const CLUSTER: &str = "cluster";
const DISTANCES: &str = "distances";
/// To the nearest centre.
const DISTANCE: &str = "distance";
const COMPONENTS: &str = "components";
/// Distance from the plane of the components.
const RESIDUAL: &str = "residual";

#[derive(Clone, Debug)]
pub struct LinfaModel {
    stored: Stored,
    inputs: [TensorSpec; 1],
    outputs: Vec<TensorSpec>,
    score: Option<Score>,
    /// The trees as explanations read them, and the weight of each class in the score.
    forest: Option<(Forest, Vec<f64>)>,
}

/// Which number is the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Score {
    Value,
    Class(usize),
    Distance,
    Residual,
}

/// What is stored decides the rest.
impl PartialEq for LinfaModel {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored && self.score == other.score
    }
}

impl LinfaModel {
    pub(super) fn of(stored: Stored) -> Result<Self, Error> {
        Self::with_layout(stored, &Layout::default())
    }

    fn with_layout(stored: Stored, layout: &Layout) -> Result<Self, Error> {
        if !is_sound(&stored) {
            return Err(Error::Model(
                "model.linfa: its numbers do not fit together or are not finite; fit it again"
                    .into(),
            ));
        }
        let score = choose_score(&stored, layout)?;
        let inputs =
            [TensorSpec::new(FEATURES, Datatype::Fp32, [-1, stored.features.len() as i64])];
        let mut outputs = Vec::new();
        if score.is_some() {
            outputs.push(TensorSpec::new(SCORE, Datatype::Fp32, [-1, 1]));
        }
        let matrix = |name, width: usize| TensorSpec::new(name, Datatype::Fp32, [-1, width as i64]);
        match stored.family {
            family if family.classifies() => {
                let whole = stored.classes.iter().all(|class| is_whole(class));
                let kind = if whole { Datatype::Int64 } else { Datatype::Bytes };
                outputs.push(TensorSpec::new(LABEL, kind, [-1]));
                outputs.push(matrix(PROBABILITIES, stored.classes.len()));
            }
            Family::KMeans => {
                outputs.push(TensorSpec::new(CLUSTER, Datatype::Int64, [-1]));
                outputs.push(matrix(DISTANCES, wide(&stored)));
                outputs.push(matrix(DISTANCE, 1));
            }
            Family::Pca => {
                outputs.push(matrix(COMPONENTS, wide(&stored)));
                outputs.push(matrix(RESIDUAL, 1));
            }
            _ => {}
        }
        let forest = match (&stored.body, score) {
            (Body::Trees(trees), Some(Score::Class(class))) => {
                let of_class = |at| f64::from(u8::from(at == class));
                let weights = (0..stored.classes.len()).map(of_class).collect();
                trees.to_forest(&stored).ok().map(|forest| (forest, weights))
            }
            _ => None,
        };
        Ok(Self { stored, inputs, outputs, score, forest })
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::load_as(bytes, &Layout::default())
    }

    /// Reads the file; the layout may name the class or the output that is the score.
    pub fn load_as(bytes: &[u8], layout: &Layout) -> Result<Self, Error> {
        Self::with_layout(file::read(bytes)?, layout)
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        file::write(&self.stored)
    }

    pub fn family(&self) -> Family {
        self.stored.family
    }

    pub fn linfa_version(&self) -> &str {
        &self.stored.linfa_version
    }

    pub fn feature_names(&self) -> &[String] {
        &self.stored.features
    }

    /// In the order of the probabilities; empty where nothing is classified.
    pub fn class_names(&self) -> &[String] {
        &self.stored.classes
    }

    /// Means of the training rows.
    pub fn means(&self) -> &[f64] {
        &self.stored.means
    }

    /// Of a linear family, for rows as they are: one row a class, or one in all.
    pub fn weights(&self) -> &[f64] {
        match &self.stored.body {
            Body::Linear { weights, .. } => weights,
            _ => &[],
        }
    }

    pub fn intercepts(&self) -> &[f64] {
        match &self.stored.body {
            Body::Linear { intercepts, .. } => intercepts,
            _ => &[],
        }
    }

    /// Of a linear family of one output.
    pub fn intercept(&self) -> f64 {
        self.intercepts().first().copied().unwrap_or_default()
    }

    pub fn trees(&self) -> Option<&Trees> {
        match &self.stored.body {
            Body::Trees(trees) => Some(trees),
            _ => None,
        }
    }

    /// Of PCA: the share of the training rows' variance by component.
    pub fn explained(&self) -> &[f64] {
        match &self.stored.body {
            Body::Plane { explained, .. } => explained,
            _ => &[],
        }
    }

    /// Row by row: probabilities, the value, distances from the centres, or places in the plane.
    pub(super) fn columns(&self, rows: &[f32], n: usize) -> Result<Vec<f64>, Error> {
        let width = check_rows(rows.len(), n, Some(self.stored.features.len()))?;
        self.check_finite(rows)?;
        let wide = wide(&self.stored);
        let mut all = vec![0.0; n * wide];
        let mut standard = Vec::with_capacity(width);
        for (row, into) in rows.chunks_exact(width).zip(all.chunks_exact_mut(wide)) {
            self.one(row, into, &mut standard);
        }
        Ok(all)
    }

    /// Distance from the plane; 0 of families that have none.
    pub(super) fn residuals(&self, rows: &[f32], n: usize) -> Result<Vec<f64>, Error> {
        let width = check_rows(rows.len(), n, Some(self.stored.features.len()))?;
        self.check_finite(rows)?;
        let mut place = vec![0.0; wide(&self.stored)];
        let mut standard = Vec::with_capacity(width);
        Ok(rows.chunks_exact(width).map(|row| self.one(row, &mut place, &mut standard)).collect())
    }

    fn one(&self, row: &[f32], into: &mut [f64], standard: &mut Vec<f64>) -> f64 {
        match &self.stored.body {
            Body::Linear { weights, intercepts } => {
                for (at, intercept) in intercepts.iter().enumerate() {
                    into[at] = dot(*intercept, &weights[at * row.len()..][..row.len()], row);
                }
                match (self.stored.family, intercepts.len()) {
                    (Family::Logistic, 1) => {
                        let second = logistic(into[0]);
                        into.copy_from_slice(&[1.0 - second, second]);
                    }
                    (Family::Logistic, _) => softmax(into),
                    _ => {}
                }
            }
            Body::Trees(trees) if self.stored.family == Family::Tree => trees.shares(row, into),
            Body::Trees(trees) => trees.votes(row, into),
            Body::Bayes { priors, means, variances } => {
                bayes_logits(priors, means, variances, row, into);
                softmax(into);
            }
            Body::Centres(centres) => {
                self.standardise(row, standard);
                distances(centres, standard, into);
            }
            Body::Plane { components, .. } => {
                self.standardise(row, standard);
                return project(components, standard, into);
            }
        }
        0.0
    }

    fn standardise(&self, row: &[f32], into: &mut Vec<f64>) {
        into.clear();
        let Stored { means, scales, .. } = &self.stored;
        let each = row.iter().zip(means).zip(scales);
        into.extend(each.map(|((value, mean), scale)| (f64::from(*value) - mean) / scale));
    }

    fn check_finite(&self, rows: &[f32]) -> Result<(), Error> {
        let Some(at) = rows.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let width = self.stored.features.len();
        let (row, name) = (at / width, &self.stored.features[at % width]);
        Err(Error::Tensor(format!(
            "feature `{name}` of row {row} is not a finite number; send a default instead"
        )))
    }

    fn no_score(&self) -> Error {
        let family = self.stored.family;
        let outputs: Vec<_> = self.outputs.iter().map(|spec| spec.name.as_str()).collect();
        Error::NoScore(format!(
            "this {family} model has no single score: ask for {}, or name the class or output in [output]",
            outputs.join(", ")
        ))
    }

    /// An output by its name, from what was computed for all of them.
    fn output(&self, name: &str, rows: &[f32], columns: &[f64], n: usize) -> Result<Tensor, Error> {
        let wide = wide(&self.stored);
        let each = || columns.chunks_exact(wide);
        let rounded = |all: &[f64]| Data::Fp32(all.iter().map(|value| *value as f32).collect());
        let nearest = |row: &[f64]| row.iter().copied().fold(f64::INFINITY, f64::min);
        match name {
            SCORE => Tensor::new(name, [n as i64, 1], Data::Fp32(self.score(rows, n)?)),
            LABEL => Tensor::new(name, [n as i64], self.labels(each().map(largest))),
            CLUSTER => {
                let negated = |row: &[f64]| row.iter().map(|value| -value).collect::<Vec<_>>();
                let near = each().map(|row| largest(&negated(row)) as i64).collect();
                Tensor::new(name, [n as i64], Data::Int64(near))
            }
            DISTANCE => {
                let near = each().map(|row| nearest(row) as f32).collect();
                Tensor::new(name, [n as i64, 1], Data::Fp32(near))
            }
            RESIDUAL => Tensor::new(name, [n as i64, 1], rounded(&self.residuals(rows, n)?)),
            _ => Tensor::new(name, [n as i64, wide as i64], rounded(columns)),
        }
    }

    fn labels(&self, places: impl Iterator<Item = usize>) -> Data {
        let classes = &self.stored.classes;
        if classes.iter().all(|class| is_whole(class)) {
            let numbers: Vec<i64> =
                classes.iter().map(|class| class.parse().unwrap_or_default()).collect();
            return Data::Int64(places.map(|at| numbers[at]).collect());
        }
        Data::Bytes(places.map(|at| classes[at].clone().into_bytes()).collect())
    }
}

/// How many numbers a row gives.
fn wide(stored: &Stored) -> usize {
    let width = stored.features.len().max(1);
    match &stored.body {
        Body::Linear { intercepts, .. } if stored.family == Family::Logistic => {
            intercepts.len().max(2)
        }
        Body::Linear { .. } => 1,
        Body::Trees(_) | Body::Bayes { .. } => stored.classes.len(),
        Body::Centres(centres) => centres.len() / width,
        Body::Plane { components, .. } => components.len() / width,
    }
}

/// Whether the sizes agree, so that no evaluation reads past an end.
fn is_sound(stored: &Stored) -> bool {
    let (width, classes) = (stored.features.len(), stored.classes.len());
    let finite =
        |all: &[f64], len: usize| all.len() == len && all.iter().all(|each| each.is_finite());
    let positive = |all: &[f64]| all.iter().all(|each| *each > 0.0);
    let filled =
        |all: &[f64]| !all.is_empty() && all.len().is_multiple_of(width) && finite(all, all.len());
    let scaled = width > 0
        && finite(&stored.means, width)
        && finite(&stored.scales, width)
        && positive(&stored.scales)
        && (classes >= 2) == stored.family.classifies()
        && classes != 1;
    scaled
        && match (&stored.body, stored.family) {
            (Body::Linear { weights, intercepts }, family) => {
                let outputs = match family {
                    Family::Logistic if classes > 2 => classes,
                    Family::Logistic | Family::Linear | Family::ElasticNet => 1,
                    _ => return false,
                };
                finite(intercepts, outputs) && finite(weights, outputs * width)
            }
            (Body::Trees(trees), Family::Tree | Family::Forest) => trees.is_sound(width, classes),
            (Body::Bayes { priors, means, variances }, Family::Bayes) => {
                finite(priors, classes)
                    && positive(priors)
                    && finite(means, classes * width)
                    && finite(variances, classes * width)
                    && positive(variances)
            }
            (Body::Centres(centres), Family::KMeans) => filled(centres),
            (Body::Plane { components, explained }, Family::Pca) => {
                filled(components) && finite(explained, components.len() / width)
            }
            _ => false,
        }
}

fn choose_score(stored: &Stored, layout: &Layout) -> Result<Option<Score>, Error> {
    let family = stored.family;
    if let Some(name) = layout.input.as_deref().filter(|name| *name != FEATURES) {
        return Err(Error::Model(format!(
            "[input] name is `{name}`, but a linfa file's input is `{FEATURES}`"
        )));
    }
    let class = match &layout.class {
        Some(name) => {
            Some(stored.classes.iter().position(|class| class == name).ok_or_else(|| {
                Error::Model(format!(
                    "[output] class names `{name}`; the model's classes are {}",
                    if stored.classes.is_empty() {
                        "none".into()
                    } else {
                        stored.classes.join(", ")
                    }
                ))
            })?)
        }
        None if stored.classes.len() == 2 => Some(1),
        None => None,
    };
    let own = match family {
        Family::Linear | Family::ElasticNet => Some(Score::Value),
        _ => class.map(Score::Class),
    };
    match (layout.score.as_deref(), family) {
        (None | Some(SCORE), _) => Ok(own),
        (Some(PROBABILITIES), _) if family.classifies() => Ok(own),
        (Some(DISTANCE), Family::KMeans) => Ok(Some(Score::Distance)),
        (Some(RESIDUAL), Family::Pca) => Ok(Some(Score::Residual)),
        (Some(name), _) => {
            let has = match family {
                Family::KMeans => DISTANCE,
                Family::Pca => RESIDUAL,
                _ => SCORE,
            };
            Err(Error::Model(format!(
                "[output] score names `{name}`; the score of a {family} model can be `{has}`"
            )))
        }
    }
}

impl Model for LinfaModel {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor], wanted: &[String]) -> Result<Vec<Tensor>, Error> {
        let [spec] = &self.inputs;
        let [input] = inputs else {
            return Err(Error::Tensor(format!(
                "the model takes one input {spec}, got {}",
                inputs.len()
            )));
        };
        if input.name != spec.name {
            return Err(Error::Tensor(format!(
                "the model has no input `{}`; it takes {spec}",
                input.name
            )));
        }
        spec.check(input)?;
        let known = |name: &String| self.outputs.iter().any(|spec| spec.name == *name);
        if let Some(name) = wanted.iter().find(|name| !known(name)) {
            let has: Vec<_> = self.outputs.iter().map(ToString::to_string).collect();
            return Err(Error::Tensor(format!(
                "the model has no output `{name}`; it has {}",
                has.join(", ")
            )));
        }
        let Data::Fp32(rows) = &input.data else {
            return Err(Error::Tensor(format!("input {spec} holds other data")));
        };
        let n = input.rows();
        let columns = self.columns(rows, n)?;
        let all = || self.outputs.iter().map(|spec| spec.name.as_str());
        let output = |name| self.output(name, rows, &columns, n);
        if wanted.is_empty() {
            return all().map(output).collect();
        }
        wanted.iter().map(|name| output(name)).collect()
    }

    fn score(&self, rows: &[f32], n: usize) -> Result<Vec<f32>, Error> {
        let score = self.score.ok_or_else(|| self.no_score())?;
        if score == Score::Residual {
            return Ok(self.residuals(rows, n)?.into_iter().map(|each| each as f32).collect());
        }
        let columns = self.columns(rows, n)?;
        let pick = |row: &[f64]| match score {
            Score::Class(class) => row[class] as f32,
            Score::Distance => row.iter().copied().fold(f64::INFINITY, f64::min) as f32,
            Score::Value | Score::Residual => row[0] as f32,
        };
        Ok(columns.chunks_exact(wide(&self.stored)).map(pick).collect())
    }

    fn has_score(&self) -> bool {
        self.score.is_some()
    }

    fn features(&self) -> usize {
        self.stored.features.len()
    }

    fn classes(&self) -> &[String] {
        &self.stored.classes
    }

    fn engine(&self) -> &'static str {
        "linfa"
    }

    fn structure(&self) -> Structure<'_> {
        let Stored { means, body, family, .. } = &self.stored;
        match (body, self.score) {
            (Body::Linear { weights, intercepts }, Some(score)) if intercepts.len() == 1 => {
                let link = match (family, score) {
                    (Family::Logistic, Score::Class(1)) => Link::Logit,
                    // The first class has the other sign.
                    (Family::Logistic, _) => return Structure::Opaque,
                    _ => Link::Identity,
                };
                Structure::Linear { weights, intercept: intercepts[0], means: Some(means), link }
            }
            (Body::Trees(_), Some(Score::Class(_))) => match &self.forest {
                Some((forest, weights)) => {
                    Structure::Trees { forest, weights, base: 0.0, link: Link::Identity }
                }
                None => Structure::Opaque,
            },
            _ => Structure::Opaque,
        }
    }
}
