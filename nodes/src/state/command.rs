//! Commands and replies as bytes, a version byte first.

use super::{
    Action, Alert, CaseStep, DeadLetter, DecisionRecord, Delivery, Digest, Fed, FeedRow, FeedSpec,
    Linkage, ModelAction, ModelPush, ModelRecord, ModelReport, ModelStep, ObservedRecord, OldRules,
    PlaceSilence, ReviewRecord, Roster, RulePush, ScoreRecord, SilenceWanted, WatchDelta, Written,
};
use features::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub(super) const COMMAND_VERSION: u8 = 2;

/// Everything that can change the state. What a repeat would harm travels in a `Once`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    IngestEvents {
        events: Vec<Event>,
    },
    /// Rows of a reference table in the encoding of [`features::table::encode_row`].
    UpsertRows {
        table: String,
        rows: Vec<Vec<u8>>,
    },
    /// Of logs from before a set was text.
    SetRules(OldRules),
    /// Of logs from before the nodes validated for themselves: valid by the word of whoever took it.
    RegisterModel(Box<ModelRecord>),
    /// Of the same logs.
    ChangeModel {
        name: String,
        version: String,
        action: ModelAction,
        actor: String,
    },
    /// Scores of these residents from features at `read_index`; who is not scored was not scorable.
    RecordScores {
        residents: Vec<String>,
        read_index: u64,
        scores: Vec<ScoreRecord>,
    },
    /// Of logs from before a step could say more.
    ActOnAlert {
        alert_id: String,
        action: Action,
        actor: String,
        note: String,
        outcome: String,
        action_id: String,
    },
    RecordDecision(Box<DecisionRecord>),
    /// Lets the log's clock move, so that timers fire when nothing else happens.
    Tick,
    /// Carried out the first time only; a repeat of the same id gets the first answer.
    Once {
        id: u128,
        command: Box<Self>,
    },
    /// Every node hashes its state as it is after this entry; the voters' word decides.
    CheckState {
        voters: BTreeSet<u64>,
    },
    /// What one node held at a check.
    ReportState {
        node: u64,
        index: u64,
        digest: Digest,
    },
    PushModel(Box<ModelPush>),
    /// What one node found when it validated a version.
    ReportModel(Box<ModelReport>),
    StepModel(Box<ModelStep>),
    /// What one node has compared in shadow since its last word.
    CompareModel {
        name: String,
        version: String,
        compared: models::Compared,
    },
    RecordReview(Box<ReviewRecord>),
    /// What became of it, and the groups of whom it is about, by column and value.
    RecordOutcome {
        observed: Box<ObservedRecord>,
        groups: Vec<(String, String)>,
    },
    /// What a node counted of its scores since it last said so.
    RecordWatch(Vec<WatchDelta>),
    /// What a person does about an alert, with all that can be said of it.
    StepCase(Box<CaseStep>),
    SetLinkage {
        linkage: Box<Linkage>,
        actor: String,
    },
    SetRoster {
        roster: Box<Roster>,
        actor: String,
    },
    /// What became of notices that the leader tried to deliver.
    RecordDeliveries(Vec<Delivery>),
    DeclareFeed(Box<FeedSpec>),
    /// Rows of a feed, how many of the same batch were refused at the door, and some of those.
    IngestRows {
        feed: String,
        rows: Vec<FeedRow>,
        rejected: u32,
        letters: Vec<DeadLetter>,
    },
    RecordDeadLetters(Vec<DeadLetter>),
    PushRules(Box<RulePush>),
    /// A version of a feature view, as TOML.
    PushView {
        text: String,
        author: String,
    },
    RetireView {
        name: String,
        version: u32,
        actor: String,
    },
    /// As [`Self::RecordOutcome`], with the sender's id for it.
    RecordNamedOutcome {
        outcome_id: String,
        observed: Box<ObservedRecord>,
        groups: Vec<(String, String)>,
    },
    /// What people work on or test tells nobody for a time.
    BeginSilence(Box<SilenceWanted>),
    EndSilence {
        silence_id: String,
        actor: String,
        reason: String,
    },
    /// As [`Self::IngestRows`], where the rows at some places take back what the feed said of their keys.
    FeedRows {
        feed: String,
        rows: Vec<FeedRow>,
        /// In order.
        gone: Vec<u32>,
        rejected: u32,
        letters: Vec<DeadLetter>,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Ingested {
        accepted: u32,
        duplicates: u32,
    },
    Upserted {
        rows: u32,
    },
    Alert(Box<Alert>),
    /// An entry of the ledger.
    Written(Written),
    Refused(Refusal),
    Fed(Fed),
    Silence(Box<PlaceSilence>),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Exhausted(String),
}

/// Bytes in the log that this version cannot read; the node must not go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "a command of version {found} stands in the log, this program reads version {COMMAND_VERSION}: update the node"
)]
pub struct UnknownCommand {
    pub(super) found: u8,
}

impl Command {
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, UnknownCommand> {
        decode(bytes)
    }
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, UnknownCommand> {
        decode(bytes)
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Serialising plain data into memory cannot fail; an empty command is refused on the way in.
    postcard::to_extend(value, vec![COMMAND_VERSION]).unwrap_or_default()
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, UnknownCommand> {
    let found = bytes.first().copied().unwrap_or(0);
    match bytes.split_first() {
        Some((&COMMAND_VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|_| UnknownCommand { found })
        }
        _ => Err(UnknownCommand { found }),
    }
}
