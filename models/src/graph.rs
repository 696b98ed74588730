//! What an ONNX file says about itself before the runtime sees it.
//!
//! Two things are settled here: a file that keeps its weights in other files is refused (it could
//! name any file of the server), and a `ZipMap` (scikit-learn's default export, a list of maps that
//! no tensor protocol carries) is replaced by the probabilities that feed it, under the same name.

use std::borrow::Cow;

use crate::Error;
use crate::wire::{Field, Value, fields, write_bytes, write_number};

/// The largest ONNX file, in bytes; protocol buffers end at 2 GiB.
pub(crate) const ONNX_BYTES_MAX: usize = 200 * 1024 * 1024;
/// Graphs inside graphs (If, Loop, Scan); real exports have one or two.
const DEPTH_MAX: usize = 16;

// Field numbers of onnx.proto.
const MODEL_IR_VERSION: u64 = 1;
const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTIONS: u64 = 25;
const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const GRAPH_OUTPUT: u64 = 12;
const GRAPH_SPARSE_INITIALIZER: u64 = 15;
const FUNCTION_NODE: u64 = 7;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_OP_TYPE: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_TENSOR: u64 = 5;
const ATTRIBUTE_GRAPH: u64 = 6;
const ATTRIBUTE_INTS: u64 = 8;
const ATTRIBUTE_STRINGS: u64 = 9;
const ATTRIBUTE_TENSORS: u64 = 10;
const ATTRIBUTE_GRAPHS: u64 = 11;
const ATTRIBUTE_SPARSE: u64 = 22;
const ATTRIBUTE_SPARSES: u64 = 23;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;
const VALUE_NAME: u64 = 1;
const VALUE_TYPE: u64 = 2;

/// The bytes to give to the runtime.
pub(crate) fn prepare(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if bytes.len() > ONNX_BYTES_MAX {
        return Err(Error::Limit(format!(
            "the model has {} bytes; at most {ONNX_BYTES_MAX} are taken",
            bytes.len()
        )));
    }
    let (model, graph) = open(bytes)?;
    if refers_outside(&model, &graph) {
        return Err(Error::Model(
            "the model keeps weights in other files; export it with everything inside one file"
                .into(),
        ));
    }
    let maps: Vec<ZipMap<'_>> = graph.iter().filter_map(ZipMap::read).collect();
    if maps.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    Ok(Cow::Owned(replace_maps(&model, &graph, &maps)))
}

fn open(bytes: &[u8]) -> Result<(Vec<Field<'_>>, Vec<Field<'_>>), Error> {
    let wrong = |reason: &str| Error::NotOnnx(reason.into());
    if bytes.is_empty() {
        return Err(wrong("the file is empty"));
    }
    let model = fields(bytes)
        .ok_or_else(|| wrong("its bytes are no protocol-buffers message, or were cut short"))?;
    if !model
        .iter()
        .any(|field| field.number == MODEL_IR_VERSION && matches!(field.value, Value::Varint(_)))
    {
        return Err(wrong("it states no IR version"));
    }
    let mut graphs = model.iter().filter(|field| field.number == MODEL_GRAPH);
    let (Some(graph), None) = (graphs.next(), graphs.next()) else {
        return Err(wrong("it holds no graph, or several"));
    };
    let graph = graph.bytes().and_then(fields).ok_or_else(|| wrong("its graph cannot be read"))?;
    Ok((model, graph))
}

fn refers_outside(model: &[Field<'_>], graph: &[Field<'_>]) -> bool {
    graph_refers_outside(graph, 0)
        || inside(model, &[MODEL_FUNCTIONS]).any(|function| {
            inside(&function, &[FUNCTION_NODE]).any(|node| node_refers_outside(&node, 0))
        })
}

fn graph_refers_outside(graph: &[Field<'_>], depth: usize) -> bool {
    depth > DEPTH_MAX
        || inside(graph, &[GRAPH_INITIALIZER]).any(|tensor| is_external(&tensor))
        || inside(graph, &[GRAPH_SPARSE_INITIALIZER])
            .any(|sparse| inside(&sparse, &[1, 2]).any(|tensor| is_external(&tensor)))
        || inside(graph, &[GRAPH_NODE]).any(|node| node_refers_outside(&node, depth))
}

fn node_refers_outside(node: &[Field<'_>], depth: usize) -> bool {
    inside(node, &[NODE_ATTRIBUTE]).any(|attribute| {
        inside(&attribute, &[ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS])
            .any(|tensor| is_external(&tensor))
            || inside(&attribute, &[ATTRIBUTE_SPARSE, ATTRIBUTE_SPARSES])
                .any(|sparse| inside(&sparse, &[1, 2]).any(|tensor| is_external(&tensor)))
            || inside(&attribute, &[ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS])
                .any(|graph| graph_refers_outside(&graph, depth + 1))
    })
}

fn is_external(tensor: &[Field<'_>]) -> bool {
    tensor.iter().any(|field| match field.number {
        TENSOR_EXTERNAL_DATA => true,
        TENSOR_DATA_LOCATION => matches!(field.value, Value::Varint(1..)),
        _ => false,
    })
}

/// The sub-messages of the given fields; what cannot be read is left to the runtime to refuse.
fn inside<'a>(message: &[Field<'a>], numbers: &[u64]) -> impl Iterator<Item = Vec<Field<'a>>> {
    message
        .iter()
        .filter(|field| numbers.contains(&field.number))
        .filter_map(|field| field.bytes().and_then(fields))
}

struct ZipMap<'a> {
    raw: &'a [u8],
    input: &'a str,
    output: &'a str,
    classes: u64,
}

impl<'a> ZipMap<'a> {
    fn read(field: &Field<'a>) -> Option<Self> {
        if field.number != GRAPH_NODE {
            return None;
        }
        let node = fields(field.bytes()?)?;
        let text = |number| node.iter().find(|each| each.number == number).and_then(Field::text);
        if text(NODE_OP_TYPE) != Some("ZipMap") {
            return None;
        }
        let classes =
            inside(&node, &[NODE_ATTRIBUTE]).map(|attribute| count_labels(&attribute)).sum();
        Some(Self { raw: field.raw, input: text(NODE_INPUT)?, output: text(NODE_OUTPUT)?, classes })
    }
}

fn count_labels(attribute: &[Field<'_>]) -> u64 {
    let is_labels = attribute.iter().any(|field| {
        field.number == ATTRIBUTE_NAME
            && field.text().is_some_and(|name| name.starts_with("classlabels_"))
    });
    if !is_labels {
        return 0;
    }
    attribute
        .iter()
        .map(|field| match (field.number, field.value) {
            (ATTRIBUTE_INTS, Value::Varint(_)) | (ATTRIBUTE_STRINGS, _) => 1,
            // Packed: each number ends with the one byte whose high bit is clear.
            (ATTRIBUTE_INTS, Value::Bytes(packed)) => {
                packed.iter().filter(|byte| **byte < 0x80).count() as u64
            }
            _ => 0,
        })
        .sum()
}

fn replace_maps(model: &[Field<'_>], graph: &[Field<'_>], maps: &[ZipMap<'_>]) -> Vec<u8> {
    let mut inner = Vec::new();
    for field in graph {
        if let Some(map) = maps.iter().find(|map| std::ptr::eq(map.raw, field.raw)) {
            write_bytes(&mut inner, GRAPH_NODE, &identity(map));
        } else if let Some(map) = maps.iter().find(|map| is_output(field, map.output)) {
            write_bytes(&mut inner, GRAPH_OUTPUT, &float_matrix(map));
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
    field.number == GRAPH_OUTPUT
        && field.bytes().and_then(fields).is_some_and(|value| {
            value.iter().any(|each| each.number == VALUE_NAME && each.text() == Some(name))
        })
}

fn identity(map: &ZipMap<'_>) -> Vec<u8> {
    let mut node = Vec::new();
    write_bytes(&mut node, NODE_INPUT, map.input.as_bytes());
    write_bytes(&mut node, NODE_OUTPUT, map.output.as_bytes());
    write_bytes(&mut node, NODE_OP_TYPE, b"Identity");
    node
}

/// ValueInfoProto { name, type { tensor_type { elem_type FLOAT, shape { dim ?, dim classes } } } }.
fn float_matrix(map: &ZipMap<'_>) -> Vec<u8> {
    const FLOAT: u64 = 1;
    let mut classes = Vec::new();
    if map.classes > 0 {
        write_number(&mut classes, 1, map.classes);
    }
    let mut shape = Vec::new();
    write_bytes(&mut shape, 1, &[]);
    write_bytes(&mut shape, 1, &classes);
    let mut tensor = Vec::new();
    write_number(&mut tensor, 1, FLOAT);
    write_bytes(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    write_bytes(&mut kind, 1, &tensor);
    let mut value = Vec::new();
    write_bytes(&mut value, VALUE_NAME, map.output.as_bytes());
    write_bytes(&mut value, VALUE_TYPE, &kind);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model_with(graph: &[u8]) -> Vec<u8> {
        let mut model = Vec::new();
        write_number(&mut model, MODEL_IR_VERSION, 8);
        write_bytes(&mut model, MODEL_GRAPH, graph);
        model
    }

    #[test]
    fn other_bytes_are_not_onnx() {
        for bytes in [&b""[..], b"hello, world", b"\x00\x01\x02", b"PK\x03\x04zip"] {
            let error = prepare(bytes).unwrap_err();
            assert!(error.to_string().starts_with("not an ONNX model: "), "{error}");
        }
    }

    fn wrap(layers: &[u64], inner: &[u8]) -> Vec<u8> {
        layers.iter().fold(inner.to_vec(), |message, number| {
            let mut outer = Vec::new();
            write_bytes(&mut outer, *number, &message);
            outer
        })
    }

    #[test]
    fn weights_in_other_files_are_refused_wherever_they_hide() {
        let mut located = Vec::new();
        write_number(&mut located, TENSOR_DATA_LOCATION, 1);
        let mut listed = Vec::new();
        write_bytes(&mut listed, TENSOR_EXTERNAL_DATA, b"");
        for tensor in [located, listed] {
            for layers in [
                &[GRAPH_INITIALIZER][..],
                &[1, GRAPH_SPARSE_INITIALIZER],
                &[ATTRIBUTE_TENSOR, NODE_ATTRIBUTE, GRAPH_NODE],
                &[GRAPH_INITIALIZER, ATTRIBUTE_GRAPH, NODE_ATTRIBUTE, GRAPH_NODE],
                &[2, ATTRIBUTE_SPARSE, NODE_ATTRIBUTE, GRAPH_NODE],
            ] {
                let model = model_with(&wrap(layers, &tensor));
                assert!(matches!(prepare(&model), Err(Error::Model(_))), "{layers:?}");
            }
            let layers = [ATTRIBUTE_TENSOR, NODE_ATTRIBUTE, FUNCTION_NODE, MODEL_FUNCTIONS];
            let model = [model_with(&[]), wrap(&layers, &tensor)].concat();
            assert!(matches!(prepare(&model), Err(Error::Model(_))), "in a function");
        }
        assert!(prepare(&model_with(&[])).is_ok());
    }
}
