//! An inference with `record=true`: each row is a decision of the ledger.

use super::infer::{
    ENTITY, FEATURES, in_order, is_true, matrix, numbers, run as infer, takes_features,
};
use super::tensors;
use crate::node::Node;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::service::decisions::{Asked, write_down};
use crate::service::status::from_serving;
use crate::serving::{Loaded, Row, Scored, ServingError};
use crate::watch::Codes;
use features::FeatureVector;
use futures::future::try_join_all;
use models::{Data, Tensor};
use std::sync::Arc;
use tonic::Status;

/// Rows of one request that are recorded: each is an entry of the log.
const ROWS_MAX: usize = 256;
/// The status of a value that the caller sent.
const GIVEN: &str = "given";

pub(super) fn is_asked(request: &ModelInferRequest) -> bool {
    request.parameters.get("record").is_some_and(is_true)
}

pub(super) async fn run(
    node: &Arc<Node>,
    request: ModelInferRequest,
    caller: String,
) -> Result<ModelInferResponse, Status> {
    let word = |name: &str| match request.parameters.get(name)?.parameter_choice.as_ref()? {
        ParameterChoice::StringParam(text) => Some(text.clone()),
        _ => None,
    };
    let asked = Asked {
        caller,
        purpose: word("purpose").unwrap_or_default(),
        reviewer: word("reviewer").unwrap_or_default(),
    };
    asked.check()?;
    let loaded = node
        .serving()
        .resolve(&node.machine().read(), &request.model_name, &request.model_version)
        .map_err(|error| from_serving(&error))?;
    let (inputs, raw) = tensors::read(&request)?;
    let wanted: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
    let rows = read(node, &loaded, &inputs, &word(ENTITY).unwrap_or_default())
        .map_err(|error| from_serving(&error))?;
    let scored: Vec<Scored> = rows
        .rows
        .into_iter()
        .map(|row| node.serving().score_row(&loaded, row, true))
        .collect::<Result<_, _>>()
        .map_err(|error| from_serving(&error))?;
    let mut response = if rows.own_inputs {
        let outputs = request.outputs.iter().filter(|output| output.name != DECISION_ID).cloned();
        infer(node, ModelInferRequest { outputs: outputs.collect(), ..request.clone() })?
    } else {
        ModelInferResponse {
            model_name: loaded.name().to_owned(),
            model_version: loaded.version().to_owned(),
            id: request.id.clone(),
            ..ModelInferResponse::default()
        }
    };
    let writing = scored.iter().map(|scored| {
        let mut record = scored.to_record(&loaded);
        if rows.given {
            record.as_of_us = 0;
            for reading in &mut record.features {
                GIVEN.clone_into(&mut reading.status);
            }
        }
        write_down(node, record, &asked)
    });
    let written = try_join_all(writing).await?;
    let ids: Vec<String> = written.into_iter().map(|written| written.decision_id).collect();
    describe(&mut response, &scored, &ids);
    let explains = request.parameters.get("explain").is_some_and(is_true)
        || wanted.iter().any(|name| name == "contributions" || name == "base");
    let tensors = outputs(&scored, &ids, explains).map_err(|error| from_serving(&error))?;
    let tensors = match rows.own_inputs {
        true => tensors.into_iter().filter(|tensor| tensor.name == DECISION_ID).collect(),
        false => in_order(tensors, &wanted).map_err(|error| from_serving(&error))?,
    };
    for tensor in tensors {
        tensors::write(&mut response, &tensor, raw);
    }
    Ok(response)
}

/// The output that names the decisions.
const DECISION_ID: &str = "decision_id";

struct Rows {
    rows: Vec<Row>,
    /// The caller sent the values.
    given: bool,
    /// By the inputs of the model's own file.
    own_inputs: bool,
}

fn read(
    node: &Node,
    loaded: &Loaded,
    inputs: &[Tensor],
    entity: &str,
) -> Result<Rows, ServingError> {
    let count = inputs.first().map_or(0, Tensor::rows);
    if count > ROWS_MAX {
        return Err(ServingError::Invalid(format!(
            "a request with record=true may have {ROWS_MAX} rows, this one has {count}"
        )));
    }
    let own = |name: &str| {
        !takes_features(loaded) && loaded.model().inputs().iter().any(|spec| spec.name == name)
    };
    match inputs {
        [one] if one.name == ENTITY && !own(ENTITY) => {
            let rows = by_entity(node, loaded, one)?;
            Ok(Rows { rows, given: false, own_inputs: false })
        }
        [one] if one.name == FEATURES && !own(FEATURES) => {
            let values = matrix(loaded, one)?;
            Ok(Rows { rows: given(loaded, &values, count, entity), given: true, own_inputs: false })
        }
        several => {
            let values = numbers(several).filter(|_| loaded.model().has_score());
            let values = values.ok_or_else(|| {
                ServingError::Invalid(
                    "record=true needs inputs of numbers and a model with one score: send `entity` or `features`".to_owned(),
                )
            })?;
            Ok(Rows { rows: given(loaded, &values, count, entity), given: true, own_inputs: true })
        }
    }
}

fn by_entity(node: &Node, loaded: &Loaded, input: &Tensor) -> Result<Vec<Row>, ServingError> {
    let Data::Bytes(keys) = &input.data else {
        return Err(ServingError::Invalid(format!("input `{ENTITY}` must be BYTES [-1, 1]")));
    };
    let state = node.machine().read();
    let row = |key: &Vec<u8>| {
        let key = std::str::from_utf8(key)
            .map_err(|_| ServingError::Invalid(format!("input `{ENTITY}` is not UTF-8")))?;
        node.serving().read_row(&state, loaded, key)
    };
    keys.iter().map(|key| row(&key.to_vec())).collect()
}

/// Rows of values that the caller sent.
fn given(loaded: &Loaded, values: &[f32], count: usize, entity: &str) -> Vec<Row> {
    let width = values.len() / count.max(1);
    let known = &loaded.manifest().features;
    let names: Arc<[String]> = if known.len() == width {
        known.clone().into()
    } else {
        (0..width).map(|at| format!("input_{at}")).collect()
    };
    let row = |values: &[f32]| Row {
        entity: entity.to_owned(),
        vector: FeatureVector {
            view: "".into(),
            fingerprint: "".into(),
            names: Arc::clone(&names),
            values: values.to_vec(),
            statuses: vec![features::Status::Present; width],
            event_times_us: vec![0; width],
            as_of_us: 0,
        },
        log_index: 0,
        groups: Codes::default(),
    };
    values.chunks_exact(width.max(1)).map(row).collect()
}

fn outputs(scored: &[Scored], ids: &[String], explains: bool) -> Result<Vec<Tensor>, ServingError> {
    let column = [scored.len() as i64, 1];
    let numbers = |of: &dyn Fn(&Scored) -> f64| {
        Data::Fp32(scored.iter().map(|each| of(each) as f32).collect())
    };
    let words = |all: Vec<&str>| Data::Bytes(all.into_iter().map(Into::into).collect());
    let mut tensors = vec![
        Tensor::new("score", column, numbers(&|each| each.score))?,
        Tensor::new("band", column, words(scored.iter().map(|each| each.band.as_str()).collect()))?,
        Tensor::new(DECISION_ID, column, words(ids.iter().map(String::as_str).collect()))?,
    ];
    if explains {
        let width = scored.first().map_or(0, |each| each.contributions.len());
        let parts =
            scored.iter().flat_map(|each| each.contributions.iter().map(|part| part.2 as f32));
        let shape = [scored.len() as i64, width as i64];
        tensors.push(Tensor::new("contributions", shape, Data::Fp32(parts.collect()))?);
        tensors.push(Tensor::new("base", column, numbers(&|each| each.base))?);
    }
    Ok(tensors)
}

/// What was read, and the decisions' ids, also as parameters.
fn describe(response: &mut ModelInferResponse, scored: &[Scored], ids: &[String]) {
    let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
    let ids = parameter(ParameterChoice::StringParam(ids.join(",")));
    response.parameters.insert(DECISION_ID.to_owned(), ids);
    let log_index = scored.iter().map(|each| each.log_index).max().unwrap_or_default();
    if log_index > 0 {
        let oldest = scored.iter().filter_map(|each| each.row.vector.oldest_us()).min();
        let oldest = parameter(ParameterChoice::Int64Param(oldest.unwrap_or_default()));
        response.parameters.insert("oldest_feature_us".to_owned(), oldest);
        let log_index = parameter(ParameterChoice::Int64Param(log_index as i64));
        response.parameters.insert("log_index".to_owned(), log_index);
    }
}
