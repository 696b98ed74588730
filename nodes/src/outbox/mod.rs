//! Notices to people: the leader takes them from the replicated outbox and hands them to a webhook, as
//! often as it takes. What became of each attempt goes back into the log.
//!
//! A notice is sent only once it is committed, and is forgotten only once its delivery is. So after a
//! change of leaders exactly what is not known to be delivered is sent again, under the same key.

mod message;
mod metrics;
mod settings;
mod webhook;

pub(crate) use metrics::expose;
pub use settings::OutboxSettings;
pub(crate) use webhook::Webhook;
pub use webhook::{Signed, sign};

use crate::node::Node;
use crate::state::{Command, Delivery, Notice};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often pauses between attempts are looked at when nothing else happens.
const LOOK: Duration = Duration::from_millis(200);
/// How often the log says that notices wait and nothing takes them.
const COMPLAIN: Duration = Duration::from_mins(1);

/// Runs on every node; only the leader delivers.
pub(crate) async fn run(node: Arc<Node>) {
    let in_flight_max = node.config().outbox.in_flight;
    let mut applied = node.machine().watch_applied();
    let mut under_way: BTreeSet<String> = BTreeSet::new();
    let mut tasks: JoinSet<String> = JoinSet::new();
    let mut watcher = Watcher::default();
    loop {
        if node.raft().is_leader() {
            watcher.look(&node);
            if let Some(webhook) = node.webhook() {
                let room = in_flight_max.saturating_sub(under_way.len());
                for notice in ready(&node, &under_way, room) {
                    under_way.insert(notice.notice_id.clone());
                    tasks.spawn(deliver(Arc::clone(&node), Arc::clone(webhook), notice));
                }
            }
        }
        tokio::select! {
            ended = tasks.join_next(), if !tasks.is_empty() => match ended {
                Some(Ok(notice_id)) => { under_way.remove(&notice_id); }
                // A task that panicked would otherwise hold its place for ever.
                _ => if tasks.is_empty() { under_way.clear() },
            },
            moved = applied.changed() => if moved.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn ready(node: &Node, under_way: &BTreeSet<String>, room: usize) -> Vec<Arc<Notice>> {
    if room == 0 {
        return Vec::new();
    }
    let now_us = node.raft().now_us();
    let state = node.machine().read();
    let ready = state.casework.outbox.ready(now_us);
    ready.filter(|notice| !under_way.contains(&notice.notice_id)).take(room).cloned().collect()
}

/// One attempt, and its outcome into the log. If that fails the notice still waits and is sent again.
async fn deliver(node: Arc<Node>, webhook: Arc<Webhook>, notice: Arc<Notice>) -> String {
    let notice_id = notice.notice_id.clone();
    // Who was deposed a moment ago leaves it to the heir.
    if !node.raft().is_leader() {
        return notice_id;
    }
    let attempt = notice.attempts + 1;
    let now_us = node.raft().now_us();
    let sent = tokio::task::spawn_blocking(move || webhook.send(&notice, now_us)).await;
    let (provider_id, error) = match sent {
        Ok(Ok(provider_id)) => (Some(provider_id), String::new()),
        Ok(Err(error)) => (None, error),
        Err(error) => (None, error.to_string()),
    };
    if !error.is_empty() {
        tracing::warn!(notice_id, attempt, error, "a notice was not delivered");
    }
    let delivery = Delivery { notice_id: notice_id.clone(), attempt, provider_id, error };
    if let Err(error) = node.propose(&Command::RecordDeliveries(vec![delivery])).await {
        tracing::warn!(notice_id, %error, "the outcome of a notice was not committed");
    }
    notice_id
}

/// Says loudly what would otherwise be silence.
#[derive(Debug, Default)]
struct Watcher {
    lost: Option<u64>,
    complained: Option<Instant>,
}

impl Watcher {
    fn look(&mut self, node: &Node) {
        let (lost, waiting) = {
            let state = node.machine().read();
            let outbox = &state.casework.outbox;
            (outbox.dead + outbox.refused, outbox.len())
        };
        if self.lost.is_some_and(|before| before < lost) {
            tracing::error!(
                lost,
                "a notice reached nobody and is given up: see the table notice, state dead or refused"
            );
        }
        self.lost = Some(lost);
        let is_time = self.complained.is_none_or(|at| at.elapsed() > COMPLAIN);
        if waiting > 0 && node.webhook().is_none() && is_time {
            self.complained = Some(Instant::now());
            tracing::warn!(waiting, "notices wait and outbox.webhook is not configured");
        }
    }
}
