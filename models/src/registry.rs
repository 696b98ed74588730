//! Which versions exist and which one answers: a pure function of the commands applied to it.
//!
//! ```text
//! pushed -> validated -> approved <-> shadow
//!                           |  ^         |
//!                           v  |         |
//!                          active <------+      any of them -> retired
//! ```
//! Activating a version sends the one before back to approved, so that a rollback can take it up.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::manifest::check_name;
use crate::{Digests, Error};

/// The most versions of one model, retired ones included.
const VERSIONS_MAX: usize = 1000;
/// The most models.
const MODELS_MAX: usize = 1000;
/// How many activations a rollback can go back.
const HISTORY_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Pushed,
    Validated,
    Approved,
    Shadow,
    Active,
    Retired,
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
        }
    }

    fn may_become(self, next: Self) -> bool {
        use Status::{Active, Approved, Pushed, Retired, Shadow, Validated};
        matches!(
            (self, next),
            (Pushed, Validated)
                | (Approved, Shadow)
                | (Approved | Shadow, Active)
                | (Validated | Shadow | Active, Approved)
                | (Pushed | Validated | Approved | Shadow | Active, Retired)
        )
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A version as it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub version: String,
    pub digests: Digests,
    /// Of the package as bytes.
    pub size_bytes: u64,
    pub author: String,
}

/// What the registry keeps of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    versions: BTreeMap<String, Version>,
    active: Option<String>,
    /// Versions that were active before, the latest last.
    history: Vec<String>,
    killed: bool,
}

/// All models, by name. Whoever stores it puts a version byte before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    models: BTreeMap<String, Entry>,
}

impl Registry {
    /// Takes in a pushed version. The same package under the same version again changes nothing.
    pub fn register(&mut self, name: &str, push: Push, now_us: i64) -> Result<(), Error> {
        check_name("a model's name", name)?;
        check_name("a model's version", &push.version)?;
        if !self.models.contains_key(name) && self.models.len() == MODELS_MAX {
            return Err(Error::Limit(format!("the registry has {MODELS_MAX} models, its most")));
        }
        let entry = self.models.entry(name.into()).or_default();
        if let Some(known) = entry.versions.get(&push.version) {
            if known.digests == push.digests {
                return Ok(());
            }
            return Err(Error::Illegal(format!(
                "model {name} {} exists with other content; push it under a new version",
                push.version
            )));
        }
        if entry.versions.len() == VERSIONS_MAX {
            return Err(Error::Limit(format!(
                "model {name} has {VERSIONS_MAX} versions, its most"
            )));
        }
        let Push { version, digests, size_bytes, author } = push;
        let record = Version {
            version: version.clone(),
            status: Status::Pushed,
            digests,
            size_bytes,
            author,
            pushed_us: now_us,
            approver: String::new(),
            approved_us: 0,
            changed_us: now_us,
        };
        entry.versions.insert(version, record);
        Ok(())
    }

    /// The files were loaded and the golden rows held.
    pub fn mark_validated(&mut self, name: &str, version: &str, now_us: i64) -> Result<(), Error> {
        self.step(name, version, Status::Validated, now_us)
    }

    /// With `four_eyes`, whoever pushed a version cannot approve it.
    pub fn approve(
        &mut self,
        name: &str,
        version: &str,
        approver: &str,
        four_eyes: bool,
        now_us: i64,
    ) -> Result<(), Error> {
        let record = self.version(name, version)?;
        if four_eyes && record.author == approver {
            return Err(Error::Illegal(format!(
                "model {name} {version} was pushed by {approver}; another person must approve it"
            )));
        }
        if record.status != Status::Validated {
            return Err(illegal(name, record, Status::Approved));
        }
        self.step(name, version, Status::Approved, now_us)?;
        let record = self.version_mut(name, version)?;
        approver.clone_into(&mut record.approver);
        record.approved_us = now_us;
        Ok(())
    }

    /// Lets a version answer beside the active one, unseen.
    pub fn shadow(&mut self, name: &str, version: &str, now_us: i64) -> Result<(), Error> {
        self.step(name, version, Status::Shadow, now_us)
    }

    pub fn activate(&mut self, name: &str, version: &str, now_us: i64) -> Result<(), Error> {
        let before = self.entry(name)?.active.clone();
        if before.as_deref() == Some(version) {
            return Ok(());
        }
        self.step(name, version, Status::Active, now_us)?;
        if let Some(before) = &before {
            self.step(name, before, Status::Approved, now_us)?;
        }
        let entry = self.entry_mut(name)?;
        entry.active = Some(version.into());
        entry.history.extend(before);
        if entry.history.len() > HISTORY_MAX {
            entry.history.remove(0);
        }
        Ok(())
    }

    /// Takes up the version that was active before, and returns it.
    pub fn rollback(&mut self, name: &str, now_us: i64) -> Result<String, Error> {
        let entry = self.entry(name)?;
        let fit = |version: &&String| {
            entry.versions.get(*version).is_some_and(|each| each.status == Status::Approved)
        };
        let Some(previous) = entry.history.iter().rev().find(fit).cloned() else {
            return Err(Error::Illegal(format!(
                "model {name} has no earlier version to go back to; activate one"
            )));
        };
        let current = entry.active.clone();
        self.step(name, &previous, Status::Active, now_us)?;
        if let Some(current) = &current {
            self.step(name, current, Status::Approved, now_us)?;
        }
        let entry = self.entry_mut(name)?;
        if let Some(at) = entry.history.iter().rposition(|version| *version == previous) {
            entry.history.truncate(at);
        }
        entry.active = Some(previous.clone());
        Ok(previous)
    }

    /// Ends a version for good. An active one leaves the model without an answer.
    pub fn retire(&mut self, name: &str, version: &str, now_us: i64) -> Result<(), Error> {
        self.step(name, version, Status::Retired, now_us)?;
        let entry = self.entry_mut(name)?;
        if entry.active.as_deref() == Some(version) {
            entry.active = None;
        }
        entry.history.retain(|each| each != version);
        Ok(())
    }

    /// The switch that stops a model at once, whatever its versions; `false` lets it answer again.
    pub fn kill(&mut self, name: &str, killed: bool) -> Result<(), Error> {
        self.entry_mut(name)?.killed = killed;
        Ok(())
    }

    /// The version that answers: the one asked for, or with an empty version the active one.
    pub fn resolve(&self, name: &str, version: &str) -> Result<&Version, Error> {
        let entry = self.entry(name)?;
        if entry.killed {
            return Err(Error::Illegal(format!(
                "model {name} is switched off; `hearth model kill {name} --undo` ends that"
            )));
        }
        let asked = if version.is_empty() {
            entry.active.as_deref().ok_or_else(|| {
                Error::Illegal(format!(
                    "model {name} has no active version; run `hearth model activate {name} VERSION`"
                ))
            })?
        } else {
            version
        };
        let record = self.version(name, asked)?;
        match record.status {
            Status::Approved | Status::Shadow | Status::Active => Ok(record),
            Status::Pushed | Status::Validated | Status::Retired => Err(Error::Illegal(format!(
                "model {name} {asked} is {} and does not answer; only approved versions do",
                record.status
            ))),
        }
    }

    pub fn version(&self, name: &str, version: &str) -> Result<&Version, Error> {
        let entry = self.entry(name)?;
        entry.versions.get(version).ok_or_else(|| {
            let known: Vec<&str> = entry.versions.keys().map(String::as_str).collect();
            Error::NotFound(format!(
                "model {name} has no version {version}; it has {}",
                known.join(", ")
            ))
        })
    }

    pub fn active(&self, name: &str) -> Option<&Version> {
        let entry = self.models.get(name)?;
        entry.versions.get(entry.active.as_deref()?)
    }

    pub fn is_killed(&self, name: &str) -> bool {
        self.models.get(name).is_some_and(|entry| entry.killed)
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

    fn step(&mut self, name: &str, version: &str, next: Status, now_us: i64) -> Result<(), Error> {
        let record = self.version_mut(name, version)?;
        if !record.status.may_become(next) {
            return Err(illegal(name, record, next));
        }
        record.status = next;
        record.changed_us = now_us;
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<&Entry, Error> {
        self.models.get(name).ok_or_else(|| unknown(name))
    }

    fn entry_mut(&mut self, name: &str) -> Result<&mut Entry, Error> {
        self.models.get_mut(name).ok_or_else(|| unknown(name))
    }

    fn version_mut(&mut self, name: &str, version: &str) -> Result<&mut Version, Error> {
        self.version(name, version)?;
        self.entry_mut(name)?.versions.get_mut(version).ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> Error {
    Error::NotFound(format!(
        "there is no model {}; `hearth model list` shows them",
        name.escape_debug()
    ))
}

fn illegal(name: &str, record: &Version, next: Status) -> Error {
    let Version { version, status, .. } = record;
    Error::Illegal(format!("model {name} {version} is {status} and cannot become {next}"))
}
