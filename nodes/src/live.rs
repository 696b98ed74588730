//! What the analysts' server reads from the running node.

use crate::node::Node;
use crate::service::reading;
use crate::state::{Command, Reply};
use crate::{online, portrait, watch};
use async_trait::async_trait;
use features::FeatureView;
use features::table::{Cell, Table, encode_row};
use flight::{
    CalibrationRow, DriftRow, Error, FeatureRow, FeedRow, GroupRow, Live, NodeRow, Online, Portrait,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows in one command: an ingest of more becomes several log entries.
const ROWS_PER_COMMAND: usize = 2_000;
/// Bytes of rows in one command.
const BYTES_PER_COMMAND: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct NodeLive {
    node: Arc<Node>,
    started_us: i64,
}

impl NodeLive {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, started_us: crate::clock::now_us() }
    }
}

#[async_trait]
impl Live for NodeLive {
    fn log_index(&self) -> u64 {
        self.node.machine().read().applied
    }

    fn portrait(&self, resident_key: &str) -> Option<Portrait> {
        portrait::of(&self.node.machine().read(), resident_key)
    }

    fn features(&self) -> Vec<FeatureRow> {
        let mut page = 0;
        let mut rows = Vec::new();
        while let Some(more) = self.feature_page(page) {
            rows.extend(more);
            page += 1;
        }
        rows
    }

    fn feature_page(&self, page: usize) -> Option<Vec<FeatureRow>> {
        portrait::feature_page(&self.node.machine().read(), page)
    }

    fn feature_view(&self, name: &str) -> Result<Arc<FeatureView>, Error> {
        let state = self.node.machine().read();
        state.views.current(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = state.views.all_current().map(|view| view.name()).collect();
            Error::NotFound(format!("there is no view {name:?}: there are {}", known.join(", ")))
        })
    }

    fn online(&self, view: &str) -> Result<Online, Error> {
        let wanted = match view {
            "" => None,
            name => Some(vec![self.feature_view(name)?]),
        };
        let state = self.node.machine().read();
        let wanted = wanted.unwrap_or_else(|| state.views.in_force().cloned().collect());
        online::read(&state, wanted)
    }

    fn model_drift(&self) -> Vec<DriftRow> {
        watch::drift_rows(&watch::watched(&self.node))
    }

    fn model_groups(&self) -> Vec<GroupRow> {
        watch::group_rows(&watch::watched(&self.node))
    }

    fn model_calibration(&self) -> Vec<CalibrationRow> {
        watch::calibration_rows(&watch::watched(&self.node))
    }

    fn feeds(&self) -> Vec<FeedRow> {
        crate::feeds::feed_rows(&self.node)
    }

    fn nodes(&self) -> Vec<NodeRow> {
        let status = self.node.raft().status();
        let diverged: BTreeSet<u64> =
            self.node.machine().read().checks.diverged().keys().copied().collect();
        status
            .members
            .iter()
            .map(|member| {
                let own = member.id == status.node_id;
                let address =
                    |name: &str| member.member.meta.get(name).cloned().unwrap_or_default();
                NodeRow {
                    id: member.id,
                    group: self.node.config().node.group.clone(),
                    role: member.role.as_str().to_owned(),
                    state: match (diverged.contains(&member.id), own) {
                        (true, _) => "diverged",
                        (false, true) => "serving",
                        (false, false) => "",
                    }
                    .to_owned(),
                    term: own.then_some(status.term),
                    committed_index: own.then_some(status.committed),
                    applied_index: if own { Some(status.applied) } else { member.matched_index },
                    recorded_index: own.then(|| self.node.machine().recorded_index()),
                    grpc: address("grpc"),
                    flight: address("flight"),
                    raft: member.member.raft.clone(),
                    http: address("http"),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    started_us: own.then_some(self.started_us),
                }
            })
            .collect()
    }

    async fn ingest(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Result<u64, Error> {
        let mut index = 0;
        let mut part = Vec::new();
        let mut bytes = 0;
        for row in &rows {
            table.check(row)?;
            table.key_of(row)?;
            let encoded = encode_row(row)?;
            bytes += encoded.len();
            part.push(encoded);
            if part.len() >= ROWS_PER_COMMAND || bytes >= BYTES_PER_COMMAND {
                index = self.upsert(table, std::mem::take(&mut part)).await?;
                bytes = 0;
            }
        }
        if !part.is_empty() {
            index = self.upsert(table, part).await?;
        }
        Ok(index)
    }

    async fn wait_recorded(&self, index: u64, timeout: Duration) -> Result<(), Error> {
        let mut recorded = self.node.watch_recorded();
        self.node.machine().want_recorded(index);
        let reached =
            tokio::time::timeout(timeout, recorded.wait_for(|recorded| *recorded >= index)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Late(format!(
                "log index {index} is not recorded after {} ms (now {}): ask for less or wait longer",
                timeout.as_millis(),
                self.node.machine().recorded_index()
            ))),
        }
    }

    async fn read_index(&self, level: &str) -> Result<u64, Error> {
        let level = reading::parse(level).map_err(Error::Invalid)?;
        reading::reach_level(&self.node, level).await.map_err(|error| match error {
            raft::Error::DeadlineExceeded { .. } => Error::Late(error.to_string()),
            _ => Error::Unavailable(error.to_string()),
        })
    }

    fn sign_in(&self, user: &str, _password: &str) -> Result<String, Error> {
        // An open node knows nobody's password; the name is kept for the query log.
        Ok(format!("open-{user}-{}", self.node.fresh_id("t")))
    }

    fn who(&self, token: Option<&str>) -> Result<String, Error> {
        let name = token
            .and_then(|token| token.strip_prefix("open-"))
            .and_then(|rest| rest.rsplit_once("-t"));
        Ok(name.map_or("anonymous", |(name, _)| name).to_owned())
    }
}

impl NodeLive {
    async fn upsert(&self, table: &'static Table, rows: Vec<Vec<u8>>) -> Result<u64, Error> {
        let command = Command::UpsertRows { table: table.name.to_owned(), rows };
        match self.node.propose(&command).await {
            Ok((_, Reply::Refused(refusal))) => Err(Error::Invalid(refusal.to_string())),
            Ok((index, _)) => Ok(index),
            Err(error) if error.is_retryable() => Err(Error::Unavailable(error.to_string())),
            Err(error) => Err(Error::Internal(error.to_string())),
        }
    }
}
