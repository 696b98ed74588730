//! A divergence is planted in the memory of one of three real nodes.

use crate::checker;
use crate::client::{cluster_client, events_client};
use crate::config::{Cluster, Config, Limits, Listen, Member, Native, Raft, Watch};
use crate::node::{Node, NodeError};
use crate::proto::hearth::{AppendRequest, StatusRequest, StatusResponse};
use crate::server;
use crate::state::Command;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(25);

async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn configs(dir: &Path) -> Vec<Config> {
    let mut held = Vec::new();
    let mut free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        held.push(listener);
        address
    };
    let members: Vec<Member> = (1..=3)
        .map(|id| Member { id, grpc: free(), flight: free(), raft: free(), http: free() })
        .collect();
    let config = |member: &Member| Config {
        node: crate::config::Node {
            id: member.id,
            group: "main".to_owned(),
            cluster_id: "divergence".to_owned(),
            dir: dir.join(member.id.to_string()),
            insecure: false,
        },
        listen: Listen {
            grpc: member.grpc.parse().unwrap(),
            flight: member.flight.parse().unwrap(),
            raft: member.raft.parse().unwrap(),
            http: member.http.parse().unwrap(),
        },
        cluster: Cluster { members: members.clone(), bootstrap: true },
        native: Native::default(),
        limits: Limits::default(),
        raft: Raft { check_seconds: 1, ..Raft::default() },
        watch: Watch::default(),
        models: crate::config::Models::default(),
        mqtt: Vec::new(),
        outbox: crate::config::OutboxSettings::default(),
        rules: None,
    };
    members.iter().map(config).collect()
}

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

async fn status_of(address: &str) -> StatusResponse {
    let mut client = cluster_client(channel(address));
    client.status(StatusRequest {}).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_divergence_is_found_and_takes_the_leader_out_of_service() {
    let dir = tempfile::tempdir().unwrap();
    let configs = configs(dir.path());
    let mut nodes = Vec::new();
    for config in &configs {
        let node = Node::start(config.clone()).await.unwrap();
        let ports = server::start(&node).await.unwrap();
        nodes.push((node, ports));
    }
    let agreed = async || {
        let indexes = nodes.iter().map(|(node, _)| node.machine().read().checks.agreed());
        indexes.map(|agreed| agreed.map(|(index, _)| index)).min().flatten()
    };
    until("a check comes out well", agreed).await;
    let is_leader = |node: &Arc<Node>| node.raft().is_leader();
    let sick = nodes.iter().position(|(node, _)| is_leader(node)).unwrap();
    nodes[sick].0.machine().tamper(|state| state.events_total += 1);
    until("the node is out of service", async || nodes[sick].0.quarantined().map(drop)).await;

    let well: Vec<_> = (0..3).filter(|at| *at != sick).collect();
    let id = configs[sick].node.id;
    until("another leads", async || well.iter().any(|at| is_leader(&nodes[*at].0)).then_some(()))
        .await;
    for at in &well {
        nodes[*at].0.propose(&Command::Tick).await.unwrap();
        let status = status_of(&configs[*at].cluster.members[*at].grpc).await;
        assert_eq!(status.diverged.iter().map(|found| found.id).collect::<Vec<_>>(), [id]);
        assert_eq!(nodes[*at].0.quarantined(), None);
    }
    let grpc = &configs[sick].cluster.members[sick].grpc;
    assert!(status_of(grpc).await.quarantined.contains("differed"));
    let refused = events_client(channel(grpc)).append(AppendRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("out of service"), "{refused}");
    assert!(nodes[sick].0.readiness().unwrap_err().contains("out of service"));
    assert!(nodes[sick].0.propose(&Command::Tick).await.is_err());

    // It stays out of service after a restart.
    let (node, ports) = nodes.remove(sick);
    ports.stop().await;
    node.close().await;
    let refused = Node::start(configs[sick].clone()).await.unwrap_err();
    assert!(
        matches!(&refused, NodeError::Quarantined(why) if why.contains("--rebuild")),
        "{refused}"
    );
    assert_eq!(refused.exit_code(), crate::exit::DAMAGED);
    for (node, _) in nodes {
        node.close().await;
    }
}

#[tokio::test]
async fn a_hash_is_of_what_a_snapshot_holds() {
    let state = crate::state::State::new();
    let bytes = state.to_bytes().unwrap();
    let digest = checker::digest(Box::new(move |to| to.write_all(&bytes))).unwrap();
    let other = checker::digest(Box::new(|to| to.write_all(b"something else"))).unwrap();
    assert_ne!(digest, other);
}
