//! What the table `feature_view` says of them.

use super::KnownView;
use crate::state::State;
use features::table::Cell;

impl State {
    pub(super) fn write_view(&mut self, name: &str, version: u32) {
        if let Some(row) = self.views.get(name, version).map(|known| self.view_row(known)) {
            self.upsert_current("feature_view", row);
        }
    }

    /// Rows of the table `feature_view`.
    pub(crate) fn view_rows(&self) -> Vec<Vec<Cell>> {
        self.views.iter().map(|known| self.view_row(known)).collect()
    }

    /// What is there from the start, for a warehouse that has seen no entry.
    pub(crate) fn write_views(&mut self) {
        for row in self.view_rows() {
            self.upsert_current("feature_view", row);
        }
    }

    fn view_row(&self, KnownView { record, view }: &KnownView) -> Vec<Cell> {
        vec![
            Cell::text(view.name()),
            Cell::Int(i64::from(view.version())),
            Cell::text(view.entity().as_str()),
            Cell::text(view.fingerprint().to_string()),
            Cell::Texts(view.names().to_vec()),
            Cell::text(self.view_state(record.retired, view.name(), view.version())),
            Cell::text(&record.author),
            Cell::Texts(self.view_readers(view.name(), view.version())),
            if record.pushed_us == 0 { Cell::Null } else { Cell::Time(record.pushed_us) },
            Cell::Int(record.log_index as i64),
        ]
    }

    /// `current` is what the name alone means, `in_force` an older version that is still read.
    pub(crate) fn view_state(&self, retired: bool, name: &str, version: u32) -> &'static str {
        let current = self.views.current(name).map(|view| view.version());
        match (retired, current == Some(version)) {
            (true, _) => "retired",
            (false, true) => "current",
            (false, false) => "in_force",
        }
    }

    /// The models that read it, as `NAME VERSION`.
    pub(crate) fn view_readers(&self, name: &str, version: u32) -> Vec<String> {
        self.readers_of(name, version).map(|(model, of)| format!("{model} {of}")).collect()
    }
}
