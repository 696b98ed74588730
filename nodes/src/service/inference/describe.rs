//! What a model takes and gives, its configuration and its counters, as Triton's clients ask for them.

use super::infer::{ENTITY, FEATURES, takes_features};
use crate::node::Node;
use crate::proto::inference::model_metadata_response::TensorMetadata;
use crate::proto::inference::{
    DataType, InferStatistics, ModelConfig, ModelConfigResponse, ModelInput, ModelMetadataResponse,
    ModelOutput, ModelStatistics, ModelStatisticsResponse, StatisticDuration,
};
use crate::service::status::from_serving;
use crate::serving::{Loaded, Runs};
use models::{Datatype, Format, TensorSpec};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::Status;

/// Rows that a client may put into one request, as the configuration tells it.
const BATCH_MAX: i32 = 4_096;

fn resolve(node: &Node, name: &str, version: &str) -> Result<Arc<Loaded>, Status> {
    node.serving()
        .resolve(&node.machine().read(), name, version)
        .map_err(|error| from_serving(&error))
}

/// The tensors as a caller sees them: a model of features takes them, a bare file its own inputs.
fn tensors(loaded: &Loaded) -> (Vec<TensorSpec>, Vec<TensorSpec>) {
    let model = loaded.model();
    let score = TensorSpec::new("score", Datatype::Fp32, [-1, 1]);
    if takes_features(loaded) {
        let features = TensorSpec::new(FEATURES, Datatype::Fp32, [-1, model.features() as i64]);
        return (vec![features], vec![score, TensorSpec::new("band", Datatype::Bytes, [-1, 1])]);
    }
    let mut outputs = model.outputs().to_vec();
    if model.has_score() && outputs.iter().all(|spec| spec.name != "score") {
        outputs.push(score);
    }
    (model.inputs().to_vec(), outputs)
}

fn platform(loaded: &Loaded) -> &'static str {
    match loaded.manifest().format {
        Format::Onnx => "onnxruntime_onnx",
        Format::Linfa => "linfa",
    }
}

pub(super) fn metadata(
    node: &Node,
    name: &str,
    version: &str,
) -> Result<ModelMetadataResponse, Status> {
    let loaded = resolve(node, name, version)?;
    let versions = {
        let state = node.machine().read();
        let named = state.registry.versions().filter(|(each, _)| *each == name);
        named.map(|(_, known)| known.version.clone()).collect()
    };
    let (inputs, outputs) = tensors(&loaded);
    let describe = |spec: &TensorSpec| TensorMetadata {
        name: spec.name.clone(),
        datatype: spec.datatype.name().to_owned(),
        shape: spec.shape.clone(),
    };
    let manifest = loaded.manifest();
    let mut properties = vec![
        ("model_sha256", crate::hex::encode(&loaded.sha256())),
        ("engine", loaded.model().engine().to_owned()),
        ("author", manifest.author.clone()),
        ("intended_use", manifest.intended_use.clone()),
    ];
    if let Some(view) = loaded.view() {
        properties.push(("feature_view", view.name().to_owned()));
        properties.push(("features", manifest.features.join(",")));
        properties.push((
            "entity_input",
            format!(
                "{ENTITY} BYTES [-1,1]: a {} key, the node reads the features",
                manifest.entity
            ),
        ));
    }
    Ok(ModelMetadataResponse {
        name: loaded.name().to_owned(),
        versions,
        platform: platform(&loaded).to_owned(),
        inputs: inputs.iter().map(describe).collect(),
        outputs: outputs.iter().map(describe).collect(),
        properties: properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    })
}

pub(super) fn config(
    node: &Node,
    name: &str,
    version: &str,
) -> Result<ModelConfigResponse, Status> {
    let loaded = resolve(node, name, version)?;
    let (inputs, outputs) = tensors(&loaded);
    // Dimensions leave the batch out, where the batch is free everywhere.
    let batched = inputs.iter().chain(&outputs).all(|spec| spec.shape.first() == Some(&-1));
    let dims = |spec: &TensorSpec| {
        spec.shape.iter().skip(usize::from(batched)).copied().collect::<Vec<i64>>()
    };
    let config = ModelConfig {
        name: loaded.name().to_owned(),
        platform: platform(&loaded).to_owned(),
        max_batch_size: if batched { BATCH_MAX } else { 0 },
        input: inputs
            .iter()
            .map(|spec| ModelInput {
                name: spec.name.clone(),
                data_type: data_type(spec.datatype).into(),
                dims: dims(spec),
            })
            .collect(),
        output: outputs
            .iter()
            .map(|spec| ModelOutput {
                name: spec.name.clone(),
                data_type: data_type(spec.datatype).into(),
                dims: dims(spec),
            })
            .collect(),
        backend: "hearth".to_owned(),
    };
    Ok(ModelConfigResponse { config: Some(config) })
}

fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}

/// Counters of one model, or of every loaded one where no name is given.
pub(super) fn statistics(
    node: &Node,
    name: &str,
    version: &str,
) -> Result<ModelStatisticsResponse, Status> {
    let models = if name.is_empty() {
        node.serving().all_loaded()
    } else {
        vec![resolve(node, name, version)?]
    };
    Ok(ModelStatisticsResponse {
        model_stats: models.iter().map(|loaded| counted(loaded)).collect(),
    })
}

fn counted(loaded: &Loaded) -> ModelStatistics {
    let Runs { success, success_ns, fail, fail_ns, rows, last_ms } = &loaded.runs;
    let duration = |count: &std::sync::atomic::AtomicU64, ns: &std::sync::atomic::AtomicU64| {
        StatisticDuration { count: count.load(Ordering::Relaxed), ns: ns.load(Ordering::Relaxed) }
    };
    let done = duration(success, success_ns);
    let nothing = StatisticDuration { count: done.count, ns: 0 };
    ModelStatistics {
        name: loaded.name().to_owned(),
        version: loaded.version().to_owned(),
        last_inference: last_ms.load(Ordering::Relaxed),
        inference_count: rows.load(Ordering::Relaxed),
        execution_count: done.count,
        inference_stats: Some(InferStatistics {
            success: Some(done),
            fail: Some(duration(fail, fail_ns)),
            // Nothing waits and nothing is converted apart from the run: it is one step here.
            queue: Some(nothing),
            compute_input: Some(nothing),
            compute_infer: Some(done),
            compute_output: Some(nothing),
            cache_hit: Some(StatisticDuration::default()),
            cache_miss: Some(StatisticDuration::default()),
        }),
    }
}
