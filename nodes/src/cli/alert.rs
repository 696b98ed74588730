//! `hearth alert`.

use super::args::Remote;
use super::output::{Format, print_rows, time_text};
use crate::client::{Client, alerts_client};
use crate::json as messages;
use crate::proto::hearth::{
    ActRequest, Alert, FamilyFeedRequest, ListAlertsRequest, ListNoticesRequest, WatchAlertsRequest,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Alerts, newest first, and who is to act until when
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
    /// One alert with its history and whom it told
    Show { alert_id: String },
    /// Every change as it happens, one JSON object a line, until interrupted
    Watch {
        #[arg(long, default_value = "")]
        region: String,
        #[arg(long, default_value_t = 0)]
        from_log_index: u64,
    },
    /// One step: ack dispatch depart arrive feedback verify close reopen silence reassign escalate
    /// inform merge
    Act(ActArgs),
    /// Notices to people that are on their way; all there ever were are in the table `notice`
    Notices {
        /// Only those of one alert
        #[arg(default_value = "")]
        alert_id: String,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Tells nobody of a place that people work on or test, for a stated time
    Silence(super::silence::SilenceArgs),
    /// Ends a silence before its time
    Unsilence(super::silence::UnsilenceArgs),
    /// The silences that are on; all there ever were are in the table `silence`
    Silences,
    /// What a relative sees, one JSON object a line, until interrupted or consent is withdrawn
    Family {
        /// The relative's key: `relation.other_key`
        relative_key: String,
    },
    /// Who is told, and how long each step may take
    #[command(subcommand)]
    Linkage(super::casework::LinkageCommand),
    /// Who is on duty
    #[command(subcommand)]
    Roster(super::casework::RosterCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    alert_id: String,
    action: String,
    /// Who acts
    #[arg(long, env = "USER", default_value = "operator")]
    actor: String,
    /// What they are to the case; by default what it knows them as
    #[arg(long, default_value = "")]
    role: String,
    #[arg(long, default_value = "")]
    note: String,
    /// What it was; needed to close
    #[arg(long, default_value = "")]
    outcome: String,
    /// dispatch, reassign: who is sent, or has it in hand
    #[arg(long, default_value = "")]
    to: String,
    /// feedback: a photo, a report or its hash
    #[arg(long, default_value = "")]
    reference: String,
    /// silence: for how many minutes
    #[arg(long, default_value_t = 0)]
    minutes: u32,
    /// merge: the open alert that this one is a duplicate of
    #[arg(long, default_value = "")]
    into: String,
    /// A repeat with the same id changes nothing
    #[arg(long, default_value = "")]
    action_id: String,
}

pub(crate) async fn run(command: AlertCommand, remote: &Remote) -> anyhow::Result<()> {
    let client = remote.client()?;
    match command {
        AlertCommand::List { region, state, limit } => {
            let request =
                ListAlertsRequest { region, states: state, limit, ..ListAlertsRequest::default() };
            print_alerts(&list(&client, request).await?, remote);
        }
        AlertCommand::Show { alert_id } => show(&client, alert_id, remote).await?,
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
        AlertCommand::Act(args) => {
            let alert = act(&client, args).await?;
            print_alerts(&[alert], remote);
        }
        AlertCommand::Notices { alert_id, limit } => {
            notices(&client, ListNoticesRequest { alert_id, limit }, remote).await?;
        }
        AlertCommand::Silence(args) => super::silence::begin(&client, args, remote).await?,
        AlertCommand::Unsilence(args) => super::silence::end(&client, args, remote).await?,
        AlertCommand::Silences => super::silence::list(&client, remote).await?,
        AlertCommand::Family { relative_key } => family(&client, relative_key).await?,
        AlertCommand::Linkage(command) => super::casework::linkage(&client, command).await?,
        AlertCommand::Roster(command) => super::casework::roster(&client, command, remote).await?,
    }
    Ok(())
}

async fn list(client: &Client, request: ListAlertsRequest) -> anyhow::Result<Vec<Alert>> {
    let answer = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).list(request).await?.into_inner()) }
        })
        .await?;
    Ok(answer.alerts)
}

async fn show(client: &Client, alert_id: String, remote: &Remote) -> anyhow::Result<()> {
    let request = ListAlertsRequest { alert_id: alert_id.clone(), ..ListAlertsRequest::default() };
    let found = list(client, request).await?;
    let Some(alert) = found.first() else {
        let said = format!("no alert {alert_id:?} in memory: older ones are in the table alert");
        return Err(super::output::Failure::refused(said).into());
    };
    if remote.format == Format::Json {
        println!("{}", messages::alert(alert));
        return Ok(());
    }
    print_alerts(&found, remote);
    println!();
    let headings = ["at", "from", "to", "actor", "role", "reason"];
    let rows: Vec<Vec<Value>> = alert
        .history
        .iter()
        .map(|step| {
            vec![
                time_text(step.at_us),
                json!(step.from),
                json!(step.to),
                json!(step.actor),
                json!(step.actor_role),
                json!(step.reason),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
    println!("\npossible now: {}", alert.possible.join(", "));
    Ok(())
}

async fn act(client: &Client, args: ActArgs) -> anyhow::Result<Alert> {
    let request = ActRequest {
        alert_id: args.alert_id,
        action: args.action,
        actor: args.actor,
        actor_role: args.role,
        note: args.note,
        outcome: args.outcome,
        action_id: args.action_id,
        assignee: args.to,
        reference: args.reference,
        happened_us: 0,
        silence_s: args.minutes.saturating_mul(60),
        into: args.into,
    };
    let alert = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).act(request).await?.into_inner()) }
        })
        .await?;
    Ok(alert)
}

async fn notices(
    client: &Client,
    request: ListNoticesRequest,
    remote: &Remote,
) -> anyhow::Result<()> {
    let answer = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).list_notices(request).await?.into_inner()) }
        })
        .await?;
    let headings = ["notice_id", "level", "person", "role", "what", "attempts", "since", "next"];
    let rows: Vec<Vec<Value>> = answer
        .notices
        .iter()
        .map(|notice| {
            vec![
                json!(notice.notice_id),
                json!(notice.level),
                json!(notice.person),
                json!(notice.role),
                json!(notice.what),
                json!(notice.attempts),
                time_text(notice.at_us),
                time_text(notice.next_us),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
    eprintln!(
        "{} waiting, {} delivered, {} dead, {} withdrawn, {} refused",
        answer.waiting, answer.delivered, answer.dead, answer.withdrawn, answer.refused
    );
    Ok(())
}

async fn family(client: &Client, relative_key: String) -> anyhow::Result<()> {
    let request = FamilyFeedRequest { relative_key };
    let mut stream = client
        .call(|channel| {
            let request = request.clone();
            async move { Ok(alerts_client(channel).family_feed(request).await?.into_inner()) }
        })
        .await?;
    loop {
        match stream.message().await {
            Ok(Some(update)) => println!(
                "{}",
                json!({
                    "alert_id": update.alert_id, "resident_key": update.resident_key,
                    "kind": update.kind, "level": update.level, "state": update.state,
                    "at": crate::clock::text(update.at_us), "log_index": update.log_index,
                })
            ),
            Ok(None) => return Ok(()),
            Err(status) => {
                return Err(super::output::Failure::refused(status.message().to_owned()).into());
            }
        }
    }
}

/// The first of several, so that a row stays a line; `show` names them all.
fn few(people: &[String]) -> String {
    match people {
        [first, second, _, ..] => format!("{first}, {second} +{}", people.len() - 2),
        few => few.join(", "),
    }
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
        "awaited",
        "of",
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
                json!(alert.awaited),
                json!(few(&alert.to_act)),
                time_text(alert.due_us),
                json!(alert.outcome),
            ]
        })
        .collect();
    print_rows(remote.format, &headings, &rows);
}
