//! What this node counted, into the log: every so often, as one command.

use crate::node::Node;
use crate::serving::Loaded;
use crate::state::watched::WatchDelta;
use crate::state::{Command, Reply};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub(crate) async fn run(node: Arc<Node>) {
    let every = Duration::from_millis(node.config().watch.flush_ms);
    // What was taken out of the counters and is not known to be in the log: the same bytes again, so
    // that they count once.
    let mut open: Option<Vec<u8>> = None;
    let mut proposed: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        tokio::time::sleep(every).await;
        if open.is_none() {
            let deltas = deltas(&node, &mut proposed);
            if !deltas.is_empty() {
                open = Some(node.encode(&Command::RecordWatch(deltas)));
            }
        }
        let Some(bytes) = open.clone() else { continue };
        match node.propose_bytes(bytes).await {
            Ok((_, Reply::Refused(refusal))) => {
                tracing::warn!(%refusal, "what was watched was not taken");
                open = None;
            }
            Ok(_) => open = None,
            Err(error) => tracing::debug!(%error, "what was watched is not in the log yet"),
        }
    }
}

fn deltas(node: &Node, proposed: &mut BTreeSet<(String, String)>) -> Vec<WatchDelta> {
    let loaded = node.serving().all_loaded();
    loaded.iter().filter_map(|loaded| delta(node, loaded, proposed)).collect()
}

fn delta(
    node: &Node,
    loaded: &Arc<Loaded>,
    proposed: &mut BTreeSet<(String, String)>,
) -> Option<WatchDelta> {
    let counter = loaded.watch();
    let key = (loaded.name().to_owned(), loaded.version().to_owned());
    let known = {
        let state = node.machine().read();
        state.watched.version(&key.0, &key.1).and_then(|version| version.reference.clone())
    };
    let first = node.config().watch.reference_scores;
    let mut delta =
        WatchDelta { model: key.0.clone(), version: key.1.clone(), ..Default::default() };
    match (counter.reference(), known) {
        (None, Some(known)) => {
            // Those that this node has proposed are not compared with themselves.
            let is_own = proposed.remove(&key) && counter.first(first).as_ref() == Some(&*known);
            counter.compare_with(known, if is_own { first } else { 0 });
        }
        (None, None) => {
            if let Some(reference) = counter.first(first) {
                proposed.insert(key);
                delta.reference = Some(reference);
            }
        }
        (Some(own), None) => delta.reference = Some(own.as_ref().clone()),
        (Some(_), Some(_)) => {}
    }
    delta.counts = counter.drain();
    delta.groups = counter.drain_groups(node.serving().groups());
    let has_news = delta.counts.scores > 0 || !delta.groups.is_empty();
    // A reference from a package waits for the first score: what is never asked is not watched.
    let is_first = delta.reference.as_ref().is_some_and(|_| counter.reference().is_none());
    (has_news || is_first).then_some(delta)
}
