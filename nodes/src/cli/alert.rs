//! `hearth alert`.

use super::args::Remote;
use super::output::{print_rows, time_text};
use crate::client::alerts_client;
use crate::json as messages;
use crate::proto::hearth::{ActRequest, Alert, ListAlertsRequest, WatchAlertsRequest};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Alerts, newest first
    List {
        /// Only this region and what lies below it
        #[arg(long, default_value = "")]
        region: String,
        /// Only alerts in these states of work
        #[arg(long, value_delimiter = ',')]
        state: Vec<String>,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Every change as it happens, one JSON object a line, until interrupted
    Watch {
        #[arg(long, default_value = "")]
        region: String,
        #[arg(long, default_value_t = 0)]
        from_log_index: u64,
    },
    /// One step: ack dispatch arrive feedback verify close reopen silence reassign
    Act {
        alert_id: String,
        action: String,
        /// Who acts
        #[arg(long, env = "USER", default_value = "operator")]
        actor: String,
        #[arg(long, default_value = "")]
        note: String,
        /// What it was; needed to close
        #[arg(long, default_value = "")]
        outcome: String,
        /// A repeat with the same id changes nothing
        #[arg(long, default_value = "")]
        action_id: String,
    },
}

pub(crate) async fn run(command: AlertCommand, remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    match command {
        AlertCommand::List { region, state, limit } => {
            let request = ListAlertsRequest { region, states: state, limit, page: String::new() };
            let answer = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(alerts_client(channel).list(request).await?.into_inner()) }
                })
                .await?;
            print_alerts(&answer.alerts, remote);
        }
        AlertCommand::Watch { region, from_log_index } => {
            let request = WatchAlertsRequest { region, from_log_index };
            let mut stream = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(alerts_client(channel).watch(request).await?.into_inner()) }
                })
                .await?;
            while let Some(alert) = stream.message().await? {
                println!("{}", messages::alert(&alert));
            }
        }
        AlertCommand::Act { alert_id, action, actor, note, outcome, action_id } => {
            let request = ActRequest { alert_id, action, actor, note, outcome, action_id };
            let alert = client
                .call(|channel| {
                    let request = request.clone();
                    async move { Ok(alerts_client(channel).act(request).await?.into_inner()) }
                })
                .await?;
            print_alerts(&[alert], remote);
        }
    }
    Ok(())
}

fn print_alerts(alerts: &[Alert], remote: &Remote) {
    let headings = [
        "alert_id",
        "kind",
        "severity",
        "level",
        "condition",
        "work",
        "dwelling",
        "raised",
        "due",
        "outcome",
    ];
    let rows: Vec<Vec<Value>> = alerts
        .iter()
        .map(|alert| {
            vec![
                json!(alert.alert_id),
                json!(alert.kind),
                json!(alert.severity),
                json!(alert.level),
                json!(alert.condition),
                json!(alert.work),
                json!(alert.dwelling_id),
                time_text(alert.raised_us),
                time_text(alert.due_us),
                json!(alert.outcome),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}
