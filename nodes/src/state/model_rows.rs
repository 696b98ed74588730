//! What the tables say of models: `model_version`, `model_history`, `model_validation`, `model_shadow`.

use super::State;
use features::table::Cell;
use models::{Change, Status, Verdict, Version};
use raft::Position;
use std::collections::BTreeSet;

impl State {
    /// Writes down what has happened to a model since its change number `before`.
    pub(super) fn write_changes(&mut self, at: Position, name: &str, before: u64) {
        let changes: Vec<Change> = self.registry.changes(name, before).cloned().collect();
        let mut moved = BTreeSet::new();
        for change in changes {
            if change.version.is_empty() {
                // The whole model: every version of it says so.
                let versions = self.registry.versions().filter(|(each, _)| *each == name);
                moved.extend(versions.map(|(_, known)| known.version.clone()));
            } else {
                moved.insert(change.version.clone());
            }
            self.append("model_history", history_row(name, &change));
        }
        for version in moved {
            self.model_indexes.insert((name.to_owned(), version.clone()), at.index);
            if let Some(row) = self.model_row(name, &version) {
                self.upsert_current("model_version", row);
            }
            self.write_shadow(name, &version);
        }
    }

    pub(super) fn write_validation(&mut self, name: &str, version: &str, node: u64) {
        let known = self.registry.version(name, version).ok();
        let verdict = known.and_then(|known| known.verdicts.get(&node));
        if let Some(row) = verdict.map(|verdict| validation_row(name, version, node, verdict)) {
            self.upsert_current("model_validation", row);
        }
    }

    pub(super) fn write_shadow(&mut self, name: &str, version: &str) {
        let known = self.registry.version(name, version).ok().filter(|known| was_shadow(known));
        if let Some(row) = known.map(|known| shadow_row(name, known)) {
            self.upsert_current("model_shadow", row);
        }
    }

    /// Rows of the table `model_version`.
    pub(crate) fn model_rows(&self) -> Vec<Vec<Cell>> {
        self.models.keys().filter_map(|(name, version)| self.model_row(name, version)).collect()
    }

    /// Rows of the table `model_validation`.
    pub(crate) fn validation_rows(&self) -> Vec<Vec<Cell>> {
        let rows = self.registry.versions().flat_map(|(name, known)| {
            let row = move |(node, verdict): (&u64, &Verdict)| {
                validation_row(name, &known.version, *node, verdict)
            };
            known.verdicts.iter().map(row)
        });
        rows.collect()
    }

    /// Rows of the table `model_shadow`.
    pub(crate) fn shadow_rows(&self) -> Vec<Vec<Cell>> {
        let versions = self.registry.versions().filter(|(_, known)| was_shadow(known));
        versions.map(|(name, known)| shadow_row(name, known)).collect()
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
            Cell::text(&known.reason),
            Cell::Int(i64::from(known.share)),
            Cell::Bool(self.registry.killed(name).is_some()),
        ])
    }
}

fn history_row(name: &str, change: &Change) -> Vec<Cell> {
    vec![
        Cell::text(name),
        Cell::Int(change.seq as i64),
        Cell::text(&change.version),
        Cell::text(&change.action),
        Cell::text(&change.from),
        Cell::text(&change.to),
        Cell::text(&change.actor),
        Cell::Time(change.at_us),
        Cell::text(&change.reason),
        Cell::Int(i64::from(change.share)),
        Cell::Bool(change.forced),
        Cell::Int(change.log_index as i64),
    ]
}

fn validation_row(name: &str, version: &str, node: u64, verdict: &Verdict) -> Vec<Cell> {
    vec![
        Cell::text(name),
        Cell::text(version),
        Cell::Int(node as i64),
        Cell::text(verdict.outcome.name()),
        Cell::text(&verdict.said),
        Cell::text(&verdict.checked_by),
        Cell::Int(i64::from(verdict.golden_rows)),
        Cell::Int(i64::from(verdict.took_ms)),
        Cell::Real(verdict.row_ns as f64 / 1e3),
        Cell::Time(verdict.at_us),
    ]
}

fn was_shadow(known: &Version) -> bool {
    known.status == Status::Shadow || !known.compared.is_empty()
}

fn shadow_row(name: &str, known: &Version) -> Vec<Cell> {
    let compared = &known.compared;
    let (shadow_us, active_us) = compared.row_us();
    vec![
        Cell::text(name),
        Cell::text(&known.version),
        Cell::text(&compared.against),
        Cell::Int(compared.rows as i64),
        Cell::Real(compared.mean_difference()),
        Cell::Real(compared.max_difference()),
        Cell::Int(compared.band_changes as i64),
        Cell::Int(compared.errors as i64),
        Cell::Int(compared.dropped as i64),
        Cell::Real(shadow_us),
        Cell::Real(active_us),
    ]
}
