//! The graph of an ONNX file: its nodes with their attributes, its initializers and outputs.
//!
//! Only what simple models are made of is read. What cannot be read is `None`: ONNX Runtime has the
//! file then, and says what is wrong with it.

use std::collections::BTreeMap;

use crate::wire::{Field, Value, fields};

/// The element types of a TensorProto that are read.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Initializers of single precision.
    pub(super) constants: BTreeMap<&'a str, Vec<f32>>,
    pub(super) inputs: Vec<&'a str>,
}

#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) op: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: BTreeMap<&'a str, Attribute<'a>>,
}

#[derive(Debug, Default)]
struct Attribute<'a> {
    floats: Vec<f32>,
    ints: Vec<i64>,
    strings: Vec<&'a str>,
    tensor: Option<Vec<f32>>,
}

impl<'a> Graph<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let model = fields(bytes)?;
        let mut graph = Self::default();
        let inner = model.iter().find(|field| field.number == 7)?.bytes()?;
        for field in fields(inner)? {
            match (field.number, field.bytes()) {
                (1, Some(node)) => graph.nodes.push(Node::read(node)?),
                (5, Some(tensor)) => {
                    let parts = fields(tensor)?;
                    let name = parts.iter().find(|part| part.number == 8)?.text()?;
                    // Other types are initializers of nodes that are not read either.
                    if let Some(numbers) = numbers(&parts) {
                        graph.constants.insert(name, numbers);
                    }
                }
                (11, Some(input)) => {
                    let parts = fields(input)?;
                    graph.inputs.push(parts.iter().find(|part| part.number == 1)?.text()?);
                }
                _ => {}
            }
        }
        graph.inputs.retain(|name| !graph.constants.contains_key(name));
        Some(graph)
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut node = Self::default();
        for field in fields(bytes)? {
            match field.number {
                1 => node.inputs.push(field.text()?),
                2 => node.outputs.push(field.text()?),
                4 => node.op = field.text()?,
                5 => {
                    let parts = fields(field.bytes()?)?;
                    let name = parts.iter().find(|part| part.number == 1)?.text()?;
                    node.attributes.insert(name, Attribute::read(&parts)?);
                }
                _ => {}
            }
        }
        Some(node)
    }

    pub(super) fn floats(&self, name: &str) -> &[f32] {
        self.attributes.get(name).map_or(&[], |each| &each.floats)
    }

    /// The elements of an attribute that is a tensor.
    pub(super) fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.attributes.get(name)?.tensor.as_deref()
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map_or(&[], |each| &each.ints)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.ints(name).first().copied()
    }

    pub(super) fn texts(&self, name: &str) -> &[&'a str] {
        self.attributes.get(name).map_or(&[], |each| &each.strings)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.texts(name).first().copied()
    }

    /// Whether the attribute is there at all, whatever it holds.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }
}

impl<'a> Attribute<'a> {
    fn read(parts: &[Field<'a>]) -> Option<Self> {
        let mut attribute = Self::default();
        for part in parts {
            match part.number {
                2 | 7 => push_floats(part, &mut attribute.floats)?,
                3 | 8 => push_ints(part, &mut attribute.ints)?,
                4 | 9 => attribute.strings.push(part.text()?),
                5 => attribute.tensor = fields(part.bytes()?).as_deref().and_then(numbers),
                _ => {}
            }
        }
        Some(attribute)
    }
}

/// One number, or several packed.
fn push_floats(field: &Field<'_>, into: &mut Vec<f32>) -> Option<()> {
    match field.value {
        Value::Fixed => into.push(f32::from_le_bytes(*field.raw.last_chunk()?)),
        Value::Bytes(packed) => {
            let (chunks, rest) = packed.as_chunks();
            rest.is_empty().then_some(())?;
            into.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        Value::Varint(_) => return None,
    }
    Some(())
}

fn push_ints(field: &Field<'_>, into: &mut Vec<i64>) -> Option<()> {
    match field.value {
        Value::Varint(number) => into.push(number as i64),
        Value::Bytes(packed) => {
            let mut rest = packed;
            while !rest.is_empty() {
                into.push(crate::wire::read_varint(&mut rest)? as i64);
            }
        }
        Value::Fixed => return None,
    }
    Some(())
}

/// The elements of a TensorProto of single precision or bytes.
fn numbers(parts: &[Field<'_>]) -> Option<Vec<f32>> {
    let kind = parts.iter().find(|part| part.number == 2)?;
    let raw = parts.iter().find(|part| part.number == 9).and_then(Field::bytes);
    let mut all = Vec::new();
    match (kind.value, raw) {
        (Value::Varint(FLOAT), Some(raw)) => {
            let (chunks, rest) = raw.as_chunks();
            rest.is_empty().then_some(())?;
            all.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        (Value::Varint(FLOAT), None) => {
            for part in parts.iter().filter(|part| part.number == 4) {
                push_floats(part, &mut all)?;
            }
        }
        (Value::Varint(UINT8), Some(raw)) => all.extend(raw.iter().map(|byte| f32::from(*byte))),
        (Value::Varint(UINT8), None) => {
            let mut ints = Vec::new();
            for part in parts.iter().filter(|part| part.number == 5) {
                push_ints(part, &mut ints)?;
            }
            all.extend(ints.iter().map(|int| *int as f32));
        }
        _ => return None,
    }
    Some(all)
}
