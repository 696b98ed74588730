//! Linearizable reads.

use openraft::ReadPolicy;
use openraft::errors::RaftError;

use crate::error::Error;
use crate::types::Core;

/// On the leader: an index that everything acknowledged so far is at or below, after a quorum
/// has confirmed that this node still leads.
pub(crate) async fn confirm(core: &Core) -> Result<u64, Error> {
    #[cfg(feature = "sim")]
    if crate::sim::breaks(crate::sim::Mutation::SkipReadConfirmation) {
        let committed = core.with_raft_state(|state| state.committed().copied()).await;
        return Ok(committed.ok().flatten().map_or(0, |id| id.index));
    }
    match core.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index()),
        Err(RaftError::APIError(_)) => Err(Error::NoLeader),
        Err(RaftError::Fatal(e)) => Err(Error::Fatal(e.to_string())),
    }
}
