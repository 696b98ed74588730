//! One version of a model as the registry keeps it: its state, what the nodes said of it, and how it
//! did in shadow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::{Compared, Digests, Gates};

/// Stored by position: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Pushed,
    Validated,
    Approved,
    Shadow,
    Active,
    Retired,
    Canary,
    Refused,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Validated => "validated",
            Self::Approved => "approved",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Canary => "canary",
            Self::Refused => "refused",
        }
    }

    /// Whether a node keeps it in memory; what is being validated is loaded before it can be approved,
    /// so that no later step waits for a file.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Retired | Self::Refused)
    }

    /// Whether it answers a call that names it.
    pub fn answers(self) -> bool {
        matches!(self, Self::Approved | Self::Shadow | Self::Canary | Self::Active)
    }

    pub(crate) fn may_become(self, next: Self) -> bool {
        use Status::{Active, Approved, Canary, Pushed, Refused, Retired, Shadow, Validated};
        matches!(
            (self, next),
            (Pushed, Validated)
                | (Approved | Canary, Shadow)
                | (Approved | Shadow, Canary)
                | (Approved | Shadow | Canary, Active)
                | (Validated | Shadow | Canary | Active, Approved)
                | (Pushed | Validated | Approved | Shadow, Refused)
                | (Pushed | Validated | Approved | Shadow | Canary | Active | Refused, Retired)
        )
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A version as it arrives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Push {
    pub version: String,
    pub digests: Digests,
    /// Of the package as bytes.
    pub size_bytes: u64,
    pub author: String,
    /// What its manifest asks for before it is promoted.
    pub gates: Gates,
}

/// What the registry keeps of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub status: Status,
    pub digests: Digests,
    /// Of the package as bytes.
    pub size_bytes: u64,
    /// Who pushed it.
    pub author: String,
    pub pushed_us: i64,
    /// Who approved it; empty until then.
    pub approver: String,
    pub approved_us: i64,
    /// When its status last changed.
    pub changed_us: i64,
    /// Why it is as it is, where somebody or some node has said so.
    pub reason: String,
    /// Percent of the entities that it answers as canary, or is run beside as shadow; else 0.
    pub share: u8,
    pub gates: Gates,
    /// By node, the latest word of each.
    pub verdicts: BTreeMap<u64, Verdict>,
    /// Whose word decides, as the last node that reported knew them.
    pub voters: BTreeSet<u64>,
    /// Since it was last put into shadow.
    pub compared: Compared,
}

/// What a node found when it validated a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Why not, in one line; empty where it is ready.
    pub said: String,
    /// Program and library that looked at it.
    pub checked_by: String,
    pub golden_rows: u32,
    /// How long the validation took.
    pub took_ms: u32,
    /// One row, by the median of a few; 0 where the model has no score.
    pub row_ns: u64,
    /// In the log's time; set when it is applied.
    pub at_us: i64,
}

/// Stored by position: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Validated, and in memory.
    Ready,
    /// The file is at fault.
    Refused,
    /// The node is at fault: it has no library, for one.
    Unable,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::Unable => "not ready",
        }
    }
}

impl Version {
    fn voters_who(&self, outcome: Outcome) -> impl Iterator<Item = u64> {
        self.verdicts
            .iter()
            .filter(move |(node, verdict)| verdict.outcome == outcome && self.voters.contains(node))
            .map(|(node, _)| *node)
    }

    /// The first voter that found the file at fault, and why.
    pub(crate) fn refusal(&self) -> Option<(u64, &str)> {
        let node = self.voters_who(Outcome::Refused).next()?;
        Some((node, &self.verdicts.get(&node)?.said))
    }

    /// Whether enough voters are ready: all that can be, once every one has spoken; most, once those
    /// that are silent have been waited for.
    pub(crate) fn has_enough(&self, waited: bool) -> bool {
        let ready = self.voters_who(Outcome::Ready).count();
        let spoken = ready + self.voters_who(Outcome::Unable).count();
        2 * ready > self.voters.len() && (waited || spoken == self.voters.len())
    }

    /// Voters that are not ready, each with its reason.
    pub fn not_ready(&self) -> Vec<(u64, String)> {
        let silent = || "has not answered yet".to_owned();
        let said =
            |node| self.verdicts.get(&node).map_or_else(silent, |verdict| verdict.said.clone());
        let is_ready = |node: &&u64| {
            self.verdicts.get(node).is_none_or(|verdict| verdict.outcome != Outcome::Ready)
        };
        self.voters.iter().filter(is_ready).map(|node| (*node, said(*node))).collect()
    }
}

/// One line of the history of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// 1 for the first of its model, without gaps.
    pub seq: u64,
    /// Empty where the whole model was meant.
    pub version: String,
    pub action: String,
    /// The states' names; empty where there is none.
    pub from: String,
    pub to: String,
    pub actor: String,
    pub at_us: i64,
    pub reason: String,
    pub share: u8,
    /// A gate was closed, and somebody went through with a reason.
    pub forced: bool,
    pub log_index: u64,
}

/// Who makes a change, and where in the log it stands.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    pub actor: &'a str,
    pub reason: &'a str,
    pub forced: bool,
    pub now_us: i64,
    pub log_index: u64,
}
