//! Reads, and how fresh they have to be.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::RaftError;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Error;
use crate::handle::Raft;
use crate::types::Core;

/// What a state has to hold before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLevel {
    /// Everything that was acknowledged before the read began.
    Linearizable,
    /// Everything up to an index, such as the reader's own last write.
    AtLeast(u64),
    /// Everything that was acknowledged so long before the read began.
    Within(Duration),
    /// Whatever is here.
    Local,
}

/// The last time a leader has confirmed an index to this node.
#[derive(Debug, Default)]
pub(crate) struct Confirmed(Mutex<Option<(Instant, u64)>>);

impl Confirmed {
    /// Everything acknowledged before `asked` is at or below `index`.
    fn note(&self, asked: Instant, index: u64) {
        let mut last = self.0.lock();
        if last.is_none_or(|(before, _)| before < asked) {
            *last = Some((asked, index));
        }
    }

    /// An index that holds everything acknowledged `age` ago.
    fn within(&self, age: Duration) -> Option<u64> {
        let last = *self.0.lock();
        last.filter(|(asked, _)| asked.elapsed() <= age).map(|(_, index)| index)
    }
}

impl Raft {
    /// Waits until the state here may be read at this level, and returns the applied index. It
    /// fails rather than let something older be read.
    pub async fn read_index_at(&self, level: ReadLevel, timeout: Duration) -> Result<u64, Error> {
        match level {
            ReadLevel::Linearizable => self.linearize_within(timeout).await,
            ReadLevel::AtLeast(index) => self.wait_applied(index, timeout).await,
            ReadLevel::Within(age) => match self.parts.confirmed.within(age) {
                Some(index) => self.wait_applied(index, timeout).await,
                None => self.linearize_within(timeout).await,
            },
            ReadLevel::Local => Ok(*self.parts.progress.applied.borrow()),
        }
    }

    /// Everything acknowledged before this call is applied here when it returns.
    pub async fn linearize(&self) -> Result<u64, Error> {
        self.linearize_within(self.parts.config.propose_timeout()).await
    }

    async fn linearize_within(&self, timeout: Duration) -> Result<u64, Error> {
        let started = Instant::now();
        let (asked, index) = self
            .insist("a linearizable read", timeout, || async {
                let asked = Instant::now();
                Ok((asked, self.read_index().await?))
            })
            .await?;
        self.parts.confirmed.note(asked, index);
        self.wait_applied(index, timeout.saturating_sub(started.elapsed())).await
    }

    async fn read_index(&self) -> Result<u64, Error> {
        let leader = *self.parts.leader.borrow();
        match leader {
            None => Err(Error::NoLeader),
            Some(id) if id == self.parts.config.node_id => confirm(&self.parts.core).await,
            Some(id) => self.parts.forward.read_index(id).await,
        }
    }
}

/// On the leader: an index that everything acknowledged so far is at or below, after a quorum
/// has confirmed that this node still leads.
pub(crate) async fn confirm(core: &Core) -> Result<u64, Error> {
    #[cfg(feature = "sim")]
    if crate::sim::breaks(crate::sim::Mutation::SkipReadConfirmation) {
        let committed = core.with_raft_state(|state| state.local_committed().copied()).await;
        return Ok(committed.ok().flatten().map_or(0, |id| id.index));
    }
    match core.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index()),
        Err(RaftError::APIError(_)) => Err(Error::NoLeader),
        Err(RaftError::Fatal(e)) => Err(Error::Fatal(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_grows_old_and_an_older_answer_does_not_replace_it() {
        let confirmed = Confirmed::default();
        assert_eq!(confirmed.within(Duration::MAX), None);
        let minute = Duration::from_mins(1);
        let now = Instant::now();
        confirmed.note(now.checked_sub(minute).unwrap(), 8);
        // Was asked for earlier and comes later.
        confirmed.note(now.checked_sub(minute * 2).unwrap(), 7);
        assert_eq!(confirmed.within(minute * 10), Some(8));
        assert_eq!(confirmed.within(minute / 2), None);
    }
}
