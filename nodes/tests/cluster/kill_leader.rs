//! The leader is killed, again and again, while events stream in.

use crate::local::{Cluster, within};
use crate::stream::{Told, append, bidirectional};
use crate::tables::{event_counts, number};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KILLS: usize = 3;
/// The first acknowledged write after a kill comes within this time.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
/// Events between one kill and the next.
const EVENTS_BETWEEN: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_goes_on_and_every_event_counts_once() {
    let seed: u64 =
        std::env::var("HEARTH_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("HEARTH_SEED={seed}");
    let mut cluster = Cluster::start().await;
    let told = Arc::new(Told::default());
    let addresses = cluster.addresses();
    let senders =
        [append(&addresses, "unary", seed, &told), bidirectional(&addresses, "stream", &told)];
    let mut gaps = Vec::new();
    for _ in 0..KILLS {
        let until = told.sent() + EVENTS_BETWEEN;
        within(Duration::from_secs(30), "events between kills", async || {
            (told.sent() >= until).then_some(())
        })
        .await;
        let leader = cluster.leader().await;
        cluster.nodes[leader].kill();
        let killed = Instant::now();
        let gap = within(GOES_ON_WITHIN, "an acknowledged write after the kill", async || {
            told.first_after(killed)
        })
        .await;
        println!("killed node {}: first write after {gap:?}", cluster.nodes[leader].id);
        assert!(gap < GOES_ON_WITHIN, "{gap:?}");
        gaps.push(gap);
        cluster.nodes[leader].start();
        cluster.nodes[leader].wait_up().await;
    }
    told.stop();
    for sender in senders {
        sender.await.unwrap();
    }
    println!(
        "{} events told, {} of them twice; gaps {gaps:?}",
        told.ids().len(),
        told.duplicates()
    );
    assert!(told.duplicates() > 0, "nothing was sent twice: the test shows nothing");
    every_event_once(&cluster, &told).await;
    cluster.same_state().await;
}

/// Every acknowledged event is in every node's table once; none is there twice; counters agree.
pub(crate) async fn every_event_once(cluster: &Cluster, told: &Told) {
    let index = told.log_index();
    let mut before: Option<BTreeMap<String, i64>> = None;
    let last = cluster.nodes[cluster.leader().await].status().await.unwrap().applied_index;
    for node in &cluster.nodes {
        node.wait_recorded(index.max(last)).await;
        let mut counts = event_counts(node, index.max(last), "unary").await;
        counts.extend(event_counts(node, index.max(last), "stream").await);
        let twice: Vec<_> = counts.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "node {}: {twice:?}", node.id);
        let lost: Vec<_> = told.ids().into_iter().filter(|id| !counts.contains_key(id)).collect();
        assert!(lost.is_empty(), "node {} lost {} events: {lost:?}", node.id, lost.len());
        let rows = number(node, index, "SELECT count(*) FROM sensor_event").await;
        assert_eq!(node.metric("hearth_events").await as i64, rows, "node {}", node.id);
        if let Some(before) = &before {
            assert_eq!(before, &counts, "node {} has other events", node.id);
        }
        before = Some(counts);
    }
}
