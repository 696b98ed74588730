//! Events and requests as they go over the wire.

use features::event::Event;
use nodes::proto::hearth;
use nodes::proto::inference::ModelInferRequest;
use nodes::proto::inference::model_infer_request::InferInputTensor;

/// The same event as a message.
pub(crate) fn to_message(event: Event) -> hearth::Event {
    hearth::Event {
        event_id: event.event_id,
        device_id: event.device_id,
        kind: event.kind,
        event_time_us: event.event_time_us,
        value: event.value,
        unit: event.unit,
        source: event.source,
        boot_id: event.boot_id,
        seq: event.seq,
        attributes: event.attributes.into_iter().collect(),
    }
}

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
