//! An inference with `record=true`: each row is a decision of the ledger.

use super::ask::Ask;
use super::infer::{ENTITY, FEATURES, SCORE, in_order, matrix, takes_features, write_all};
use super::versions::{self, Chosen};
use super::{Surface, parameters, sent, tensors};
use crate::node::Node;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::service::decisions::{Asked, write_down};
use crate::service::status::from_serving;
use crate::serving::{Loaded, Routed, Row, Scored, ServingError};
use crate::watch::Codes;
use features::FeatureVector;
use futures::future::try_join_all;
use models::{Data, Tensor};
use std::sync::Arc;
use std::time::Instant;
use tonic::Status;

/// Rows of one request that are recorded: each is an entry of the log.
const ROWS_MAX: usize = 256;
/// The status of a value that the caller sent.
const GIVEN: &str = "given";

pub(super) fn is_asked(request: &ModelInferRequest) -> bool {
    request.parameters.get("record").is_some_and(parameters::is_true)
}

pub(super) async fn run(
    (node, surface): (&Arc<Node>, &Arc<Surface>),
    request: ModelInferRequest,
    deadline: Option<Instant>,
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
    let entity = word(ENTITY).unwrap_or_default();
    let made = score((node, surface), &request, deadline, &entity).await?;
    let version = made.scored.first().map(|(by, _)| by.version().to_owned());
    let mut response = ModelInferResponse {
        model_name: request.model_name.clone(),
        model_version: version.unwrap_or_default(),
        id: request.id.clone(),
        ..ModelInferResponse::default()
    };
    let writing = made.scored.iter().map(|(by, scored)| {
        let mut record = scored.to_record(by);
        if made.given {
            record.as_of_us = 0;
            for reading in &mut record.features {
                GIVEN.clone_into(&mut reading.status);
            }
        }
        write_down(node, record, &asked)
    });
    let written = try_join_all(writing).await?;
    let ids: Vec<String> = written.into_iter().map(|written| written.decision_id).collect();
    let scored: Vec<&Scored> = made.scored.iter().map(|(_, scored)| scored).collect();
    describe(&mut response, &scored, &ids);
    let wanted: Vec<String> = made.asked.iter().map(|output| output.name.clone()).collect();
    let explains = request.parameters.get("explain").is_some_and(parameters::is_true)
        || wanted.iter().any(|name| name == "contributions" || name == "base");
    let tensors = outputs(&scored, &ids, explains).map_err(|error| from_serving(&error))?;
    let tensors = match made.own {
        Some(own) => beside(own, tensors, wanted.is_empty()),
        None => tensors,
    };
    let tensors = in_order(tensors, &wanted).map_err(|error| from_serving(&error))?;
    write_all(&mut response, &tensors, &made.asked, made.raw)?;
    Ok(response)
}

/// The file's own outputs, then ours; a score is the recorded one. A bare file has no bands of its own
/// to tell unasked.
fn beside(own: Vec<Tensor>, ours: Vec<Tensor>, unasked: bool) -> Vec<Tensor> {
    let mut all: Vec<Tensor> = own.into_iter().filter(|tensor| tensor.name != SCORE).collect();
    for tensor in ours {
        let is_own = all.iter().any(|each| each.name == tensor.name);
        let is_untold = unasked && tensor.name == BAND;
        if !is_own && !is_untold {
            all.push(tensor);
        }
    }
    all
}

/// Scores, each with the version that gave it.
struct Made {
    scored: Vec<(Arc<Loaded>, Scored)>,
    /// The caller sent the values.
    given: bool,
    /// What the model's own file gives, where its own inputs were sent.
    own: Option<Vec<Tensor>>,
    asked: Vec<parameters::Asked>,
    /// The answer's bytes are raw.
    raw: bool,
}

/// Scores every row in its turn, explained as far as the model can be.
async fn score(
    (node, surface): (&Arc<Node>, &Arc<Surface>),
    request: &ModelInferRequest,
    deadline: Option<Instant>,
    entity: &str,
) -> Result<Made, Status> {
    let ask = Ask::of(request, deadline)?;
    ask.reach(node).await?;
    let (name, version) = (&request.model_name, &request.model_version);
    let routed = node.serving().route(&node.machine().read(), name, version);
    let routed = routed.map_err(|error| from_serving(&error))?;
    let priority = ask.priority(routed.stable().manifest().priority);
    let entered = node.gate().enter(priority, ask.deadline).await;
    let _permit = entered.map_err(|refused| from_serving(&refused.into()))?;
    let (inputs, raw) = tensors::read(request, &surface.regions)?;
    let asked = parameters::asked(request, &surface.regions)?;
    let rows = read(node, &routed, &inputs, entity).map_err(|error| from_serving(&error))?;
    let own = rows.own_inputs.as_ref().zip(rows.rows.first());
    let own = own.map(|(inputs, (by, _))| by.model().infer(inputs, &[])).transpose();
    let own = own.map_err(|error| from_serving(&error.into()))?;
    let score = |(by, row): (Arc<Loaded>, Row)| {
        let scored = node.serving().score_row(&by, row, true)?;
        Ok((by, scored))
    };
    let scored = rows.rows.into_iter().map(score).collect::<Result<_, _>>();
    let scored = scored.map_err(|error| from_serving(&error))?;
    Ok(Made { scored, given: rows.given, own, asked, raw })
}

/// The output that names the decisions.
const DECISION_ID: &str = "decision_id";
const BAND: &str = "band";

struct ToScore {
    rows: Vec<(Arc<Loaded>, Row)>,
    given: bool,
    /// The inputs of the model's own file as the rows have them.
    own_inputs: Option<Vec<Tensor>>,
}

fn read(
    node: &Node,
    routed: &Routed,
    inputs: &[Tensor],
    entity: &str,
) -> Result<ToScore, ServingError> {
    let keyed = inputs.iter().find(|input| input.name == ENTITY);
    let count = keyed.or(inputs.first()).map_or(0, Tensor::rows);
    if count > ROWS_MAX {
        return Err(ServingError::Invalid(format!(
            "a request with record=true may have {ROWS_MAX} rows, this one has {count}"
        )));
    }
    let own = |name: &str| {
        let stable = routed.stable();
        !takes_features(stable) && stable.model().inputs().iter().any(|spec| spec.name == name)
    };
    if inputs.iter().any(|input| input.name == ENTITY) && !own(ENTITY) {
        let rows = by_entity(node, routed, inputs)?;
        return Ok(ToScore { rows, given: false, own_inputs: None });
    }
    let by = match versions::choose(routed, inputs)? {
        Chosen::One(loaded) => Arc::clone(loaded),
        Chosen::Split { .. } => Arc::clone(routed.stable()),
    };
    let (values, own_inputs) = match inputs {
        [one] if one.name == FEATURES && !own(FEATURES) => (matrix(&by, one)?, None),
        several => {
            let (values, inputs) = as_recorded(&by, several, count)?;
            (values, Some(inputs))
        }
    };
    let rows = given(&by, &values, count, entity).into_iter().map(|row| (Arc::clone(&by), row));
    Ok(ToScore { rows: rows.collect(), given: true, own_inputs })
}

/// The file's own inputs as rows of FP32, which is what a record keeps, and these rows as its inputs:
/// the answer is of what is written down.
fn as_recorded(
    by: &Loaded,
    inputs: &[Tensor],
    count: usize,
) -> Result<(Vec<f32>, Vec<Tensor>), ServingError> {
    let Some(values) = by.rows_of(inputs).filter(|_| by.model().has_score()) else {
        // What is wrong with the inputs themselves is said first.
        by.model().infer(inputs, &[])?;
        return Err(ServingError::Invalid(
            "record=true needs inputs of numbers and a model with one score: send `entity` or `features`".to_owned(),
        ));
    };
    let kept = by.inputs_of(&values, count)?;
    for tensor in
        inputs.iter().filter(|tensor| matches!(tensor.data, Data::Int64(_) | Data::Int32(_)))
    {
        if kept.iter().any(|each| each.name == tensor.name && each.data != tensor.data) {
            let said = format!(
                "record=true keeps FP32, which input `{}` does not fit: whole numbers up to 16777216 do",
                tensor.name
            );
            return Err(ServingError::Invalid(said));
        }
    }
    Ok((values, kept))
}

fn by_entity(
    node: &Node,
    routed: &Routed,
    inputs: &[Tensor],
) -> Result<Vec<(Arc<Loaded>, Row)>, ServingError> {
    let (keys, of_stable) = sent::read(routed.stable(), inputs)?;
    let state = node.machine().read();
    let mut rows = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        let by = routed.of(key)?;
        let of_other;
        let sent = if Arc::ptr_eq(by, routed.stable()) {
            &of_stable
        } else {
            of_other = sent::read(by, inputs)?.1;
            &of_other
        };
        let key = std::str::from_utf8(key)
            .map_err(|_| ServingError::Invalid(format!("input `{ENTITY}` is not UTF-8")))?;
        rows.push((Arc::clone(by), node.serving().read_row(&state, by, (key, sent.row(at)))?));
    }
    Ok(rows)
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

fn outputs(
    scored: &[&Scored],
    ids: &[String],
    explains: bool,
) -> Result<Vec<Tensor>, ServingError> {
    let column = [scored.len() as i64, 1];
    let numbers = |of: &dyn Fn(&Scored) -> f64| {
        Data::Fp32(scored.iter().map(|each| of(each) as f32).collect())
    };
    let words = |all: Vec<&str>| Data::Bytes(all.into_iter().map(Into::into).collect());
    let mut tensors = vec![
        Tensor::new(SCORE, column, numbers(&|each| each.score))?,
        Tensor::new(BAND, column, words(scored.iter().map(|each| each.band.as_str()).collect()))?,
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
fn describe(response: &mut ModelInferResponse, scored: &[&Scored], ids: &[String]) {
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
