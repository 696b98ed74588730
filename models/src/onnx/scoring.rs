//! Which output is the score, and the score of rows of features.

use ort::value::TensorRef;

use super::file::{OnnxModel, Scored, Worker, list};
use super::value::{from_value, one_line};
use crate::score::{self, SCORE};
use crate::{Data, Datatype, Error, Layout, Tensor, TensorSpec};

impl OnnxModel {
    pub(super) fn choose_score(&mut self, layout: &Layout) -> Result<(), Error> {
        let chosen = score::choose_output(&self.outputs, layout.score.as_deref());
        if let (None, Some(name)) = (chosen, &layout.score) {
            return Err(Error::Model(format!(
                "[output] score names `{name}`, which is no FP32 or FP64 output; the file has {}",
                list(&self.outputs)
            )));
        }
        let class = self.class_column(layout)?;
        let Some(output) = chosen else {
            return match class {
                Some(_) => Err(Error::Model(format!(
                    "[output] class needs the output of the probabilities: name it in [output] score; the file has {}",
                    list(&self.outputs)
                ))),
                None => Ok(()),
            };
        };
        let classifier = layout.score.is_some()
            || score::is_classifier(&self.outputs, output, self.classes.len());
        let shape = self.outputs.get(output).map(|spec| spec.shape.as_slice());
        let countable = match (shape, class) {
            (Some([_, wide]), Some(class)) => *wide < 0 || class < *wide as usize,
            (Some([_] | [_, -1 | 1]), None) => true,
            (Some([_, 2]), None) => classifier,
            _ => false,
        };
        if !countable {
            return match class {
                Some(_) => Err(Error::Model(format!(
                    "[output] class: output {} has no column for it",
                    self.outputs[output]
                ))),
                None => Ok(()),
            };
        }
        self.scored = Some(Scored { output, classifier, class });
        if self.outputs.iter().all(|spec| spec.name != SCORE) {
            self.outputs.push(TensorSpec::new(SCORE, Datatype::Fp32, [-1, 1]));
        }
        Ok(())
    }

    /// The column of the class that the manifest names. The second of two needs no name.
    fn class_column(&self, layout: &Layout) -> Result<Option<usize>, Error> {
        let Some(name) = &layout.class else { return Ok(None) };
        let place = match self.classes.as_slice() {
            // A file without names of its classes: by number, from 0.
            [] => name.parse().ok(),
            classes => classes.iter().position(|class| class == name),
        };
        match place {
            Some(1) if self.classes.len() == 2 => Ok(None),
            Some(column) => Ok(Some(column)),
            None if self.classes.is_empty() => Err(Error::Model(format!(
                "[output] class names `{name}`, but the file does not name its classes: give the number of the column, from 0"
            ))),
            None => Err(Error::Model(format!(
                "[output] class names `{name}`; the file's classes are {}",
                self.classes.join(", ")
            ))),
        }
    }

    /// `score` beside the file's own outputs, from what was just computed.
    pub(super) fn score_of(&self, own: &[Tensor]) -> Option<Tensor> {
        let scored = self.scored?;
        let scores = self.pick(own.get(scored.output)?).ok()?;
        Tensor::new(SCORE, [scores.len() as i64, 1], Data::Fp32(scores)).ok()
    }

    pub(super) fn score_matrix(
        &self,
        rows: &[f32],
        n: usize,
        width: usize,
    ) -> Result<Vec<f32>, Error> {
        if let (Some(_), Some(scored)) = (self.fixed_rows.filter(|size| *size != n), self.scored) {
            let name = &self.inputs[0].name;
            let input = Tensor::new(name, [n as i64, width as i64], Data::Fp32(rows.to_vec()))?;
            return self.pick(&self.run(&[&input])?[scored.output]);
        }
        if n == 1 && self.pairs {
            let mut scores = self.score_matrix(&[rows, rows].concat(), 2, width)?;
            scores.truncate(1);
            return Ok(scores);
        }
        let failed = |error: ort::Error| Error::Run(one_line(&error));
        let input = TensorRef::from_array_view(([n, width], rows)).map_err(failed)?;
        let mut worker = self.worker();
        let Worker { session, score_only: Some(options) } = &mut *worker else {
            return Err(self.no_score());
        };
        let answers = session.run_with_options([input.into()], options).map_err(failed)?;
        let answer = from_value(SCORE, &answers[0])?;
        self.pick(&answer)
    }

    pub(super) fn pick(&self, answer: &Tensor) -> Result<Vec<f32>, Error> {
        let scored = self.scored.ok_or_else(|| self.no_score())?;
        match scored.class {
            Some(class) => score::pick_column(&answer.shape, &answer.data, class),
            None => score::pick(&answer.shape, &answer.data, scored.classifier),
        }
        .ok_or_else(|| self.no_score())
    }

    pub(super) fn no_score(&self) -> Error {
        let (inputs, outputs) = (list(&self.inputs), list(&self.outputs[..self.own_outputs]));
        Error::NoScore(format!(
            "the model has no single score: inputs {inputs}, outputs {outputs}; ask for its outputs, or name the class in \
             [output] of a manifest"
        ))
    }
}
