//! What a request's parameters ask for. Unknown ones are ignored, as the protocol has it: clients send
//! `triton_*` and what other servers know.

use super::shared_memory::{Place, Regions};
use crate::proto::inference::infer_parameter::ParameterChoice;
use crate::proto::inference::{InferParameter, ModelInferRequest};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tonic::Status;

const CLASSIFICATION: &str = "classification";
/// Says in a stream which answer is a request's last.
pub(super) const FINAL_RESPONSE: &str = "triton_final_response";

/// One output that a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: String,
    /// So many classes in the place of the values.
    pub(super) classes: Option<usize>,
    /// Where the answer goes, if not into the message.
    pub(super) place: Option<Place>,
}

/// The outputs in the order asked for, each once.
pub(super) fn asked(request: &ModelInferRequest, regions: &Regions) -> Result<Vec<Asked>, Status> {
    let mut names = BTreeSet::new();
    let several = request.outputs.len() > 1;
    let mut outputs = Vec::with_capacity(request.outputs.len());
    for output in &request.outputs {
        if several && !names.insert(&output.name) {
            continue;
        }
        let place = regions.place(&output.name, &output.parameters)?;
        let classes = classes(&output.name, &output.parameters)?;
        if place.is_some() && classes.is_some() {
            return Err(Status::invalid_argument(format!(
                "output `{}`: classes are not written to shared memory",
                output.name
            )));
        }
        outputs.push(Asked { name: output.name.clone(), classes, place });
    }
    Ok(outputs)
}

fn classes(
    output: &str,
    parameters: &HashMap<String, InferParameter>,
) -> Result<Option<usize>, Status> {
    let Some(parameter) = parameters.get(CLASSIFICATION) else { return Ok(None) };
    match whole(parameter).and_then(|count| usize::try_from(count).ok()) {
        Some(0) => Ok(None),
        Some(count) => Ok(Some(count)),
        None => Err(Status::invalid_argument(format!(
            "output `{output}`: parameter {CLASSIFICATION} must be the number of classes"
        ))),
    }
}

/// How long the caller waits for the answer, from the moment the request is here; 0 is for ever.
pub(super) fn timeout(request: &ModelInferRequest) -> Result<Option<Duration>, Status> {
    match request.parameters.get("timeout").map(whole) {
        None | Some(Some(0)) => Ok(None),
        Some(Some(us)) => Ok(Some(Duration::from_micros(us))),
        Some(None) => {
            let said = "parameter timeout must be a whole number of microseconds";
            Err(Status::invalid_argument(said))
        }
    }
}

pub(super) fn is_true(parameter: &InferParameter) -> bool {
    match &parameter.parameter_choice {
        Some(ParameterChoice::BoolParam(value)) => *value,
        Some(ParameterChoice::StringParam(value)) => value == "true",
        Some(ParameterChoice::Int64Param(value)) => *value != 0,
        _ => false,
    }
}

/// A parameter that is a number, 0 or more.
pub(super) fn whole(parameter: &InferParameter) -> Option<u64> {
    match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(value)) => value.try_into().ok(),
        Some(ParameterChoice::Uint64Param(value)) => Some(value),
        _ => None,
    }
}

pub(super) fn of(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}
