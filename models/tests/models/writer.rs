//! Writes small ONNX files: a chain of nodes over one matrix of numbers.

fn varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn number(into: &mut Vec<u8>, field: u64, value: i64) {
    varint(into, field << 3);
    varint(into, value as u64);
}

fn bytes(into: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(into, field << 3 | 2);
    varint(into, value.len() as u64);
    into.extend_from_slice(value);
}

/// One node and its attributes.
pub(crate) struct Node(Vec<u8>);

impl Node {
    pub(crate) fn new(op: &str, domain: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let mut node = Vec::new();
        for name in inputs {
            bytes(&mut node, 1, name.as_bytes());
        }
        for name in outputs {
            bytes(&mut node, 2, name.as_bytes());
        }
        bytes(&mut node, 4, op.as_bytes());
        bytes(&mut node, 7, domain.as_bytes());
        Self(node)
    }

    fn attribute(mut self, name: &str, kind: i64, fill: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut attribute = Vec::new();
        bytes(&mut attribute, 1, name.as_bytes());
        fill(&mut attribute);
        number(&mut attribute, 20, kind);
        bytes(&mut self.0, 5, &attribute);
        self
    }

    pub(crate) fn floats(self, name: &str, values: &[f32]) -> Self {
        self.attribute(name, 6, |into| {
            for value in values {
                varint(into, 7 << 3 | 5);
                into.extend_from_slice(&value.to_le_bytes());
            }
        })
    }

    pub(crate) fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, 1, |into| {
            varint(into, 2 << 3 | 5);
            into.extend_from_slice(&value.to_le_bytes());
        })
    }

    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, 7, |into| values.iter().for_each(|value| number(into, 8, *value)))
    }

    pub(crate) fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, 2, |into| number(into, 3, value))
    }

    pub(crate) fn texts(self, name: &str, values: &[&str]) -> Self {
        self.attribute(name, 8, |into| {
            for value in values {
                bytes(into, 9, value.as_bytes());
            }
        })
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, 3, |into| bytes(into, 4, value.as_bytes()))
    }

    pub(crate) fn tensor_floats(self, name: &str, values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, 1, values.len(), &raw)
    }

    pub(crate) fn tensor_bytes(self, name: &str, values: &[u8]) -> Self {
        self.tensor(name, 2, values.len(), values)
    }

    fn tensor(self, name: &str, element: i64, count: usize, raw: &[u8]) -> Self {
        self.attribute(name, 4, |into| {
            let mut tensor = Vec::new();
            number(&mut tensor, 1, count as i64);
            number(&mut tensor, 2, element);
            bytes(&mut tensor, 9, raw);
            bytes(into, 5, &tensor);
        })
    }
}

/// `name [-1, columns]` of single precision; `[-1]` of whole numbers where there are no columns.
fn value(name: &str, columns: Option<usize>) -> Vec<u8> {
    let mut shape = Vec::new();
    bytes(&mut shape, 1, &[]);
    if let Some(columns) = columns {
        let mut size = Vec::new();
        number(&mut size, 1, columns as i64);
        bytes(&mut shape, 1, &size);
    }
    let mut tensor = Vec::new();
    number(&mut tensor, 1, if columns.is_some() { 1 } else { 7 });
    bytes(&mut tensor, 2, &shape);
    let mut kind = Vec::new();
    bytes(&mut kind, 1, &tensor);
    let mut info = Vec::new();
    bytes(&mut info, 1, name.as_bytes());
    bytes(&mut info, 2, &kind);
    info
}

/// A file with the input `X` and the given outputs, of which one without columns is a label.
pub(crate) fn file(nodes: &[Node], width: usize, outputs: &[(&str, Option<usize>)]) -> Vec<u8> {
    file_of(3, nodes, width, outputs)
}

/// As [`file`], by that version of `ai.onnx.ml`.
pub(crate) fn file_of(
    version: i64,
    nodes: &[Node],
    width: usize,
    outputs: &[(&str, Option<usize>)],
) -> Vec<u8> {
    let mut graph = Vec::new();
    for node in nodes {
        bytes(&mut graph, 1, &node.0);
    }
    bytes(&mut graph, 2, b"g");
    bytes(&mut graph, 11, &value("X", Some(width)));
    for (name, columns) in outputs {
        bytes(&mut graph, 12, &value(name, *columns));
    }
    let mut model = Vec::new();
    number(&mut model, 1, 10);
    bytes(&mut model, 7, &graph);
    for (domain, version) in [("", 17), ("ai.onnx.ml", version)] {
        let mut opset = Vec::new();
        bytes(&mut opset, 1, domain.as_bytes());
        number(&mut opset, 2, version);
        bytes(&mut model, 8, &opset);
    }
    model
}
