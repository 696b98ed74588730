//! Models into the replicated registry, and from one state of it to the next.

use super::alert::words;
use super::{Refusal, Reply, State};
use features::table::Cell;
use models::{Digests, Error, Push};
use raft::Position;
use serde::{Deserialize, Serialize};

words! { ModelAction {
    Approve "approve", Activate "activate", Retire "retire", Rollback "rollback", Kill "kill", Revive "revive",
} }

/// A package whose bytes a quorum of nodes holds and that was validated before it was named here.
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

impl State {
    pub fn model(&self, name: &str, version: &str) -> Option<&ModelRecord> {
        self.models.get(&(name.to_owned(), version.to_owned()))
    }

    pub fn models(&self) -> impl Iterator<Item = &ModelRecord> {
        self.models.values()
    }

    pub(crate) fn register_model(&mut self, at: Position, record: ModelRecord) -> Reply {
        let (name, version) = (record.name.clone(), record.version.clone());
        let known = self.registry.version(&name, &version).is_ok();
        let push = Push {
            version: version.clone(),
            digests: record.digests.clone(),
            size_bytes: record.size_bytes,
            author: record.author.clone(),
        };
        let registered = self.registry.register(&name, push, self.clock_us);
        if let Err(error) = registered {
            return refuse(&error);
        }
        if !known {
            if let Err(error) = self.registry.mark_validated(&name, &version, self.clock_us) {
                return refuse(&error);
            }
            self.models.insert((name.clone(), version.clone()), record);
            self.write_model(at, &name, &version);
        }
        Reply::Done
    }

    pub(crate) fn change_model(
        &mut self,
        at: Position,
        name: &str,
        version: &str,
        action: ModelAction,
        actor: &str,
    ) -> Reply {
        let now_us = self.clock_us;
        let before = self.registry.active(name).map(|active| active.version.clone());
        let outcome = match action {
            // An open cluster knows nobody by name, so it cannot ask for a second person.
            ModelAction::Approve => self.registry.approve(name, version, actor, false, now_us),
            ModelAction::Activate => self.registry.activate(name, version, now_us),
            ModelAction::Retire => self.registry.retire(name, version, now_us),
            ModelAction::Rollback => self.registry.rollback(name, now_us).map(drop),
            ModelAction::Kill => self.registry.kill(name, true),
            ModelAction::Revive => self.registry.kill(name, false),
        };
        if let Err(error) = outcome {
            return refuse(&error);
        }
        let after = self.registry.active(name).map(|active| active.version.clone());
        let mut moved: Vec<String> =
            [Some(version.to_owned()), before, after].into_iter().flatten().collect();
        moved.sort();
        moved.dedup();
        for version in moved.iter().filter(|version| !version.is_empty()) {
            self.write_model(at, name, version);
        }
        Reply::Done
    }

    fn write_model(&mut self, at: Position, name: &str, version: &str) {
        self.model_indexes.insert((name.to_owned(), version.to_owned()), at.index);
        if let Some(row) = self.model_row(name, version) {
            self.upsert_current("model_version", row);
        }
    }

    /// Rows of the table `model_version`.
    pub(crate) fn model_rows(&self) -> Vec<Vec<Cell>> {
        self.models.keys().filter_map(|(name, version)| self.model_row(name, version)).collect()
    }

    fn model_row(&self, name: &str, version: &str) -> Option<Vec<Cell>> {
        let record = self.model(name, version)?;
        let known = self.registry.version(name, version).ok()?;
        let index = self.model_indexes.get(&(name.to_owned(), version.to_owned()));
        Some(vec![
            Cell::text(name),
            Cell::text(version),
            Cell::text(known.status.name()),
            Cell::text(&record.format),
            Cell::text(&record.entity),
            Cell::text(&record.view),
            Cell::text(&record.digests.model),
            Cell::text(&known.author),
            Cell::text(&known.approver),
            Cell::Time(known.pushed_us),
            Cell::Time(known.changed_us),
            Cell::Int(index.copied().unwrap_or_default() as i64),
        ])
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
