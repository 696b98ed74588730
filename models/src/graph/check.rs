//! A strict walk over everything of an ONNX file that the runtime would read.
//!
//! The runtime's own checks come later and are not all there: here a file is refused that keeps
//! weights outside, that nests without end, whose tensors are not as large as they say, whose trees
//! loop, or that needs operators from elsewhere. What cannot be read is refused, not skipped: it could
//! hide from this walk what the runtime then finds.

use std::collections::BTreeSet;

#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use super::{tensors, trees};
use crate::Error;
use crate::wire::{Field, Value, each_field};

/// Graphs inside graphs (If, Loop, Scan); real exports have one or two.
const DEPTH_MAX: usize = 16;
/// Nodes of all graphs; the largest exports of pipelines have some thousands.
const NODES_MAX: usize = 100_000;
/// Whose operators the runtime has built in.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

fn unreadable(what: &str) -> Error {
    Error::NotOnnx(format!("{what} cannot be read; the file is damaged or cut short"))
}

fn refuse(reason: impl Into<String>) -> Error {
    Error::Model(reason.into())
}

/// Runs `act` on every field; an error where the message cannot be read.
fn each<'a>(
    message: &'a [u8],
    what: &str,
    mut act: impl FnMut(Field<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    for field in each_field(message) {
        act(field.ok_or_else(|| unreadable(what))?)?;
    }
    Ok(())
}

/// The bytes of a field that must be a message.
fn message<'a>(field: &Field<'a>, what: &str) -> Result<&'a [u8], Error> {
    field.bytes().ok_or_else(|| unreadable(what))
}

#[derive(Default)]
struct Check<'a> {
    /// Operators that the file defines itself.
    functions: BTreeSet<(&'a str, &'a str)>,
    nodes: usize,
}

pub(super) fn check(model: &[u8]) -> Result<(), Error> {
    let mut check = Check::default();
    each(model, "the model", |field| {
        if field.number == MODEL_FUNCTIONS {
            let function = message(&field, "a function")?;
            check
                .functions
                .insert((text(function, FUNCTION_DOMAIN)?, text(function, FUNCTION_NAME)?));
        }
        Ok(())
    })?;
    each(model, "the model", |field| match field.number {
        MODEL_GRAPH => check.graph(message(&field, "the graph")?, 0),
        MODEL_FUNCTIONS => {
            each(message(&field, "a function")?, "a function", |part| match part.number {
                FUNCTION_NODE => check.node(message(&part, "a node")?, 0),
                FUNCTION_ATTRIBUTE => check.attribute(message(&part, "an attribute")?, 0),
                _ => Ok(()),
            })
        }
        _ => Ok(()),
    })
}

/// The last field of that number, as a reader takes it; empty where there is none.
fn text(message: &[u8], number: u64) -> Result<&str, Error> {
    let mut found = "";
    each(message, "a name", |field| {
        if field.number == number {
            found = field.text().ok_or_else(|| unreadable("a name"))?;
        }
        Ok(())
    })?;
    Ok(found)
}

impl<'a> Check<'a> {
    fn graph(&mut self, graph: &'a [u8], depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(refuse(format!(
                "its graphs are nested more than {DEPTH_MAX} deep; export without nested control flow"
            )));
        }
        each(graph, "the graph", |field| match field.number {
            GRAPH_NODE => self.node(message(&field, "a node")?, depth),
            GRAPH_INITIALIZER => tensors::check(message(&field, "a weight")?),
            GRAPH_SPARSE_INITIALIZER => sparse(message(&field, "a sparse weight")?),
            _ => Ok(()),
        })
    }

    fn node(&mut self, node: &'a [u8], depth: usize) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Error::Limit(format!(
                "the model has more than {NODES_MAX} nodes; export fewer, for instance trees as one TreeEnsemble"
            )));
        }
        let (op, domain) = (text(node, NODE_OP_TYPE)?, text(node, NODE_DOMAIN)?);
        if !DOMAINS.contains(&domain) && !self.functions.contains(&(domain, op)) {
            let (op, domain) = (short(op), short(domain));
            return Err(refuse(format!(
                "operator `{op}` of domain `{domain}` is not built into ONNX Runtime; export with operators of ai.onnx and \
                 ai.onnx.ml only, without custom operators or onnxruntime-extensions"
            )));
        }
        each(node, "a node", |field| match field.number {
            NODE_ATTRIBUTE => self.attribute(message(&field, "an attribute")?, depth),
            _ => Ok(()),
        })?;
        if op.starts_with("TreeEnsemble") {
            trees::check(op, node)?;
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &'a [u8], depth: usize) -> Result<(), Error> {
        each(attribute, "an attribute", |field| match field.number {
            ATTRIBUTE_TENSOR | ATTRIBUTE_TENSORS => tensors::check(message(&field, "a tensor")?),
            ATTRIBUTE_SPARSE | ATTRIBUTE_SPARSES => sparse(message(&field, "a sparse tensor")?),
            ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS => {
                self.graph(message(&field, "a graph")?, depth + 1)
            }
            _ => Ok(()),
        })
    }
}

fn sparse(sparse: &[u8]) -> Result<(), Error> {
    each(sparse, "a sparse tensor", |field| match (field.number, field.value) {
        (SPARSE_VALUES | SPARSE_INDICES, Value::Bytes(tensor)) => tensors::check(tensor),
        _ => Ok(()),
    })
}

/// A name of a stranger's file, fit for one line.
pub(super) fn short(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}
