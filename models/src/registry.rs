//! Which versions exist and which one answers: a pure function of the commands applied to it.
//!
//! ```text
//! pushed -> validated -> approved <-> shadow <-> canary -> active
//!    \__________\___________\__________\-> refused          any of them -> retired
//! ```
//! A version is validated when the voters have said so, each for itself (`report`). Activating a
//! version sends the one before back to approved, so that a rollback can take it up. The steps that
//! people take are in `steps.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::manifest::check_name;
use crate::routing::Route;
use crate::version::{By, Change, Push, Status, Verdict, Version};
use crate::{Compared, Error};

/// The most versions of one model, retired ones included.
const VERSIONS_MAX: usize = 1000;
/// The most versions of one model that are not retired or refused: each of them is in memory.
const LIVE_MAX: usize = 32;
/// The most models.
const MODELS_MAX: usize = 1000;
/// Changes of one model that are remembered here; all of them are in the table `model_history`.
const CHANGES_MAX: usize = 128;
/// Nodes whose word on a version is kept.
const VERDICTS_MAX: usize = 32;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;
/// How long a voter that says nothing is waited for when most of the others are ready.
const SILENT_US: i64 = 10_000_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) versions: BTreeMap<String, Version>,
    pub(crate) active: Option<String>,
    pub(crate) canary: Option<String>,
    pub(crate) shadow: Option<String>,
    /// Versions that were active before, the latest last.
    pub(crate) history: Vec<String>,
    pub(crate) killed: Option<Killed>,
    /// The latest changes, the newest last.
    changes: Vec<Change>,
    changes_total: u64,
}

/// Who switched a model off, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    pub actor: String,
    pub reason: String,
    pub at_us: i64,
}

/// All models, by name. Whoever stores it puts a version byte before it. A clone shares what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    models: OrdMap<String, Arc<Entry>>,
    /// Versions that the nodes have not judged yet.
    pending: BTreeSet<(String, String)>,
    /// Moves with every change of what should be in memory.
    revision: u64,
}

impl Registry {
    /// Takes in a pushed version; false where the same package was there under the same version. One
    /// that was refused may come again with other content.
    pub fn register(&mut self, name: &str, push: Push, by: &By<'_>) -> Result<bool, Error> {
        check_name("a model's name", name)?;
        check_name("a model's version", &push.version)?;
        if !self.models.contains_key(name) && self.models.len() == MODELS_MAX {
            return Err(Error::Limit(format!("the registry has {MODELS_MAX} models, its most")));
        }
        let none = Entry::default();
        let entry = self.models.get(name).map_or(&none, Arc::as_ref);
        match entry.versions.get(&push.version) {
            Some(known) if known.digests == push.digests && known.status != Status::Refused => {
                return Ok(false);
            }
            Some(known) if known.status != Status::Refused => {
                return Err(Error::Illegal(format!(
                    "model {name} {} exists with other content; push it under a new version",
                    push.version
                )));
            }
            None if entry.versions.len() == VERSIONS_MAX => {
                return Err(Error::Limit(format!(
                    "model {name} has {VERSIONS_MAX} versions, its most; push under a new name"
                )));
            }
            _ => {}
        }
        if entry.versions.values().filter(|each| each.status.is_live()).count() == LIVE_MAX {
            return Err(Error::Limit(format!(
                "model {name} has {LIVE_MAX} versions in memory, its most; retire one first"
            )));
        }
        let version = push.version.clone();
        let record = pushed(push, by.now_us);
        let author = By { actor: &record.author.clone(), ..*by };
        let entry = Arc::make_mut(self.models.entry(name.into()).or_default());
        entry.versions.insert(version.clone(), record);
        entry.note(&version, "push", "", Status::Pushed.name(), &author);
        self.pending.insert((name.into(), version));
        self.revision += 1;
        Ok(true)
    }

    /// Takes in what a node found. The last word of each node counts, and who votes is what the last
    /// one that spoke knew: a learner is heard and shown, and does not decide.
    pub fn report(
        &mut self,
        name: &str,
        version: &str,
        (node, mut verdict): (u64, Verdict),
        voters: BTreeSet<u64>,
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version_mut(name, version)?;
        if !record.status.is_live() {
            return Ok(());
        }
        verdict.said = short(&verdict.said);
        verdict.at_us = by.now_us;
        record.verdicts.insert(node, verdict);
        record.voters = voters;
        while record.verdicts.len() > VERDICTS_MAX {
            let Version { verdicts, voters, .. } = record;
            let gone =
                verdicts.keys().find(|node| !voters.contains(node)).or(verdicts.keys().next());
            let Some(gone) = gone.copied() else { break };
            verdicts.remove(&gone);
        }
        self.judge(name, version, by)
    }

    /// Judges what waits for voters that are silent; called at every entry.
    pub fn settle(&mut self, by: &By<'_>) {
        if self.pending.is_empty() {
            return;
        }
        for (name, version) in self.pending.clone() {
            // What is pending is there, so that nothing can be refused here.
            let _ = self.judge(&name, &version, by);
        }
    }

    fn judge(&mut self, name: &str, version: &str, by: &By<'_>) -> Result<(), Error> {
        let record = self.version(name, version)?;
        let by = By { actor: "hearth", ..*by };
        if let Some((node, said)) = record.refusal() {
            let reason = short(&format!("node {node}: {said}"));
            if record.status.may_become(Status::Refused) {
                self.pending.remove(&(name.to_owned(), version.to_owned()));
                let by = By { reason: &reason, ..by };
                return self.step(name, version, ("validate", Status::Refused), &by);
            }
            return Ok(());
        }
        if record.status != Status::Pushed {
            return Ok(());
        }
        let waited = by.now_us - record.pushed_us >= SILENT_US;
        if record.has_enough(waited) {
            let absent = record.not_ready();
            let absent =
                absent.iter().map(|(node, said)| format!("not ready on node {node}: {said}"));
            let reason = short(&absent.collect::<Vec<_>>().join("; "));
            self.pending.remove(&(name.to_owned(), version.to_owned()));
            let by = By { reason: &reason, ..by };
            self.step(name, version, ("validate", Status::Validated), &by)?;
        }
        Ok(())
    }

    /// Valid by the word of whoever pushed it, as logs from before the nodes' own validation say.
    pub fn trust(&mut self, name: &str, version: &str, by: &By<'_>) -> Result<(), Error> {
        self.pending.remove(&(name.to_owned(), version.to_owned()));
        self.step(name, version, ("validate", Status::Validated), by)
    }

    /// Adds what one node has compared since its last word.
    pub fn compare(&mut self, name: &str, version: &str, more: &Compared) -> Result<(), Error> {
        let active = self.active(name).map(|active| active.version.clone());
        let record = self.version_mut(name, version)?;
        // Late words, and those beside a version that is active no more, say nothing about now.
        if record.status == Status::Shadow && active.as_ref() == Some(&more.against) {
            record.compared.add(more);
        }
        Ok(())
    }

    /// The version that answers: the one asked for, or with an empty version the active one.
    pub fn resolve(&self, name: &str, version: &str) -> Result<&Version, Error> {
        if version.is_empty() {
            return self.route(name).map(|route| route.active);
        }
        self.answering(name)?;
        let record = self.version(name, version)?;
        if record.status.answers() {
            return Ok(record);
        }
        Err(Error::Illegal(format!(
            "model {name} {version} is {} and does not answer; only approved versions do",
            record.status
        )))
    }

    /// Where calls without a version go.
    pub fn route(&self, name: &str) -> Result<Route<'_>, Error> {
        let entry = self.answering(name)?;
        let found = |version: &Option<String>| entry.versions.get(version.as_deref()?);
        let active = found(&entry.active).ok_or_else(|| {
            Error::Illegal(format!(
                "model {name} has no active version; run `hearth model activate {name} VERSION`"
            ))
        })?;
        Ok(Route { active, canary: found(&entry.canary), shadow: found(&entry.shadow) })
    }

    fn answering(&self, name: &str) -> Result<&Entry, Error> {
        let entry = self.entry(name)?;
        let Some(killed) = &entry.killed else { return Ok(entry) };
        let why = if killed.reason.is_empty() { "" } else { ": " };
        Err(Error::Illegal(format!(
            "model {name} is switched off by {}{why}{}; `hearth model revive {name}` ends that",
            killed.actor, killed.reason
        )))
    }

    pub fn version(&self, name: &str, version: &str) -> Result<&Version, Error> {
        let entry = self.entry(name)?;
        entry.versions.get(version).ok_or_else(|| {
            let known: Vec<&str> =
                entry.versions.keys().rev().take(8).map(String::as_str).collect();
            Error::NotFound(format!(
                "model {name} has no version {}; it has {}",
                version.escape_debug(),
                known.join(", ")
            ))
        })
    }

    pub fn active(&self, name: &str) -> Option<&Version> {
        let entry = self.models.get(name)?;
        entry.versions.get(entry.active.as_deref()?)
    }

    pub fn killed(&self, name: &str) -> Option<&Killed> {
        self.models.get(name)?.killed.as_ref()
    }

    pub fn is_killed(&self, name: &str) -> bool {
        self.killed(name).is_some()
    }

    /// Model and version, in the order of both names.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &Version)> {
        self.models.iter().flat_map(|(name, entry)| {
            entry.versions.values().map(move |each| (name.as_str(), each))
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The latest changes of a model after one of them, the oldest first.
    pub fn changes(&self, name: &str, after: u64) -> impl Iterator<Item = &Change> {
        let changes = self.models.get(name).map_or(&[][..], |entry| entry.changes.as_slice());
        changes.iter().filter(move |change| change.seq > after)
    }

    /// How many changes a model has seen.
    pub fn changes_total(&self, name: &str) -> u64 {
        self.models.get(name).map_or(0, |entry| entry.changes_total)
    }

    /// Moves whenever a version comes, goes or steps.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Versions that wait for the nodes' word.
    pub fn pending(&self) -> impl Iterator<Item = &(String, String)> {
        self.pending.iter()
    }

    /// One step of one version, into the history.
    pub(crate) fn step(
        &mut self,
        name: &str,
        version: &str,
        (action, next): (&str, Status),
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version_mut(name, version)?;
        let from = record.status;
        if !from.may_become(next) {
            return Err(illegal(name, record, next));
        }
        record.status = next;
        record.changed_us = by.now_us;
        record.reason = short(by.reason);
        if !matches!(next, Status::Shadow | Status::Canary) {
            record.share = 0;
        }
        let entry = self.entry_mut(name)?;
        for slot in [&mut entry.active, &mut entry.canary, &mut entry.shadow] {
            slot.take_if(|held| held == version);
        }
        match next {
            Status::Active => entry.active = Some(version.into()),
            Status::Canary => entry.canary = Some(version.into()),
            Status::Shadow => entry.shadow = Some(version.into()),
            _ => {}
        }
        entry.note(version, action, from.name(), next.name(), by);
        self.revision += 1;
        if !next.is_live() {
            self.pending.remove(&(name.to_owned(), version.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn entry(&self, name: &str) -> Result<&Entry, Error> {
        self.models.get(name).map(Arc::as_ref).ok_or_else(|| unknown(name))
    }

    pub(crate) fn entry_mut(&mut self, name: &str) -> Result<&mut Entry, Error> {
        self.models.get_mut(name).map(Arc::make_mut).ok_or_else(|| unknown(name))
    }

    pub(crate) fn version_mut(&mut self, name: &str, version: &str) -> Result<&mut Version, Error> {
        self.version(name, version)?;
        self.entry_mut(name)?.versions.get_mut(version).ok_or_else(|| unknown(name))
    }
}

impl Entry {
    /// The share in the history is the version's as it stands.
    pub(crate) fn note(&mut self, version: &str, action: &str, from: &str, to: &str, by: &By<'_>) {
        self.changes_total += 1;
        let share = self.versions.get(version).map_or(0, |record| record.share);
        self.changes.push(Change {
            seq: self.changes_total,
            version: version.into(),
            action: action.into(),
            from: from.into(),
            to: to.into(),
            actor: by.actor.into(),
            at_us: by.now_us,
            reason: short(by.reason),
            share,
            forced: by.forced,
            log_index: by.log_index,
        });
        if self.changes.len() > CHANGES_MAX {
            self.changes.remove(0);
        }
    }
}

fn pushed(push: Push, now_us: i64) -> Version {
    let Push { version, digests, size_bytes, author, gates } = push;
    Version {
        version,
        status: Status::Pushed,
        digests,
        size_bytes,
        author,
        pushed_us: now_us,
        approver: String::new(),
        approved_us: 0,
        changed_us: now_us,
        reason: String::new(),
        share: 0,
        gates,
        verdicts: BTreeMap::new(),
        voters: BTreeSet::new(),
        compared: Compared::default(),
    }
}

/// One line of bounded length.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}

fn unknown(name: &str) -> Error {
    Error::NotFound(format!(
        "there is no model {}; `hearth model list` shows them",
        name.escape_debug()
    ))
}

pub(crate) fn illegal(name: &str, record: &Version, next: Status) -> Error {
    let Version { version, status, .. } = record;
    let waits = match status {
        Status::Pushed => {
            let nodes: Vec<String> =
                record.not_ready().into_iter().map(|(node, _)| node.to_string()).collect();
            let nodes =
                if nodes.is_empty() { String::new() } else { format!(" {}", nodes.join(", ")) };
            format!(": the word of node{nodes} is waited for")
        }
        Status::Refused => format!(": {}", record.reason),
        Status::Validated => "; approve it first".to_owned(),
        _ => String::new(),
    };
    Error::Illegal(format!("model {name} {version} is {status} and cannot become {next}{waits}"))
}
