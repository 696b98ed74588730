//! Lines of a feed into the log: checked one by one, made durable together.

use super::record::{Told, parse};
use crate::node::Node;
use crate::proto::hearth::Rejection;
use crate::service::reach_level;
use crate::service::status::{from_raft, from_refusal};
use crate::state::feeds::FeedSpec;
use crate::state::{Command, DeadLetter, Fed, FeedRow, Reply};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::Status;

/// Rows and bytes of rows in one command.
const ROWS_PER_COMMAND: usize = 2_000;
const BYTES_PER_COMMAND: usize = 1 << 20;
/// Refused lines of one request that become dead letters; the sender is told of all of them.
const LETTERS_PER_REQUEST: usize = 64;

/// What became of the lines of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) log_index: u64,
    pub(crate) fed: Fed,
    pub(crate) rejected: Vec<Rejection>,
}

/// Checks lines and proposes what is good of them.
pub(crate) async fn take_lines(node: &Node, feed: &str, lines: &[&str]) -> Result<Answer, Status> {
    let most = node.config().limits.events_per_request;
    if lines.len() > most {
        let said = format!("a request may hold {most} rows, this one has {}", lines.len());
        return Err(Status::invalid_argument(format!("{said}: send it in parts")));
    }
    let spec = spec_of(node, feed).await?;
    let Some(table) = FeedSpec::table_of(&spec.table) else {
        return Err(Status::failed_precondition(format!("there is no table {}", spec.table)));
    };
    let now_us = node.raft().now_us();
    let mut batch = Batch::default();
    let mut answer = Answer::default();
    for (position, line) in lines.iter().enumerate() {
        match parse(&spec, table, line, now_us) {
            Ok(Told { row, deleted }) => {
                batch.bytes += row.row.len() + size_of::<FeedRow>();
                if deleted {
                    batch.gone.push(batch.rows.len() as u32);
                }
                batch.rows.push(row);
            }
            Err(reason) => {
                batch.refused += 1;
                if batch.letters.len() < LETTERS_PER_REQUEST {
                    batch.letters.push(DeadLetter::new("feed", feed, &reason, line.as_bytes()));
                }
                answer.rejected.push(Rejection { position: position as u32, reason });
            }
        }
        if batch.rows.len() >= ROWS_PER_COMMAND || batch.bytes >= BYTES_PER_COMMAND {
            batch.commit(node, feed, &mut answer).await?;
        }
    }
    batch.commit(node, feed, &mut answer).await?;
    Ok(answer)
}

/// A declaration that this node has not heard of yet may be in the log already.
async fn spec_of(node: &Node, feed: &str) -> Result<Arc<FeedSpec>, Status> {
    let here =
        |node: &Node| node.machine().read().feeds.get(feed).map(|known| Arc::clone(&known.spec));
    if let Some(spec) = here(node) {
        return Ok(spec);
    }
    reach_level(node, ReadLevel::Linearizable).await.map_err(|error| from_raft(&error))?;
    here(node).ok_or_else(|| {
        let name: String = feed.chars().take(64).collect();
        Status::not_found(format!("no feed {name:?}: declare it with `hearth feed push FILE`"))
    })
}

#[derive(Default)]
struct Batch {
    rows: Vec<FeedRow>,
    /// The places of those that take back.
    gone: Vec<u32>,
    bytes: usize,
    refused: u32,
    letters: Vec<DeadLetter>,
}

impl Batch {
    async fn commit(&mut self, node: &Node, feed: &str, answer: &mut Answer) -> Result<(), Status> {
        if self.rows.is_empty() && self.refused == 0 {
            return Ok(());
        }
        let Self { rows, gone, bytes, refused: rejected, letters } = std::mem::take(self);
        let taken = node.doors().room.take(bytes);
        let _room = taken.map_err(|full| Status::resource_exhausted(full.to_string()))?;
        let feed = feed.to_owned();
        let command = if gone.is_empty() {
            Command::IngestRows { feed, rows, rejected, letters }
        } else {
            Command::FeedRows { feed, rows, gone, rejected, letters }
        };
        answer.add(node, &command).await
    }
}

impl Answer {
    async fn add(&mut self, node: &Node, command: &Command) -> Result<(), Status> {
        let (index, reply) = node.propose(command).await.map_err(|error| from_raft(&error))?;
        match reply {
            Reply::Fed(fed) => {
                self.log_index = index;
                self.fed.applied += fed.applied;
                self.fed.superseded += fed.superseded;
                self.fed.duplicates += fed.duplicates;
                self.fed.late += fed.late;
                self.fed.rejected += fed.rejected;
                self.fed.withdrawn += fed.withdrawn;
                Ok(())
            }
            Reply::Refused(refusal) => Err(from_refusal(refusal)),
            _ => Err(Status::internal("the log answered something else than rows taken in")),
        }
    }
}
