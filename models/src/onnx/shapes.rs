//! What the inputs and outputs of a file look like, beyond what the file says of them.

use super::file::OnnxModel;
use crate::feed::Feed;
use crate::{Data, Datatype, Error, Tensor, TensorSpec, score};

/// How many dimensions an input of a table has at most.
const RANK_MAX: usize = 2;

/// The largest batch that a file may be fixed to.
const FIXED_ROWS_MAX: i64 = 4_096;

/// The inputs as they are served: one that says no shape takes any table, and a fixed batch is free,
/// since rows can be run by so many at a time. The number is that of the second.
pub(super) fn served(
    mut inputs: Vec<TensorSpec>,
    shapeless: &[String],
) -> Result<(Vec<TensorSpec>, Option<usize>), Error> {
    for spec in &mut inputs {
        if spec.shape.is_empty() && shapeless.contains(&spec.name) {
            spec.shape = vec![-1, -1];
        }
        if spec.shape.len() > RANK_MAX {
            return Err(Error::Model(format!(
                "input {spec} has {} dimensions, and tables are served: export with inputs [rows, columns]",
                spec.shape.len()
            )));
        }
    }
    // A vector of several may as well be one row.
    let batch = |spec: &TensorSpec| match spec.shape.as_slice() {
        [1, ..] => Some(1),
        [rows @ 2..=FIXED_ROWS_MAX, _] => Some(*rows),
        _ => None,
    };
    let first = inputs.first().and_then(batch);
    let fixed = first.filter(|rows| inputs.iter().all(|spec| batch(spec) == Some(*rows)));
    if fixed.is_some() {
        for rows in inputs.iter_mut().filter_map(|spec| spec.shape.first_mut()) {
            *rows = -1;
        }
    }
    Ok((inputs, fixed.and_then(|rows| usize::try_from(rows).ok())))
}

impl OnnxModel {
    /// Exporters leave shapes of outputs open, or state wrong ones: one row of zeros and two tell. A
    /// file that takes one row and not two is run row by row.
    pub(super) fn learn_output_shapes(&mut self) -> Result<(), Error> {
        let Some(one) = self.try_rows(1) else { return self.check_runs() };
        if let Some(specs) = self.outputs.get_mut(..one.len()) {
            for (spec, answer) in specs.iter_mut().zip(&one) {
                spec.shape.clone_from(&answer.shape);
            }
        }
        let is_free = self.inputs.iter().any(|spec| spec.shape.first() == Some(&-1));
        let by_row = one.iter().all(|answer| answer.shape.first() == Some(&1));
        if !is_free {
            return Ok(());
        }
        let mut two = self.try_rows(2);
        if two.is_none() && by_row {
            self.fixed_rows = Some(1);
            two = self.try_rows(2);
        }
        for (spec, answer) in self.outputs.iter_mut().zip(two.unwrap_or_default()) {
            for (size, other) in spec.shape.iter_mut().zip(&answer.shape) {
                if size != other {
                    *size = -1;
                }
            }
        }
        Ok(())
    }

    /// A model of numbers that fails on a row of zeros and on one of ones fails on any: its weights
    /// do not fit its inputs. One that knows only some categories may refuse both.
    fn check_runs(&self) -> Result<(), Error> {
        let text = self.inputs.iter().any(|spec| spec.datatype == Datatype::Bytes);
        let (Some(zeros), Some(ones), false) = (self.made_up(1, 0.0), self.made_up(1, 1.0), text)
        else {
            return Ok(());
        };
        let fails = |rows: &[Tensor]| self.run(&rows.iter().collect::<Vec<_>>()).err();
        match (fails(&zeros), fails(&ones)) {
            (Some(error), Some(_)) if !error.to_string().contains("Category") => {
                Err(Error::Model(format!("every row fails: {error}; export the model again")))
            }
            _ => Ok(()),
        }
    }

    fn try_rows(&self, rows: i64) -> Option<Vec<Tensor>> {
        let zeros = self.zeros(rows)?;
        self.run(&zeros.iter().collect::<Vec<_>>()).ok()
    }

    /// Rows of zeros and empty texts, where only the batch is free.
    pub(super) fn zeros(&self, rows: i64) -> Option<Vec<Tensor>> {
        self.made_up(rows, 0.0)
    }

    fn made_up(&self, rows: i64, value: f32) -> Option<Vec<Tensor>> {
        self.inputs
            .iter()
            .map(|spec| {
                let mut shape = spec.shape.clone();
                if let (Some(Feed::Matrix { .. }), Some(last)) = (&self.feed, shape.get_mut(1)) {
                    *last = self.width? as i64;
                }
                if let Some(batch) = shape.first_mut().filter(|batch| **batch < 0) {
                    *batch = rows;
                }
                let sizes = shape.iter().map(|size| usize::try_from(*size).ok());
                let elements = sizes.product::<Option<usize>>()?;
                if elements > crate::TENSOR_ELEMENTS_MAX {
                    return None;
                }
                let values = std::iter::repeat_n(value, elements);
                let data = match spec.datatype {
                    Datatype::Bytes => Data::Bytes(vec![Vec::new(); elements]),
                    kind => score::convert(&spec.name, kind, values).ok()?,
                };
                Tensor::new(&spec.name, shape, data).ok()
            })
            .collect()
    }
}
