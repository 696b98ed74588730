//! Lists that no tensor protocol carries, turned into the tensors that feed them.
//!
//! A `ZipMap` (scikit-learn's default export) becomes its probabilities under the same name. A list of
//! tensors (several classifiers in one) becomes one output a tensor, `name_0`, `name_1` and so on.

use super::node::Node;
#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use crate::wire::{Field, Value, each_field, write_bytes, write_number};

/// A node that makes a list, and what is put in its place.
pub(super) struct Change<'a> {
    raw: &'a [u8],
    output: &'a str,
    /// Of each new output: what feeds it, its name, and how many columns it has if that is known.
    parts: Vec<(&'a str, String, usize)>,
}

/// What has to change; a list that is no output of the graph is left to the runtime.
pub(super) fn plan<'a>(graph: &[Field<'a>]) -> Vec<Change<'a>> {
    let nodes = graph.iter().filter(|field| field.number == GRAPH_NODE).filter_map(Node::read);
    nodes.filter_map(|node| change(graph, &node)).collect()
}

fn change<'a>(graph: &[Field<'a>], node: &Node<'a>) -> Option<Change<'a>> {
    let output = *node.outputs.first()?;
    let is_listed = graph.iter().any(|field| is_output(field, output));
    let parts = match node.op {
        "ZipMap" => {
            let classes = super::labels::of_attributes(node).unwrap_or_default().len();
            vec![(*node.inputs.first()?, output.to_owned(), classes)]
        }
        "SequenceConstruct" if is_listed && !node.inputs.is_empty() => {
            let numbered = node.inputs.iter().enumerate();
            numbered.map(|(at, input)| (*input, format!("{output}_{at}"), 0)).collect()
        }
        _ => return None,
    };
    Some(Change { raw: node.raw, output, parts })
}

pub(super) fn write(model: &[Field<'_>], graph: &[Field<'_>], changes: &[Change<'_>]) -> Vec<u8> {
    let mut inner = Vec::new();
    for field in graph {
        if let Some(change) = changes.iter().find(|change| std::ptr::eq(change.raw, field.raw)) {
            for (input, output, _) in &change.parts {
                write_bytes(&mut inner, GRAPH_NODE, &identity(input, output));
            }
        } else if let Some(change) = changes.iter().find(|change| is_output(field, change.output)) {
            for (_, name, columns) in &change.parts {
                let kind = element_of_list(field).unwrap_or(FLOAT);
                write_bytes(&mut inner, GRAPH_OUTPUT, &tensor_value(name, kind, *columns));
            }
        } else {
            inner.extend_from_slice(field.raw);
        }
    }
    let mut bytes = Vec::with_capacity(inner.len() + 1024);
    for field in model {
        if field.number == MODEL_GRAPH {
            write_bytes(&mut bytes, MODEL_GRAPH, &inner);
        } else {
            bytes.extend_from_slice(field.raw);
        }
    }
    bytes
}

fn is_output(field: &Field<'_>, name: &str) -> bool {
    field.number == GRAPH_OUTPUT && super::named(field, VALUE_NAME) == Some(name)
}

/// ValueInfoProto { type { sequence_type { elem_type { tensor_type { elem_type } } } } }.
fn element_of_list(field: &Field<'_>) -> Option<u64> {
    let path = [VALUE_TYPE, TYPE_SEQUENCE, TYPE_ELEMENT, TYPE_TENSOR];
    let mut message = field.bytes()?;
    for number in path {
        message = each_field(message).flatten().find(|part| part.number == number)?.bytes()?;
    }
    each_field(message).flatten().find_map(|part| match (part.number, part.value) {
        (TYPE_ELEMENT, Value::Varint(kind)) => Some(kind),
        _ => None,
    })
}

fn identity(input: &str, output: &str) -> Vec<u8> {
    let mut node = Vec::new();
    write_bytes(&mut node, NODE_INPUT, input.as_bytes());
    write_bytes(&mut node, NODE_OUTPUT, output.as_bytes());
    write_bytes(&mut node, NODE_OP_TYPE, b"Identity");
    node
}

/// ValueInfoProto { name, type { tensor_type { elem_type, shape { dim ?, dim columns } } } }; without
/// a shape where the columns are not known.
fn tensor_value(name: &str, kind: u64, columns: usize) -> Vec<u8> {
    let mut tensor = Vec::new();
    write_number(&mut tensor, TYPE_ELEMENT, kind);
    if columns > 0 {
        let mut wide = Vec::new();
        write_number(&mut wide, 1, columns as u64);
        let mut shape = Vec::new();
        write_bytes(&mut shape, SHAPE_DIM, &[]);
        write_bytes(&mut shape, SHAPE_DIM, &wide);
        write_bytes(&mut tensor, TYPE_SHAPE, &shape);
    }
    let mut outer = Vec::new();
    write_bytes(&mut outer, TYPE_TENSOR, &tensor);
    let mut value = Vec::new();
    write_bytes(&mut value, VALUE_NAME, name.as_bytes());
    write_bytes(&mut value, VALUE_TYPE, &outer);
    value
}
