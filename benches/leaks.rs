//! Three gas readings in a home, now here, now there, and how long it takes from when they should have been
//! sent until somebody who watches is told of the case.

use crate::steady::Call;
use benches::device_id;
use nodes::client::{Client, alerts_client};
use nodes::proto::hearth::{Event, WatchAlertsRequest};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

const EVERY: Duration = Duration::from_secs(2);
/// Homes are taken so far apart, that none comes twice in a run.
const STRIDE: u32 = 907;
const GAS: usize = 1;
const LATE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);
const SECOND_US: i64 = 1_000_000;

pub(crate) struct Leaks {
    homes: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) told: Vec<Call>,
    /// The dwellings.
    pub(crate) homes: Vec<String>,
}

impl Leaks {
    pub(crate) fn new(homes: u32) -> Self {
        Self { homes }
    }

    pub(crate) async fn run(
        self,
        clients: watch::Receiver<Client>,
        until: Instant,
    ) -> anyhow::Result<Outcome> {
        let (seen, mut sightings) = mpsc::unbounded_channel();
        let watching = tokio::spawn(watch_all(clients.clone(), seen));
        let (mut outcome, mut sent) = (Outcome::default(), HashMap::new());
        let mut home = 0;
        let mut due = Instant::now() + EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {
                    if due > until {
                        if sent.is_empty() {
                            break;
                        }
                        anyhow::ensure!(due < until + LATE, "never told of: {:?}", sent.keys());
                        due += EVERY;
                        continue;
                    }
                    home = (home + STRIDE) % self.homes;
                    let dwelling = format!("w-{home:08}");
                    let client = clients.borrow().clone();
                    let now_us = nodes::clock::now_us();
                    client.append((0..2).map(|n| reading(home, n, now_us)).collect()).await?;
                    sent.insert(dwelling.clone(), due);
                    outcome.homes.push(dwelling);
                    client.append(vec![reading(home, 2, now_us)]).await?;
                    due += EVERY;
                }
                Some((dwelling, at)) = sightings.recv() => {
                    if let Some(due) = sent.remove(&dwelling) {
                        outcome.told.push(Call { due, took: at - due });
                    }
                }
            }
        }
        watching.abort();
        Ok(outcome)
    }
}

fn reading(home: u32, number: i64, now_us: i64) -> Event {
    Event {
        event_id: format!("leak-{home}-{number}"),
        device_id: device_id(home, GAS),
        kind: "gas".to_owned(),
        event_time_us: now_us - (2 - number) * SECOND_US,
        value: 9.0,
        unit: "%LEL".to_owned(),
        source: "leaks".to_owned(),
        ..Event::default()
    }
}

/// Watches wherever a node answers, from where it was.
async fn watch_all(
    clients: watch::Receiver<Client>,
    seen: mpsc::UnboundedSender<(String, Instant)>,
) -> anyhow::Result<()> {
    let mut from_log_index = 0;
    loop {
        let client = clients.borrow().clone();
        for each in client.each() {
            let request = WatchAlertsRequest { from_log_index, ..WatchAlertsRequest::default() };
            let watching = each.call_once(|channel| async move {
                Ok(alerts_client(channel).watch(request).await?.into_inner())
            });
            let Ok(mut told) = watching.await else { continue };
            while let Ok(Some(alert)) = told.message().await {
                from_log_index = alert.log_index;
                seen.send((alert.dwelling_id, Instant::now()))?;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
