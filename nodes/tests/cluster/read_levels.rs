//! How fresh a read is, by its header, on followers and on a node that has lost the others.

use crate::gather::reading;
use crate::local::{Cluster, Process, eventually};
use nodes::client::{alerts_client, events_client};
use nodes::proto::hearth::{Alert, AppendRequest, ListAlertsRequest};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

async fn alerts(node: &Process, level: &str) -> Result<Vec<Alert>, Status> {
    let mut request = Request::new(ListAlertsRequest::default());
    if !level.is_empty() {
        request.metadata_mut().insert("hearth-read", MetadataValue::try_from(level).unwrap());
    }
    alerts_client(node.channel()).list(request).await.map(|listed| listed.into_inner().alerts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_as_fresh_as_it_asks_or_is_refused() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    // Each alarm is read back at once, through another node than the one that took it.
    for number in 0..5 {
        let place = format!("gas-{number}");
        let events =
            (0..3).map(|n| reading("home", &format!("{place}-{n}"), &place, "gas", 9.0)).collect();
        let request = AppendRequest { events, request_id: String::new() };
        let mut client = events_client(cluster.nodes[leader].channel());
        let index = client.append(request).await.unwrap().into_inner().log_index;
        for level in ["", "linearizable", &format!("index={index}"), "within=0ms"] {
            let listed = alerts(&cluster.nodes[follower], level).await.unwrap();
            assert_eq!(listed.len(), number + 1, "{level:?}");
        }
    }
    let wrong = alerts(&cluster.nodes[follower], "fresh").await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().contains("within=2s"), "{wrong}");

    let alone = follower;
    for at in (0..cluster.nodes.len()).filter(|at| *at != alone) {
        cluster.nodes[at].kill();
    }
    eventually("the lonely node knows no leader", async || {
        cluster.nodes[alone].status().await.filter(|status| status.leader_id == 0)
    })
    .await;
    let node = &cluster.nodes[alone];
    assert_eq!(alerts(node, "local").await.unwrap().len(), 5);
    assert_eq!(alerts(node, "index=1").await.unwrap().len(), 5);
    assert_eq!(alerts(node, "within=3600s").await.unwrap().len(), 5);
    let (fresh, bounded) = tokio::join!(alerts(node, ""), alerts(node, "within=100ms"));
    for refused in [fresh, bounded] {
        assert_eq!(refused.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
