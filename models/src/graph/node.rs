//! A node of the graph, as far as names go.

#[allow(clippy::wildcard_imports, reason = "field numbers, as the format names them")]
use super::numbers::*;
use crate::wire::{Field, each_field};

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) op: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    /// By name, the attribute's bytes.
    pub(super) attributes: Vec<(&'a str, &'a [u8])>,
    /// The field that it stood in.
    pub(super) raw: &'a [u8],
}

impl<'a> Node<'a> {
    pub(super) fn read(field: &Field<'a>) -> Option<Self> {
        let mut node = Self {
            op: "",
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
            raw: field.raw,
        };
        for part in each_field(field.bytes()?) {
            let part = part?;
            match part.number {
                NODE_INPUT => node.inputs.push(part.text()?),
                NODE_OUTPUT => node.outputs.push(part.text()?),
                NODE_OP_TYPE => node.op = part.text()?,
                NODE_ATTRIBUTE => {
                    let name = super::named(&part, ATTRIBUTE_NAME).unwrap_or_default();
                    node.attributes.push((name, part.bytes()?));
                }
                _ => {}
            }
        }
        Some(node)
    }
}
