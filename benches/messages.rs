//! Events and requests as they go over the wire.

use nodes::proto::inference::ModelInferRequest;
use nodes::proto::inference::model_infer_request::InferInputTensor;

/// Scores one resident by key, as Triton's clients write it: raw.
pub(crate) fn by_entity(model: &str, resident: &str) -> ModelInferRequest {
    let mut raw = (resident.len() as u32).to_le_bytes().to_vec();
    raw.extend_from_slice(resident.as_bytes());
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            name: "entity".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![1, 1],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![raw],
        ..ModelInferRequest::default()
    }
}
