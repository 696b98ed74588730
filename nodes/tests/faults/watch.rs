//! Watches what every node says about itself, all the time: equal state at an equal index, nothing
//! that goes back while a process lives.
//!
//! A leadership is a term and a node, in this order: a candidate with a higher id may take a term over
//! from one that has just been elected in it. So two nodes may lead one term one after the other, and
//! what must never happen is that somebody follows an earlier leadership after a later one.

use crate::cluster::Cluster;
use crate::load::Book;
use nodes::proto::hearth::StatusResponse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(50);
/// States remembered for comparison.
const STATES_MAX: usize = 200_000;

#[derive(Debug, Default)]
struct Seen {
    states: BTreeMap<u64, (u64, Vec<u8>)>,
    /// By node: its start, what it had applied and its term.
    last: BTreeMap<u64, (u64, u64, u64)>,
    /// By node: its start, and the leadership (term, node) that it followed or held.
    followed: BTreeMap<u64, (u64, (u64, u64))>,
    compared: u64,
    /// Pairs of nodes that were said to differ: once is enough.
    differ: BTreeSet<(u64, u64)>,
}

/// Runs until the book is closed; tells how many states were compared.
pub(crate) async fn watch(cluster: Arc<Cluster>, book: Arc<Book>) -> u64 {
    let mut seen = Seen::default();
    while !book.is_stopped() {
        let asked = cluster.nodes.iter().map(async |node| {
            let start = node.starts();
            let status = node.status().await?;
            // An answer of the process before would look like a step back.
            (node.starts() == start).then_some((start, status))
        });
        for (start, status) in futures::future::join_all(asked).await.into_iter().flatten() {
            for said in seen.take(start, &status) {
                println!("    WRONG: {said}");
                book.wrong.lock().others.push(said);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
    seen.compared
}

impl Seen {
    fn take(&mut self, start: u64, status: &StatusResponse) -> Vec<String> {
        let mut wrong = Vec::new();
        let node = status.node_id;
        let leadership = (status.term, status.leader_id);
        if status.leader_id > 0
            && let Some((then, before)) = self.followed.insert(node, (start, leadership))
            && then == start
            && leadership < before
        {
            wrong.push(format!("node {node} follows {leadership:?} after {before:?}"));
        }
        let now = (start, status.applied_index, status.term);
        if let Some(last) = self.last.insert(node, now)
            && last.0 == start
            && (status.applied_index < last.1 || status.term < last.2)
        {
            wrong.push(format!("node {node} went back from {last:?} to {now:?}"));
        }
        if status.committed_index > status.last_log_index {
            wrong.push(format!("node {node} committed what it does not have: {status:?}"));
        }
        let state = (node, status.state_hash.clone());
        match self.states.get(&status.state_hash_index) {
            None => {
                self.states.insert(status.state_hash_index, state);
            }
            Some((other, hash)) if *other != node => {
                self.compared += 1;
                let pair = (node.min(*other), node.max(*other));
                if *hash != state.1 && self.differ.insert(pair) {
                    let index = status.state_hash_index;
                    wrong.push(format!("nodes {other} and {node} differ at index {index}"));
                }
            }
            Some(_) => {}
        }
        if self.states.len() > STATES_MAX {
            self.states.pop_first();
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node: u64, term: u64, index: u64, hash: u8) -> StatusResponse {
        StatusResponse {
            node_id: node,
            leader_id: 1,
            term,
            applied_index: index,
            state_hash_index: index,
            state_hash: vec![hash],
            ..StatusResponse::default()
        }
    }

    #[test]
    fn equal_states_pass_and_others_are_found() {
        let mut seen = Seen::default();
        assert!(seen.take(1, &status(1, 1, 5, 7)).is_empty());
        assert!(seen.take(1, &status(2, 1, 5, 7)).is_empty());
        assert_eq!(seen.compared, 1);
        assert!(seen.take(1, &status(3, 1, 5, 8))[0].contains("differ at index 5"));
        assert!(seen.take(1, &status(3, 1, 5, 8)).is_empty(), "said already");
    }

    #[test]
    fn earlier_leaders_and_steps_back_are_found() {
        let mut seen = Seen::default();
        let led_by = |leader_id| StatusResponse { leader_id, ..status(2, 4, 5, 7) };
        assert!(seen.take(1, &status(1, 4, 5, 7)).is_empty());
        assert!(seen.take(1, &led_by(2)).is_empty(), "the higher id takes the term over");
        assert!(seen.take(1, &led_by(0)).is_empty(), "no leader is known");
        assert!(seen.take(1, &led_by(1))[0].contains("follows (4, 1) after (4, 2)"));
        assert!(seen.take(1, &status(1, 4, 4, 1))[0].contains("went back"));
        assert!(seen.take(2, &status(1, 4, 2, 2)).is_empty(), "a new process may replay");
    }
}
