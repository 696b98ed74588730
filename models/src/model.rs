//! What every model can do, whatever made it.

use std::fmt::{self, Debug, Display};

use crate::{Datatype, Error, Tensor};

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

    /// What each feature added, in logit space: `base + sum(contributions) = logit(score)`.
    /// `None` where the model has no exact answer.
    fn contributions(&self, row: &[f32]) -> Option<(f64, Vec<f64>)>;
}
