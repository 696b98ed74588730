//! What every model can do, whatever made it.

use std::fmt::{self, Debug, Display};

use crate::{Datatype, Error, Structure, Tensor};

/// The name, type and shape of an input or output; `-1` is a free dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    pub name: String,
    pub datatype: Datatype,
    pub shape: Vec<i64>,
}

impl TensorSpec {
    pub fn new(name: impl Into<String>, datatype: Datatype, shape: impl Into<Vec<i64>>) -> Self {
        Self { name: name.into(), datatype, shape: shape.into() }
    }

    /// Refuses a tensor of another type or shape, naming all three.
    pub fn check(&self, tensor: &Tensor) -> Result<(), Error> {
        let fits = self.datatype == tensor.datatype
            && self.shape.len() == tensor.shape.len()
            && self.shape.iter().zip(&tensor.shape).all(|(want, got)| *want < 0 || want == got);
        if fits {
            return Ok(());
        }
        let (want, got) = (&self.shape, &tensor.shape);
        Err(Error::Tensor(format!(
            "input `{}` must be {} {want:?} (-1 is free), got {} {got:?}",
            self.name, self.datatype, tensor.datatype
        )))
    }
}

impl Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} {:?}", self.name, self.datatype, self.shape)
    }
}

/// A model that is in memory and ready to answer, from several threads at once.
///
/// The same rows give the same bits on every node of one architecture: one thread per run, a fixed
/// order of sums, and no row depends on its neighbours in a batch.
pub trait Model: Send + Sync + Debug {
    fn inputs(&self) -> &[TensorSpec];
    fn outputs(&self) -> &[TensorSpec];

    /// Runs the model. An empty `wanted` means every output; else the answer is in the order asked.
    fn infer(&self, inputs: &[Tensor], wanted: &[String]) -> Result<Vec<Tensor>, Error>;

    /// `n` rows of [`features`](Self::features) values, row by row, to `n` scores: the probability
    /// of the second class, or a regressor's value. `Error::NoScore` where [`has_score`](Self::has_score)
    /// is false.
    fn score(&self, rows: &[f32], n: usize) -> Result<Vec<f32>, Error>;

    /// Whether one number of this model has one meaning, and rows of numbers can be its input.
    fn has_score(&self) -> bool;

    /// How many values a row has; 0 where the file leaves that open.
    fn features(&self) -> usize;

    /// The names of the classes, in the order of the probabilities; empty where none are known.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// As [`score`](Self::score), into memory that is used again.
    fn score_into(&self, rows: &[f32], n: usize, scores: &mut Vec<f32>) -> Result<(), Error> {
        *scores = self.score(rows, n)?;
        Ok(())
    }

    /// What computes the score: `onnxruntime`, `hearth` (our own evaluator) or `linfa`.
    fn engine(&self) -> &'static str;

    /// What can be said of the model's inside, for exact explanations.
    fn structure(&self) -> Structure<'_> {
        Structure::Opaque
    }

    /// Brings a row into the space that [`structure`](Self::structure) speaks of: what the model does
    /// to each feature alone before its sums or trees.
    fn prepare(&self, _row: &mut [f32]) {}
}
