//! Models into the replicated registry, and from one state of it to the next.

use super::alert::words;
use super::{Refusal, Reply, State};
use models::{By, Compared, Digests, Error, Gates, Push, Verdict};
use raft::Position;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

// Stored by position: new ones go to the end.
words! { ModelAction {
    Approve "approve", Activate "activate", Retire "retire", Rollback "rollback", Kill "kill", Revive "revive",
    Shadow "shadow", Canary "canary",
} }

/// A package whose bytes a quorum of nodes holds and that whoever took it has validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    pub name: String,
    pub version: String,
    pub digests: Digests,
    /// The content address of the package.
    pub blob: [u8; 32],
    pub size_bytes: u64,
    pub format: String,
    pub entity: String,
    pub view: String,
    pub features: Vec<String>,
    pub author: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPush {
    pub record: ModelRecord,
    /// What its manifest asks for before it is promoted.
    pub gates: Gates,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReport {
    pub name: String,
    pub version: String,
    /// What was validated; a word on earlier content under the same version counts for nothing.
    pub blob: [u8; 32],
    pub node: u64,
    pub verdict: Verdict,
    /// The voters, as the node that reports knows them.
    pub voters: BTreeSet<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelStep {
    pub name: String,
    pub version: String,
    pub action: ModelAction,
    pub actor: String,
    pub reason: String,
    /// Percent, of shadow and canary.
    pub share: u8,
    /// Through closed gates.
    pub forced: bool,
    /// By the configuration of the node that took it.
    pub four_eyes: bool,
    pub gates: Gates,
}

impl State {
    pub fn model(&self, name: &str, version: &str) -> Option<&ModelRecord> {
        self.models.get(&(name.to_owned(), version.to_owned())).map(Arc::as_ref)
    }

    pub fn models(&self) -> impl Iterator<Item = &Arc<ModelRecord>> {
        self.models.values()
    }

    pub(crate) fn push_model(&mut self, at: Position, push: ModelPush) -> Reply {
        self.take_in(at, push).map_or_else(|error| refuse(&error), |_| Reply::Done)
    }

    fn take_in(
        &mut self,
        at: Position,
        ModelPush { record, gates }: ModelPush,
    ) -> Result<bool, Error> {
        let (name, version) = (record.name.clone(), record.version.clone());
        let push = Push {
            version: version.clone(),
            digests: record.digests.clone(),
            size_bytes: record.size_bytes,
            author: record.author.clone(),
            gates,
        };
        let before = self.registry.changes_total(&name);
        let by =
            By { actor: "", reason: "", forced: false, now_us: self.clock_us, log_index: at.index };
        let is_new = self.registry.register(&name, push, &by)?;
        if is_new {
            self.models.insert((name.clone(), version.clone()), Arc::new(record.clone()));
            self.bind_view(&record);
            self.write_changes(at, &name, before);
        }
        Ok(is_new)
    }

    pub(crate) fn report_model(&mut self, at: Position, report: ModelReport) -> Reply {
        let ModelReport { name, version, blob, node, verdict, voters } = report;
        if self.model(&name, &version).is_none_or(|record| record.blob != blob) {
            return Reply::Done;
        }
        let before = self.registry.changes_total(&name);
        let by = self.hearth(at);
        if let Err(error) = self.registry.report(&name, &version, (node, verdict), voters, &by) {
            return refuse(&error);
        }
        self.write_validation(&name, &version, node);
        self.write_changes(at, &name, before);
        Reply::Done
    }

    /// Versions that wait for nodes which stay silent.
    pub(crate) fn settle_models(&mut self, at: Position) {
        let waiting: BTreeSet<String> =
            self.registry.pending().map(|(name, _)| name.clone()).collect();
        if waiting.is_empty() {
            return;
        }
        let before: Vec<(String, u64)> = waiting
            .into_iter()
            .map(|name| {
                let total = self.registry.changes_total(&name);
                (name, total)
            })
            .collect();
        let by = self.hearth(at);
        self.registry.settle(&by);
        for (name, before) in before {
            self.write_changes(at, &name, before);
        }
    }

    pub(crate) fn step_model(&mut self, at: Position, step: &ModelStep) -> Reply {
        let ModelStep { name, version, action, actor, reason, share, forced, four_eyes, gates } =
            step;
        if *forced && reason.trim().is_empty() {
            return refuse(&Error::Invalid("--force needs a written --reason".to_owned()));
        }
        let by = By { actor, reason, forced: *forced, now_us: self.clock_us, log_index: at.index };
        if let Err(error) = self.check_kind(step) {
            return refuse(&error);
        }
        let before = self.registry.changes_total(name);
        let registry = &mut self.registry;
        let outcome = match action {
            ModelAction::Approve => registry.approve(name, version, *four_eyes, &by),
            ModelAction::Shadow => registry.shadow(name, version, *share, &by),
            ModelAction::Canary => registry.canary(name, version, (*share, gates), &by),
            ModelAction::Activate => registry.activate(name, version, gates, &by),
            ModelAction::Retire => registry.retire(name, version, &by),
            ModelAction::Rollback => registry.rollback(name, &by).map(drop),
            ModelAction::Kill => registry.kill(name, &by),
            ModelAction::Revive => registry.revive(name, &by),
        };
        self.write_changes(at, name, before);
        outcome.map_or_else(|error| refuse(&error), |()| Reply::Done)
    }

    /// What stands beside the active version has to be about the same entities.
    fn check_kind(&self, step: &ModelStep) -> Result<(), Error> {
        let ModelStep { name, version, action, share, .. } = step;
        if !matches!(action, ModelAction::Shadow | ModelAction::Canary) || *share == 0 {
            return Ok(());
        }
        let active = self.registry.active(name).map(|active| active.version.as_str());
        let active = active.and_then(|active| self.model(name, active));
        let (Some(active), Some(own)) = (active, self.model(name, version)) else { return Ok(()) };
        if active.entity == own.entity {
            return Ok(());
        }
        let word =
            |entity: &str| if entity.is_empty() { "none".to_owned() } else { entity.to_owned() };
        Err(Error::Illegal(format!(
            "model {name} {version} is about entity {}, the active version {} about {}: they cannot stand beside each other",
            word(&own.entity),
            active.version,
            word(&active.entity)
        )))
    }

    pub(crate) fn compare_model(
        &mut self,
        name: &str,
        version: &str,
        compared: &Compared,
    ) -> Reply {
        if let Err(error) = self.registry.compare(name, version, compared) {
            return refuse(&error);
        }
        self.write_shadow(name, version);
        Reply::Done
    }

    /// As the program did before the nodes validated for themselves.
    pub(crate) fn register_model(&mut self, at: Position, record: ModelRecord) -> Reply {
        let (name, version) = (record.name.clone(), record.version.clone());
        let before = self.registry.changes_total(&name);
        let by = self.hearth(at);
        let outcome = self.take_in(at, ModelPush { record, gates: Gates::default() });
        let outcome = outcome.and_then(|is_new| {
            if is_new { self.registry.trust(&name, &version, &by) } else { Ok(()) }
        });
        self.write_changes(at, &name, before);
        outcome.map_or_else(|error| refuse(&error), |()| Reply::Done)
    }

    /// As before.
    pub(crate) fn change_model(
        &mut self,
        at: Position,
        name: &str,
        version: &str,
        action: ModelAction,
        actor: &str,
    ) -> Reply {
        self.step_model(
            at,
            &ModelStep {
                name: name.to_owned(),
                version: version.to_owned(),
                action,
                actor: actor.to_owned(),
                reason: String::new(),
                share: 100,
                forced: false,
                four_eyes: false,
                gates: Gates::default(),
            },
        )
    }

    fn hearth(&self, at: Position) -> By<'static> {
        By {
            actor: "hearth",
            reason: "",
            forced: false,
            now_us: self.clock_us,
            log_index: at.index,
        }
    }
}

fn refuse(error: &Error) -> Reply {
    let said = error.to_string();
    Reply::Refused(match error {
        Error::NotFound(_) => Refusal::NotFound(said),
        Error::Illegal(_) => Refusal::Precondition(said),
        Error::Limit(_) => Refusal::Exhausted(said),
        _ => Refusal::Invalid(said),
    })
}
