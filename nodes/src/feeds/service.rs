//! The gRPC service of feeds and dead letters.

use super::door::take_lines;
use super::table::feed_rows;
use crate::node::Node;
use crate::proto::hearth::feeds_server::Feeds;
use crate::proto::hearth::{
    AppendRowsRequest, AppendRowsResponse, DeadLetter, FeedStatus, ListDeadLettersRequest,
    ListDeadLettersResponse, ListFeedsRequest, ListFeedsResponse, PushFeedRequest,
};
use crate::service::reach_level;
use crate::service::status::{from_raft, from_refusal};
use crate::state::feeds::{Feed, FeedSpec};
use crate::state::{Command, Reply};
use raft::ReadLevel;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Letters in one answer.
const LETTERS_MAX: usize = 1_000;
/// The longest declaration.
const SPEC_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(crate) struct FeedsService {
    node: Arc<Node>,
}

impl FeedsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn listed(&self, name: &str) -> Result<Vec<FeedStatus>, Status> {
        let reached = reach_level(&self.node, ReadLevel::Linearizable).await;
        reached.map_err(|error| from_raft(&error))?;
        let declared = |name: &str| {
            let state = self.node.machine().read();
            let spec = state.feeds.get(name).map(|feed| Arc::clone(&feed.spec));
            spec.and_then(|spec| toml::to_string(&*spec).ok()).unwrap_or_default()
        };
        let released = |name: &str| {
            let state = self.node.machine().read();
            let columns = state.feeds.get(name).map(Feed::released_columns);
            columns.unwrap_or_default().into_iter().map(str::to_owned).collect()
        };
        let rows = feed_rows(&self.node).into_iter();
        let wanted = rows.filter(|feed| name.is_empty() || feed.feed == name);
        Ok(wanted
            .map(|feed| FeedStatus {
                spec: declared(&feed.feed),
                released: released(&feed.feed),
                feed: feed.feed,
                department: feed.department,
                table: feed.table,
                version: feed.version as u32,
                rows: feed.rows,
                applied: feed.applied,
                superseded: feed.superseded,
                duplicates: feed.duplicates,
                late: feed.late,
                rejected: feed.rejected,
                withdrawn: feed.withdrawn,
                missing: feed.missing,
                last_event_us: feed.last_event_us.unwrap_or(0),
                watermark_us: feed.watermark_us.unwrap_or(0),
                received_us: feed.received_us.unwrap_or(0),
                stale: feed.stale,
            })
            .collect())
    }
}

#[tonic::async_trait]
impl Feeds for FeedsService {
    async fn push(
        &self,
        request: Request<PushFeedRequest>,
    ) -> Result<Response<FeedStatus>, Status> {
        let text = request.into_inner().spec;
        if text.len() > SPEC_BYTES_MAX {
            let said = format!("a declaration has at most {SPEC_BYTES_MAX} bytes");
            return Err(Status::invalid_argument(said));
        }
        let spec: FeedSpec = toml::from_str(&text)
            .map_err(|error| Status::invalid_argument(error.message().replace('\n', " ")))?;
        spec.check().map_err(Status::invalid_argument)?;
        let name = spec.feed.clone();
        let command = Command::DeclareFeed(Box::new(spec));
        let (_, reply) = self.node.propose(&command).await.map_err(|error| from_raft(&error))?;
        if let Reply::Refused(refusal) = reply {
            return Err(from_refusal(refusal));
        }
        let declared = self.listed(&name).await?.pop();
        declared.map(Response::new).ok_or_else(|| Status::internal("the feed is not there"))
    }

    async fn list(
        &self,
        request: Request<ListFeedsRequest>,
    ) -> Result<Response<ListFeedsResponse>, Status> {
        let name = request.into_inner().feed;
        let feeds = self.listed(&name).await?;
        if feeds.is_empty() && !name.is_empty() {
            return Err(Status::not_found(format!("no feed {name:?}")));
        }
        Ok(Response::new(ListFeedsResponse { feeds }))
    }

    async fn append_rows(
        &self,
        request: Request<AppendRowsRequest>,
    ) -> Result<Response<AppendRowsResponse>, Status> {
        let AppendRowsRequest { feed, lines } = request.into_inner();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = take_lines(&self.node, &feed, &lines).await?;
        Ok(Response::new(AppendRowsResponse {
            log_index: answer.log_index,
            applied: answer.fed.applied,
            superseded: answer.fed.superseded,
            duplicates: answer.fed.duplicates,
            late: answer.fed.late,
            rejected: answer.rejected,
            withdrawn: answer.fed.withdrawn,
        }))
    }

    async fn dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let ListDeadLettersRequest { limit, door } = request.into_inner();
        let most = if limit == 0 { LETTERS_MAX } else { LETTERS_MAX.min(limit as usize) };
        let reached = reach_level(&self.node, ReadLevel::Linearizable).await;
        reached.map_err(|error| from_raft(&error))?;
        let state = self.node.machine().read();
        let kept = state.dead_letters.newest().map(|(_, kept)| kept);
        let letters = kept.filter(|kept| door.is_empty() || kept.letter.door == door).take(most);
        Ok(Response::new(ListDeadLettersResponse {
            letters: letters
                .map(|kept| DeadLetter {
                    door: kept.letter.door.clone(),
                    source: kept.letter.source.clone(),
                    reason: kept.letter.reason.clone(),
                    payload: kept.letter.payload.clone(),
                    bytes: kept.letter.bytes,
                    times: kept.times,
                    first_us: kept.first_us,
                    last_us: kept.last_us,
                    log_index: kept.log_index,
                })
                .collect(),
        }))
    }
}
