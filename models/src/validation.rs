//! What can be known of a package before people approve it. Meant to run in a process of its own, which
//! a hostile file may crash or starve: everything the file could do to a node is tried here first.

use std::time::Instant;

use crate::manifest::Format;
use crate::operators;
use crate::{Data, Datatype, Digests, Error, Loaded, Model, Package, Runtime, Tensor, TensorSpec};

/// Rows of one request that a model has to bear.
const BATCH_ROWS: usize = 4096;
/// Elements of one made-up tensor.
const ELEMENTS_MAX: usize = 1 << 20;
/// Rows of which the median time is told.
const TIMED_ROWS: usize = 32;
/// Values that a caller could send: small ones, and numbers that a shape or a count must not follow.
const PROBES: [f64; 5] = [0.0, 1.0, -1.0, 1e6, 1e9];

/// What was found out about a package before it was let in.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    pub digests: Digests,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    pub has_score: bool,
    pub golden_rows: usize,
    /// The largest distance of a score from its golden row.
    pub golden_distance: f64,
    /// Median time of one row, where the model has a score.
    pub row_ns: u64,
}

/// Operators, schema and golden rows; then values and batches that a caller could send.
pub fn validate(runtime: &Runtime, package: &Package) -> Result<Validation, Error> {
    if package.manifest().format == Format::Onnx {
        crate::graph::prepare(package.model_bytes())?;
        operators::check(package.model_bytes())?;
    }
    let Loaded { manifest, model, digests, .. } = crate::load_package(runtime, package)?;
    let (mut golden_rows, mut golden_distance) = (0, 0.0);
    if let Some(golden) = package.golden()? {
        golden_rows = golden.len();
        golden_distance = golden.check(model.as_ref(), manifest.golden.tolerance)?;
    }
    probe(model.as_ref())?;
    Ok(Validation {
        digests,
        inputs: model.inputs().to_vec(),
        outputs: model.outputs().to_vec(),
        has_score: model.has_score(),
        golden_rows,
        golden_distance,
        row_ns: row_ns(model.as_ref()),
    })
}

/// A model may refuse a value; it may not take more than the process has.
fn probe(model: &dyn Model) -> Result<(), Error> {
    let bear = |outcome: Result<(), Error>| match outcome {
        Err(error) if asks_for_memory(&error.to_string()) => Err(Error::Model(format!(
            "the model asks for more memory than a validation may have: {error}"
        ))),
        _ => Ok(()),
    };
    for value in PROBES {
        if let Some(inputs) = made_up(model.inputs(), 1, value) {
            bear(model.infer(&inputs, &[]).map(drop))?;
        }
    }
    let width = model.features();
    if model.has_score() && width > 0 {
        let rows = BATCH_ROWS.min(ELEMENTS_MAX / width).max(1);
        let values: Vec<f32> = (0..rows * width).map(|at| (at % 97) as f32 - 48.0).collect();
        bear(model.score(&values, rows).map(drop))?;
    } else if let Some(inputs) = made_up(model.inputs(), BATCH_ROWS, 1.0) {
        bear(model.infer(&inputs, &[]).map(drop))?;
    }
    Ok(())
}

/// ONNX Runtime and the C++ library say it in these words.
pub fn asks_for_memory(said: &str) -> bool {
    ["bad_alloc", "bad allocation", "Failed to allocate memory", "memory allocation of"]
        .iter()
        .any(|words| said.contains(words))
}

fn made_up(specs: &[TensorSpec], rows: usize, value: f64) -> Option<Vec<Tensor>> {
    let tensor = |spec: &TensorSpec| {
        let open = |(at, size): (usize, &i64)| match (*size, at) {
            (..0, 0) => rows as i64,
            (..0, _) => 1,
            (size, _) => size,
        };
        let shape: Vec<i64> = spec.shape.iter().enumerate().map(open).collect();
        let elements = shape
            .iter()
            .try_fold(1_usize, |all, size| all.checked_mul(usize::try_from(*size).ok()?))?;
        if elements > ELEMENTS_MAX {
            return None;
        }
        Tensor::new(&spec.name, shape, data(spec.datatype, elements, value)).ok()
    };
    specs.iter().map(tensor).collect()
}

fn data(datatype: Datatype, elements: usize, value: f64) -> Data {
    match datatype {
        Datatype::Bool => Data::Bool(vec![value > 0.0; elements]),
        Datatype::Int8 => Data::Int8(vec![value as i8; elements]),
        Datatype::Int16 => Data::Int16(vec![value as i16; elements]),
        Datatype::Int32 => Data::Int32(vec![value as i32; elements]),
        Datatype::Int64 => Data::Int64(vec![value as i64; elements]),
        Datatype::Uint8 => Data::Uint8(vec![value as u8; elements]),
        Datatype::Uint16 => Data::Uint16(vec![value as u16; elements]),
        Datatype::Uint32 => Data::Uint32(vec![value as u32; elements]),
        Datatype::Uint64 => Data::Uint64(vec![value as u64; elements]),
        Datatype::Fp32 => Data::Fp32(vec![value as f32; elements]),
        Datatype::Fp64 => Data::Fp64(vec![value; elements]),
        Datatype::Bytes => Data::Bytes(vec![value.to_string().into_bytes(); elements]),
    }
}

fn row_ns(model: &dyn Model) -> u64 {
    if !model.has_score() || model.features() == 0 {
        return 0;
    }
    let row = vec![1.0; model.features()];
    let mut times: Vec<u64> = (0..TIMED_ROWS)
        .map(|_| {
            let begun = Instant::now();
            let _ = model.score(&row, 1);
            begun.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    times[TIMED_ROWS / 2]
}
