//! One inference: by entity, by features, or by the named inputs of the model's own file.

use super::ask::Ask;
use super::trace::Traced;
use super::versions::{self, Chosen};
use super::{Surface, classification, parameters, sent, tensors, told};
use crate::node::Node;
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::service::status::from_serving;
use crate::serving::{Loaded, Moments, Routed, ServingError};
use crate::watch::Codes;
use features::Status as Found;
use models::{Data, Format, Priority, Tensor};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// A run that will take longer does not hold up the thread that serves its connection.
const SHORT: Duration = Duration::from_micros(500);
/// Nor will so many rows with their exact contributions.
const EXPLAINED_SHORT: usize = 8;
/// The inputs that every model with a view takes.
pub(super) const ENTITY: &str = "entity";
pub(super) const FEATURES: &str = "features";
pub(super) const SCORE: &str = "score";
const CONTRIBUTIONS: &str = "contributions";
const BASE: &str = "base";
/// Rows in one request that are explained by sampling, which runs a model a thousand times a row.
const SAMPLED_ROWS_MAX: usize = 64;

/// Answers a request in its turn. `deadline` is that of the call that brought it.
pub(super) async fn run(
    node: &Arc<Node>,
    surface: &Arc<Surface>,
    request: ModelInferRequest,
    deadline: Option<Instant>,
) -> Result<ModelInferResponse, Status> {
    let mut moments = Moments::begin();
    let ask = Ask::of(&request, deadline)?;
    ask.reach(node).await?;
    let (name, version) = (&request.model_name, &request.model_version);
    let routed = node.serving().route(&node.machine().read(), name, version);
    let routed = routed.map_err(|error| from_serving(&error))?;
    let loaded = routed.stable();
    let priority = ask.priority(loaded.manifest().priority);
    let _permit = match node.gate().enter(priority, ask.deadline).await {
        Ok(permit) => permit,
        Err(refused) => {
            loaded.runs.count_call(&moments, 0, false);
            return Err(from_serving(&refused.into()));
        }
    };
    let rows = request.inputs.first().and_then(|input| input.shape.first());
    let rows = rows.and_then(|rows| usize::try_from(*rows).ok()).unwrap_or(1);
    if is_short(loaded, &request, rows) {
        moments.admitted = Instant::now();
        return perform(node, surface, &routed, &request, moments);
    }
    let (own, surface) = (Arc::clone(node), Arc::clone(surface));
    let work = move || {
        moments.admitted = Instant::now();
        perform(&own, &surface, &routed, &request, moments)
    };
    if priority == Priority::Safety {
        // At once, on a thread that gives way to nobody.
        let outcome = tokio::task::spawn_blocking(work).await;
        return outcome.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
    }
    let outcome = node.lane().run(priority, ask.deadline, work).await;
    outcome.map_err(|refused| from_serving(&refused.into()))?
}

/// Whether it may run where the connection is served, by the runs that were.
fn is_short(loaded: &Loaded, request: &ModelInferRequest, rows: usize) -> bool {
    let explains = request.parameters.get("explain").is_some_and(parameters::is_true)
        || request.outputs.iter().any(|output| output.name == CONTRIBUTIONS || output.name == BASE);
    let explained = !explains || rows <= EXPLAINED_SHORT && loaded.explains_exactly();
    explained && loaded.runs.guess(rows) <= SHORT
}

fn perform(
    node: &Node,
    surface: &Surface,
    routed: &Routed,
    request: &ModelInferRequest,
    mut moments: Moments,
) -> Result<ModelInferResponse, Status> {
    let trace = surface.tracer.begin(routed.stable().name());
    let stable = Arc::clone(routed.stable());
    let mut traced = Left { inputs: Vec::new(), outputs: Vec::new(), loaded: stable };
    let outcome = respond(node, surface, routed, request, &mut moments, &mut traced);
    let Left { inputs, outputs, loaded } = &traced;
    let rows = outcome.as_ref().map_or(0, |(_, rows)| *rows);
    loaded.runs.count_call(&moments, rows as u64, outcome.is_ok());
    if let Some(trace) = trace {
        let of = Traced {
            model: loaded.name(),
            version: loaded.version(),
            request_id: &request.id,
            moments: &moments,
            ended: Instant::now(),
            inputs,
            outputs,
        };
        surface.tracer.end(trace, &of);
    }
    outcome.map(|(response, _)| response)
}

/// What a call leaves behind for its trace and its counters.
struct Left {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The version that answered, or was to.
    loaded: Arc<Loaded>,
}

/// The answer and its rows; leaves the tensors that went in and came out behind.
fn respond(
    node: &Node,
    surface: &Surface,
    routed: &Routed,
    request: &ModelInferRequest,
    moments: &mut Moments,
    left: &mut Left,
) -> Result<(ModelInferResponse, usize), Status> {
    let timeout = parameters::timeout(request)?;
    let (inputs, raw) = tensors::read(request, &surface.regions)?;
    let asked = parameters::asked(request, &surface.regions)?;
    let wanted: Vec<String> = asked.iter().map(|output| output.name.clone()).collect();
    let explain = request.parameters.get("explain").is_some_and(parameters::is_true);
    left.inputs = inputs;
    let answer = chosen(node, routed, (&wanted, explain), moments, left);
    let answer = answer.map_err(|error| from_serving(&error))?;
    let loaded = &left.loaded;
    if let Some(timeout) = timeout.filter(|timeout| moments.begun.elapsed() > *timeout) {
        let said = format!("the answer took longer than the request's timeout of {timeout:?}");
        return Err(Status::deadline_exceeded(said));
    }
    let mut response = ModelInferResponse {
        model_name: loaded.name().to_owned(),
        model_version: loaded.version().to_owned(),
        id: request.id.clone(),
        ..ModelInferResponse::default()
    };
    response.parameters = answer.parameters;
    left.outputs = in_order(answer.tensors, &wanted).map_err(|error| from_serving(&error))?;
    write_all(&mut response, &left.outputs, &asked, raw)?;
    if left.outputs.iter().any(|tensor| tensor.name == BASE) {
        // The space in which base and contributions add up to the score.
        let link = ParameterChoice::StringParam(loaded.link().to_owned());
        let parameter = InferParameter { parameter_choice: Some(link) };
        response.parameters.insert("link".to_owned(), parameter);
    }
    Ok((response, answer.rows))
}

/// Each output where and how it was asked for.
pub(super) fn write_all(
    response: &mut ModelInferResponse,
    outputs: &[Tensor],
    asked: &[parameters::Asked],
    raw: bool,
) -> Result<(), Status> {
    for (at, tensor) in outputs.iter().enumerate() {
        let asked = asked.get(at);
        let place = asked.and_then(|asked| asked.place.as_ref());
        match asked.and_then(|asked| asked.classes) {
            Some(top) => {
                let classes = classification::classify(tensor, top)?;
                tensors::write(response, &classes, place, raw)?;
            }
            None => tensors::write(response, tensor, place, raw)?,
        }
    }
    Ok(())
}

/// The answer of whichever version has to answer.
fn chosen(
    node: &Node,
    routed: &Routed,
    (wanted, explain): (&[String], bool),
    moments: &mut Moments,
    left: &mut Left,
) -> Result<Answer, ServingError> {
    let inputs = &left.inputs;
    let (canary, rows) = match versions::choose(routed, inputs)? {
        Chosen::One(loaded) => {
            left.loaded = Arc::clone(loaded);
            let mut answer = answer(node, loaded, inputs, wanted, explain, moments)?;
            versions::one_version(&mut answer, loaded, wanted)?;
            let took =
                moments.inputs_read.zip(moments.inferred).map_or(Duration::ZERO, |(a, b)| b - a);
            versions::shade(node, (routed, loaded), inputs, &answer, took);
            return Ok(answer);
        }
        Chosen::Split { canary, rows } => (canary, rows),
    };
    let mut side = |loaded: &Loaded, side| {
        let part = versions::part(inputs, &rows, side)?;
        let wanted: Vec<String> =
            wanted.iter().filter(|name| *name != versions::VERSION).cloned().collect();
        answer(node, loaded, &part, &wanted, explain, moments)
    };
    let stable = routed.stable();
    let both = (side(stable, false)?, side(canary, true)?);
    versions::merge(&rows, both, (stable.version(), canary.version()))
}

/// Output tensors with what is to be said of them.
pub(super) struct Answer {
    pub(super) tensors: Vec<Tensor>,
    pub(super) rows: usize,
    pub(super) parameters: HashMap<String, InferParameter>,
    /// The rows of features that were scored, where there were any.
    pub(super) values: Vec<f32>,
}

impl Answer {
    /// Of what the request itself brought.
    fn of_tensors(tensors: Vec<Tensor>, rows: usize) -> Self {
        Self { tensors, rows, parameters: HashMap::new(), values: Vec::new() }
    }
}

fn answer(
    node: &Node,
    loaded: &Loaded,
    inputs: &[Tensor],
    wanted: &[String],
    explain: bool,
    moments: &mut Moments,
) -> Result<Answer, ServingError> {
    let keyed = inputs.iter().find(|input| input.name == ENTITY);
    let rows = keyed.or(inputs.first()).map_or(0, Tensor::rows);
    let rows_max = node.config().limits.rows_per_request;
    if rows > rows_max {
        return Err(ServingError::Invalid(format!(
            "a request may have {rows_max} rows, this one has {rows}"
        )));
    }
    // A bare file's own input of the same name goes before ours.
    let own = |name: &str| {
        !takes_features(loaded) && loaded.model().inputs().iter().any(|spec| spec.name == name)
    };
    match inputs {
        [one] if one.name == FEATURES && !own(FEATURES) => {
            let values = matrix(loaded, one)?;
            let tensors = scored(loaded, (&values, &[]), rows, wanted, explain, moments)?;
            observe(loaded, (&values, &[]), &tensors, &[]);
            Ok(Answer { values, ..Answer::of_tensors(tensors, rows) })
        }
        several if several.iter().any(|each| each.name == ENTITY && !own(ENTITY)) => {
            by_entity(node, loaded, several, wanted, explain, moments)
        }
        _ => by_own_inputs(loaded, inputs, rows, wanted, explain, moments),
    }
}

/// True where `features` means the model's features, and not an input that its file happens to name so.
pub(super) fn takes_features(loaded: &Loaded) -> bool {
    let has_score = loaded.model().has_score();
    loaded.view().is_some() || (loaded.manifest().format == Format::Linfa && has_score)
}

fn by_entity(
    node: &Node,
    loaded: &Loaded,
    inputs: &[Tensor],
    wanted: &[String],
    explain: bool,
    moments: &mut Moments,
) -> Result<Answer, ServingError> {
    if inputs.iter().any(|input| input.name == FEATURES) {
        return Err(ServingError::Invalid(
            "send `entity` without `features`: the node reads the features itself".to_owned(),
        ));
    }
    let (keys, sent) = sent::read(loaded, inputs)?;
    let entities = keys.iter().map(|key| std::str::from_utf8(key)).collect::<Result<Vec<_>, _>>();
    let entities = entities
        .map_err(|_| ServingError::Invalid(format!("input `{ENTITY}` is not UTF-8")))?
        .into_iter();
    let rows = node.serving().read_rows(&node.machine().read(), loaded, entities, &sent)?;
    let read = (rows.features.values.as_slice(), rows.unknown.as_slice());
    let mut tensors = scored(loaded, read, keys.len(), wanted, explain, moments)?;
    observe(loaded, (read.0, &rows.features.statuses), &tensors, &rows.groups);
    let names = loaded.manifest().features.as_slice();
    tensors.extend(told::by_row(&rows, names, keys.len(), wanted)?);
    let parameters = told::parameters(loaded, &rows);
    Ok(Answer { tensors, rows: keys.len(), parameters, values: rows.features.values })
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

/// `score`, `band` and, when asked for, `contributions` and `base`, of rows of which some are of nobody.
fn scored(
    loaded: &Loaded,
    (values, unknown): (&[f32], &[usize]),
    rows: usize,
    wanted: &[String],
    explain: bool,
    moments: &mut Moments,
) -> Result<Vec<Tensor>, ServingError> {
    moments.inputs_read = Some(Instant::now());
    let mut scores = loaded.model().score(values, rows)?;
    moments.inferred = Some(Instant::now());
    for row in unknown {
        if let Some(score) = scores.get_mut(*row) {
            *score = f32::NAN;
        }
    }
    let bands = scores
        .iter()
        .map(|score| loaded.manifest().band(f64::from(*score)).unwrap_or_default().into())
        .collect();
    let rows_by_one = [rows as i64, 1];
    let mut tensors = vec![
        Tensor::new("score", rows_by_one, Data::Fp32(scores))?,
        Tensor::new("band", rows_by_one, Data::Bytes(bands))?,
    ];
    if explain || asks_why(wanted) {
        tensors.extend(explained(loaded, values, rows)?);
    }
    let has_own = |name: &String| loaded.model().outputs().iter().any(|spec| spec.name == *name);
    let own: Vec<String> =
        wanted.iter().filter(|name| *name != "score" && has_own(name)).cloned().collect();
    if !own.is_empty() {
        if !unknown.is_empty() {
            let said = format!("{} needs entities that are all known", own.join(", "));
            return Err(ServingError::Invalid(said));
        }
        tensors.extend(loaded.model().infer(&loaded.inputs_of(values, rows)?, &own)?);
    }
    Ok(tensors)
}

fn asks_why(wanted: &[String]) -> bool {
    wanted.iter().any(|name| name == CONTRIBUTIONS || name == BASE)
}

/// Counts scores that were given, each with the row that it was made from. `score` is the first tensor.
fn observe(
    loaded: &Loaded,
    (values, statuses): (&[f32], &[Found]),
    tensors: &[Tensor],
    groups: &[Codes],
) {
    let Some(Data::Fp32(scores)) = tensors.first().map(|tensor| &tensor.data) else { return };
    let width = values.len() / scores.len().max(1);
    for (at, (score, row)) in scores.iter().zip(values.chunks_exact(width.max(1))).enumerate() {
        let statuses = statuses.get(at * width..(at + 1) * width).unwrap_or(&[]);
        let groups = groups.get(at).copied().unwrap_or_default();
        loaded.watch().observe(row, statuses, f64::from(*score), groups);
    }
}

fn explained(loaded: &Loaded, values: &[f32], rows: usize) -> Result<[Tensor; 2], ServingError> {
    if rows > SAMPLED_ROWS_MAX && !loaded.explains_exactly() {
        return Err(ServingError::Invalid(format!(
            "at most {SAMPLED_ROWS_MAX} rows of model {} are explained at once, this request has {rows}",
            loaded.name()
        )));
    }
    let width = values.len() / rows.max(1);
    let (mut parts, mut bases) = (Vec::with_capacity(values.len()), Vec::with_capacity(rows));
    for row in values.chunks_exact(width.max(1)) {
        let explanation = loaded.explain(row)?;
        bases.push(explanation.base as f32);
        parts.extend(explanation.contributions.iter().map(|each| *each as f32));
    }
    Ok([
        Tensor::new(CONTRIBUTIONS, [rows as i64, width as i64], Data::Fp32(parts))?,
        Tensor::new(BASE, [rows as i64, 1], Data::Fp32(bases))?,
    ])
}

/// The file's own outputs, with `score` beside them where one number has one meaning.
fn by_own_inputs(
    loaded: &Loaded,
    inputs: &[Tensor],
    rows: usize,
    wanted: &[String],
    explain: bool,
    moments: &mut Moments,
) -> Result<Answer, ServingError> {
    let outputs = loaded.model().outputs();
    let has_own = |name: &String| outputs.iter().any(|spec| spec.name == *name);
    let mut own: Vec<String> = wanted.iter().filter(|name| has_own(name)).cloned().collect();
    moments.inputs_read = Some(Instant::now());
    let mut tensors = Vec::new();
    if wanted.is_empty() || !own.is_empty() {
        // The score is counted, asked for or not.
        let score = SCORE.to_owned();
        let beside = !own.is_empty() && has_own(&score) && !own.contains(&score);
        own.extend(beside.then_some(score));
        tensors = loaded.model().infer(inputs, &own)?;
        if let Some(at) = tensors.iter().position(|tensor| tensor.name == SCORE) {
            if let Some(values) = loaded.rows_of(inputs) {
                observe(loaded, (&values, &[]), &tensors[at..=at], &[]);
            }
            if beside {
                tensors.remove(at);
            }
        }
    }
    if explain || asks_why(wanted) {
        let values = loaded.rows_of(inputs).ok_or_else(|| {
            ServingError::Invalid("explain needs inputs that are all numbers".to_owned())
        })?;
        tensors.extend(explained(loaded, &values, rows)?);
    }
    moments.inferred = Some(Instant::now());
    Ok(Answer::of_tensors(tensors, rows))
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
