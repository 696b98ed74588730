//! Changes of membership and leadership. Run on the leader, one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::adapter::Progress;
use crate::error::Error;
use crate::member::Member;
use crate::read;
use crate::types::{Core, Types};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    AddLearner(u64, Member),
    Promote(u64),
    Demote(u64),
    Remove(u64),
    Transfer(u64),
    /// A caught-up learner takes the place of a voter, which leaves the group.
    Replace {
        old: u64,
        new: u64,
    },
}

/// A learner may lack so many entries at most when it takes the place of a voter.
pub(crate) const REPLACE_LAG_MAX: u64 = 1_000;

const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
const TRANSFER_POLL: Duration = Duration::from_millis(10);
/// A learner that is too far behind may catch up within this time.
const LAG_TIMEOUT: Duration = Duration::from_secs(2);
/// No change takes longer; whatever hangs must not block the next one for ever.
const LONGEST: Duration = Duration::from_mins(1);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Runs changes on this node while it leads.
#[derive(Clone)]
pub(crate) struct Changes {
    core: Core,
    progress: Arc<Progress>,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Changes {
    pub(crate) fn new(core: Core, progress: Arc<Progress>) -> Self {
        Self { core, progress, one_at_a_time: Arc::default() }
    }

    /// One above the highest id this node knows to have been in the group.
    pub(crate) fn next_id(&self) -> u64 {
        next_id(&self.core, &self.progress)
    }

    /// A change goes on when the caller gives up waiting: it has two steps, and stopping between
    /// them would leave the group with two sets of voters.
    pub(crate) async fn run(&self, change: Change, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let own = self.clone();
        let work = tokio::spawn(async move {
            let _one_at_a_time = own.one_at_a_time.lock().await;
            tokio::time::timeout(LONGEST, perform(&own.core, &own.progress, change)).await
        });
        let late = || Error::DeadlineExceeded {
            what: "a change of membership",
            waited_ms: started.elapsed().as_millis() as u64,
        };
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(Ok(Err(_))) | Err(_) => Err(late()),
            Ok(Err(e)) => Err(Error::Fatal(e.to_string())),
        }
    }
}

async fn perform(core: &Core, progress: &Progress, change: Change) -> Result<(), Error> {
    finish_last(core).await?;
    match change {
        Change::AddLearner(id, member) => add_learner(core, progress, id, member).await,
        Change::Promote(id) => promote(core, id).await,
        Change::Demote(id) => {
            require(core, id)?;
            apply(core, ChangeMembers::RemoveVoters(BTreeSet::from([id])), true).await
        }
        Change::Remove(id) => remove(core, id).await,
        Change::Transfer(to) => transfer(core, to).await,
        Change::Replace { old, new } => replace(core, old, new).await,
    }
}

/// A leader that died between the two steps of a change has left the second to us.
async fn finish_last(core: &Core) -> Result<(), Error> {
    let joint = {
        let metrics = core.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_joint_config().len() > 1
    };
    if !joint {
        return Ok(());
    }
    apply(core, ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
}

fn members(core: &Core) -> (BTreeMap<u64, Member>, BTreeSet<u64>) {
    let metrics = core.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let nodes = membership.nodes().map(|(id, m)| (*id, m.clone())).collect();
    (nodes, membership.voter_ids().collect())
}

fn require(core: &Core, id: u64) -> Result<(), Error> {
    if members(core).0.contains_key(&id) {
        Ok(())
    } else {
        Err(Error::Refused(format!("node {id} is not in the group; add it as a learner first")))
    }
}

async fn add_learner(
    core: &Core,
    progress: &Progress,
    id: u64,
    member: Member,
) -> Result<(), Error> {
    let (known, _) = members(core);
    if let Some(there) = known.get(&id) {
        return if *there == member {
            Ok(())
        } else {
            Err(Error::Refused(format!(
                "node {id} is in the group with other addresses ({there}); remove it and use a new id"
            )))
        };
    }
    // A new leader may not have applied yet what earlier ones have committed.
    let index = read::confirm(core).await?;
    let mut applied = progress.applied.subscribe();
    applied.wait_for(|now| *now >= index).await.map_err(|_| Error::Stopped)?;
    if progress.ids.lock().contains(&id) {
        return Err(Error::Refused(format!(
            "id {id} belonged to a node that was removed, and ids are never used again; \
             the next free one is {}",
            next_id(core, progress)
        )));
    }
    let added = ChangeMembers::AddNodes(BTreeMap::from([(id, member)]));
    apply(core, added, true).await
}

fn next_id(core: &Core, progress: &Progress) -> u64 {
    let highest = progress.ids.lock().last().copied();
    let (known, _) = members(core);
    highest.max(known.keys().last().copied()).map_or(1, |id| id.saturating_add(1))
}

async fn promote(core: &Core, id: u64) -> Result<(), Error> {
    require(core, id)?;
    apply(core, ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
}

async fn remove(core: &Core, id: u64) -> Result<(), Error> {
    let (known, voters) = members(core);
    if !known.contains_key(&id) {
        return Ok(());
    }
    if voters == BTreeSet::from([id]) {
        return Err(Error::Refused("the last voter cannot be removed".into()));
    }
    let ids = BTreeSet::from([id]);
    let removed = if voters.contains(&id) {
        ChangeMembers::RemoveVoters(ids)
    } else {
        ChangeMembers::RemoveNodes(ids)
    };
    apply(core, removed, false).await
}

async fn replace(core: &Core, old: u64, new: u64) -> Result<(), Error> {
    let (known, voters) = members(core);
    if voters.contains(&new) && !voters.contains(&old) {
        // It was done before, up to the last step at least.
        return remove(core, old).await;
    }
    if !voters.contains(&old) || voters.contains(&new) {
        return Err(Error::Refused(format!(
            "only a voter can be replaced, and only by a learner; voters are {voters:?}"
        )));
    }
    if !known.contains_key(&new) {
        return require(core, new);
    }
    // What the leader knows of a node is a little older than what the node has.
    let asked = Instant::now();
    while lag(core, new) > REPLACE_LAG_MAX && asked.elapsed() < LAG_TIMEOUT {
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    let lag = lag(core, new);
    if lag > REPLACE_LAG_MAX {
        return Err(Error::Refused(format!(
            "node {new} is {lag} entries behind, {REPLACE_LAG_MAX} are allowed; \
             try again when it has caught up"
        )));
    }
    let wanted = voters.into_iter().filter(|id| *id != old).chain([new]).collect();
    apply(core, ChangeMembers::ReplaceAllVoters(wanted), false).await
}

/// Entries a node lacks on its disk, as far as this leader knows.
fn lag(core: &Core, id: u64) -> u64 {
    let metrics = core.metrics();
    let now = metrics.borrow_watched();
    let matched = now.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
    let last = now.last_log_index.unwrap_or(0);
    last.saturating_sub(matched.map_or(0, |log_id| log_id.index))
}

async fn transfer(core: &Core, to: u64) -> Result<(), Error> {
    if !members(core).1.contains(&to) {
        return Err(Error::Refused(format!("node {to} is not a voter and cannot lead")));
    }
    core.trigger().transfer_leader(to).await.map_err(|e| Error::Fatal(e.to_string()))?;
    let asked = Instant::now();
    loop {
        let leader = core.metrics().borrow_watched().current_leader;
        if leader == Some(to) {
            return Ok(());
        }
        // This node sends no heartbeats meanwhile, so there is another leader soon in any case.
        if asked.elapsed() > TRANSFER_TIMEOUT {
            return Err(Error::Refused(format!(
                "node {to} has not taken over within {TRANSFER_TIMEOUT:?}; the leader is {leader:?}"
            )));
        }
        tokio::time::sleep(TRANSFER_POLL).await;
    }
}

async fn apply(core: &Core, change: ChangeMembers<u64, Member>, retain: bool) -> Result<(), Error> {
    loop {
        match core.change_membership(change.clone(), retain).await {
            Ok(_) => return Ok(()),
            // The change before this one, or a new leader's first entry, is about to be committed.
            Err(RaftError::APIError(e)) if is_passing(&e) => tokio::time::sleep(RETRY_PAUSE).await,
            Err(RaftError::APIError(e)) => return Err(explain(&e)),
            Err(RaftError::Fatal(e)) => return Err(Error::Fatal(e.to_string())),
        }
    }
}

fn is_passing(error: &ClientWriteError<Types>) -> bool {
    matches!(
        error,
        ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_)
        )
    )
}

fn explain(error: &ClientWriteError<Types>) -> Error {
    match error {
        ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_) => {
            Error::NoLeader
        }
        other => Error::Refused(other.to_string()),
    }
}
