//! Timers across elections: the leader is killed again and again around the times at which they are due.

use crate::gather::reading;
use crate::local::{Cluster, Process, within};
use crate::people::settle;
use crate::tables::rows;
use nodes::client::alerts_client;
use nodes::proto::hearth::{ListAlertsRequest, SetLinkageRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CASES: u32 = 10;
const APART: Duration = Duration::from_millis(700);
const DEADLINE_S: i64 = 6;
const KILLS: usize = 4;
const SECOND_US: i64 = 1_000_000;
const PATIENCE: Duration = Duration::from_mins(2);

const LINKAGE: &str = r"
version = 1
tell_closed = false
[[policies]]
[policies.deadlines]
ack_s = [6, 3600, 3600]
dispatch_s = [3600, 3600, 3600]
arrive_s = [3600, 3600, 3600]
feedback_s = [3600, 3600, 3600]
verify_s = [3600, 3600, 3600]
";

/// A time span in which nobody was seen to lead, or nobody looked because the machine was busy.
type Gap = (i64, i64);

/// Looks all the time whether somebody leads; gives the spans in which nobody was seen to.
async fn look_for_leaders(addresses: Vec<String>, stop: Arc<AtomicBool>) -> Vec<Gap> {
    let clients: Vec<_> =
        addresses.iter().map(|address| nodes::client::Client::new(address).unwrap()).collect();
    let mut gaps = Vec::new();
    let mut seen_us = nodes::clock::now_us();
    while !stop.load(Ordering::Relaxed) {
        let asked = clients.iter().map(|client| async move {
            let status = client.call_once(|channel| async move {
                let request = nodes::proto::hearth::StatusRequest {};
                let mut client = nodes::client::cluster_client(channel);
                Ok(client.status(request).await?.into_inner())
            });
            let status = tokio::time::timeout(Duration::from_millis(500), status).await;
            status.ok()?.ok().filter(|status| status.node_id == status.leader_id)
        });
        let leads = futures::future::join_all(asked).await.into_iter().flatten().count() > 0;
        let now_us = nodes::clock::now_us();
        if leads {
            if now_us - seen_us > 100_000 {
                gaps.push((seen_us, now_us));
            }
            seen_us = now_us;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gaps
}

async fn raise_falls(node: &Process) {
    for n in 0..CASES {
        let fall = reading("home", &format!("f{n}"), &format!("pir{n}"), "fall", 1.0);
        let client = nodes::client::Client::new(&node.member.grpc).unwrap();
        client.append(vec![fall]).await.unwrap();
        tokio::time::sleep(APART).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_timer_fires_once_and_within_a_second_while_leaders_are_killed() {
    let mut cluster = Cluster::start().await;
    settle(&cluster.nodes[0], 0..CASES).await;
    let mut alerts = alerts_client(cluster.nodes[0].channel());
    let set = SetLinkageRequest { toml: LINKAGE.to_owned(), actor: "test".to_owned() };
    alerts.set_linkage(set).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let addresses = cluster.nodes.iter().map(|node| node.member.grpc.clone()).collect();
    let looking = tokio::spawn(look_for_leaders(addresses, Arc::clone(&stop)));
    raise_falls(&cluster.nodes[0]).await;
    // The first deadlines are now: from here on leaders die just before they would fire.
    for _ in 0..KILLS {
        let leader = cluster.leader().await;
        cluster.nodes[leader].kill();
        let heir = cluster.leader().await;
        assert_ne!(heir, leader);
        cluster.nodes[leader].start();
        cluster.nodes[leader].wait_up().await;
    }
    let heir = cluster.leader().await;
    within(PATIENCE, "every deadline passed", async || {
        let mut alerts = alerts_client(cluster.nodes[heir].channel());
        let all = alerts.list(ListAlertsRequest::default()).await.ok()?.into_inner().alerts;
        (all.len() == CASES as usize && all.iter().all(|alert| alert.turn == 2)).then_some(())
    })
    .await;
    // A few ticks more, in which nothing may fire again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let gaps = looking.await.unwrap();
    let index = cluster.same_state().await;
    let mut worst_us = (0, 0);
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let sql = "SELECT a.alert_id, epoch_us(a.raised_ts)::VARCHAR, epoch_us(h.ts)::VARCHAR
            FROM alert a JOIN alert_history h USING (alert_id)
            WHERE h.reason LIKE 'no ack by%' ORDER BY a.alert_id";
        let fired = rows(node, index, sql).await;
        assert_eq!(fired.len(), CASES as usize, "each once, on node {}: {fired:?}", node.id);
        for row in &fired {
            let time = |at: usize| row[at].parse::<i64>().unwrap();
            let due_us = time(1) + DEADLINE_S * SECOND_US;
            let late_us = time(2) - due_us;
            assert!(late_us >= 0, "{row:?} before its time");
            // While nobody leads nothing can fire; the second counts from when somebody does again.
            let from_us = gaps
                .iter()
                .filter(|(from, until)| *from <= due_us + SECOND_US && *until >= due_us)
                .map(|(_, until)| *until)
                .fold(due_us, i64::max);
            let over_us = time(2) - from_us;
            assert!(over_us <= SECOND_US, "{row:?} is {late_us} us late, gaps {gaps:?}");
            worst_us = (worst_us.0.max(late_us), worst_us.1.max(over_us));
        }
    }
    println!(
        "{} timers, {KILLS} leaders killed: {} ms late at most, {} ms after somebody led",
        CASES,
        worst_us.0 / 1_000,
        worst_us.1 / 1_000
    );
}
