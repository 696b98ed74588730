//! Which evaluator a model gets, and what that one answers.

use super::OnnxModel;
use crate::evaluator::{Answer, Evaluator, differs, rows_that_try};
use crate::feed::Feed;
use crate::score::SCORE;
use crate::{Data, Datatype, Error, Model as _, Tensor};

/// Rows that ONNX Runtime is asked at once when both are compared.
const BLOCK: usize = 512;
/// Rows that are asked one by one.
const ALONE: usize = 64;

/// Our evaluator, after every bit was compared.
#[derive(Debug)]
pub(super) struct Own {
    evaluator: Evaluator,
    /// By the file's outputs: whether it answers them.
    answers: Vec<bool>,
}

impl Own {
    pub(super) fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }
}

impl OnnxModel {
    /// Our own evaluator where every bit of the score is ONNX Runtime's.
    pub(super) fn find_own(&self, bytes: &[u8], golden: &[f32]) -> Option<Own> {
        let (Some(Feed::Matrix { datatype: Datatype::Fp32, .. }), Some(scored), Some(width)) =
            (&self.feed, self.scored, self.width)
        else {
            return None;
        };
        if scored.class.is_some() {
            return None;
        }
        let names: Vec<&str> =
            self.outputs[..self.own_outputs].iter().map(|spec| spec.name.as_str()).collect();
        let evaluator = Evaluator::read(bytes, width, names[scored.output], scored.classifier)?;
        let mut answers: Vec<bool> = names.iter().map(|name| evaluator.knows(name)).collect();
        let rows = rows_that_try(&evaluator, golden);
        let alone = if evaluator.same_alone() { ALONE } else { 0 };
        let blocks = rows.chunks(BLOCK * width).chain(rows.chunks_exact(width).rev().take(alone));
        for block in blocks {
            let count = block.len() / width;
            let theirs = self.run_rows(block, count, width).ok()?;
            for ((name, theirs), answers) in names.iter().zip(&theirs).zip(&mut answers) {
                *answers &= evaluator.answer(block, name).is_some_and(|ours| {
                    shape(&ours, count) == theirs.shape && !differs(&ours.data, &theirs.data)
                });
            }
            if !answers[scored.output] {
                return None;
            }
        }
        Some(Own { evaluator, answers })
    }

    /// Whether ONNX Runtime gives a row alone other bits than in a batch, as it does where it
    /// multiplies matrices. Such a row is then run twice over, as a batch of two.
    pub(super) fn differs_alone(&self, golden: &[f32]) -> bool {
        let Some(width) = self.width.filter(|_| self.has_score()) else { return false };
        let mut dice = crate::explain::SplitMix::new(1);
        let drawn = (0..ALONE * width).map(|_| (dice.next() >> 40) as f32 / (1 << 22) as f32 - 2.0);
        // Inputs of categories and flags take 0 and 1.
        let real = [Datatype::Fp32, Datatype::Fp64];
        let all_real = self.inputs.iter().all(|spec| real.contains(&spec.datatype));
        let drawn = drawn.map(|value| if all_real { value } else { f32::from(value > 0.0) });
        let rows: Vec<f32> = golden.iter().take(ALONE * width).copied().chain(drawn).collect();
        let count = rows.len() / width;
        let rows = &rows[..count * width];
        let Ok(all) = self.score(rows, count) else { return false };
        rows.chunks_exact(width).zip(all).any(|(row, score)| {
            self.score(row, 1).is_ok_and(|alone| {
                alone.first().map(|bits| bits.to_bits()) != Some(score.to_bits())
            })
        })
    }

    fn run_rows(&self, rows: &[f32], count: usize, width: usize) -> Result<Vec<Tensor>, Error> {
        let shape = [count as i64, width as i64];
        let input = Tensor::new(&self.inputs[0].name, shape, Data::Fp32(rows.to_vec()))?;
        self.run(&[&input])
    }

    /// Whether the own evaluator answers every output of the file.
    pub(super) fn own_answers_all(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.answers.iter().all(|answers| *answers))
    }

    /// The wanted outputs, if the own evaluator knows them all. `input` has passed the checks.
    pub(super) fn infer_own(
        &self,
        input: &Tensor,
        wanted: &[String],
    ) -> Result<Option<Vec<Tensor>>, Error> {
        let (Some(own), Data::Fp32(rows)) = (&self.own, &input.data) else { return Ok(None) };
        let all: Vec<&str> = if wanted.is_empty() {
            self.outputs.iter().map(|spec| spec.name.as_str()).collect()
        } else {
            wanted.iter().map(String::as_str).collect()
        };
        let mut tensors = Vec::with_capacity(all.len());
        for name in all {
            let place = self.outputs[..self.own_outputs].iter().position(|spec| spec.name == name);
            let answer = match place {
                Some(at) if own.answers[at] => own.evaluator.answer(rows, name),
                None if name == SCORE => {
                    let mut scores = Vec::new();
                    own.evaluator.score_into(rows, &mut scores);
                    Some(Answer { data: Data::Fp32(scores), columns: Some(1) })
                }
                _ => None,
            };
            let Some(answer) = answer else { return Ok(None) };
            tensors.push(Tensor::new(name, shape(&answer, input.rows()), answer.data)?);
        }
        Ok(Some(tensors))
    }
}

fn shape(answer: &Answer, rows: usize) -> Vec<i64> {
    let rows = rows as i64;
    answer.columns.map_or_else(|| vec![rows], |columns| vec![rows, columns as i64])
}
