//! The models that come with the program, pushed by a local cluster when it starts.

use crate::client::{Client, models_client};
use crate::proto::hearth::{ChangeModelRequest, ModelVersion, PushRequest};
use models::Package;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of a package in one message.
const CHUNK_BYTES: usize = 1 << 20;
const AUTHOR: &str = "hearth";
const READY_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

macro_rules! package {
    ($model:literal, $($file:literal),+) => {
        &[$(($file, include_bytes!(concat!("../../models/zoo/", $model, "/", $file)))),+]
    };
}

type Files = &'static [(&'static str, &'static [u8])];

const PACKAGES: [Files; 2] = [
    package!("fall_risk", "manifest.toml", "model.onnx", "golden.csv", "card.md"),
    package!("subsidy_triage", "manifest.toml", "model.linfa", "golden.csv", "card.md"),
];

/// Pushes, approves and activates every model that comes along; one that is there stays as it is.
pub(crate) async fn push_all(client: &Client) -> anyhow::Result<()> {
    for files in PACKAGES {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        let pushed = push(client, &Package::from_files(files)?, AUTHOR).await?;
        let state = pushed.state.as_str();
        if state == "validated" {
            change(client, &pushed, "approve").await?;
        }
        if matches!(state, "validated" | "approved") {
            change(client, &pushed, "activate").await?;
        }
        wait_ready(client, &pushed).await?;
    }
    Ok(())
}

/// Sends a package in parts.
pub(crate) async fn push(
    client: &Client,
    package: &Package,
    author: &str,
) -> anyhow::Result<ModelVersion> {
    let bytes = package.to_bytes();
    let parts: Vec<PushRequest> = bytes
        .chunks(CHUNK_BYTES)
        .map(|chunk| PushRequest { author: author.to_owned(), chunk: chunk.to_vec() })
        .collect();
    let pushed =
        client
            .call(|channel| {
                let parts = parts.clone();
                async move {
                    Ok(models_client(channel).push(tokio_stream::iter(parts)).await?.into_inner())
                }
            })
            .await?;
    Ok(pushed)
}

async fn change(client: &Client, model: &ModelVersion, action: &str) -> anyhow::Result<()> {
    let request = ChangeModelRequest {
        name: model.name.clone(),
        version: model.version.clone(),
        action: action.to_owned(),
        actor: AUTHOR.to_owned(),
        ..ChangeModelRequest::default()
    };
    client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(models_client(channel).change(request).await?.into_inner()) }
        })
        .await?;
    Ok(())
}

/// Waits until every node has the model in memory.
async fn wait_ready(client: &Client, model: &ModelVersion) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    for node in client.each() {
        loop {
            let request = crate::proto::hearth::ListModelsRequest {
                name: model.name.clone(),
                ..Default::default()
            };
            let listed = node.call(|channel| {
                let request = request.clone();
                async move { Ok(models_client(channel).list(request).await?.into_inner()) }
            });
            let known = listed.await.map(|answer| answer.models).unwrap_or_default();
            let own = known.iter().find(|each| each.version == model.version);
            match own {
                Some(own) if own.ready => break,
                _ if begun.elapsed() < READY_WITHIN => tokio::time::sleep(PAUSE).await,
                Some(own) => {
                    anyhow::bail!("model {} {} is not ready: {}", own.name, own.version, own.reason)
                }
                None => {
                    anyhow::bail!("model {} {} is not known everywhere", model.name, model.version)
                }
            }
        }
    }
    Ok(())
}
