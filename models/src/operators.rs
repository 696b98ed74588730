//! Which operators a model file may use.
//!
//! Taken are those whose result follows from their input alone, and whose work is bounded by the size
//! of their tensors. A `Loop` can run for as long as a number in a request says, and a random operator
//! answers differently on every node.

use std::collections::BTreeSet;

use crate::wire::{Field, fields};
use crate::{Error, integers};

/// Graphs inside graphs; real exports have one or two.
const DEPTH_MAX: usize = 16;

const MODEL_GRAPH: u64 = 7;
const MODEL_FUNCTIONS: u64 = 25;
const GRAPH_NODE: u64 = 1;
const FUNCTION_NAME: u64 = 1;
const FUNCTION_NODE: u64 = 7;
const FUNCTION_DOMAIN: u64 = 10;
const NODE_OP_TYPE: u64 = 4;
const NODE_ATTRIBUTE: u64 = 5;
const NODE_DOMAIN: u64 = 7;
const ATTRIBUTE_GRAPHS: [u64; 2] = [6, 11];

/// Of the standard domain.
const STANDARD: &str = "\
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization \
    BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip \
    Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum \
    DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp \
    Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool \
    GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity If \
    InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log \
    LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean \
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Optional OptionalGetElement \
    OptionalHasElement Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RNN \
    RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax \
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape ReverseSequence Round Scan \
    Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase \
    SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus \
    Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze StringConcat StringNormalizer \
    StringSplit Sub Sum Swish Tan Tanh TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Trilu \
    Unique Unsqueeze Upsample Where Xor";

/// Of `ai.onnx.ml`.
const LEARNED: &str = "\
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer \
    LabelEncoder LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor \
    Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor ZipMap";

/// Of ONNX Runtime's own domain: what scikit-learn's converters write for text and distances.
const RUNTIME: &str = "CDist Tokenizer";

/// Refuses the first operator that is not taken, by its name.
pub(crate) fn check(file: &[u8]) -> Result<(), Error> {
    let model = fields(file).unwrap_or_default();
    let functions: Vec<Vec<Field<'_>>> = inside(&model, &[MODEL_FUNCTIONS]).collect();
    let known = functions
        .iter()
        .map(|function| (text(function, FUNCTION_DOMAIN), text(function, FUNCTION_NAME)))
        .collect();
    for graph in inside(&model, &[MODEL_GRAPH]) {
        check_nodes(&graph, GRAPH_NODE, &known, 0)?;
        integers::check(&graph)?;
    }
    functions.iter().try_for_each(|function| {
        check_nodes(function, FUNCTION_NODE, &known, 0)?;
        integers::check_function(function)
    })
}

fn check_nodes<'a>(
    body: &[Field<'a>],
    number: u64,
    functions: &BTreeSet<(&'a str, &'a str)>,
    depth: usize,
) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Model(format!(
            "the model has graphs in graphs, {DEPTH_MAX} deep at most"
        )));
    }
    for node in inside(body, &[number]) {
        let (domain, name) = (text(&node, NODE_DOMAIN), text(&node, NODE_OP_TYPE));
        let list = match domain {
            "" | "ai.onnx" => STANDARD,
            "ai.onnx.ml" => LEARNED,
            "com.microsoft" => RUNTIME,
            _ => "",
        };
        if !list.split_whitespace().any(|each| each == name) && !functions.contains(&(domain, name))
        {
            let shown =
                if domain.is_empty() { name.to_owned() } else { format!("{domain}.{name}") };
            return Err(Error::Model(format!(
                "operator `{}` is not taken: only those whose result and work follow from their tensors; {}",
                shown.escape_debug(),
                advice(name)
            )));
        }
        for attribute in inside(&node, &[NODE_ATTRIBUTE]) {
            for graph in inside(&attribute, &ATTRIBUTE_GRAPHS) {
                check_nodes(&graph, GRAPH_NODE, functions, depth + 1)?;
            }
        }
    }
    Ok(())
}

fn advice(name: &str) -> &'static str {
    match name {
        "Loop" => "export with the loop unrolled",
        name if name.starts_with("Random") || name == "Multinomial" || name == "Bernoulli" => {
            "export without the random step"
        }
        _ => "export with standard operators",
    }
}

fn text<'a>(message: &[Field<'a>], number: u64) -> &'a str {
    message.iter().find(|field| field.number == number).and_then(Field::text).unwrap_or_default()
}

/// The sub-messages of the given fields.
fn inside<'a>(message: &[Field<'a>], numbers: &[u64]) -> impl Iterator<Item = Vec<Field<'a>>> {
    message
        .iter()
        .filter(|field| numbers.contains(&field.number))
        .filter_map(|field| field.bytes().and_then(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write_bytes;

    fn node(domain: &str, name: &str) -> Vec<u8> {
        let mut node = Vec::new();
        write_bytes(&mut node, NODE_OP_TYPE, name.as_bytes());
        write_bytes(&mut node, NODE_DOMAIN, domain.as_bytes());
        node
    }

    fn wrap(inner: &[u8], numbers: &[u64]) -> Vec<u8> {
        numbers.iter().fold(inner.to_vec(), |message, number| {
            let mut outer = Vec::new();
            write_bytes(&mut outer, *number, &message);
            outer
        })
    }

    fn model(domain: &str, name: &str) -> Vec<u8> {
        wrap(&node(domain, name), &[GRAPH_NODE, MODEL_GRAPH])
    }

    #[test]
    fn what_is_bounded_and_repeatable_is_taken() {
        for (domain, name) in
            [("", "Gemm"), ("ai.onnx", "If"), ("ai.onnx.ml", "TreeEnsembleClassifier")]
        {
            check(&model(domain, name)).unwrap();
        }
        for (domain, name, word) in [
            ("", "Loop", "unrolled"),
            ("", "RandomNormal", "random"),
            ("ai.onnx.ml", "Gemm", "ai.onnx.ml.Gemm"),
            ("ai.onnx.training", "Adam", "Adam"),
            ("", "", "``"),
        ] {
            let said = check(&model(domain, name)).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn an_operator_hides_neither_in_a_graph_of_a_node_nor_in_a_function() {
        let hidden = wrap(&node("", "Loop"), &[GRAPH_NODE, 6, NODE_ATTRIBUTE]);
        let outer = [node("", "If"), hidden].concat();
        assert!(check(&wrap(&outer, &[GRAPH_NODE, MODEL_GRAPH])).is_err());

        let function = |body: &str| {
            let mut function = wrap(&node("", body), &[FUNCTION_NODE]);
            write_bytes(&mut function, FUNCTION_NAME, b"mine");
            write_bytes(&mut function, FUNCTION_DOMAIN, b"own");
            wrap(&function, &[MODEL_FUNCTIONS])
        };
        check(&[model("own", "mine"), function("Add")].concat()).unwrap();
        assert!(check(&[model("own", "mine"), function("Loop")].concat()).is_err());
        assert!(check(&model("own", "mine")).is_err());
    }
}
