//! The `config` parameter of a load: a model configuration as JSON. What it may choose here is which
//! version answers; what it states of the model must be so; anything else is refused rather than ignored.

use serde_json::{Map, Value};

/// A configuration has some hundred bytes; one with every tensor of a wide model some thousand.
const BYTES_MAX: usize = 64 * 1_024;

/// Gives the version that the configuration chooses, if it chooses one.
pub(super) fn version(
    name: &str,
    text: &str,
    rows_max: i32,
    file: &str,
) -> Result<Option<String>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("config has {} bytes; at most {BYTES_MAX} are taken", text.len()));
    }
    let parsed = serde_json::from_str::<Value>(text);
    let Ok(Value::Object(config)) = parsed else {
        return Err("config must be one JSON object, a model configuration".to_owned());
    };
    let mut version = None;
    for (key, value) in &config {
        if is_empty(value) {
            continue;
        }
        match key.as_str() {
            "name" if value != name => {
                return Err(format!("config: name is {value}, but the call loads {name:?}"));
            }
            "platform" if value != "onnxruntime_onnx" => {
                return Err(format!("config: platform {value}: onnxruntime_onnx is served"));
            }
            "backend" if value != "onnxruntime" && value != "hearth" => {
                return Err(format!("config: backend {value}: onnxruntime is served"));
            }
            // Taking more rows than promised breaks no client.
            "max_batch_size" | "maxBatchSize"
                if value.as_i64().is_none_or(|rows| !(0..=i64::from(rows_max)).contains(&rows)) =>
            {
                return Err(format!("config: max_batch_size {value}: at most {rows_max}"));
            }
            "default_model_filename" | "defaultModelFilename" if value != file => {
                return Err(format!("config: default_model_filename {value}: it is {file}"));
            }
            "version_policy" | "versionPolicy" => version = chosen(value)?,
            "name"
            | "platform"
            | "backend"
            | "max_batch_size"
            | "maxBatchSize"
            | "default_model_filename"
            | "defaultModelFilename" => {}
            "input" | "output" => {
                return Err(format!("config: {key} is read from the model's file: leave it out"));
            }
            "dynamic_batching" | "dynamicBatching" => {
                let said = "config: dynamic_batching cannot be set: rows that are there run together, and none waits for others";
                return Err(said.to_owned());
            }
            _ => {
                return Err(format!(
                    "config: {key} cannot be set here; name, platform, backend, max_batch_size, version_policy and default_model_filename can"
                ));
            }
        }
    }
    Ok(version)
}

/// Protocol buffers do not tell a value of these apart from none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

/// `specific` with one version; `latest` with one and `all` leave the choice to the registry.
fn chosen(policy: &Value) -> Result<Option<String>, String> {
    let wrong = || {
        "config: version_policy must be latest with num_versions 1, all, or specific with one version"
            .to_owned()
    };
    let policy = policy.as_object().ok_or_else(wrong)?;
    let (Some((kind, value)), 1) = (policy.iter().next(), policy.len()) else {
        return Err(wrong());
    };
    let empty = Map::new();
    let value = value.as_object().unwrap_or(&empty);
    match kind.as_str() {
        "all" => Ok(None),
        "latest" => match value.get("num_versions").or_else(|| value.get("numVersions")) {
            None => Ok(None),
            Some(number) if whole(number) == Some(1) => Ok(None),
            Some(_) => Err(wrong()),
        },
        "specific" => match value.get("versions").and_then(Value::as_array).map(Vec::as_slice) {
            Some([version]) => {
                whole(version).map(|version| Some(version.to_string())).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// JSON of protocol buffers writes 64-bit numbers as text.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    fn version(text: &str) -> Result<Option<String>, String> {
        super::version("m", text, 4_096, "model.onnx")
    }

    #[test]
    fn what_is_so_may_be_said() {
        for text in [
            "{}",
            r#"{"name": "m", "backend": "onnxruntime", "max_batch_size": 8, "input": []}"#,
            r#"{"platform": "onnxruntime_onnx", "versionPolicy": {"latest": {"numVersions": 1}}}"#,
            r#"{"version_policy": {"all": {}}, "dynamic_batching": {}, "instance_group": null}"#,
            r#"{"default_model_filename": "model.onnx", "max_batch_size": 0}"#,
        ] {
            assert_eq!(version(text), Ok(None), "{text}");
        }
        for text in [
            r#"{"version_policy": {"specific": {"versions": [3]}}}"#,
            r#"{"versionPolicy": {"specific": {"versions": ["3"]}}}"#,
        ] {
            assert_eq!(version(text), Ok(Some("3".to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_not_so_or_cannot_be_is_refused_in_one_line() {
        for (text, word) in [
            ("", "JSON"),
            ("[]", "JSON"),
            ("{", "JSON"),
            (r#"{"name": "other"}"#, "other"),
            (r#"{"backend": "python"}"#, "onnxruntime"),
            (r#"{"platform": "tensorrt_plan"}"#, "onnxruntime"),
            (r#"{"max_batch_size": 100000}"#, "4096"),
            (r#"{"max_batch_size": -1}"#, "4096"),
            (r#"{"max_batch_size": "many"}"#, "4096"),
            (r#"{"input": [{"name": "X"}]}"#, "input"),
            (r#"{"dynamic_batching": {"max_queue_delay_microseconds": 100}}"#, "dynamic_batching"),
            (r#"{"instance_group": [{"count": 2}]}"#, "instance_group"),
            (r#"{"version_policy": {"specific": {"versions": [1, 2]}}}"#, "version_policy"),
            (r#"{"version_policy": {"latest": {"num_versions": 2}}}"#, "version_policy"),
            (r#"{"version_policy": 1}"#, "version_policy"),
            (r#"{"default_model_filename": "model.pt"}"#, "model.onnx"),
        ] {
            let said = version(text).unwrap_err();
            assert!(said.contains(word) && !said.contains('\n'), "{text}: {said}");
        }
        assert!(version(&format!("{{\"x\": \"{}\"}}", "y".repeat(70_000))).is_err());
    }
}
