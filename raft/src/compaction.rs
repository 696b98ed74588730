//! When to make a snapshot: after so many bytes or entries of log, or so much time with any, or when
//! somebody asks. The nodes of a group count the same log, so they would all write at the same moment;
//! each waits for its turn, so that a majority of disks has nothing else to do than the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;

use crate::adapter::Progress;
use crate::config::Config;
use crate::error::Error;
use crate::handle::Raft;
use crate::types::Core;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause after a snapshot that could not be made.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How often one who waits for a snapshot looks, and asks again: a request while another one is
/// being made is lost.
const WAIT_POLL: Duration = Duration::from_millis(20);
const ASK_AGAIN: u32 = 50;
/// Who has this many times what a snapshot is due after waits for no turn.
const OVERDUE: u64 = 2;

impl Raft {
    /// Makes a snapshot of everything that is applied now, and returns its index once it is kept.
    pub async fn snapshot_within(&self, timeout: Duration) -> Result<u64, Error> {
        let status = self.status();
        let waiting = async {
            let mut looks = 0;
            loop {
                let now = self.status();
                if now.snapshot_index >= status.applied {
                    return Ok(now.snapshot_index);
                }
                if now.snapshot_failures > status.snapshot_failures {
                    let said = "the snapshot could not be written; the node's log says why";
                    return Err(Error::Refused(said.into()));
                }
                if looks % ASK_AGAIN == 0 {
                    self.snapshot_now().await?;
                }
                looks += 1;
                tokio::time::sleep(WAIT_POLL).await;
            }
        };
        tokio::time::timeout(timeout, waiting).await.unwrap_or(Err(Error::DeadlineExceeded {
            what: "a snapshot",
            waited_ms: timeout.as_millis() as u64,
        }))
    }
}

pub(crate) async fn run(
    core: Core,
    config: Arc<Config>,
    progress: Arc<Progress>,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0;
    loop {
        let failed = progress.snapshot_failures.load(Ordering::Relaxed);
        let again = failed != failures;
        failures = failed;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(if again { RETRY_AFTER } else { LOOK_EVERY }) => {}
        }
        let in_turn = || is_due(&config, &progress, 1) && is_turn(&core, &config, &progress);
        // One that failed has set back what is counted.
        let due = again || in_turn() || is_due(&config, &progress, OVERDUE);
        // A request while one is being built changes nothing.
        if due && core.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

fn is_due(config: &Config, progress: &Progress, times: u64) -> bool {
    let bytes = progress.bytes.load(Ordering::Relaxed);
    let entries = progress.entries.load(Ordering::Relaxed);
    let limit = Duration::from_secs(config.snapshot_seconds.saturating_mul(times));
    let late = !limit.is_zero() && entries > 0 && progress.since_snapshot() >= limit;
    let over = |count: u64, limit: u64| count >= limit.saturating_mul(times);
    late || over(bytes, config.snapshot_bytes) || over(entries, config.snapshot_entries)
}

/// By the group's clock, which all nodes agree on well enough, and their ranks in the membership.
fn is_turn(core: &Core, config: &Config, progress: &Progress) -> bool {
    let ids: Vec<u64> = {
        let metrics = core.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().nodes().map(|(id, _)| *id).collect()
    };
    let rank = ids.iter().position(|id| *id == config.node_id);
    let turn_us = config.snapshot_turn_ms.saturating_mul(1_000);
    rank.is_none_or(|rank| has_turn(progress.clock.now().0, turn_us, rank, ids.len()))
}

/// One node begins in the first half of a turn; what is left is for coming to an end.
fn has_turn(now_us: i64, turn_us: u64, rank: usize, nodes: usize) -> bool {
    let now_us = now_us.unsigned_abs();
    let (Some(turn), Some(into)) = (now_us.checked_div(turn_us), now_us.checked_rem(turn_us))
    else {
        return true;
    };
    turn.checked_rem(nodes as u64) == Some(rank as u64) && into < turn_us.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_have_a_turn_at_once_and_each_has_one() {
        for nodes in 1..=5 {
            let mut turns = vec![0; nodes];
            for now_ms in 0..nodes as i64 * 10_000 {
                let having = |rank: &usize| has_turn(now_ms * 1_000, 10_000_000, *rank, nodes);
                let having: Vec<usize> = (0..nodes).filter(having).collect();
                assert!(having.len() <= 1, "{having:?} of {nodes} at {now_ms} ms");
                for rank in having {
                    turns[rank] += 1;
                }
            }
            assert_eq!(turns, vec![5_000; nodes]);
        }
        assert!(has_turn(7, 0, 2, 3), "0 sets no turns");
    }
}
