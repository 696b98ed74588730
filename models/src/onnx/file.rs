//! A model file in memory: its names and shapes, its sessions, its score.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

use super::Runtime;
use super::own::Own;
use super::value::{from_value, one_line, specs_of, to_value};
use crate::score::{self, Feed, SCORE};
use crate::{Data, Datatype, Error, Layout, Model, Structure, Tensor, TensorSpec, graph};

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
    /// Whether a row alone is run as a batch of two.
    pairs: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) output: usize,
    pub(super) classifier: bool,
}

struct Worker {
    session: Session,
    score_only: Option<RunOptions<HasSelectedOutputs>>,
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
        let bytes = graph::prepare(bytes)?;
        let session = runtime.open(&bytes)?;
        let inputs = specs_of(session.inputs(), "input")?;
        let outputs = specs_of(session.outputs(), "output")?;
        let feed = plan_feed(&inputs, layout)?;
        let width = match &feed {
            Some(Feed::Matrix { width, .. }) => {
                width.or(Some(layout.features.len()).filter(|len| *len > 0))
            }
            Some(Feed::Columns) => Some(inputs.len()),
            None => None,
        };
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
            pairs: false,
        };
        model.learn_output_shapes();
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

    /// Exporters often leave the columns of an output open; one row of zeros tells.
    fn learn_output_shapes(&mut self) {
        let Some(zeros) = self.zeros() else { return };
        let Ok(answers) = self.run(&zeros.iter().collect::<Vec<_>>()) else { return };
        for (spec, answer) in self.outputs.iter_mut().zip(answers) {
            if spec.shape.len() != answer.shape.len() {
                spec.shape = answer
                    .shape
                    .iter()
                    .enumerate()
                    .map(|(at, size)| if at == 0 { -1 } else { *size })
                    .collect();
                continue;
            }
            for (open, size) in spec.shape.iter_mut().zip(&answer.shape).skip(1) {
                *open = *size;
            }
        }
    }

    /// One row of zeros, where only the batch is free.
    fn zeros(&self) -> Option<Vec<Tensor>> {
        self.inputs
            .iter()
            .map(|spec| {
                let mut shape = spec.shape.clone();
                if let (Some(Feed::Matrix { .. }), Some(last)) = (&self.feed, shape.get_mut(1)) {
                    *last = self.width? as i64;
                }
                if let Some(rows) = shape.first_mut().filter(|rows| **rows < 0) {
                    *rows = 1;
                }
                let elements = shape
                    .iter()
                    .map(|size| usize::try_from(*size).ok())
                    .product::<Option<usize>>()?;
                if elements > crate::TENSOR_ELEMENTS_MAX {
                    return None;
                }
                let data = match spec.datatype {
                    Datatype::Bytes => Data::Bytes(vec![Vec::new(); elements]),
                    _ => score::convert(
                        &spec.name,
                        spec.datatype,
                        std::iter::repeat_n(0.0, elements),
                    )
                    .ok()?,
                };
                Tensor::new(&spec.name, shape, data).ok()
            })
            .collect()
    }

    fn choose_score(&mut self, layout: &Layout) -> Result<(), Error> {
        let chosen = score::choose_output(&self.outputs, layout.score.as_deref());
        if let (None, Some(name)) = (chosen, &layout.score) {
            return Err(Error::Model(format!(
                "[output] score names `{name}`, which is no FP32 or FP64 output; the file has {}",
                list(&self.outputs)
            )));
        }
        let Some(output) = chosen else { return Ok(()) };
        let classifier = layout.score.is_some() || score::is_classifier(&self.outputs, output);
        let countable = match self.outputs.get(output).map(|spec| spec.shape.as_slice()) {
            Some([_] | [_, -1 | 1]) => true,
            Some([_, 2]) => classifier,
            _ => false,
        };
        if !countable {
            return Ok(());
        }
        self.scored = Some(Scored { output, classifier });
        if self.outputs.iter().all(|spec| spec.name != SCORE) {
            self.outputs.push(TensorSpec::new(SCORE, Datatype::Fp32, [-1, 1]));
        }
        Ok(())
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
        if let Some(zeros) = self.zeros() {
            for _ in 0..self.workers.len() {
                // A model may refuse zeros; it still serves the rows it was made for.
                let _ = self.run(&zeros.iter().collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
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

    /// `score` beside the file's own outputs, from what was just computed.
    fn score_of(&self, own: &[Tensor]) -> Option<Tensor> {
        let scored = self.scored?;
        let answer = own.get(scored.output)?;
        let scores = score::pick(&answer.shape, &answer.data, scored.classifier)?;
        Tensor::new(SCORE, [scores.len() as i64, 1], Data::Fp32(scores)).ok()
    }

    pub(super) fn score_matrix(
        &self,
        rows: &[f32],
        n: usize,
        width: usize,
    ) -> Result<Vec<f32>, Error> {
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

    fn pick(&self, answer: &Tensor) -> Result<Vec<f32>, Error> {
        let classifier = self.scored.is_some_and(|scored| scored.classifier);
        score::pick(&answer.shape, &answer.data, classifier).ok_or_else(|| self.no_score())
    }

    fn no_score(&self) -> Error {
        let (inputs, outputs) = (list(&self.inputs), list(&self.outputs[..self.own_outputs]));
        Error::NoScore(format!(
            "the model has no single score: inputs {inputs}, outputs {outputs}; ask for its outputs"
        ))
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
            Feed::Matrix { datatype, .. } => {
                let name = &self.inputs[0].name;
                let data = score::convert(name, *datatype, rows.iter().copied())?;
                vec![Tensor::new(name, [n as i64, width as i64], data)?]
            }
            Feed::Columns => (self.inputs.iter().enumerate())
                .map(|(at, spec)| {
                    let column = rows.iter().skip(at).step_by(width).copied();
                    let data = score::convert(&spec.name, spec.datatype, column)?;
                    let shape =
                        if spec.shape.len() == 1 { vec![n as i64] } else { vec![n as i64, 1] };
                    Tensor::new(&spec.name, shape, data)
                })
                .collect::<Result<_, _>>()?,
        };
        let answers = self.run(&inputs.iter().collect::<Vec<_>>())?;
        self.pick(&answers[scored.output])
    }

    fn has_score(&self) -> bool {
        self.feed.is_some() && self.scored.is_some()
    }

    fn features(&self) -> usize {
        self.width.unwrap_or(0)
    }

    fn score_into(&self, rows: &[f32], n: usize, scores: &mut Vec<f32>) -> Result<(), Error> {
        match &self.own {
            Some(own) => {
                score::check_rows(rows.len(), n, self.width)?;
                own.evaluator().score_into(rows, scores);
            }
            None => *scores = self.score(rows, n)?,
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

fn plan_feed(inputs: &[TensorSpec], layout: &Layout) -> Result<Option<Feed>, Error> {
    if let Some(name) = &layout.input {
        let [only] = inputs else {
            return Err(Error::Model(format!(
                "[input] name needs a file with one input, this one has {}; export one matrix of features",
                list(inputs)
            )));
        };
        if only.name != *name {
            let has = &only.name;
            return Err(Error::Model(format!(
                "[input] name is `{name}`, but the file's input is `{has}`"
            )));
        }
    }
    let feed = Feed::plan(inputs);
    let width = match &feed {
        Some(Feed::Matrix { width, .. }) => *width,
        Some(Feed::Columns) => Some(inputs.len()),
        None => None,
    };
    match (Some(layout.features.len()).filter(|len| *len > 0), &feed, width) {
        (Some(_), None, _) => Err(Error::Model(format!(
            "the file's inputs {} cannot take a row of features; export one FP32 input [-1, features]",
            list(inputs)
        ))),
        (Some(want), _, Some(got)) if want != got => Err(Error::Model(format!(
            "the manifest lists {want} features, the file takes {got}; list them all in the file's order, or export again"
        ))),
        _ => Ok(feed),
    }
}

fn list(specs: &[TensorSpec]) -> String {
    specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
