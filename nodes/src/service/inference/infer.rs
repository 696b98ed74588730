//! One inference: by entity, by features, or by the named inputs of the model's own file.

use super::tensors;
use crate::node::Node;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::service::status::from_serving;
use crate::serving::{Loaded, ServingError};
use features::FeatureVector;
use models::{Data, Datatype, Format, Tensor};
use std::time::Instant;
use tonic::Status;

/// Rows in one request.
const ROWS_MAX: usize = 4_096;
/// The inputs that every model with a view takes.
pub(super) const ENTITY: &str = "entity";
pub(super) const FEATURES: &str = "features";

pub(super) fn run(node: &Node, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    let serving = node.serving();
    let loaded =
        serving.resolve(&node.machine().read(), &request.model_name, &request.model_version);
    let loaded = loaded.map_err(|error| from_serving(&error))?;
    let (inputs, raw) = tensors::read(&request)?;
    let wanted: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
    let explain = request.parameters.get("explain").is_some_and(is_true);
    let begun = Instant::now();
    let outcome = answer(node, &loaded, &inputs, &wanted, explain);
    let rows = outcome.as_ref().map_or(0, |answer| answer.rows);
    loaded.runs.count(begun, rows as u64, outcome.is_ok());
    let answer = outcome.map_err(|error| from_serving(&error))?;
    let mut response = ModelInferResponse {
        model_name: loaded.name().to_owned(),
        model_version: loaded.version().to_owned(),
        id: request.id,
        ..ModelInferResponse::default()
    };
    if let Some(log_index) = answer.log_index {
        let parameter =
            |value| InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(value)) };
        response.parameters.insert("log_index".to_owned(), parameter(log_index as i64));
        response
            .parameters
            .insert("oldest_feature_us".to_owned(), parameter(answer.oldest_feature_us));
    }
    for tensor in in_order(answer.tensors, &wanted).map_err(|error| from_serving(&error))? {
        tensors::write(&mut response, &tensor, raw);
    }
    Ok(response)
}

pub(super) fn is_true(parameter: &InferParameter) -> bool {
    match &parameter.parameter_choice {
        Some(ParameterChoice::BoolParam(value)) => *value,
        Some(ParameterChoice::StringParam(value)) => value == "true",
        Some(ParameterChoice::Int64Param(value)) => *value != 0,
        _ => false,
    }
}

/// Output tensors with what they were read from.
struct Answer {
    tensors: Vec<Tensor>,
    rows: usize,
    log_index: Option<u64>,
    oldest_feature_us: i64,
}

fn answer(
    node: &Node,
    loaded: &Loaded,
    inputs: &[Tensor],
    wanted: &[String],
    explain: bool,
) -> Result<Answer, ServingError> {
    let rows = inputs.first().map_or(0, Tensor::rows);
    if rows > ROWS_MAX {
        return Err(ServingError::Invalid(format!(
            "a request may have {ROWS_MAX} rows, this one has {rows}"
        )));
    }
    // A bare file's own input of the same name goes before ours.
    let own = |name: &str| {
        !takes_features(loaded) && loaded.model().inputs().iter().any(|spec| spec.name == name)
    };
    match inputs {
        [one] if one.name == ENTITY && !own(ENTITY) => {
            by_entity(node, loaded, one, wanted, explain)
        }
        [one] if one.name == FEATURES && !own(FEATURES) => {
            let values = matrix(loaded, one)?;
            let tensors = scored(loaded, &values, rows, wanted, explain)?;
            Ok(Answer { tensors, rows, log_index: None, oldest_feature_us: 0 })
        }
        several if several.iter().any(|each| each.name == ENTITY && !own(ENTITY)) => {
            Err(ServingError::Invalid(
                "send `entity` alone: the node reads the features itself".to_owned(),
            ))
        }
        _ => by_own_inputs(loaded, inputs, rows, wanted, explain),
    }
}

/// True where `features` means the model's features, and not an input that its file happens to name so.
pub(super) fn takes_features(loaded: &Loaded) -> bool {
    loaded.view().is_some() || loaded.manifest().format == Format::Linfa
}

fn by_entity(
    node: &Node,
    loaded: &Loaded,
    input: &Tensor,
    wanted: &[String],
    explain: bool,
) -> Result<Answer, ServingError> {
    let Data::Bytes(keys) = &input.data else {
        let said = format!(
            "input `{ENTITY}` must be BYTES [-1, 1], got {} {:?}",
            input.datatype, input.shape
        );
        return Err(ServingError::Invalid(said));
    };
    let mut values = Vec::with_capacity(keys.len() * loaded.model().features());
    let mut oldest_feature_us = i64::MAX;
    let log_index = {
        let state = node.machine().read();
        for key in keys {
            let key = std::str::from_utf8(key)
                .map_err(|_| ServingError::Invalid(format!("input `{ENTITY}` is not UTF-8")))?;
            let row = node.serving().read_row(&state, loaded, key)?;
            values.extend_from_slice(&row.vector.values);
            oldest_feature_us =
                oldest_feature_us.min(FeatureVector::oldest_us(&row.vector).unwrap_or(i64::MAX));
        }
        state.applied
    };
    let tensors = scored(loaded, &values, keys.len(), wanted, explain)?;
    let oldest_feature_us = if oldest_feature_us == i64::MAX { 0 } else { oldest_feature_us };
    Ok(Answer { tensors, rows: keys.len(), log_index: Some(log_index), oldest_feature_us })
}

/// The values of a `features` FP32 [N, d] input.
pub(super) fn matrix(loaded: &Loaded, input: &Tensor) -> Result<Vec<f32>, ServingError> {
    let width = loaded.model().features();
    let shaped =
        matches!(input.shape.as_slice(), [_, columns] if width == 0 || *columns == width as i64);
    match &input.data {
        Data::Fp32(values) if shaped => Ok(values.clone()),
        _ => Err(ServingError::Invalid(format!(
            "input `{FEATURES}` must be FP32 [-1, {width}] (-1 is free), got {} {:?}",
            input.datatype, input.shape
        ))),
    }
}

/// `score`, `band` and, when asked for, `contributions` and `base`.
fn scored(
    loaded: &Loaded,
    values: &[f32],
    rows: usize,
    wanted: &[String],
    explain: bool,
) -> Result<Vec<Tensor>, ServingError> {
    let scores = loaded.model().score(values, rows)?;
    let bands = scores
        .iter()
        .map(|score| loaded.manifest().band(f64::from(*score)).unwrap_or_default().into())
        .collect();
    let rows_by_one = [rows as i64, 1];
    let mut tensors = vec![
        Tensor::new("score", rows_by_one, Data::Fp32(scores))?,
        Tensor::new("band", rows_by_one, Data::Bytes(bands))?,
    ];
    if explain || wanted.iter().any(|name| name == "contributions" || name == "base") {
        tensors.extend(explained(loaded, values, rows)?);
    }
    Ok(tensors)
}

fn explained(loaded: &Loaded, values: &[f32], rows: usize) -> Result<[Tensor; 2], ServingError> {
    let width = values.len() / rows.max(1);
    let (mut parts, mut bases) = (Vec::with_capacity(values.len()), Vec::with_capacity(rows));
    for row in values.chunks_exact(width.max(1)) {
        let Some((base, contributions)) = loaded.model().contributions(row) else {
            let said = format!(
                "model {} {} has no exact contributions: ask without explain",
                loaded.name(),
                loaded.version()
            );
            return Err(ServingError::Invalid(said));
        };
        bases.push(base as f32);
        parts.extend(contributions.iter().map(|each| *each as f32));
    }
    Ok([
        Tensor::new("contributions", [rows as i64, width as i64], Data::Fp32(parts))?,
        Tensor::new("base", [rows as i64, 1], Data::Fp32(bases))?,
    ])
}

/// The file's own outputs, with `score` beside them where one number has one meaning.
fn by_own_inputs(
    loaded: &Loaded,
    inputs: &[Tensor],
    rows: usize,
    wanted: &[String],
    explain: bool,
) -> Result<Answer, ServingError> {
    if explain {
        let said = "explain needs `entity` or `features` as input".to_owned();
        return Err(ServingError::Invalid(said));
    }
    let outputs = loaded.model().outputs();
    let has_own = |name: &String| outputs.iter().any(|spec| spec.name == *name);
    let own: Vec<String> = wanted.iter().filter(|name| has_own(name)).cloned().collect();
    let mut tensors = if wanted.is_empty() || !own.is_empty() {
        loaded.model().infer(inputs, &own)?
    } else {
        Vec::new()
    };
    let beside = "score".to_owned();
    let asked = wanted.is_empty() || wanted.contains(&beside);
    if asked && !has_own(&beside) && loaded.model().has_score() {
        let values = numbers(inputs);
        if let Some(values) = values {
            let scores = loaded.model().score(&values, rows)?;
            tensors.push(Tensor::new("score", [rows as i64, 1], Data::Fp32(scores))?);
        }
    }
    Ok(Answer { tensors, rows, log_index: None, oldest_feature_us: 0 })
}

/// Inputs of one matrix or of one column each, as rows of numbers.
pub(super) fn numbers(inputs: &[Tensor]) -> Option<Vec<f32>> {
    let columns: Vec<Vec<f32>> = inputs
        .iter()
        .map(|tensor| match (&tensor.data, tensor.datatype) {
            (Data::Fp32(all), _) => Some(all.clone()),
            (Data::Fp64(all), Datatype::Fp64) => {
                Some(all.iter().map(|each| *each as f32).collect())
            }
            (Data::Int64(all), _) => Some(all.iter().map(|each| *each as f32).collect()),
            (Data::Int32(all), _) => Some(all.iter().map(|each| *each as f32).collect()),
            (Data::Bool(all), _) => {
                Some(all.iter().map(|each| f32::from(u8::from(*each))).collect())
            }
            _ => None,
        })
        .collect::<Option<_>>()?;
    match columns.as_slice() {
        [one] => Some(one.clone()),
        several => {
            let rows = several.first()?.len();
            let by_row = (0..rows)
                .flat_map(|row| several.iter().map(move |column| column.get(row).copied()));
            by_row.collect()
        }
    }
}

/// The outputs in the order in which they were asked for; all of them where none was named.
pub(super) fn in_order(
    tensors: Vec<Tensor>,
    wanted: &[String],
) -> Result<Vec<Tensor>, ServingError> {
    if wanted.is_empty() {
        return Ok(tensors);
    }
    let pick = |name: &String| {
        tensors.iter().find(|tensor| tensor.name == *name).cloned().ok_or_else(|| {
            let known: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            ServingError::Invalid(format!(
                "no output `{name}`: this request has {}",
                known.join(", ")
            ))
        })
    };
    wanted.iter().map(pick).collect()
}
