//! A node whose data are damaged, or that holds something else than the others, begins anew under an
//! id that nobody ever had, gets everything from its peers, and then takes the place of its old self.

use crate::client::{Client, ClientError, cluster_client};
use crate::config::{Config, Member as Addresses};
use crate::node::{Node, NodeError, raft_config};
use crate::proto::hearth::{ChangeMembershipRequest, Member};
use crate::quarantine;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the new node asks whether it may take the old one's place.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error("there is no other member in the configuration to rebuild this node from")]
    NoPeers,
    #[error("the peers cannot take this node in anew: {0}")]
    Peers(#[from] ClientError),
    #[error(transparent)]
    Raft(#[from] raft::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// What has to begin anew, by why the node could not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The log or a snapshot: this node may have forgotten what it promised, so its id is spent.
    Log,
    /// The state itself was wrong, and so may be what was recorded from it.
    State,
    /// The warehouse, which is derived.
    Warehouse,
}

impl Damage {
    pub(crate) fn of(error: &NodeError) -> Option<Self> {
        match error {
            NodeError::Raft(raft::Error::Damaged { .. }) => Some(Self::Log),
            NodeError::Quarantined(_) => Some(Self::State),
            NodeError::Warehouse(flight::Error::Damaged { .. }) => Some(Self::Warehouse),
            _ => None,
        }
    }
}

/// Moves the damaged files aside and makes room for new ones. The node must not be running.
pub(crate) async fn begin(config: &Config, damage: Damage) -> Result<(), RebuildError> {
    let dir = &config.node.dir;
    if damage != Damage::Log {
        for name in [flight::WAREHOUSE_FILE.to_owned(), format!("{}.wal", flight::WAREHOUSE_FILE)] {
            move_aside(&dir.join(name))?;
        }
    }
    if damage == Damage::Warehouse {
        return Ok(());
    }
    let id = join(config).await?;
    let aside = raft::start_over(&raft_config(config, config.node.id), id)?;
    quarantine::lift(dir).map_err(|source| RebuildError::Io { path: dir.clone(), source })?;
    tracing::warn!(
        id,
        old_data = %aside.display(),
        "this node begins anew under a new id; once it has caught up it takes the old one's place"
    );
    Ok(())
}

/// Has the peers take this node in as a learner under an id that nobody ever had.
async fn join(config: &Config) -> Result<u64, RebuildError> {
    let is_own = |member: &&Addresses| member.id == config.node.id;
    let members = &config.cluster.members;
    let (Some(own), peers) = (
        members.iter().find(is_own),
        members.iter().filter(|member| !is_own(member)).map(|member| member.grpc.as_str()),
    ) else {
        return Err(RebuildError::NoPeers);
    };
    let peers = peers.collect::<Vec<_>>().join(",");
    if peers.is_empty() {
        return Err(RebuildError::NoPeers);
    }
    let client = Client::new(&peers)?;
    let status = client.status().await?;
    let request = ChangeMembershipRequest {
        action: "add_learner".to_owned(),
        member: Some(Member {
            id: status.next_node_id,
            grpc: own.grpc.clone(),
            flight: own.flight.clone(),
            raft: own.raft.clone(),
            http: own.http.clone(),
            ..Member::default()
        }),
        replaces: 0,
    };
    let id = status.next_node_id;
    client
        .call(|channel| {
            let request = request.clone();
            async move { cluster_client(channel).change_membership(request).await.map(drop) }
        })
        .await?;
    Ok(id)
}

fn move_aside(file: &Path) -> Result<(), RebuildError> {
    let trouble = |source| RebuildError::Io { path: file.to_owned(), source };
    if !file.exists() {
        return Ok(());
    }
    let place = raft::place_aside(file).map_err(trouble)?;
    std::fs::rename(file, &place).map_err(trouble)
}

/// On a node that began anew: takes the place of whoever else is known under its raft address.
pub(crate) async fn take_place(node: Arc<Node>) {
    loop {
        let status = node.raft().status();
        let own = status.members.iter().find(|member| member.id == status.node_id);
        if let Some(own) = own {
            let mut old = status
                .members
                .iter()
                .filter(|other| other.id != own.id && other.member.raft == own.member.raft);
            let Some(old) = old.next() else { return };
            let outcome = if old.role == raft::Role::Learner {
                node.raft().remove(old.id).await
            } else {
                node.raft().replace(old.id, own.id).await
            };
            match outcome {
                Ok(()) => tracing::warn!(
                    old = old.id,
                    new = own.id,
                    "this node has taken the old one's place"
                ),
                Err(error) => tracing::info!(%error, "this node is not in the old one's place yet"),
            }
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
