//! Protocol tensors into the models' and back, typed or raw as the caller likes it.

use crate::proto::inference::model_infer_request::InferInputTensor;
use crate::proto::inference::model_infer_response::InferOutputTensor;
use crate::proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use models::{Data, Datatype, Tensor};
use tonic::Status;

/// The inputs of a request, and whether they came raw.
pub(super) fn read(request: &ModelInferRequest) -> Result<(Vec<Tensor>, bool), Status> {
    let raw = !request.raw_input_contents.is_empty();
    if raw && request.raw_input_contents.len() != request.inputs.len() {
        let said = format!(
            "{} inputs and {} raw_input_contents: with any raw input all must be raw, in the order of inputs",
            request.inputs.len(),
            request.raw_input_contents.len()
        );
        return Err(Status::invalid_argument(said));
    }
    let mut tensors = Vec::with_capacity(request.inputs.len());
    for (at, input) in request.inputs.iter().enumerate() {
        let tensor = match request.raw_input_contents.get(at) {
            Some(bytes) => {
                if input.contents.is_some() {
                    let said =
                        format!("input `{}` is both raw and typed: send one of them", input.name);
                    return Err(Status::invalid_argument(said));
                }
                let datatype = datatype(input)?;
                Tensor::from_raw(&input.name, datatype, input.shape.clone(), bytes)
            }
            None => Tensor::new(&input.name, input.shape.clone(), typed(input)?),
        };
        tensors.push(tensor.map_err(|error| Status::invalid_argument(error.to_string()))?);
    }
    Ok((tensors, raw))
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

/// Adds an output in the form that the caller used: a client that sends raw reads only raw.
pub(super) fn write(response: &mut ModelInferResponse, tensor: &Tensor, raw: bool) {
    let contents = if raw {
        response.raw_output_contents.push(tensor.to_raw());
        None
    } else {
        Some(contents(&tensor.data))
    };
    response.outputs.push(InferOutputTensor {
        name: tensor.name.clone(),
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape.clone(),
        contents,
        ..InferOutputTensor::default()
    });
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
