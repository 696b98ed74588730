//! From a graph to a chain: steps on the features, one operator, steps on its outputs.

use std::collections::HashMap;

use super::file::{Graph, Node};
use super::linear::Linear;
use super::steps::{Post, Step};
use super::trees::Ensemble;

/// The most steps on either side; real exports have one or two.
const STEPS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(super) enum Core {
    Trees(Ensemble),
    Linear(Linear),
}

/// The labels of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<String>),
    None,
}

/// What a name of the graph stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    Label,
    Numbers(Vec<Post>),
}

#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) steps: Vec<Step>,
    pub(super) core: Core,
    pub(super) labels: Labels,
    /// What can be said of the names that the operator's outputs reach.
    pub(super) known: HashMap<String, Known>,
}

impl Chain {
    pub(super) fn read(graph: &Graph<'_>, width: usize) -> Option<Self> {
        let [mut now] = graph.inputs[..] else { return None };
        let mut steps = Vec::new();
        let core = loop {
            // Exactly one node may read the features.
            let mut readers = graph.nodes.iter().filter(|node| node.inputs.contains(&now));
            let (Some(node), None) = (readers.next(), readers.next()) else { return None };
            if let Some(core) = read_core(node, width) {
                break (node, core);
            }
            (node.inputs.first() == Some(&now) && steps.len() < STEPS_MAX).then_some(())?;
            steps.extend(Step::read(node, &graph.constants, width)?);
            now = node.outputs.first()?;
        };
        let (node, core) = core;
        let (labels, known) = reach(graph, node);
        Some(Self { steps, core, labels, known })
    }
}

fn read_core(node: &Node<'_>, width: usize) -> Option<Core> {
    match node.op {
        "LinearClassifier" | "LinearRegressor" => Linear::read(node, width).map(Core::Linear),
        _ => Ensemble::read(node, width).map(Core::Trees),
    }
}

/// Follows the operator's outputs through nodes that change them in known ways.
fn reach(graph: &Graph<'_>, node: &Node<'_>) -> (Labels, HashMap<String, Known>) {
    const INT64: i64 = 7;
    let classifier = node.op.ends_with("Classifier");
    let texts = node.texts("classlabels_strings");
    let ints =
        if node.op == "LinearClassifier" { "classlabels_ints" } else { "classlabels_int64s" };
    let labels = match (classifier, texts) {
        (false, _) => Labels::None,
        (true, []) => Labels::Ints(node.ints(ints).to_vec()),
        (true, texts) => Labels::Texts(texts.iter().map(|text| (*text).to_owned()).collect()),
    };
    let mut known = HashMap::new();
    let own = if classifier {
        vec![Known::Label, Known::Numbers(Vec::new())]
    } else {
        vec![Known::Numbers(Vec::new())]
    };
    for (name, what) in node.outputs.iter().zip(own) {
        known.insert((*name).to_owned(), what);
    }
    for node in &graph.nodes {
        let (Some(from), [to]) = (node.inputs.first(), &node.outputs[..]) else { continue };
        let next = match known.get(*from) {
            Some(Known::Label) => {
                let same = matches!(labels, Labels::Ints(_)) && node.int("to") == Some(INT64);
                let kept = node.op == "Identity" || (node.op == "Cast" && same);
                kept.then_some(Known::Label)
            }
            Some(Known::Numbers(before)) => Post::read(node, &graph.constants).map(|after| {
                Known::Numbers(before.iter().copied().chain(after).take(STEPS_MAX).collect())
            }),
            None => None,
        };
        if let Some(next) = next {
            known.insert((*to).to_owned(), next);
        }
    }
    (labels, known)
}
