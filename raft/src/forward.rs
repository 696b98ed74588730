//! Questions for the leader, asked from another node.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tonic::Status;

use crate::batch::Batch;
use crate::change::Change;
use crate::error::Error;
use crate::peer::{Client, Frame, Kind, Lane, Peers, meaning, pack, plain, unpack};
use crate::queue::{Done, Miss, Urgency};
use crate::types::Core;

#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) core: CoreView,
    pub(crate) peers: Arc<Peers>,
    pub(crate) leader: watch::Receiver<Option<u64>>,
    pub(crate) queue_limit: usize,
    /// A call that takes longer has lost its leader.
    pub(crate) timeout: Duration,
}

/// Where members are looked up.
#[derive(Clone)]
pub(crate) struct CoreView(pub(crate) Core);

impl std::fmt::Debug for CoreView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CoreView")
    }
}

impl CoreView {
    pub(crate) fn address(&self, node: u64) -> Option<String> {
        use openraft::async_runtime::WatchReceiver;
        let metrics = self.0.metrics();
        let metrics = metrics.borrow_watched();
        let member = metrics.membership_config.get_node(&node)?;
        Some(member.raft.clone())
    }
}

impl Forward {
    pub(crate) async fn commands(
        &self,
        leader: u64,
        batch: &Batch,
        urgency: Urgency,
    ) -> Result<Done, Miss> {
        let kind = match urgency {
            Urgency::Urgent => Kind::UrgentCommands,
            Urgency::Usual => Kind::Commands,
        };
        let frame = plain(kind, batch.as_bytes().clone());
        let outcome = self
            .ask(leader, |mut client| async move { client.propose(frame).await })
            .await
            .and_then(|reply| read::<Done>(Kind::CommandsReply, reply));
        if let Ok(done) = &outcome
            && done.replies.len() != batch.open().map_or(0, |opened| opened.commands.len())
        {
            return Err(Miss::Refused("the leader sent another number of replies".into()));
        }
        outcome.map_err(|error| match error {
            Error::Overloaded { limit } => Miss::Overloaded(limit),
            Error::Refused(why) => Miss::Refused(why),
            Error::Unreachable(why) => Miss::Unreachable(why),
            _ => Miss::NoLeader,
        })
    }

    pub(crate) async fn read_index(&self, leader: u64) -> Result<u64, Error> {
        let frame = write(Kind::ReadIndex, &())?;
        let reply =
            self.ask(leader, |mut client| async move { client.read_index(frame).await }).await?;
        read(Kind::ReadIndexReply, reply)
    }

    pub(crate) async fn change(&self, leader: u64, change: &Change) -> Result<(), Error> {
        let frame = write(Kind::Change, change)?;
        let reply =
            self.ask(leader, |mut client| async move { client.change(frame).await }).await?;
        read(Kind::ChangeReply, reply)
    }

    /// One call, given up when the time is over or another leader shows up.
    async fn ask<F>(&self, leader: u64, call: impl FnOnce(Client) -> F) -> Result<Frame, Error>
    where
        F: Future<Output = Result<tonic::Response<Frame>, Status>>,
    {
        let address = self.core.address(leader).ok_or(Error::NoLeader)?;
        let client = self.peers.client(leader, &address, Lane::Call)?;
        let mut watching = self.leader.clone();
        tokio::select! {
            answer = tokio::time::timeout(self.timeout, call(client)) => match answer {
                Ok(Ok(reply)) => Ok(reply.into_inner()),
                Ok(Err(status)) => Err(meaning(&status, self.queue_limit)),
                Err(_) => {
                    self.peers.forget(&address, Lane::Call);
                    Err(Error::Unreachable(format!("node {leader} does not answer")))
                }
            },
            // Ends at once if there is another leader already.
            _ = watching.wait_for(|now| *now != Some(leader)) => Err(Error::NoLeader),
        }
    }
}

fn write<T: Serialize>(kind: Kind, body: &T) -> Result<Frame, Error> {
    pack(kind, body).map_err(|s| Error::Refused(s.message().to_owned()))
}

fn read<T: DeserializeOwned>(kind: Kind, frame: Frame) -> Result<T, Error> {
    unpack(kind, frame).map_err(|s| Error::Refused(s.message().to_owned()))
}
