//! Divisions of whole numbers that could stop the process.
//!
//! ONNX Runtime guards a division by zero and not that of the least number by -1, which the processor
//! answers with a signal. A validation cannot find the row that leads there, so a division of 32- or
//! 64-bit whole numbers is taken only where its divisor is a constant without -1. Types are followed
//! through the graph as far as real exports need it; what goes into a function counts as whole.

use std::collections::BTreeSet;

use crate::Error;
use crate::wire::{Field, Value, fields};

const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const GRAPH_INPUT: u64 = 11;
const GRAPH_OUTPUT: u64 = 12;
const FUNCTION_INPUT: u64 = 4;
const FUNCTION_NODE: u64 = 7;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const NODE_OP_TYPE: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_INT: u64 = 3;
const ATTRIBUTE_TENSOR: u64 = 5;
const ATTRIBUTE_GRAPHS: [u64; 2] = [6, 11];
const ATTRIBUTE_INTS: u64 = 8;
const TENSOR_TYPE: u64 = 2;
const TENSOR_NAME: u64 = 8;
const TENSOR_INT32: u64 = 5;
const TENSOR_INT64: u64 = 7;
const TENSOR_RAW: u64 = 9;
/// INT32 and INT64: narrower ones are divided as these.
const WHOLE: [u64; 2] = [6, 7];

/// Whole numbers, whatever goes in.
const COUNTS: &str = "Shape Size NonZero ArgMax ArgMin SequenceLength";
/// Of the type of their first input.
const SHAPES: &str = "\
    ArrayFeatureExtractor Compress CumSum DepthToSpace Expand Flatten Gather GatherElements GatherND \
    Identity Pad ReduceMax ReduceMin ReduceProd ReduceSum ReduceL1 ReduceSumSquare Range Reshape \
    ReverseSequence Scatter ScatterElements ScatterND Slice SpaceToDepth Split Squeeze Tile TopK \
    Transpose Trilu Unique Unsqueeze";
/// Of the type of all their inputs.
const SUMS: &str = "\
    Abs Add BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Clip Concat Div Einsum Gemm MatMul Max Min Mod \
    Mul Neg Pow Relu Sign Sub Sum";
/// Of the type of the second input.
const SECONDS: &str = "CastLike Where";

/// Names of whole numbers, and of constants that do not hold -1.
#[derive(Clone, Default)]
struct Known<'a> {
    whole: BTreeSet<&'a str>,
    safe: BTreeSet<&'a str>,
}

/// Refuses a graph with a division that could stop the process.
pub(crate) fn check(graph: &[Field<'_>]) -> Result<(), Error> {
    Known::default().graph(graph)
}

/// The same of a function of the file.
pub(crate) fn check_function(function: &[Field<'_>]) -> Result<(), Error> {
    let mut known = Known::default();
    known.whole.extend(texts(function, FUNCTION_INPUT));
    inside(function, FUNCTION_NODE).try_for_each(|node| known.node(&node))
}

impl<'a> Known<'a> {
    fn graph(&mut self, graph: &[Field<'a>]) -> Result<(), Error> {
        for initializer in inside(graph, GRAPH_INITIALIZER) {
            self.constant(text(&initializer, TENSOR_NAME), &initializer);
        }
        for input in inside(graph, GRAPH_INPUT) {
            // ValueInfoProto { name 1, type 2 { tensor_type 1 { elem_type 1 } } }
            let types = inside(&input, 2).flat_map(|kind| inside(&kind, 1).collect::<Vec<_>>());
            let mut kinds = types.filter_map(|tensor| number(&tensor, 1));
            if kinds.any(|kind| WHOLE.contains(&kind)) {
                self.whole.insert(text(&input, 1));
            }
        }
        inside(graph, GRAPH_NODE).try_for_each(|node| self.node(&node))
    }

    fn constant(&mut self, name: &'a str, tensor: &[Field<'a>]) {
        let kind = number(tensor, TENSOR_TYPE);
        if kind.is_some_and(|kind| WHOLE.contains(&kind)) {
            self.whole.insert(name);
            if !holds_minus_one(tensor, kind) {
                self.safe.insert(name);
            }
        }
    }

    fn node(&mut self, node: &[Field<'a>]) -> Result<(), Error> {
        let name = text(node, NODE_OP_TYPE);
        let inputs: Vec<&str> = texts(node, NODE_INPUT).collect();
        let is_whole = |at: usize| inputs.get(at).is_some_and(|input| self.whole.contains(input));
        if matches!(name, "Div" | "Mod")
            && (is_whole(0) || is_whole(1))
            && inputs.get(1).is_some_and(|divisor| !self.safe.contains(divisor))
        {
            return Err(Error::Model(format!(
                "`{name}` of whole numbers with a divisor that is no constant, or is -1, is not taken: it can stop the \
                 process; cast to float before it"
            )));
        }
        let is = |list: &str| list.split_whitespace().any(|each| each == name);
        let attribute = |wanted: &str| {
            inside(node, NODE_ATTRIBUTE).find(|each| text(each, ATTRIBUTE_NAME) == wanted)
        };
        let outputs: Vec<&str> = texts(node, NODE_OUTPUT).collect();
        let whole = match name {
            "Cast" => attribute("to")
                .and_then(|to| number(&to, ATTRIBUTE_INT))
                .is_some_and(|kind| WHOLE.contains(&kind)),
            "Constant" | "ConstantOfShape" => {
                let value = attribute("value").and_then(|it| inside(&it, ATTRIBUTE_TENSOR).next());
                if let (Some(value), Some(output), "Constant") = (&value, outputs.first(), name) {
                    self.constant(output, value);
                }
                let kind = value.and_then(|value| number(&value, TENSOR_TYPE));
                kind.is_some_and(|kind| WHOLE.contains(&kind))
                    || attribute("value_int").is_some()
                    || attribute("value_ints").is_some()
            }
            "LabelEncoder" => attribute("values_int64s")
                .is_some_and(|values| values.iter().any(|each| each.number == ATTRIBUTE_INTS)),
            "CategoryMapper" | "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => {
                true
            }
            "OneHot" => is_whole(2),
            _ if is(COUNTS) => true,
            _ if is(SHAPES) => is_whole(0),
            _ if is(SECONDS) => is_whole(1),
            _ if is(SUMS) => (0..inputs.len()).any(is_whole),
            _ => false,
        };
        for attribute in inside(node, NODE_ATTRIBUTE) {
            for graph in ATTRIBUTE_GRAPHS.iter().flat_map(|number| inside(&attribute, *number)) {
                // It sees what is outside, and nobody outside sees what is in it but its outputs.
                let mut own = self.clone();
                own.graph(&graph)?;
                let given = inside(&graph, GRAPH_OUTPUT).map(|value| text(&value, 1));
                let given = given.map(|name| own.whole.contains(name)).zip(&outputs);
                self.whole.extend(given.filter(|(whole, _)| *whole).map(|(_, output)| *output));
            }
        }
        // The others of several outputs are places or counts; of a classifier they are probabilities.
        let only_first = name.ends_with("Classifier");
        for (at, output) in outputs.iter().enumerate() {
            let places = at > 0 && matches!(name, "TopK" | "Unique");
            if places || (whole && (at == 0 || !only_first)) {
                self.whole.insert(output);
            }
        }
        Ok(())
    }
}

fn holds_minus_one(tensor: &[Field<'_>], kind: Option<u64>) -> bool {
    let listed = tensor.iter().any(|field| match (field.number, field.value) {
        (TENSOR_INT32 | TENSOR_INT64, Value::Varint(value)) => value == u64::MAX,
        // Packed: -1 is ten bytes, nine of them full.
        (TENSOR_INT32 | TENSOR_INT64, Value::Bytes(packed)) => {
            packed.windows(10).any(|each| each[..9] == [0xff; 9] && each[9] == 1)
        }
        _ => false,
    });
    let width = if kind == Some(6) { 4 } else { 8 };
    let raw = tensor.iter().find(|field| field.number == TENSOR_RAW).and_then(Field::bytes);
    listed || raw.is_some_and(|raw| raw.chunks(width).any(|each| each.iter().all(|b| *b == 0xff)))
}

fn number(message: &[Field<'_>], wanted: u64) -> Option<u64> {
    message.iter().find_map(|field| match (field.number == wanted, field.value) {
        (true, Value::Varint(value)) => Some(value),
        _ => None,
    })
}

fn text<'a>(message: &[Field<'a>], number: u64) -> &'a str {
    texts(message, number).next().unwrap_or_default()
}

fn texts<'a>(message: &[Field<'a>], number: u64) -> impl Iterator<Item = &'a str> {
    message.iter().filter(move |field| field.number == number).filter_map(Field::text)
}

fn inside<'a>(message: &[Field<'a>], number: u64) -> impl Iterator<Item = Vec<Field<'a>>> {
    message
        .iter()
        .filter(move |field| field.number == number)
        .filter_map(|field| field.bytes().and_then(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{write_bytes, write_number};

    fn node(name: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u64)>) -> Vec<u8> {
        let mut node = Vec::new();
        for input in inputs {
            write_bytes(&mut node, NODE_INPUT, input.as_bytes());
        }
        write_bytes(&mut node, NODE_OUTPUT, output.as_bytes());
        write_bytes(&mut node, NODE_OP_TYPE, name.as_bytes());
        if let Some((key, value)) = attribute {
            let mut inner = Vec::new();
            write_bytes(&mut inner, ATTRIBUTE_NAME, key.as_bytes());
            write_number(&mut inner, ATTRIBUTE_INT, value);
            write_bytes(&mut node, NODE_ATTRIBUTE, &inner);
        }
        let mut field = Vec::new();
        write_bytes(&mut field, GRAPH_NODE, &node);
        field
    }

    fn constant(name: &str, kind: u64, values: &[i64]) -> Vec<u8> {
        let mut tensor = Vec::new();
        write_number(&mut tensor, TENSOR_TYPE, kind);
        write_bytes(&mut tensor, TENSOR_NAME, name.as_bytes());
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_bytes(&mut tensor, TENSOR_RAW, &raw);
        let mut field = Vec::new();
        write_bytes(&mut field, GRAPH_INITIALIZER, &tensor);
        field
    }

    fn taken(parts: &[Vec<u8>]) -> bool {
        check(&fields(&parts.concat()).unwrap()).is_ok()
    }

    #[test]
    fn a_whole_divisor_from_a_row_is_refused_and_a_real_one_taken() {
        let whole = node("Cast", &["X"], "i", Some(("to", 7)));
        let real = node("Cast", &["X"], "f", Some(("to", 1)));
        let by = |divisor: &str| node("Div", &["a", divisor], "q", None);
        assert!(!taken(&[whole.clone(), by("i")]));
        assert!(taken(&[real, by("f")]));
        assert!(taken(&[by("X")]));
        // Through shapes and sums, and never through the indexes of a lookup.
        let moved = [
            whole.clone(),
            node("Reshape", &["i", "s"], "r", None),
            node("Add", &["r", "a"], "t", None),
        ];
        assert!(!taken(&[moved.concat(), by("t")]));
        let looked_up = node("Gather", &["X", "i"], "g", None);
        assert!(taken(&[whole, looked_up, by("g")]));
    }

    #[test]
    fn a_division_hides_neither_in_a_graph_of_a_node_nor_in_a_function() {
        let whole = node("Cast", &["X"], "i", Some(("to", 6)));
        let inner = node("Div", &["a", "i"], "q", None);
        let mut attribute = Vec::new();
        write_bytes(&mut attribute, ATTRIBUTE_GRAPHS[0], &inner);
        let mut outer = Vec::new();
        write_bytes(&mut outer, NODE_OP_TYPE, b"If");
        write_bytes(&mut outer, NODE_ATTRIBUTE, &attribute);
        let mut field = Vec::new();
        write_bytes(&mut field, GRAPH_NODE, &outer);
        assert!(!taken(&[whole, field.clone()]));
        assert!(taken(&[field]));

        let mut function = Vec::new();
        write_bytes(&mut function, FUNCTION_INPUT, b"i");
        let body = fields(&inner).and_then(|all| Some(all.first()?.bytes()?.to_vec())).unwrap();
        write_bytes(&mut function, FUNCTION_NODE, &body);
        assert!(check_function(&fields(&function).unwrap()).is_err());
    }

    #[test]
    fn a_constant_divisor_must_not_be_minus_one() {
        let by = node("Mod", &["n", "c"], "q", None);
        let shape = node("Shape", &["X"], "n", None);
        for (values, expected) in [(&[2_i64, 3][..], true), (&[2, -1], false), (&[-2], true)] {
            let parts = [constant("c", 7, values), shape.clone(), by.clone()];
            assert_eq!(taken(&parts), expected, "{values:?}");
        }
    }
}
