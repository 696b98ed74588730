//! `hearth demo`: the whole job on a simulated street, on three nodes of this machine.

use super::args::Remote;
use super::dev::{DevArgs, DevCluster, told_to_stop};
use super::events::{Sent, send};
use super::output::Format;
use super::simulate::{load_district, wait_recorded, write_district};
use super::sql::{connect, failure};
use super::{report, sql};
use crate::client::{Client, alerts_client, scores_client};
use crate::clock::now_us;
use crate::proto::hearth::{ActRequest, Alert, ListAlertsRequest, ScoreRequest};
use crate::simulate::{District, Live, Plan};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Residents of the demo's district.
const PEOPLE: u32 = 2_000;
/// Simulated seconds in one second of the demo.
const SPEED: f64 = 60.0;
/// How long events stream before the tour goes on.
const STREAM: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// How long an alert may take to show: far more than it does.
const ALERT_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Ends with status 0 after the tour
    #[arg(long)]
    once: bool,
    /// Where the cluster and the district are kept; made anew
    #[arg(long, default_value = ".data/demo")]
    dir: PathBuf,
    #[arg(long, default_value_t = 7400)]
    base_port: u16,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The parts that every step of the tour uses.
struct Tour {
    client: Client,
    remote: Remote,
    live: Live,
    sent: Sent,
}

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir)?;
    }
    step("three nodes on loopback");
    let dev = DevArgs {
        nodes: 3,
        dir: args.dir.join("cluster"),
        base_port: args.base_port,
        supervise: false,
        bare: false,
        webhook: None,
        webhook_secret: None,
    };
    let cluster = DevCluster::start(&dev).await?;
    for member in cluster.members() {
        println!(
            "  node {}: gRPC {}, Flight SQL {}, HTTP http://{}/",
            member.id, member.grpc, member.flight, member.http
        );
    }
    let outcome = tour(&args, &cluster).await;
    match outcome {
        Ok(mut tour) => {
            where_to_look(&cluster, &args);
            if !args.once {
                println!("\nEvents go on until you stop this with Ctrl-C.");
                tokio::select! {
                    streamed = stream(&mut tour, None) => streamed?,
                    () = told_to_stop() => {}
                }
            }
            cluster.stop().await;
            Ok(())
        }
        Err(error) => {
            cluster.stop().await;
            Err(error)
        }
    }
}

fn step(what: &str) {
    println!("\n== {what}");
}

async fn tour(args: &DemoArgs, cluster: &DevCluster) -> anyhow::Result<Tour> {
    let remote = Remote { addr: cluster.addresses(), format: Format::Table };
    let client = cluster.client()?;
    step(&format!("a simulated district of {PEOPLE} residents, loaded"));
    let plan =
        Plan { people: PEOPLE, days: 0, seed: args.seed, homes_monitored: 0.2, ..Plan::default() };
    let district_dir = args.dir.join("district");
    write_district(&plan, &district_dir)?;
    let begun = Instant::now();
    let loaded = load_district(&district_dir, &remote).await?;
    println!(
        "  {} register rows replicated and recorded in {:.1} s",
        loaded.rows,
        begun.elapsed().as_secs_f64()
    );
    let district = Arc::new(District::generate(&plan)?);
    let live = Live::new(Arc::clone(&district), now_us(), SPEED)?;
    let mut tour = Tour { client, remote, live, sent: Sent::default() };

    step(&format!("live events, {SPEED} times as fast as life, for {} s", STREAM.as_secs()));
    stream(&mut tour, Some(STREAM)).await?;
    let Sent { accepted, duplicates, log_index, .. } = tour.sent;
    println!(
        "  {accepted} events durable on a quorum, {duplicates} duplicates left out, log index {log_index}"
    );

    let dwelling = tour.live.lone_dwellings().next().unwrap_or_default();
    let resident = resident_of(&mut tour, &dwelling).await?;
    features(&mut tour, &resident).await?;
    let alert = gas_leak(&mut tour, &dwelling).await?;
    follow(&tour, alert).await?;
    score(&tour, &resident).await?;
    step("one resident's 360 portrait");
    let portrait =
        connect(&tour.remote).await?.portrait(&resident).await.map_err(|error| failure(&error))?;
    let line = arrow::util::pretty::pretty_format_columns("portrait", &narrow(&portrait.batches)?)?;
    println!("{line}");
    planning(&tour).await?;
    rendered(args, &tour).await?;
    Ok(tour)
}

/// Sends what is due until the time is over, or for ever.
async fn stream(tour: &mut Tour, time: Option<Duration>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while time.is_none_or(|time| begun.elapsed() < time) {
        let mut batch: Vec<_> = tour.live.due(now_us()).map(Into::into).collect();
        send(&tour.client, &mut batch, &mut tour.sent).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn resident_of(tour: &mut Tour, dwelling: &str) -> anyhow::Result<String> {
    let sql = format!(
        "SELECT resident_key FROM resident JOIN household USING (household_id) WHERE dwelling_id = '{}'",
        dwelling.replace('\'', "''")
    );
    let answered =
        connect(&tour.remote).await?.query(&sql).await.map_err(|error| failure(&error))?;
    let key = answered
        .batches
        .first()
        .filter(|batch| batch.num_rows() > 0)
        .map(|batch| batch.column(0).clone());
    let key = key.ok_or_else(|| anyhow::anyhow!("nobody lives in {dwelling}"))?;
    Ok(arrow::util::display::array_value_to_string(&key, 0)?)
}

async fn features(tour: &mut Tour, resident: &str) -> anyhow::Result<()> {
    step(&format!("features of resident {resident} as they move"));
    let query = format!(
        "SELECT feature, value, event_time, status FROM feature_current WHERE entity_key = '{resident}' \
         AND status = 'present' AND view = 'resident_activity' AND (feature LIKE '%_1h' OR feature LIKE '%_5m') ORDER BY feature LIMIT 8"
    );
    sql::run(&query, &tour.remote).await
}

/// Three gas readings, one after the other, and the one alert that they make.
async fn gas_leak(tour: &mut Tour, dwelling: &str) -> anyhow::Result<Alert> {
    step(&format!("gas in dwelling {dwelling}: three readings"));
    let readings = tour.live.gas_leak(dwelling, now_us())?;
    let mut begun = Instant::now();
    for reading in readings {
        println!("  {} {} {}", reading.device_id, reading.value, reading.unit);
        begun = Instant::now();
        send(&tour.client, &mut vec![reading.into()], &mut tour.sent).await?;
    }
    loop {
        let listed = tour
            .client
            .call(|channel| async move {
                Ok(alerts_client(channel).list(ListAlertsRequest::default()).await?.into_inner())
            })
            .await?;
        let mut found = listed
            .alerts
            .into_iter()
            .filter(|alert| alert.kind == "gas_leak" && alert.dwelling_id == dwelling);
        if let Some(alert) = found.next() {
            println!(
                "  one alert {}: {}, level {}, {} events as evidence, {:.0} ms after the third reading was sent",
                alert.alert_id,
                alert.severity,
                alert.level,
                alert.evidence.len(),
                begun.elapsed().as_secs_f64() * 1e3
            );
            return Ok(alert);
        }
        anyhow::ensure!(
            begun.elapsed() < ALERT_WITHIN,
            "no alert within {} s",
            ALERT_WITHIN.as_secs()
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// What people do about it, to the end.
async fn follow(tour: &Tour, alert: Alert) -> anyhow::Result<()> {
    let mut last = alert;
    let steps = [
        ("ack", "centre", "seen", ""),
        ("dispatch", "centre", "gas company and grid worker sent", ""),
        ("arrive", "grid worker", "", ""),
        ("feedback", "grid worker", "hose was worn, replaced", "pipe_replaced"),
        ("verify", "centre", "second reading clean", ""),
        ("close", "centre", "", "pipe_replaced"),
    ];
    for (action, actor, note, outcome) in steps {
        let request = ActRequest {
            alert_id: last.alert_id.clone(),
            action: action.to_owned(),
            actor: actor.to_owned(),
            note: note.to_owned(),
            outcome: outcome.to_owned(),
            action_id: format!("demo-{action}"),
            ..ActRequest::default()
        };
        last = tour
            .client
            .call(|channel| {
                let request = request.clone();
                async move { Ok(alerts_client(channel).act(request).await?.into_inner()) }
            })
            .await?;
        println!("  {action} by {actor}: {}", last.work);
    }
    println!("  outcome: {}", last.outcome);
    Ok(())
}

async fn score(tour: &Tour, resident: &str) -> anyhow::Result<()> {
    step("models by entity: the node reads the features itself");
    for model in ["fall_risk", "subsidy_triage"] {
        let request = ScoreRequest {
            model: model.to_owned(),
            entity: resident.to_owned(),
            explain: true,
            ..ScoreRequest::default()
        };
        let answer = tour
            .client
            .call(|channel| {
                let request = request.clone();
                async move { Ok(scores_client(channel).score(request).await?.into_inner()) }
            })
            .await?;
        println!(
            "  {model} {}: {:.4} ({}), file {}, log index {}",
            answer.version,
            answer.score,
            answer.band,
            &crate::hex::encode(&answer.model_sha256)[..12],
            answer.log_index
        );
    }
    Ok(())
}

/// One row as name and value, the empty ones left out.
fn narrow(batches: &[arrow::array::RecordBatch]) -> anyhow::Result<Vec<arrow::array::ArrayRef>> {
    let mut lines = Vec::new();
    for batch in batches {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let text = arrow::util::display::array_value_to_string(column, 0)?;
            let short: String = text.chars().take(96).collect();
            if !short.is_empty() && short != "[]" {
                lines.push(format!("{}: {short}", field.name()));
            }
        }
    }
    Ok(vec![Arc::new(arrow::array::StringArray::from(lines))])
}

async fn planning(tour: &Tour) -> anyhow::Result<()> {
    step("a planning question in SQL: who lives alone, by grid, and how many sensors hang there");
    let query = "SELECT b.grid_id, count(DISTINCT r.resident_key) AS alone, count(DISTINCT d.device_id) AS devices \
                 FROM resident r JOIN household h USING (household_id) JOIN dwelling w USING (dwelling_id) \
                 JOIN building b USING (building_id) LEFT JOIN device d ON d.dwelling_id = w.dwelling_id \
                 WHERE r.living = 'alone' GROUP BY ALL ORDER BY alone DESC LIMIT 5";
    sql::run(query, &tour.remote).await
}

async fn rendered(args: &DemoArgs, tour: &Tour) -> anyhow::Result<()> {
    step("a report");
    wait_recorded(&tour.client).await?;
    for format in ["html", "xlsx"] {
        let file =
            report::render("hazard-funnel", &BTreeMap::new(), format, "zh", &tour.remote).await?;
        let place = args.dir.join(&file.name);
        std::fs::write(&place, &file.bytes)?;
        println!("  {} ({} bytes)", place.display(), file.bytes.len());
    }
    Ok(())
}

fn where_to_look(cluster: &DevCluster, args: &DemoArgs) {
    step("where to look");
    if let Some(first) = cluster.members().next() {
        println!("  cockpit      http://{}/", first.http);
        println!("  gRPC         {}   (HEARTH_ADDR={})", first.grpc, cluster.addresses());
        println!("  Flight SQL   grpc://{}", first.flight);
        println!("  try          hearth --help; hearth alert list; hearth sql 'SHOW TABLES'");
    }
    println!("  logs         {}/cluster/node*/node.log", args.dir.display());
}
