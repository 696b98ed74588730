//! How fresh a read has to be: the header `hearth-read` says it, else each call's own default.
//!
//! `linearizable`: everything acknowledged before the call. `index=N`: at least the entry N, such as
//! the caller's own last write. `within=2s` or `within=250ms`: everything acknowledged so long ago.
//! `local`: whatever this node has applied.

use super::deadline;
use super::status::from_raft;
use crate::node::Node;
use flight::{MIN_LOG_INDEX_HEADER, READ_HEADER};
use futures::FutureExt as _;
use raft::ReadLevel;
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// How long a call waits for what it asked for.
const WAIT: Duration = Duration::from_secs(10);

/// Waits until this node may answer a call; gives the index it has applied by then.
pub(crate) async fn reach(
    node: &Node,
    metadata: &MetadataMap,
    default: ReadLevel,
) -> Result<u64, Status> {
    let text = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap_or_default());
    let level = match (text(READ_HEADER), text(MIN_LOG_INDEX_HEADER)) {
        (Some(level), _) => parse(level).map_err(Status::invalid_argument)?,
        (None, Some(index)) => parse(&format!("index={}", index.trim())).map_err(|_| {
            Status::invalid_argument(format!("{MIN_LOG_INDEX_HEADER} must be a whole number"))
        })?,
        (None, None) => default,
    };
    if level == ReadLevel::Local {
        return Ok(node.machine().applied());
    }
    reach_by(node, level, deadline::of(metadata)).await.map_err(|error| from_raft(&error))
}

pub(crate) async fn reach_level(node: &Node, level: ReadLevel) -> Result<u64, raft::Error> {
    reach_by(node, level, None).await
}

/// Waits no longer than the caller does.
pub(crate) async fn reach_by(
    node: &Node,
    level: ReadLevel,
    deadline: Option<Instant>,
) -> Result<u64, raft::Error> {
    let applied = node.machine().applied();
    match level {
        ReadLevel::Local => return Ok(applied),
        ReadLevel::AtLeast(index) if index <= applied => return Ok(applied),
        _ => {}
    }
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // Boxed: every call waits here, and the type of the whole way would be part of each of them.
    node.raft().read_index_at(level, left.map_or(WAIT, |left| left.min(WAIT))).boxed().await
}

pub(crate) fn parse(text: &str) -> Result<ReadLevel, String> {
    let wrong = || {
        format!(
            "{READ_HEADER} {text:?} is none of linearizable, local, index=N, within=2s, within=250ms"
        )
    };
    let (word, value) = text.trim().split_once('=').unwrap_or((text.trim(), ""));
    match (word, value) {
        ("linearizable", "") => Ok(ReadLevel::Linearizable),
        ("local", "") => Ok(ReadLevel::Local),
        ("index", index) => index.parse().map(ReadLevel::AtLeast).map_err(|_| wrong()),
        ("within", age) => {
            let (number, unit) = match (age.strip_suffix("ms"), age.strip_suffix('s')) {
                (Some(number), _) => (number, 1),
                (None, Some(number)) => (number, 1_000),
                (None, None) => return Err(wrong()),
            };
            let number: u64 = number.parse().map_err(|_| wrong())?;
            Ok(ReadLevel::Within(Duration::from_millis(number.saturating_mul(unit))))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_of_four_words() {
        assert_eq!(parse("linearizable"), Ok(ReadLevel::Linearizable));
        assert_eq!(parse(" local "), Ok(ReadLevel::Local));
        assert_eq!(parse("index=17"), Ok(ReadLevel::AtLeast(17)));
        assert_eq!(parse("within=2s"), Ok(ReadLevel::Within(Duration::from_secs(2))));
        assert_eq!(parse("within=250ms"), Ok(ReadLevel::Within(Duration::from_millis(250))));
        for wrong in ["", "strong", "local=1", "index=", "index=-1", "within=2", "within=ms"] {
            assert!(parse(wrong).unwrap_err().contains("linearizable, local"), "{wrong}");
        }
    }
}
