//! The rows that every system scores: residents' features as hearth recorded them with its own scores.

use crate::messages::by_entity;
use anyhow::Context as _;
use benches::resident_key;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use nodes::proto::hearth::scores_client::ScoresClient;
use nodes::proto::hearth::{GetDecisionRequest, ScoreRequest};
use nodes::proto::inference::model_infer_request::InferInputTensor;
use nodes::proto::inference::{ModelInferRequest, ModelInferResponse};
use std::fmt::Write as _;
use std::path::Path;
use tonic::transport::Channel;

pub(crate) const MODEL: &str = "fall_risk";
/// Decisions on their way at once.
const AT_ONCE: usize = 32;
/// What an output may differ by.
pub(crate) const TOLERANCE: f64 = 1e-6;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) resident: String,
    pub(crate) features: Vec<f32>,
    pub(crate) score: f64,
}

#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) names: Vec<String>,
    pub(crate) all: Vec<Row>,
}

impl Rows {
    /// Has the first residents scored by key and reads back what they were scored on.
    pub(crate) async fn read(scores: &ScoresClient<Channel>, homes: u32) -> anyhow::Result<Self> {
        let decisions = stream::iter(0..homes).map(|home| decide(scores.clone(), home));
        let decided: Vec<_> = decisions.buffered(AT_ONCE).try_collect().await?;
        let names = decided.first().map(|(names, _)| names.clone()).context("no residents")?;
        Ok(Self { names, all: decided.into_iter().map(|(_, row)| row).collect() })
    }

    pub(crate) fn by_entity(&self, model: &str) -> Vec<ModelInferRequest> {
        self.all.iter().map(|row| by_entity(model, &row.resident)).collect()
    }

    pub(crate) fn by_features(&self, model: &str) -> Vec<ModelInferRequest> {
        let request = |row: &Row| ModelInferRequest {
            model_name: model.to_owned(),
            inputs: vec![InferInputTensor {
                name: "features".to_owned(),
                datatype: "FP32".to_owned(),
                shape: vec![1, row.features.len() as i64],
                ..InferInputTensor::default()
            }],
            raw_input_contents: vec![packed(&row.features)],
            ..ModelInferRequest::default()
        };
        self.all.iter().map(request).collect()
    }

    pub(crate) fn write_csv(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = format!("resident_key,{}\n", self.names.join(","));
        for row in &self.all {
            // Writing into a string cannot fail; the shortest form of a float reads back as the same one.
            let _ = write!(text, "{}", row.resident);
            for value in &row.features {
                let _ = write!(text, ",{value}");
            }
            text.push('\n');
        }
        Ok(std::fs::write(path, text)?)
    }
}

async fn decide(
    mut scores: ScoresClient<Channel>,
    home: u32,
) -> anyhow::Result<(Vec<String>, Row)> {
    let resident = resident_key(home);
    let request = ScoreRequest {
        model: MODEL.to_owned(),
        entity: resident.clone(),
        record: true,
        purpose: "bench".to_owned(),
        ..ScoreRequest::default()
    };
    let answer = scores.score(request).await?.into_inner();
    let request = GetDecisionRequest { decision_id: answer.decision_id };
    let decision = scores.get_decision(request).await?.into_inner();
    let names = decision.features.iter().map(|each| each.feature.clone()).collect();
    let features = decision.features.iter().map(|each| each.value as f32).collect();
    Ok((names, Row { resident, features, score: answer.score }))
}

pub(crate) fn packed(features: &[f32]) -> Vec<u8> {
    features.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The score of an answer, raw or typed.
pub(crate) fn score_of(answer: &ModelInferResponse) -> anyhow::Result<f64> {
    let at = answer.outputs.iter().position(|output| output.name == "score");
    let at = at.context("an answer without a score")?;
    let raw = answer.raw_output_contents.get(at).and_then(|raw| raw.as_chunks::<4>().0.first());
    if let Some(raw) = raw {
        return Ok(f32::from_le_bytes(*raw).into());
    }
    let typed = answer.outputs[at].contents.as_ref().context("an empty score")?;
    typed.fp32_contents.first().map(|score| f64::from(*score)).context("an empty score")
}
