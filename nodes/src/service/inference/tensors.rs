//! Protocol tensors into the models' and back, typed or raw as the caller likes it.

use super::shared_memory::{Place, Regions};
use crate::proto::inference::model_infer_request::InferInputTensor;
use crate::proto::inference::model_infer_response::InferOutputTensor;
use crate::proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use models::{Data, Datatype, Tensor};
use std::collections::BTreeSet;
use tonic::Status;

/// The inputs of a request, and whether its caller reads raw outputs: one that sends raw or names
/// shared memory reads nothing else.
pub(super) fn read(
    request: &ModelInferRequest,
    regions: &Regions,
) -> Result<(Vec<Tensor>, bool), Status> {
    let raw = !request.raw_input_contents.is_empty();
    let mut contents = request.raw_input_contents.iter();
    let (mut names, mut in_memory) = (BTreeSet::new(), 0);
    let mut tensors = Vec::with_capacity(request.inputs.len());
    for input in &request.inputs {
        if request.inputs.len() > 1 && !names.insert(&input.name) {
            let said = format!("input `{}` is there twice: send it once", input.name);
            return Err(Status::invalid_argument(said));
        }
        let tensor = if let Some(place) = regions.place(&input.name, &input.parameters)? {
            in_memory += 1;
            only_once(input)?;
            let datatype = datatype(input)?;
            let bytes = place.read(&input.name)?;
            Tensor::from_raw(&input.name, datatype, input.shape.clone(), &bytes)
        } else if raw {
            only_once(input)?;
            let datatype = datatype(input)?;
            let bytes = contents.next().ok_or_else(|| uneven(request, in_memory))?;
            Tensor::from_raw(&input.name, datatype, input.shape.clone(), bytes)
        } else {
            Tensor::new(&input.name, input.shape.clone(), typed(input)?)
        };
        tensors.push(tensor.map_err(|error| Status::invalid_argument(error.to_string()))?);
    }
    if contents.next().is_some() {
        return Err(uneven(request, in_memory));
    }
    Ok((tensors, raw || in_memory > 0))
}

fn only_once(input: &InferInputTensor) -> Result<(), Status> {
    if input.contents.is_none() {
        return Ok(());
    }
    let said = format!(
        "input `{}` has typed contents beside raw bytes or shared memory: send one of them",
        input.name
    );
    Err(Status::invalid_argument(said))
}

fn uneven(request: &ModelInferRequest, in_memory: usize) -> Status {
    let inputs = request.inputs.len() - in_memory;
    Status::invalid_argument(format!(
        "{inputs} inputs and {} raw_input_contents: with any raw input all must be raw, in the order of inputs",
        request.raw_input_contents.len()
    ))
}

fn datatype(input: &InferInputTensor) -> Result<Datatype, Status> {
    input.datatype.parse().map_err(|error: models::Error| {
        Status::invalid_argument(format!("input `{}`: {error}", input.name))
    })
}

fn typed(input: &InferInputTensor) -> Result<Data, Status> {
    let contents = input.contents.clone().unwrap_or_default();
    let narrow = || {
        Status::invalid_argument(format!(
            "input `{}` holds a number that {} cannot hold",
            input.name, input.datatype
        ))
    };
    Ok(match datatype(input)? {
        Datatype::Bool => Data::Bool(contents.bool_contents),
        Datatype::Int8 => Data::Int8(fit(&contents.int_contents).ok_or_else(narrow)?),
        Datatype::Int16 => Data::Int16(fit(&contents.int_contents).ok_or_else(narrow)?),
        Datatype::Int32 => Data::Int32(contents.int_contents),
        Datatype::Int64 => Data::Int64(contents.int64_contents),
        Datatype::Uint8 => Data::Uint8(fit(&contents.uint_contents).ok_or_else(narrow)?),
        Datatype::Uint16 => Data::Uint16(fit(&contents.uint_contents).ok_or_else(narrow)?),
        Datatype::Uint32 => Data::Uint32(contents.uint_contents),
        Datatype::Uint64 => Data::Uint64(contents.uint64_contents),
        Datatype::Fp32 => Data::Fp32(contents.fp32_contents),
        Datatype::Fp64 => Data::Fp64(contents.fp64_contents),
        Datatype::Bytes => Data::Bytes(contents.bytes_contents),
    })
}

fn fit<From: Copy, To: TryFrom<From>>(values: &[From]) -> Option<Vec<To>> {
    values.iter().map(|value| To::try_from(*value).ok()).collect()
}

/// Adds an output in the form that the caller reads, or leaves it in shared memory. A raw answer has
/// one entry for every output, empty where the bytes are elsewhere: clients count them.
pub(super) fn write(
    response: &mut ModelInferResponse,
    tensor: &Tensor,
    place: Option<&Place>,
    raw: bool,
) -> Result<(), Status> {
    let mut output = InferOutputTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape.clone(),
        ..InferOutputTensor::default()
    };
    match place {
        Some(place) => {
            output.parameters = place.write(&tensor.name, &tensor.to_raw())?;
            if raw {
                response.raw_output_contents.push(Vec::new());
            }
        }
        None if raw => response.raw_output_contents.push(tensor.to_raw()),
        None => output.contents = Some(contents(&tensor.data)),
    }
    response.outputs.push(output);
    Ok(())
}

fn contents(data: &Data) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match data {
        Data::Bool(all) => contents.bool_contents.clone_from(all),
        Data::Int8(all) => {
            contents.int_contents = all.iter().map(|each| i32::from(*each)).collect();
        }
        Data::Int16(all) => {
            contents.int_contents = all.iter().map(|each| i32::from(*each)).collect();
        }
        Data::Int32(all) => contents.int_contents.clone_from(all),
        Data::Int64(all) => contents.int64_contents.clone_from(all),
        Data::Uint8(all) => {
            contents.uint_contents = all.iter().map(|each| u32::from(*each)).collect();
        }
        Data::Uint16(all) => {
            contents.uint_contents = all.iter().map(|each| u32::from(*each)).collect();
        }
        Data::Uint32(all) => contents.uint_contents.clone_from(all),
        Data::Uint64(all) => contents.uint64_contents.clone_from(all),
        Data::Fp32(all) => contents.fp32_contents.clone_from(all),
        Data::Fp64(all) => contents.fp64_contents.clone_from(all),
        Data::Bytes(all) => contents.bytes_contents.clone_from(all),
    }
    contents
}
