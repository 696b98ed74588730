//! `hearth alert silence`, `unsilence` and `silences`.

use super::args::Remote;
use super::output::{Failure, print_rows, time_text};
use crate::client::{Client, alerts_client};
use crate::proto::hearth::{BeginSilenceRequest, EndSilenceRequest, ListSilencesRequest, Silence};
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct SilenceArgs {
    /// What is worked on
    #[arg(value_parser = ["device", "dwelling", "building", "gateway"])]
    scope: String,
    /// Its id in the register; of a gateway, the source that its devices are heard by
    key: String,
    /// How long; smoke, gas and what else the rules name are silenced for no longer than they say
    #[arg(long)]
    minutes: u32,
    /// Why
    #[arg(long)]
    why: String,
    /// Only these kinds of alerts
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// A test: what fires in it is closed as the test, and not told at its end
    #[arg(long)]
    test: bool,
    /// Who silences it
    #[arg(long, env = "USER", default_value = "operator")]
    actor: String,
    /// A repeat with the same id while the silence is on changes nothing
    #[arg(long, default_value = "")]
    request_id: String,
}

#[derive(Debug, Args)]
pub(crate) struct UnsilenceArgs {
    silence_id: String,
    /// Why
    #[arg(long, default_value = "")]
    why: String,
    /// Who ends it
    #[arg(long, env = "USER", default_value = "operator")]
    actor: String,
}

pub(crate) async fn begin(
    client: &Client,
    args: SilenceArgs,
    remote: &Remote,
) -> anyhow::Result<()> {
    let Some(for_s) = args.minutes.checked_mul(60) else {
        return Err(Failure::usage("--minutes is too large").into());
    };
    let mode = if args.test { "test" } else { "maintenance" };
    let request = BeginSilenceRequest {
        scope: args.scope,
        key: args.key,
        kinds: args.kinds,
        mode: mode.to_owned(),
        for_s,
        actor: args.actor,
        reason: args.why,
        request_id: args.request_id,
    };
    let silence = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).begin_silence(request).await?.into_inner()) }
        })
        .await?;
    print_silences(&[silence], remote);
    Ok(())
}

pub(crate) async fn end(
    client: &Client,
    args: UnsilenceArgs,
    remote: &Remote,
) -> anyhow::Result<()> {
    let request =
        EndSilenceRequest { silence_id: args.silence_id, actor: args.actor, reason: args.why };
    let silence = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).end_silence(request).await?.into_inner()) }
        })
        .await?;
    print_silences(&[silence], remote);
    Ok(())
}

pub(crate) async fn list(client: &Client, remote: &Remote) -> anyhow::Result<()> {
    let answer = client
        .call(|channel| async move {
            let request = ListSilencesRequest {};
            Ok(alerts_client(channel).list_silences(request).await?.into_inner())
        })
        .await?;
    print_silences(&answer.silences, remote);
    Ok(())
}

fn print_silences(silences: &[Silence], remote: &Remote) {
    let headings = [
        "silence_id",
        "scope",
        "key",
        "kinds",
        "mode",
        "from",
        "until",
        "hazards_until",
        "actor",
        "reason",
        "cases",
    ];
    let rows: Vec<Vec<Value>> = silences
        .iter()
        .map(|silence| {
            vec![
                json!(silence.silence_id),
                json!(silence.scope),
                json!(silence.key),
                json!(silence.kinds.join(", ")),
                json!(silence.mode),
                time_text(silence.from_us),
                time_text(silence.until_us),
                time_text(silence.hazards_until_us),
                json!(silence.actor),
                json!(silence.reason),
                json!(silence.cases),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}
