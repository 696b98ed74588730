//! Notices reach people once, whoever dies meanwhile.

use crate::gather::reading;
use crate::local::{Cluster, Shape, eventually};
use crate::notifier::Notifier;
use crate::people::settle;
use crate::tables::rows;
use nodes::proto::hearth::Event;
use std::collections::BTreeMap;
use std::time::Duration;

const HOMES: u32 = 24;

fn falls(homes: std::ops::Range<u32>) -> Vec<Event> {
    homes.map(|n| reading("home", &format!("fall{n}"), &format!("pir{n}"), "fall", 1.0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_notice_is_handed_on_once_though_the_receiver_and_the_leader_die() {
    let mut notifier = Notifier::prepared();
    let shape = Shape { outbox: notifier.settings(), ..Shape::default() };
    let mut cluster = Cluster::shaped(shape).await;
    settle(&cluster.nodes[0], 0..HOMES).await;
    let client = cluster.client();
    // Nobody listens: attempts fail and are written down.
    client.append(falls(0..HOMES / 2)).await.unwrap();
    let leader = cluster.leader().await;
    eventually("attempts that failed", async || {
        let failed = cluster.nodes[leader].metric("hearth_notice_failures_total").await;
        (failed >= u64::from(HOMES / 2)).then_some(())
    })
    .await;
    notifier.start();
    notifier.wait_up().await;
    eventually("the first that are taken", async || (notifier.sent().len() >= 3).then_some(()))
        .await;
    // The receiver dies with notices under way, and so does the leader, while more come in.
    notifier.kill();
    client.append(falls(HOMES / 2..HOMES)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    notifier.start();
    cluster.nodes[leader].kill();
    let heir = cluster.leader().await;
    cluster.nodes[leader].start();
    cluster.nodes[leader].wait_up().await;
    eventually("everything delivered", async || {
        let left = cluster.nodes[heir].metric("hearth_notices_waiting").await;
        (left == 0 && notifier.counts().len() >= HOMES as usize).then_some(())
    })
    .await;
    let counts = notifier.counts();
    assert_eq!(counts.len(), HOMES as usize, "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "told twice: {counts:?}");
    // What the warehouse says is what the receiver knows: ids of notices and of the provider.
    let index = cluster.same_state().await;
    let known: BTreeMap<String, String> = notifier
        .sent()
        .into_iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            (text("id"), text("message_id"))
        })
        .collect();
    for node in &cluster.nodes {
        node.wait_recorded(index).await;
        let sql = "SELECT notice_id, provider_id FROM v_outbox WHERE state = 'delivered'";
        let delivered: BTreeMap<String, String> = rows(node, index, sql)
            .await
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        assert_eq!(delivered, known, "node {}", node.id);
        let failed = "SELECT count(*)::VARCHAR FROM notice WHERE state = 'failed' AND reason <> ''";
        let failed: u32 = rows(node, index, failed).await[0][0].parse().unwrap();
        assert!(failed >= HOMES / 2, "{failed}");
    }
}
