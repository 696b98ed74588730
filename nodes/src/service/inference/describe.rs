//! What a model takes and gives, and its configuration, as Triton's clients ask for them.

use super::infer::{ENTITY, FEATURES, takes_features};
use crate::node::Node;
use crate::proto::inference::model_metadata_response::TensorMetadata;
use crate::proto::inference::model_version_policy::{self, PolicyChoice};
use crate::proto::inference::{
    DataType, ModelConfig, ModelConfigResponse, ModelInput, ModelInstanceGroup,
    ModelMetadataResponse, ModelOutput, ModelParameter, ModelTransactionPolicy, ModelVersionPolicy,
    model_instance_group,
};
use crate::service::status::from_serving;
use crate::serving::Loaded;
use models::{CARD, Datatype, Format, TensorSpec};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::Status;

/// Rows that a client may put into one request, as a model's configuration tells it.
pub(super) fn rows_max(node: &Node) -> i32 {
    i32::try_from(node.config().limits.rows_per_request).unwrap_or(i32::MAX)
}

pub(super) fn resolve(node: &Node, name: &str, version: &str) -> Result<Arc<Loaded>, Status> {
    node.serving()
        .resolve(&node.machine().read(), name, version)
        .map_err(|error| from_serving(&error))
}

/// Refuses a name that no model has.
pub(super) fn known(node: &Node, name: &str) -> Result<(), Status> {
    let state = node.machine().read();
    if state.registry.names().any(|each| each == name) {
        return Ok(());
    }
    Err(Status::not_found(format!("no model {name:?}")))
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
    Ok(ModelMetadataResponse {
        name: loaded.name().to_owned(),
        versions,
        platform: platform(&loaded).to_owned(),
        inputs: inputs.iter().map(describe).collect(),
        outputs: outputs.iter().map(describe).collect(),
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
        max_batch_size: if batched { rows_max(node) } else { 0 },
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
        // Each approved version answers to its number, the active one also to none.
        version_policy: Some(ModelVersionPolicy {
            policy_choice: Some(PolicyChoice::All(model_version_policy::All {})),
        }),
        instance_group: vec![ModelInstanceGroup {
            name: loaded.name().to_owned(),
            count: 1,
            kind: model_instance_group::Kind::Cpu.into(),
        }],
        default_model_filename: loaded.manifest().format.file().to_owned(),
        parameters: stated(node, &loaded),
        backend: "hearth".to_owned(),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
    };
    Ok(ModelConfigResponse { config: Some(config) })
}

/// What is known of the model beyond its tensors; in the metadata it would have no place that all clients
/// can read: the protocol and MLServer give the field another type each.
fn stated(node: &Node, loaded: &Loaded) -> HashMap<String, ModelParameter> {
    let manifest = loaded.manifest();
    let mut stated = vec![
        ("model_sha256", loaded.sha256_hex().to_owned()),
        ("engine", loaded.model().engine().to_owned()),
        ("author", manifest.author.clone()),
        ("intended_use", manifest.intended_use.clone()),
    ];
    let card = node.serving().document(loaded.name(), loaded.version(), CARD);
    stated.extend(card.map(|card| ("card", card)));
    if let Some(view) = loaded.view() {
        let kind = &manifest.entity;
        stated.push(("feature_view", view.name().to_owned()));
        stated.push(("features", manifest.features.join(",")));
        stated.push((
            "entity_input",
            format!("{ENTITY} BYTES [-1,1]: a {kind} key, the node reads the features"),
        ));
        let values: Vec<String> = view
            .request()
            .iter()
            .map(|value| {
                let default = value.default.map_or_else(
                    || "must be sent".to_owned(),
                    |default| format!("{default} where it is left out"),
                );
                format!("{} FP32 [-1,1]: {default}", value.name)
            })
            .collect();
        if !values.is_empty() {
            stated.push(("request_inputs", values.join("; ")));
        }
    }
    let parameter = |string_value| ModelParameter { string_value };
    stated.into_iter().map(|(key, value)| (key.to_owned(), parameter(value))).collect()
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
