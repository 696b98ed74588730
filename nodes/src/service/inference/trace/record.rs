//! One traced request as the objects of Triton's trace files.

use super::Traced;
use models::{Data, Tensor};
use serde_json::{Value, json};
use std::fmt::Display;
use std::time::Instant;

/// Elements of one tensor that a trace shows.
const ELEMENTS_MAX: usize = 4_096;

/// Instants as nanoseconds since 1970 that never run back.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    started_ns: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), started_ns: crate::clock::now_us() as u64 * 1_000 }
    }

    fn ns(&self, at: Instant) -> u64 {
        self.started_ns + at.saturating_duration_since(self.started).as_nanos() as u64
    }
}

#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) id: u64,
    pub(super) clock: &'a Clock,
    pub(super) of: &'a Traced<'a>,
}

impl Record<'_> {
    pub(super) fn items(&self, timestamps: bool, tensors: bool) -> Vec<Value> {
        let Traced { model, version, request_id, inputs, outputs, .. } = *self.of;
        let mut head = json!({ "id": self.id, "model_name": model });
        // A number in Triton; versions here may be words.
        head["model_version"] = match version.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => version.into(),
        };
        if !request_id.is_empty() {
            head["request_id"] = request_id.into();
        }
        let mut items = vec![head];
        if timestamps {
            items.extend(self.stamps().into_iter().map(|(name, at)| {
                let stamp = json!({ "name": name, "ns": self.clock.ns(at) });
                json!({ "id": self.id, "timestamps": [stamp] })
            }));
        }
        if tensors {
            items.extend(inputs.iter().map(|each| self.tensor("TENSOR_QUEUE_INPUT", each)));
            items.extend(outputs.iter().map(|each| self.tensor("TENSOR_BACKEND_OUTPUT", each)));
        }
        items
    }

    /// As far as the request came, in order.
    fn stamps(&self) -> Vec<(&'static str, Instant)> {
        let moments = self.of.moments;
        let stamps = [
            ("REQUEST_START", Some(moments.begun)),
            ("QUEUE_START", Some(moments.begun)),
            ("COMPUTE_START", Some(moments.admitted)),
            ("COMPUTE_INPUT_END", moments.inputs_read),
            ("COMPUTE_OUTPUT_START", moments.inferred),
            ("COMPUTE_END", moments.inferred.map(|_| self.of.ended)),
            ("REQUEST_END", Some(self.of.ended)),
        ];
        stamps.into_iter().filter_map(|(name, at)| Some((name, at?))).collect()
    }

    fn tensor(&self, activity: &str, tensor: &Tensor) -> Value {
        json!({
            "id": self.id,
            "activity": activity,
            "tensor": {
                "name": tensor.name,
                "data": text(&tensor.data),
                "shape": listed(&tensor.shape, tensor.shape.len()),
                "dtype": tensor.datatype.name(),
            }
        })
    }
}

fn listed<T: Display>(all: &[T], of: usize) -> String {
    let shown: Vec<String> = all.iter().take(ELEMENTS_MAX).map(ToString::to_string).collect();
    let rest = if of > ELEMENTS_MAX { ",..." } else { "" };
    shown.join(",") + rest
}

fn text(data: &Data) -> String {
    let of = data.len();
    match data {
        Data::Bool(all) => listed(all, of),
        Data::Int8(all) => listed(all, of),
        Data::Int16(all) => listed(all, of),
        Data::Int32(all) => listed(all, of),
        Data::Int64(all) => listed(all, of),
        Data::Uint8(all) => listed(all, of),
        Data::Uint16(all) => listed(all, of),
        Data::Uint32(all) => listed(all, of),
        Data::Uint64(all) => listed(all, of),
        Data::Fp32(all) => listed(all, of),
        Data::Fp64(all) => listed(all, of),
        Data::Bytes(all) => {
            let quoted = all.iter().take(ELEMENTS_MAX);
            let quoted: Vec<String> =
                quoted.map(|each| format!("\"{}\"", String::from_utf8_lossy(each))).collect();
            listed(&quoted, of)
        }
    }
}
