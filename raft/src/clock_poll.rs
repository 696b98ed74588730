//! Asks the other voters for their clocks.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::LogClock;
use crate::member::Member;
use crate::peer::{Kind, Lane, Peers, pack, unpack};
use crate::types::Core;

const EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    core: Core,
    peers: Arc<Peers>,
    clock: Arc<LogClock>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let voters = other_voters(&core, peers.node_id());
        clock.retain(|node| voters.iter().any(|(id, _)| *id == node));
        join_all(voters.iter().map(|(node, member)| ask(&peers, &clock, *node, member))).await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn other_voters(core: &Core, own: u64) -> Vec<(u64, Member)> {
    let metrics = core.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let others = membership.voter_ids().filter(|id| *id != own);
    others.filter_map(|id| Some((id, membership.get_node(&id)?.clone()))).collect()
}

/// A peer that does not answer is no witness; what it said before grows old.
async fn ask(peers: &Peers, clock: &LogClock, node: u64, member: &Member) {
    let (Ok(mut client), Ok(frame)) =
        (peers.client(node, &member.raft, Lane::Pulse), pack(Kind::Clock, &()))
    else {
        return;
    };
    let begun = Instant::now();
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.clock(frame)).await;
    let Ok(Ok(answer)) = answer else { return };
    let Ok(theirs_us) = unpack::<i64>(Kind::ClockReply, answer.into_inner()) else { return };
    // It looked at its clock about half the way ago.
    let halfway_us = begun.elapsed().as_micros() as i64 / 2;
    clock.peer(node, theirs_us.saturating_add(halfway_us));
}
