//! The steps that people take with a version. Each is one log entry, checked here against everything
//! that stands at that entry, so that no two people can cross each other.

use crate::gates::pass;
use crate::registry::{Killed, illegal};
use crate::version::{By, Status};
use crate::{Compared, Error, Gates, Registry};

/// How many activations a rollback can go back.
const HISTORY_MAX: usize = 32;
/// A canary is never everybody: that is an activation.
const CANARY_MAX: u8 = 99;

impl Registry {
    /// With `four_eyes`, whoever pushed a version cannot approve it.
    pub fn approve(
        &mut self,
        name: &str,
        version: &str,
        four_eyes: bool,
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version(name, version)?;
        if four_eyes && record.author == by.actor {
            return Err(Error::Illegal(format!(
                "model {name} {version} was pushed by {}; another person must approve it",
                by.actor
            )));
        }
        if record.status != Status::Validated {
            return Err(illegal(name, record, Status::Approved));
        }
        self.step(name, version, ("approve", Status::Approved), by)?;
        let record = self.version_mut(name, version)?;
        by.actor.clone_into(&mut record.approver);
        record.approved_us = by.now_us;
        Ok(())
    }

    /// Lets a version run beside the active one for a share of the entities, unseen; 0 ends that. The
    /// one that did so before goes back to approved.
    pub fn shadow(
        &mut self,
        name: &str,
        version: &str,
        share: u8,
        by: &By<'_>,
    ) -> Result<(), Error> {
        if share > 100 {
            return Err(Error::Invalid(format!(
                "a shadow's share is 0 to 100 percent, not {share}"
            )));
        }
        if share == 0 {
            return self.end(name, version, ("shadow", Status::Shadow), by);
        }
        self.beside(name, version, "shadow")?;
        let before = self.entry(name)?.shadow.clone();
        self.place(name, version, ("shadow", Status::Shadow, share), by)?;
        if before.as_deref() != Some(version) {
            self.version_mut(name, version)?.compared = Compared::default();
            self.put_back(name, before.as_deref(), by)?;
        }
        Ok(())
    }

    /// Lets a version answer for a share of the entities; 0 ends that.
    pub fn canary(
        &mut self,
        name: &str,
        version: &str,
        (share, gates): (u8, &Gates),
        by: &By<'_>,
    ) -> Result<(), Error> {
        if share > CANARY_MAX {
            return Err(Error::Invalid(format!(
                "a canary's share is 1 to {CANARY_MAX} percent, not {share}; activate the version to let it answer everybody"
            )));
        }
        if share == 0 {
            return self.end(name, version, ("canary", Status::Canary), by);
        }
        self.beside(name, version, "canary")?;
        let before = self.entry(name)?.canary.clone();
        if before.as_deref() != Some(version) {
            self.pass_gates(name, version, Status::Canary, gates, by)?;
        }
        self.place(name, version, ("canary", Status::Canary, share), by)?;
        if before.as_deref() != Some(version) {
            self.put_back(name, before.as_deref(), by)?;
        }
        Ok(())
    }

    pub fn activate(
        &mut self,
        name: &str,
        version: &str,
        gates: &Gates,
        by: &By<'_>,
    ) -> Result<(), Error> {
        let before = self.entry(name)?.active.clone();
        if before.as_deref() == Some(version) {
            return Ok(());
        }
        if before.is_some() {
            self.pass_gates(name, version, Status::Active, gates, by)?;
        }
        self.step(name, version, ("activate", Status::Active), by)?;
        self.put_back(name, before.as_deref(), by)?;
        let entry = self.entry_mut(name)?;
        entry.history.extend(before);
        if entry.history.len() > HISTORY_MAX {
            entry.history.remove(0);
        }
        Ok(())
    }

    /// Takes up the version that was active before, and returns it. No gate stops it.
    pub fn rollback(&mut self, name: &str, by: &By<'_>) -> Result<String, Error> {
        let entry = self.entry(name)?;
        let fit = |version: &&String| {
            entry.versions.get(*version).is_some_and(|each| {
                matches!(each.status, Status::Approved | Status::Shadow | Status::Canary)
            })
        };
        let Some(previous) = entry.history.iter().rev().find(fit).cloned() else {
            return Err(Error::Illegal(format!(
                "model {name} has no earlier version to go back to; activate one, or end a canary with `--share 0`"
            )));
        };
        let current = entry.active.clone();
        self.step(name, &previous, ("rollback", Status::Active), by)?;
        self.put_back(name, current.as_deref(), by)?;
        let entry = self.entry_mut(name)?;
        if let Some(at) = entry.history.iter().rposition(|version| *version == previous) {
            entry.history.truncate(at);
        }
        Ok(previous)
    }

    /// Ends a version for good. An active one leaves the model without an answer, and what ran beside
    /// it goes back to approved.
    pub fn retire(&mut self, name: &str, version: &str, by: &By<'_>) -> Result<(), Error> {
        let was_active = self.entry(name)?.active.as_deref() == Some(version);
        self.step(name, version, ("retire", Status::Retired), by)?;
        self.entry_mut(name)?.history.retain(|each| each != version);
        if was_active {
            let entry = self.entry(name)?;
            for beside in [entry.canary.clone(), entry.shadow.clone()] {
                self.put_back(name, beside.as_deref(), by)?;
            }
        }
        Ok(())
    }

    /// The switch that stops a model at once, whatever its versions.
    pub fn kill(&mut self, name: &str, by: &By<'_>) -> Result<(), Error> {
        let entry = self.entry_mut(name)?;
        if entry.killed.is_none() {
            entry.note("", "kill", "", "", by);
        }
        entry.killed =
            Some(Killed { actor: by.actor.into(), reason: by.reason.into(), at_us: by.now_us });
        Ok(())
    }

    /// Lets a model that was switched off answer again.
    pub fn revive(&mut self, name: &str, by: &By<'_>) -> Result<(), Error> {
        let entry = self.entry_mut(name)?;
        if entry.killed.take().is_some() {
            entry.note("", "revive", "", "", by);
        }
        Ok(())
    }

    fn pass_gates(
        &self,
        name: &str,
        version: &str,
        next: Status,
        gates: &Gates,
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version(name, version)?;
        if !record.status.may_become(next) {
            return Err(illegal(name, record, next));
        }
        let what = format!("model {name} {version}: the step to {next}");
        pass(&what, &record.gates.and(gates), &record.compared, by.forced)
    }

    /// Something runs beside the active version only.
    fn beside(&self, name: &str, version: &str, what: &str) -> Result<(), Error> {
        self.version(name, version)?;
        match self.active(name) {
            None => Err(Error::Illegal(format!(
                "model {name} has no active version that {version} could be the {what} of; activate one first"
            ))),
            Some(active) if active.version == version => Err(Error::Illegal(format!(
                "model {name} {version} is active and cannot be its own {what}"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Into shadow or canary; a version that is there already gets another share.
    fn place(
        &mut self,
        name: &str,
        version: &str,
        (action, next, share): (&str, Status, u8),
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version_mut(name, version)?;
        let before = (record.status, record.share);
        if record.status == next {
            record.share = share;
            if before.1 != share {
                self.entry_mut(name)?.note(version, action, next.name(), next.name(), by);
            }
            return Ok(());
        }
        if !record.status.may_become(next) {
            return Err(illegal(name, record, next));
        }
        record.share = share;
        self.step(name, version, (action, next), by)
    }

    /// Out of shadow or canary.
    fn end(
        &mut self,
        name: &str,
        version: &str,
        (action, held): (&str, Status),
        by: &By<'_>,
    ) -> Result<(), Error> {
        let record = self.version(name, version)?;
        if record.status != held {
            return Err(Error::Illegal(format!(
                "model {name} {version} is {} and not in {held}",
                record.status
            )));
        }
        self.step(name, version, (action, Status::Approved), by)
    }

    /// Whoever was displaced goes back to approved.
    fn put_back(&mut self, name: &str, version: Option<&str>, by: &By<'_>) -> Result<(), Error> {
        let Some(version) = version else { return Ok(()) };
        self.step(name, version, ("displaced", Status::Approved), &By { forced: false, ..*by })?;
        Ok(())
    }
}
