//! What an ONNX file says about itself, before the runtime sees it.
//!
//! A file is walked from end to end and refused where the runtime could come to harm or go outside
//! ([`check`]); lists of maps and of tensors are replaced by the tensors that feed them ([`rewrite`]);
//! and the names of the classes are found ([`labels`]).

mod check;
mod labels;
mod node;
mod numbers;
mod rewrite;
mod tensors;
mod trees;

use std::borrow::Cow;

#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use numbers::*;

use crate::Error;
use crate::wire::{Field, Value, each_field, fields};

/// The largest ONNX file, in bytes; protocol buffers end at 2 GiB.
pub(crate) const ONNX_BYTES_MAX: usize = 200 * 1024 * 1024;

/// A file that may be given to the runtime.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// The names of the classes in the order of the probabilities; empty where the file has none.
    pub(crate) classes: Vec<String>,
    /// Inputs without a shape: any table fits.
    pub(crate) shapeless: Vec<String>,
}

pub(crate) fn prepare(bytes: &[u8]) -> Result<Prepared<'_>, Error> {
    if bytes.len() > ONNX_BYTES_MAX {
        return Err(Error::Limit(format!(
            "the model has {} bytes; at most {ONNX_BYTES_MAX} are taken",
            bytes.len()
        )));
    }
    // The runtime would read such bytes as its own format, without looking at them first.
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(Error::NotOnnx(
            "it is in ONNX Runtime's own format; push the .onnx file".into(),
        ));
    }
    let (model, graph) = open(bytes)?;
    check::check(bytes)?;
    let changes = rewrite::plan(&graph);
    let classes = labels::find(&graph);
    let shapeless = graph.iter().filter(|field| field.number == GRAPH_INPUT);
    let shapeless = shapeless.filter(|field| lacks_shape(field));
    let shapeless = shapeless.filter_map(|field| named(field, VALUE_NAME)).map(str::to_owned);
    Ok(Prepared {
        shapeless: shapeless.collect(),
        classes,
        bytes: if changes.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            Cow::Owned(rewrite::write(&model, &graph, &changes))
        },
    })
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

/// The text of a field of a message, the last one as a reader takes it.
fn named<'a>(field: &Field<'a>, number: u64) -> Option<&'a str> {
    let parts = each_field(field.bytes()?).flatten();
    parts.filter(|part| part.number == number).last().and_then(|part| part.text())
}

/// Whether an input is a tensor of which only the element type is said.
fn lacks_shape(input: &Field<'_>) -> bool {
    let inside = |message: &'static [u64]| {
        let mut bytes = input.bytes()?;
        for number in message {
            bytes = each_field(bytes).flatten().find(|part| part.number == *number)?.bytes()?;
        }
        Some(bytes)
    };
    inside(&[VALUE_TYPE, TYPE_TENSOR]).is_some()
        && inside(&[VALUE_TYPE, TYPE_TENSOR, TYPE_SHAPE]).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{write_bytes, write_number};

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

    #[test]
    fn nothing_hides_in_what_cannot_be_read() {
        let mut located = Vec::new();
        write_number(&mut located, TENSOR_DATA_LOCATION, 1);
        // A group (wire types 3 and 4), which other readers step over.
        let hidden = [&[0x1b, 0x1c][..], &located].concat();
        let error = prepare(&model_with(&wrap(&[GRAPH_INITIALIZER], &hidden))).unwrap_err();
        assert!(matches!(error, Error::NotOnnx(_)), "{error}");
        let mut named = vec![0x12, 7, b'x', b'x'];
        named.extend_from_slice(b"ORTMx");
        assert!(prepare(&[&named[..], &model_with(&[])].concat()).is_err());
    }

    #[test]
    fn weights_must_be_as_large_as_they_say() {
        let weight = |dims: &[u64], raw: usize| {
            let mut tensor = Vec::new();
            for size in dims {
                write_number(&mut tensor, TENSOR_DIMS, *size);
            }
            write_number(&mut tensor, TENSOR_TYPE, FLOAT);
            write_bytes(&mut tensor, TENSOR_NAME, b"w\n");
            write_bytes(&mut tensor, TENSOR_RAW, &vec![0; raw]);
            model_with(&wrap(&[GRAPH_INITIALIZER], &tensor))
        };
        assert!(prepare(&weight(&[2, 3], 24)).is_ok());
        for (dims, raw) in [
            (&[2, 3][..], 20),
            (&[1 << 40], 4),
            (&[u64::MAX], 4),
            (&[1 << 32, 1 << 32], 0),
            (&[3], 13),
        ] {
            let error = prepare(&weight(dims, raw)).unwrap_err().to_string();
            assert!(error.starts_with("weight `w\\n` says") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn graphs_in_graphs_have_a_limit() {
        let nest = |depth: usize| {
            let layers: Vec<u64> =
                (0..depth).flat_map(|_| [ATTRIBUTE_GRAPH, NODE_ATTRIBUTE, GRAPH_NODE]).collect();
            prepare(&model_with(&wrap(&layers, &[]))).is_ok()
        };
        assert!(nest(16) && !nest(17) && !nest(2_000));
    }

    #[test]
    fn operators_from_elsewhere_are_named() {
        let mut node = Vec::new();
        write_bytes(&mut node, NODE_OP_TYPE, b"Tokenise");
        write_bytes(&mut node, NODE_DOMAIN, b"my.ops");
        let model = model_with(&wrap(&[GRAPH_NODE], &node));
        let error = prepare(&model).unwrap_err().to_string();
        assert!(
            error.starts_with("operator `Tokenise` of domain `my.ops` is not built"),
            "{error}"
        );
        let mut function = Vec::new();
        write_bytes(&mut function, FUNCTION_NAME, b"Tokenise");
        write_bytes(&mut function, FUNCTION_DOMAIN, b"my.ops");
        assert!(prepare(&[model, wrap(&[MODEL_FUNCTIONS], &function)].concat()).is_ok());
    }

    /// Every byte of some real files, changed in several ways, and every cut.
    #[test]
    fn damaged_files_are_refused_or_read_and_never_more() {
        let files: [&[u8]; 4] = [
            include_bytes!("../../tests/fixtures/lists.onnx"),
            include_bytes!("../../tests/fixtures/mixed.onnx"),
            include_bytes!("../../tests/fixtures/looping.onnx"),
            include_bytes!("../../tests/fixtures/zipmap_text.onnx"),
        ];
        for whole in files {
            let _ = prepare(whole);
            for at in 0..whole.len() {
                for change in [0x01, 0x55, 0x80, 0xff] {
                    let mut damaged = whole.to_vec();
                    damaged[at] ^= change;
                    let _ = prepare(&damaged);
                }
                assert!(at == 0 || prepare(&whole[..at]).is_err() || at + 200 > whole.len());
            }
        }
    }
}
