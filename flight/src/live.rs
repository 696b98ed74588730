//! What the running node lends to SQL: its resident state, its write path and its doors.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use features::{
    FeatureView,
    table::{Cell, Table},
};

use crate::{Error, Online};

/// The node, as the analysts' server sees it.
#[async_trait]
pub trait Live: Send + Sync + 'static {
    /// The log index that the resident state has applied.
    fn log_index(&self) -> u64;

    /// Everything about one resident, from memory.
    fn portrait(&self, resident_key: &str) -> Option<Portrait>;

    /// The resident features of every entity.
    fn features(&self) -> Vec<FeatureRow>;

    /// The resident features in pages, from page 0 until `None`. A node that holds many entities
    /// overrides this, so that a query never holds all of them at once.
    fn feature_page(&self, page: usize) -> Option<Vec<FeatureRow>> {
        (page == 0).then(|| self.features())
    }

    /// A feature view that is in force.
    fn feature_view(&self, name: &str) -> Result<Arc<FeatureView>, Error> {
        Err(Error::NotFound(format!("there is no view {name:?}")))
    }

    /// Every online value of a view, or of all views where it is empty, as of one log index. Writing
    /// goes on meanwhile.
    fn online(&self, _view: &str) -> Result<Online, Error> {
        Err(Error::Unavailable("this node has no online values".to_owned()))
    }

    fn nodes(&self) -> Vec<NodeRow>;

    /// How far each model version has moved from what it was made on.
    fn model_drift(&self) -> Vec<DriftRow> {
        Vec::new()
    }

    /// Scores and outcomes of each model version by group.
    fn model_groups(&self) -> Vec<GroupRow> {
        Vec::new()
    }

    /// How well each model version's scores came true.
    fn model_calibration(&self) -> Vec<CalibrationRow> {
        Vec::new()
    }

    /// How far each department's feed has come.
    fn feeds(&self) -> Vec<FeedRow> {
        Vec::new()
    }

    /// Replicates rows of a reference table, upserting by key; gives the index they are at.
    async fn ingest(&self, table: &'static Table, rows: Vec<Vec<Cell>>) -> Result<u64, Error>;

    /// Returns once the warehouse has recorded `index`, or [`Error::Late`] after `timeout`.
    async fn wait_recorded(&self, index: u64, timeout: Duration) -> Result<(), Error>;

    /// The index that an answer of this freshness has to hold; the level in the words of
    /// [`crate::READ_HEADER`].
    async fn read_index(&self, level: &str) -> Result<u64, Error>;

    /// Gives a bearer token for a name and a password.
    fn sign_in(&self, user: &str, password: &str) -> Result<String, Error>;

    /// Who a bearer token belongs to; `None` is a caller without one.
    fn who(&self, token: Option<&str>) -> Result<String, Error>;
}

/// One resident, whole. Rows are in the column order of their tables in [`features::civil`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portrait {
    /// A row of `resident`.
    pub resident: Vec<Cell>,
    pub age: Option<i64>,
    /// The region's twelve-digit code.
    pub region: Option<String>,
    /// A row of `household`.
    pub household: Option<Vec<Cell>>,
    /// A row of `dwelling`.
    pub dwelling: Option<Vec<Cell>>,
    /// Rows of `tag`.
    pub tags: Vec<Vec<Cell>>,
    /// Rows of `device`.
    pub devices: Vec<Vec<Cell>>,
    pub indicators: Vec<Indicator>,
    /// Open rows of `alert`.
    pub alerts: Vec<Vec<Cell>>,
    /// Newest first.
    pub events: Vec<LastEvent>,
    /// Rows of `relation`.
    pub relations: Vec<Vec<Cell>>,
    /// Rows of `subsidy`.
    pub subsidies: Vec<Vec<Cell>>,
}

/// One number that describes a resident: a feature, or a model's score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Indicator {
    pub name: String,
    pub value: Option<f64>,
    pub band: Option<String>,
    pub model: Option<String>,
    pub version: Option<String>,
    /// When the newest thing in it happened; a score's is when it was made.
    pub event_time_us: Option<i64>,
    /// The log's time at `log_index`.
    pub known_us: Option<i64>,
    pub status: String,
    /// What it was read at.
    pub log_index: Option<u64>,
}

/// The newest event of one kind in a resident's dwelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastEvent {
    pub kind: String,
    pub ts_us: i64,
    pub value: Option<f64>,
}

/// One row of `feature_current`. The repeated words are shared, since there are millions of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRow {
    pub entity_kind: Arc<str>,
    pub entity_key: Arc<str>,
    pub view: Arc<str>,
    pub feature: Arc<str>,
    pub value: Option<f64>,
    pub event_time_us: Option<i64>,
    pub status: Arc<str>,
    /// The log's time: what was received until then is in the value.
    pub known_us: i64,
    pub log_index: u64,
}

/// One row of `node_status`. What a node does not know about another one is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRow {
    pub id: u64,
    pub group: String,
    pub role: String,
    pub state: String,
    pub term: Option<u64>,
    pub committed_index: Option<u64>,
    pub applied_index: Option<u64>,
    pub recorded_index: Option<u64>,
    pub grpc: String,
    pub flight: String,
    pub raft: String,
    pub http: String,
    pub version: String,
    pub started_us: Option<i64>,
}

/// One row of `model_drift`: the score, as feature `score`, or one feature of a version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftRow {
    pub model: String,
    pub version: String,
    pub feature: String,
    /// The newest scores, which the figures are of.
    pub scores: u64,
    pub scores_total: u64,
    pub psi: Option<f64>,
    pub ks: Option<f64>,
    /// Of the score.
    pub mean: Option<f64>,
    pub missing_rate: Option<f64>,
    pub stale_rate: Option<f64>,
    pub reference: String,
    pub reference_rows: u64,
    pub counted_us: i64,
}

/// One row of `model_groups`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRow {
    pub model: String,
    pub version: String,
    pub column: String,
    pub value: String,
    pub scores: u64,
    pub score_mean: Option<f64>,
    pub selected: u64,
    pub selected_rate: Option<f64>,
    pub outcomes: u64,
    pub positives: u64,
    pub outcome_rate: Option<f64>,
}

/// One row of `model_calibration`: a tenth of the scores from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CalibrationRow {
    pub model: String,
    pub version: String,
    pub score_from: f64,
    pub score_to: f64,
    pub outcomes: u64,
    pub score_mean: Option<f64>,
    pub outcome_rate: Option<f64>,
    /// Of the whole version.
    pub brier: Option<f64>,
    pub ece: Option<f64>,
    pub outcomes_total: u64,
}

/// One row of `feed_status`. A feed without rows has no times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedRow {
    pub feed: String,
    pub department: String,
    pub table: String,
    pub version: u64,
    /// Those that were taken: applied, superseded and duplicates together.
    pub rows: u64,
    pub applied: u64,
    pub superseded: u64,
    pub duplicates: u64,
    pub late: u64,
    pub rejected: u64,
    /// Of the applied: took back what the feed had said.
    pub withdrawn: u64,
    /// Numbers of the feed that have not come.
    pub missing: u64,
    pub last_event_us: Option<i64>,
    pub watermark_us: Option<i64>,
    pub received_us: Option<i64>,
    pub lag_s: Option<f64>,
    pub stale: bool,
}
