//! Runs a chain over rows.

use super::chain::{Chain, Core, Known, Labels};
use super::file::Graph;
use super::finish::{Aggregate, Label, Margin};
use super::steps::Post;
use crate::{Data, Forest, Structure};

/// Rows whose sums are kept at once.
const BLOCK: usize = 256;
/// Models with one score have at most two outputs.
const SCORED_OUTPUTS_MAX: usize = 2;
/// Features of one row that are kept on the stack.
const STACK: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Evaluator {
    chain: Chain,
    width: usize,
    score: Score,
    margin: Option<Margin>,
}

#[derive(Clone, Debug)]
struct Score {
    posts: Vec<Post>,
    column: usize,
}

/// One output for all rows, with how many columns it has; labels have none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) data: Data,
    pub(crate) columns: Option<usize>,
}

impl Evaluator {
    /// `score` names the output that holds the score and `classifier` whether two columns of it are
    /// two classes. `None` where the file is not of the kind that is evaluated here.
    pub(crate) fn read(bytes: &[u8], width: usize, score: &str, classifier: bool) -> Option<Self> {
        let chain = Chain::read(&Graph::read(bytes)?, width)?;
        let Some(Known::Numbers(posts)) = chain.known.get(score) else { return None };
        let posts = posts.clone();
        let outputs = chain.outputs();
        let column = match outputs {
            1 => 0,
            SCORED_OUTPUTS_MAX if classifier => 1,
            _ => return None,
        };
        // Only a form without further turns is linear in its sums.
        let plain = posts.iter().all(|post| *post == Post::Multiply(1.0));
        let margin = match &chain.core {
            _ if !plain => None,
            Core::Trees(trees) => trees.finish.margin(column),
            Core::Linear(linear) => linear.margin(column),
        };
        Some(Self { chain, width, score: Score { posts, column }, margin })
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Whether a row alone takes the same way in ONNX Runtime as in a batch.
    pub(crate) fn same_alone(&self) -> bool {
        matches!(self.chain.core, Core::Trees(_))
    }

    pub(crate) fn forest(&self) -> Option<&Forest> {
        match &self.chain.core {
            Core::Trees(trees) => Some(&trees.forest),
            Core::Linear(_) => None,
        }
    }

    /// Whether this output of the file is answered.
    pub(crate) fn knows(&self, output: &str) -> bool {
        self.chain.known.contains_key(output)
    }

    pub(crate) fn prepare(&self, row: &mut [f32]) {
        for step in &self.chain.steps {
            step.apply(row);
        }
    }

    /// Roughly the value of a feature that the steps turn into `value`.
    pub(super) fn before_steps(&self, feature: usize, value: f32) -> f32 {
        self.chain.steps.iter().rev().fold(value, |value, step| step.invert(feature, value))
    }

    pub(crate) fn structure(&self) -> Structure<'_> {
        match (&self.chain.core, &self.margin) {
            (Core::Trees(trees), Some(Margin { weights, base, link })) => {
                Structure::Trees { forest: &trees.forest, weights, base: *base, link: *link }
            }
            (Core::Linear(_), Some(Margin { weights, base, link })) => {
                Structure::Linear { weights, intercept: *base, means: None, link: *link }
            }
            (_, None) => Structure::Opaque,
        }
    }

    /// One score a row; `rows` holds whole rows. Nothing is allocated for one row beyond `scores`.
    pub(crate) fn score_into(&self, rows: &[f32], scores: &mut Vec<f32>) {
        scores.clear();
        let count = rows.len() / self.width;
        scores.reserve(count);
        let mut outputs = [0.0; SCORED_OUTPUTS_MAX];
        let outputs = &mut outputs[..self.chain.outputs()];
        self.each(rows, outputs, |_, outputs| {
            for post in &self.score.posts {
                post.apply(outputs);
            }
            scores.push(outputs[self.score.column]);
        });
    }

    /// An output of the file for all rows; `None` where it is not known.
    pub(crate) fn answer(&self, rows: &[f32], output: &str) -> Option<Answer> {
        let known = self.chain.known.get(output)?;
        let mut outputs = vec![0.0; self.chain.outputs()];
        let Known::Numbers(posts) = known else {
            let mut labels = Vec::with_capacity(rows.len() / self.width);
            self.each(rows, &mut outputs, |label, _| labels.push(label));
            return Some(Answer { data: self.chain.labels.data(&labels)?, columns: None });
        };
        let mut all = Vec::with_capacity(rows.len() / self.width * outputs.len());
        self.each(rows, &mut outputs, |_, outputs| {
            for post in posts {
                post.apply(outputs);
            }
            all.extend_from_slice(outputs);
        });
        Some(Answer { data: Data::Fp32(all), columns: Some(outputs.len()) })
    }

    /// Calls `take` with the label and the outputs of each row, before the steps that follow.
    fn each(&self, rows: &[f32], outputs: &mut [f32], mut take: impl FnMut(Label, &mut [f32])) {
        let width = self.width;
        if rows.len() == width && width <= STACK {
            let mut stack = [0.0; STACK];
            let row = self.prepared(rows, &mut stack[..width]);
            let label = match &self.chain.core {
                Core::Linear(linear) => linear.run(row, outputs),
                Core::Trees(trees) => {
                    let mut sums = [0.0; SCORED_OUTPUTS_MAX];
                    if let Some(sums) = sums.get_mut(..trees.forest.outputs()) {
                        trees.sum(row, sums);
                        trees.finish.finish(sums, outputs)
                    } else {
                        let mut sums = vec![0.0; trees.forest.outputs()];
                        trees.sum(row, &mut sums);
                        trees.finish.finish(&sums, outputs)
                    }
                }
            };
            return take(label, outputs);
        }
        let mut buffer = vec![0.0; if self.chain.steps.is_empty() { 0 } else { BLOCK * width }];
        let mut sums = Vec::new();
        for rows in rows.chunks(BLOCK * width) {
            let rows = self.prepared(rows, &mut buffer[..]);
            match &self.chain.core {
                Core::Linear(linear) => {
                    for row in rows.chunks_exact(width) {
                        take(linear.run(row, outputs), outputs);
                    }
                }
                Core::Trees(trees) => {
                    sums.resize(rows.len() / width * trees.forest.outputs(), 0.0);
                    trees.sum(rows, &mut sums);
                    for sums in sums.chunks_exact(trees.forest.outputs()) {
                        take(trees.finish.finish(sums, outputs), outputs);
                    }
                }
            }
        }
    }

    /// The rows after the steps; `buffer` is used only where there are some.
    fn prepared<'a>(&self, rows: &'a [f32], buffer: &'a mut [f32]) -> &'a [f32] {
        if self.chain.steps.is_empty() {
            return rows;
        }
        let buffer = &mut buffer[..rows.len()];
        buffer.copy_from_slice(rows);
        buffer.chunks_exact_mut(self.width).for_each(|row| self.prepare(row));
        buffer
    }
}

impl Chain {
    fn outputs(&self) -> usize {
        match &self.core {
            Core::Trees(trees) => trees.finish.outputs(),
            Core::Linear(linear) => linear.outputs(),
        }
    }
}

impl super::trees::Ensemble {
    /// The sums of some rows, in the trees' order.
    fn sum(&self, rows: &[f32], sums: &mut [f32]) {
        let aggregate = self.finish.aggregate();
        sums.fill(aggregate.start());
        match aggregate {
            Aggregate::Sum | Aggregate::Average => {
                self.forest.fold_rows(rows, sums, |sum, value| *sum += value);
            }
            Aggregate::Min => self.forest.fold_rows(rows, sums, |sum, value| {
                *sum = if value < *sum { value } else { *sum };
            }),
            Aggregate::Max => self.forest.fold_rows(rows, sums, |sum, value| {
                *sum = if value > *sum { value } else { *sum };
            }),
        }
    }
}

impl Labels {
    fn data(&self, labels: &[Label]) -> Option<Data> {
        match self {
            Self::Ints(ints) => {
                let each = labels.iter().map(|label| match label {
                    Label::Class(at) => ints.get(*at).copied(),
                    Label::Plain(yes) => Some(i64::from(*yes)),
                    Label::None => None,
                });
                each.collect::<Option<_>>().map(Data::Int64)
            }
            Self::Texts(texts) => {
                let each = labels.iter().map(|label| match label {
                    Label::Class(at) => texts.get(*at),
                    Label::Plain(yes) => texts.get(usize::from(*yes)),
                    Label::None => None,
                });
                let bytes = each.map(|text| text.map(|text| text.clone().into_bytes()));
                bytes.collect::<Option<_>>().map(Data::Bytes)
            }
            Self::None => None,
        }
    }
}
