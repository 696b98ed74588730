//! A model file in memory: its names and shapes, its sessions, its score.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};

use super::Runtime;
use super::own::Own;
use super::shapes::served;
use super::value::{from_value, one_line, specs_of, to_value};
use crate::feed::Feed;
use crate::graph::{self, Prepared};
use crate::score;
use crate::{Datatype, Error, Layout, Model, Structure, Tensor, TensorSpec};

/// A model file in memory, ready to run.
pub struct OnnxModel {
    workers: Vec<Mutex<Worker>>,
    next: AtomicUsize,
    pub(super) inputs: Vec<TensorSpec>,
    /// The file's own outputs, then `score` where it has one.
    pub(super) outputs: Vec<TensorSpec>,
    pub(super) own_outputs: usize,
    pub(super) feed: Option<Feed>,
    pub(super) scored: Option<Scored>,
    pub(super) width: Option<usize>,
    /// Our own evaluator, where its bits are those of the runtime.
    pub(super) own: Option<Own>,
    /// The names of the classes, where the file has them.
    pub(super) classes: Vec<String>,
    /// How many rows the file takes at a time, where that is fixed.
    pub(super) fixed_rows: Option<usize>,
    /// Whether a row alone is run as a batch of two.
    pub(super) pairs: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) output: usize,
    pub(super) classifier: bool,
    /// The column of the class that the manifest names.
    pub(super) class: Option<usize>,
}

pub(super) struct Worker {
    pub(super) session: Session,
    pub(super) score_only: Option<RunOptions<HasSelectedOutputs>>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("OnnxModel");
        debug.field("inputs", &self.inputs).field("outputs", &self.outputs);
        debug.field("feed", &self.feed).field("scored", &self.scored);
        debug.field("engine", &self.engine()).finish_non_exhaustive()
    }
}

impl OnnxModel {
    /// Loads a bare file: its own names, and a score where one number has one meaning.
    pub fn load(runtime: &Runtime, bytes: &[u8]) -> Result<Self, Error> {
        Self::load_as(runtime, bytes, &Layout::default())
    }

    pub fn load_as(runtime: &Runtime, bytes: &[u8], layout: &Layout) -> Result<Self, Error> {
        Self::load_with(runtime, bytes, layout, &[])
    }

    /// `golden` holds rows that our own evaluator must agree on, beside those that it is tried with.
    pub(crate) fn load_with(
        runtime: &Runtime,
        bytes: &[u8],
        layout: &Layout,
        golden: &[f32],
    ) -> Result<Self, Error> {
        let Prepared { bytes, classes, shapeless } = graph::prepare(bytes)?;
        let session = runtime.open(&bytes)?;
        let (inputs, fixed_rows) = served(specs_of(session.inputs(), "input")?, &shapeless)?;
        let outputs = specs_of(session.outputs(), "output")?;
        let feed = Feed::plan(&inputs, &layout.features)?;
        let listed = Some(layout.features.len()).filter(|len| *len > 0);
        let width = feed.as_ref().and_then(|feed| feed.width().or(listed));
        check_input_name(&inputs, layout)?;
        let mut model = Self {
            workers: vec![Mutex::new(Worker { session, score_only: None })],
            next: AtomicUsize::new(0),
            own_outputs: outputs.len(),
            inputs,
            outputs,
            feed,
            scored: None,
            width,
            own: None,
            classes,
            fixed_rows,
            pairs: false,
        };
        model.learn_output_shapes()?;
        model.choose_score(layout)?;
        if runtime.own_evaluator {
            model.own = model.find_own(&bytes, golden);
        }
        // A session that only answers what few ask for needs no others beside it.
        let sessions = if model.own_answers_all() { 1 } else { runtime.sessions };
        for _ in 1..sessions {
            model
                .workers
                .push(Mutex::new(Worker { session: runtime.open(&bytes)?, score_only: None }));
        }
        model.warm_up()?;
        model.pairs = model.own.is_none() && model.differs_alone(golden);
        Ok(model)
    }

    fn warm_up(&mut self) -> Result<(), Error> {
        let name = self
            .scored
            .and_then(|scored| self.outputs.get(scored.output))
            .map(|spec| spec.name.clone());
        for worker in &mut self.workers {
            let worker = worker.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(name) = &name {
                let options = RunOptions::new().map_err(|error| Error::Run(one_line(&error)))?;
                worker.score_only =
                    Some(options.with_outputs(OutputSelector::no_default().with(name)));
            }
        }
        if let Some(zeros) = self.zeros(1) {
            for _ in 0..self.workers.len() {
                // A model may refuse zeros; it still serves the rows it was made for.
                let _ = self.run(&zeros.iter().collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    pub(super) fn worker(&self) -> MutexGuard<'_, Worker> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turns =
            (0..self.workers.len()).map(|turn| (start.wrapping_add(turn)) % self.workers.len());
        for at in turns {
            match self.workers[at].try_lock() {
                Ok(worker) => return worker,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.workers[start % self.workers.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inputs in the file's order, already checked; the file's own outputs.
    pub(super) fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let rows = inputs.first().map_or(1, |tensor| tensor.rows());
        if rows == 1 && self.pairs && self.fixed_rows.is_none() {
            return self.run_pair(inputs);
        }
        match self.fixed_rows {
            Some(size) if size != rows => self.run_by(size, inputs, rows),
            _ => self.run_once(inputs),
        }
    }

    /// As many rows at once as the file takes; the last row fills up what is missing.
    fn run_by(&self, size: usize, inputs: &[&Tensor], rows: usize) -> Result<Vec<Tensor>, Error> {
        let mut all: Vec<Tensor> = Vec::new();
        for from in (0..rows).step_by(size) {
            let own = || (from..from + size).map(|at| at.min(rows - 1));
            let part = inputs.iter().map(|tensor| tensor.rows_at(own()));
            let part = part.collect::<Result<Vec<_>, _>>()?;
            let answers = self.run_once(&part.iter().collect::<Vec<_>>())?;
            for (at, answer) in answers.into_iter().enumerate() {
                if answer.rows() != size {
                    return Err(Error::Model(format!(
                        "its batch is fixed to {size} rows, and output `{}` has {:?}: export with a free batch (torch: \
                         dynamic_shapes, or dynamic_axes)",
                        answer.name, answer.shape
                    )));
                }
                let answer = answer.rows_at(0..size.min(rows - from))?;
                match all.get_mut(at) {
                    Some(whole) => whole.append(answer)?,
                    None => all.push(answer),
                }
            }
        }
        Ok(all)
    }

    /// A lone row as one of two, for the bits that it has in any batch.
    fn run_pair(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let twice = |tensor: &&Tensor| {
            let mut both = Tensor::clone(tensor);
            both.append(Tensor::clone(tensor))?;
            Ok(both)
        };
        let twice: Vec<Tensor> = inputs.iter().map(twice).collect::<Result<_, Error>>()?;
        let answers = self.run_once(&twice.iter().collect::<Vec<_>>())?;
        let first = |answer: Tensor| if answer.rows() == 2 { answer.row(0) } else { answer };
        Ok(answers.into_iter().map(first).collect())
    }

    fn run_once(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let values = inputs.iter().map(|tensor| to_value(tensor)).collect::<Result<Vec<_>, _>>()?;
        let mut worker = self.worker();
        let answers =
            worker.session.run(values.as_slice()).map_err(|error| Error::Run(one_line(&error)))?;
        answers.iter().map(|(name, value)| from_value(name, &value)).collect()
    }

    fn order_inputs<'a>(&self, inputs: &'a [Tensor]) -> Result<Vec<&'a Tensor>, Error> {
        if let Some(stranger) =
            inputs.iter().find(|tensor| self.inputs.iter().all(|spec| spec.name != tensor.name))
        {
            let name = &stranger.name;
            return Err(Error::Tensor(format!(
                "the model has no input `{name}`; it takes {}",
                list(&self.inputs)
            )));
        }
        let mut rows = None;
        let mut ordered = Vec::with_capacity(self.inputs.len());
        for spec in &self.inputs {
            let mut found = inputs.iter().filter(|tensor| tensor.name == spec.name);
            let (Some(tensor), None) = (found.next(), found.next()) else {
                return Err(Error::Tensor(format!("input {spec} must be given exactly once")));
            };
            spec.check(tensor)?;
            if tensor.data.is_empty() {
                return Err(Error::Tensor(format!("input `{}` has no elements", spec.name)));
            }
            if spec.shape.first() == Some(&-1) {
                let first = *rows.get_or_insert(tensor.rows());
                if first != tensor.rows() {
                    let got = tensor.rows();
                    return Err(Error::Tensor(format!(
                        "input `{}` has {got} rows, others {first}",
                        spec.name
                    )));
                }
            }
            ordered.push(tensor);
        }
        Ok(ordered)
    }
}

impl Model for OnnxModel {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn infer(&self, inputs: &[Tensor], wanted: &[String]) -> Result<Vec<Tensor>, Error> {
        if let Some(name) =
            wanted.iter().find(|name| self.outputs.iter().all(|spec| spec.name != **name))
        {
            return Err(Error::Tensor(format!(
                "the model has no output `{name}`; it has {}",
                list(&self.outputs)
            )));
        }
        let ordered = self.order_inputs(inputs)?;
        if let (Some(_), [input]) = (&self.own, &ordered[..])
            && let Some(answers) = self.infer_own(input, wanted)?
        {
            return Ok(answers);
        }
        let mut answers = self.run(&ordered)?;
        if self.outputs.len() > self.own_outputs {
            answers.extend(self.score_of(&answers));
        }
        if wanted.is_empty() {
            return Ok(answers);
        }
        let take = |name: &String| answers.iter().find(|tensor| tensor.name == *name).cloned();
        wanted.iter().map(|name| take(name).ok_or_else(|| self.no_score())).collect()
    }

    fn score(&self, rows: &[f32], n: usize) -> Result<Vec<f32>, Error> {
        let (Some(feed), Some(scored)) = (&self.feed, self.scored) else {
            return Err(self.no_score());
        };
        let width = score::check_rows(rows.len(), n, self.width)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        if let Some(own) = &self.own {
            let mut scores = Vec::new();
            own.evaluator().score_into(rows, &mut scores);
            return Ok(scores);
        }
        let inputs = match feed {
            Feed::Matrix { datatype: Datatype::Fp32, .. } => {
                return self.score_matrix(rows, n, width);
            }
            feed => feed.tensors(&self.inputs, rows, n, width)?,
        };
        let answers = self.run(&inputs.iter().collect::<Vec<_>>())?;
        self.pick(&answers[scored.output])
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn has_score(&self) -> bool {
        self.feed.is_some() && self.scored.is_some()
    }

    fn features(&self) -> usize {
        self.width.unwrap_or(0)
    }

    fn score_into(&self, rows: &[f32], n: usize, scores: &mut Vec<f32>) -> Result<(), Error> {
        match &self.own {
            // No tensor is made, so that no limit of tensors holds.
            Some(own) if Some(rows.len()) == self.width.and_then(|width| width.checked_mul(n)) => {
                own.evaluator().score_into(rows, scores);
            }
            _ => *scores = self.score(rows, n)?,
        }
        Ok(())
    }

    fn engine(&self) -> &'static str {
        if self.own.is_some() { "hearth" } else { "onnxruntime" }
    }

    fn structure(&self) -> Structure<'_> {
        self.own.as_ref().map_or(Structure::Opaque, |own| own.evaluator().structure())
    }

    fn prepare(&self, row: &mut [f32]) {
        if let Some(own) = &self.own {
            own.evaluator().prepare(row);
        }
    }
}

fn check_input_name(inputs: &[TensorSpec], layout: &Layout) -> Result<(), Error> {
    match (&layout.input, inputs) {
        (Some(name), [only]) if only.name != *name => Err(Error::Model(format!(
            "[input] name is `{name}`, but the file's input is `{}`",
            only.name
        ))),
        (Some(_), [_, _, ..]) => Err(Error::Model(format!(
            "[input] name needs a file with one input, this one has {}; leave it out",
            list(inputs)
        ))),
        _ => Ok(()),
    }
}

pub(super) fn list(specs: &[TensorSpec]) -> String {
    specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
