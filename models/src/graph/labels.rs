//! The names of the classes, from where exporters leave them: the ZipMap, the classifier's own
//! attributes, or the list from which the label is picked.

use super::node::Node;
#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use super::tensors;
use crate::wire::{Field, each_field};

/// Steps from the label back to where it was made.
const STEPS_MAX: usize = 16;

/// In the order of the probabilities; empty where the file does not say.
pub(super) fn find(graph: &[Field<'_>]) -> Vec<String> {
    let nodes: Vec<Node<'_>> =
        graph.iter().filter(|field| field.number == GRAPH_NODE).filter_map(Node::read).collect();
    if let Some(map) = nodes.iter().find(|node| node.op == "ZipMap") {
        return of_attributes(map).unwrap_or_default();
    }
    let outputs = graph.iter().filter(|field| field.number == GRAPH_OUTPUT);
    let mut names = outputs.filter_map(|field| super::named(field, VALUE_NAME));
    names.find_map(|name| trace(graph, &nodes, name)).unwrap_or_default()
}

/// From an output through what only changes its form.
fn trace(graph: &[Field<'_>], nodes: &[Node<'_>], output: &str) -> Option<Vec<String>> {
    let mut value = output;
    for _ in 0..STEPS_MAX {
        let node = nodes.iter().find(|node| node.outputs.contains(&value))?;
        match node.op {
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Flatten" | "Unsqueeze" => {
                value = node.inputs.first()?;
            }
            "ArrayFeatureExtractor" | "Gather" => {
                return constant(graph, nodes, node.inputs.first()?);
            }
            // Probabilities are the second output: only the label leads here.
            _ if node.outputs.first() == Some(&value) => return of_attributes(node),
            _ => return None,
        }
    }
    None
}

fn constant(graph: &[Field<'_>], nodes: &[Node<'_>], name: &str) -> Option<Vec<String>> {
    let of_node = nodes.iter().find(|node| node.op == "Constant" && node.outputs.contains(&name));
    if let Some(node) = of_node {
        let (_, attribute) = node.attributes.first()?;
        let tensor =
            each_field(attribute).flatten().find(|part| part.number == ATTRIBUTE_TENSOR)?;
        return tensors::labels(tensor.bytes()?);
    }
    let weights = graph.iter().filter(|field| field.number == GRAPH_INITIALIZER);
    let found = weights.into_iter().find(|field| super::named(field, TENSOR_NAME) == Some(name))?;
    tensors::labels(found.bytes()?)
}

pub(super) fn of_attributes(node: &Node<'_>) -> Option<Vec<String>> {
    let labels = node.attributes.iter().filter(|(name, _)| name.starts_with("classlabels_"));
    let mut all = Vec::new();
    for (_, attribute) in labels {
        for part in each_field(attribute).flatten() {
            match part.number {
                ATTRIBUTE_INTS => {
                    all.extend(tensors::numbers(&part)?.iter().map(ToString::to_string));
                }
                ATTRIBUTE_STRINGS => all.push(part.text()?.to_owned()),
                _ => {}
            }
        }
    }
    Some(all)
}
