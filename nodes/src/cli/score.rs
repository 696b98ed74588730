//! `hearth score`.

use super::args::Remote;
use super::output::{Format, print_rows, time_text};
use crate::client::scores_client;
use crate::json as messages;
use crate::proto::hearth::{Contribution, FeatureReading, ScoreRequest, ScoreResponse};
use clap::Args;
use serde_json::json;

const HEADINGS: [&str; 10] = [
    "entity",
    "model",
    "version",
    "score",
    "band",
    "log_index",
    "oldest_feature",
    "missing",
    "model_sha256",
    "decision_id",
];

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    model: String,
    /// The key of the model's entity
    entity: String,
    /// The version; empty for what the routing policy says
    #[arg(long, default_value = "")]
    version: String,
    /// Says what each feature added
    #[arg(long)]
    explain: bool,
    /// Gives each feature's value with its times and its status
    #[arg(long)]
    readings: bool,
    /// Writes the decision to the ledger
    #[arg(long)]
    record: bool,
    /// Why the score is asked for
    #[arg(long, default_value = "")]
    purpose: String,
    /// With --record: who is to look at the decision
    #[arg(long, default_value = "")]
    reviewer: String,
    /// safety, normal or batch; only lowers what the model's manifest says
    #[arg(long, default_value = "")]
    priority: String,
    /// Waits until the state has reached this log index
    #[arg(long, default_value_t = 0)]
    min_log_index: u64,
    /// NAME=NUMBER, a value that the view takes from the call; may be given several times
    #[arg(long = "request", value_parser = request_value)]
    request: Vec<(String, f64)>,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: ScoreArgs) -> anyhow::Result<()> {
    let request = ScoreRequest {
        model: args.model,
        version: args.version,
        entity: args.entity,
        explain: args.explain,
        min_log_index: args.min_log_index,
        record: args.record,
        purpose: args.purpose,
        reviewer: args.reviewer,
        priority: args.priority,
        readings: args.readings,
        request: args.request.into_iter().collect(),
    };
    let answer = args
        .remote
        .client()?
        .call(|channel| {
            let request = request.clone();
            async move { Ok(scores_client(channel).score(request).await?.into_inner()) }
        })
        .await?;
    if args.remote.format == Format::Json {
        println!("{}", messages::score(&answer));
        return Ok(());
    }
    let row = vec![
        json!(answer.entity),
        json!(answer.model),
        json!(answer.version),
        json!(answer.score),
        json!(answer.band),
        json!(answer.log_index),
        time_text(answer.oldest_feature_us),
        json!(answer.missing_features.join(" ")),
        json!(crate::hex::encode(&answer.model_sha256)),
        json!(answer.decision_id),
    ];
    print_rows(args.remote.format, &HEADINGS, &[row]);
    if args.explain {
        println!();
        print_contributions(&answer, args.remote.format);
    }
    if args.readings {
        println!();
        print_readings(&answer, args.remote.format);
    }
    Ok(())
}

fn request_value(text: &str) -> Result<(String, f64), String> {
    let (name, number) = text.split_once('=').ok_or("write NAME=NUMBER")?;
    let number = number.trim().parse().map_err(|_| format!("{number:?} is no number"))?;
    Ok((name.trim().to_owned(), number))
}

/// The last row is the base, from which the contributions lead to the score.
fn print_contributions(answer: &ScoreResponse, format: Format) {
    let row = |each: &Contribution| {
        vec![json!(each.feature), json!(each.value), json!(each.contribution), json!(each.reason)]
    };
    let mut rows: Vec<_> = answer.contributions.iter().map(row).collect();
    rows.push(vec![json!("(base)"), json!(null), json!(answer.base), json!(answer.link)]);
    print_rows(format, &["feature", "value", "contribution", "reason"], &rows);
}

fn print_readings(answer: &ScoreResponse, format: Format) {
    let row = |each: &FeatureReading| {
        vec![
            json!(each.feature),
            json!(each.value),
            json!(each.status),
            time_text(each.event_time_us),
            time_text(each.known_at_us),
            json!(each.log_index),
        ]
    };
    let rows: Vec<_> = answer.readings.iter().map(row).collect();
    let headings = ["feature", "value", "status", "event_time", "known_at", "log_index"];
    print_rows(format, &headings, &rows);
}
