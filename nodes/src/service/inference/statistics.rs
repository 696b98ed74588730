//! How often models ran and what that took, as Triton's clients ask for it.

use super::describe::resolve;
use crate::node::Node;
use crate::proto::inference::{
    InferBatchStatistics, InferStatistics, ModelStatistics, ModelStatisticsResponse,
    StatisticDuration,
};
use crate::serving::{Counted, Loaded};
use tonic::Status;

/// Of one version, of all loaded ones of a model where no version is given, or of every model.
pub(super) fn statistics(
    node: &Node,
    name: &str,
    version: &str,
) -> Result<ModelStatisticsResponse, Status> {
    let loaded = || node.serving().all_loaded().into_iter();
    let mut models: Vec<_> = match (name, version) {
        ("", _) => loaded().collect(),
        (name, "") => loaded().filter(|each| each.name() == name).collect(),
        _ => Vec::new(),
    };
    if models.is_empty() && !name.is_empty() {
        models.push(resolve(node, name, version)?);
    }
    Ok(ModelStatisticsResponse {
        model_stats: models.iter().map(|loaded| counted(loaded)).collect(),
    })
}

fn counted(loaded: &Loaded) -> ModelStatistics {
    let tally = loaded.runs.tally();
    let Counted { count, input_ns, infer_ns, output_ns } = tally.all;
    let duration = |ns| Some(StatisticDuration { count, ns });
    let batches = tally.batches.iter().map(|(rows, of)| {
        let duration = |ns| Some(StatisticDuration { count: of.count, ns });
        InferBatchStatistics {
            batch_size: *rows,
            compute_input: duration(of.input_ns),
            compute_infer: duration(of.infer_ns),
            compute_output: duration(of.output_ns),
        }
    });
    ModelStatistics {
        name: loaded.name().to_owned(),
        version: loaded.version().to_owned(),
        last_inference: tally.last_ms,
        inference_count: tally.rows,
        execution_count: count,
        inference_stats: Some(InferStatistics {
            success: duration(tally.success_ns),
            fail: Some(StatisticDuration { count: tally.fail, ns: tally.fail_ns }),
            queue: duration(tally.queue_ns),
            compute_input: duration(input_ns),
            compute_infer: duration(infer_ns),
            compute_output: duration(output_ns),
            // No answer is ever kept for a later request.
            cache_hit: Some(StatisticDuration::default()),
            cache_miss: Some(StatisticDuration::default()),
        }),
        batch_stats: batches.collect(),
    }
}
