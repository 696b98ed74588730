//! Views in, and out of force.

use super::{KnownView, VIEW_TEXTS_BYTES_MAX, VIEWS_MAX, ViewRecord};
use crate::state::{ModelRecord, Refusal, Reply, State};
use raft::Position;
use std::sync::Arc;

impl State {
    /// Takes a view in; the same one again changes nothing.
    pub(crate) fn push_view(&mut self, at: Position, text: String, author: String) -> Reply {
        let record = ViewRecord {
            text,
            author,
            pushed_us: self.clock_us,
            log_index: at.index,
            retired: false,
        };
        let outcome = KnownView::try_from(record)
            .map_err(|error| Refusal::Invalid(error.to_string()))
            .and_then(|known| self.take_view_in(known));
        outcome.map_or_else(Reply::Refused, |()| Reply::Done)
    }

    fn take_view_in(&mut self, known: KnownView) -> Result<(), Refusal> {
        let (name, version) = (known.view.name().to_owned(), known.view.version());
        let held = self.views.get(&name, version).map(|held| &held.record);
        if held.is_some_and(|held| held.text == known.record.text && !held.retired) {
            return Ok(());
        }
        if let Some(newest) = self.views.versions(&name).next_back() {
            let next = newest.view.version().saturating_add(1);
            if version < next {
                return Err(Refusal::Precondition(format!(
                    "view {name} has a version {} already, and a version never changes: push this one as version {next}",
                    newest.view.version()
                )));
            }
            let entity = newest.view.entity();
            if entity != known.view.entity() {
                return Err(Refusal::Precondition(format!(
                    "view {name} is about {entity}: give a view about {} another name",
                    known.view.entity()
                )));
            }
        }
        let bytes: usize = self.views.iter().map(|held| held.record.text.len()).sum();
        if self.views.all.len() >= VIEWS_MAX
            || bytes + known.record.text.len() > VIEW_TEXTS_BYTES_MAX
        {
            return Err(Refusal::Exhausted(format!(
                "{VIEWS_MAX} versions of views, or {VIEW_TEXTS_BYTES_MAX} bytes of their texts, are kept: no more can be pushed"
            )));
        }
        self.views.all.insert((name.clone(), version), Arc::new(known));
        self.serve_views();
        self.write_view(&name, version);
        Ok(())
    }

    /// Takes a version out of force.
    pub(crate) fn retire_view(&mut self, at: Position, name: &str, version: u32) -> Reply {
        let Some(known) = self.views.get(name, version).cloned() else {
            return Reply::Refused(Refusal::NotFound(format!(
                "no version {version} of a view {name:?}: list them with `hearth view list`"
            )));
        };
        if known.record.retired {
            return Reply::Done;
        }
        if let Some((model, of)) = self.reader_of(name, version) {
            return Reply::Refused(Refusal::Precondition(format!(
                "version {version} of view {name} is read by model {model} {of}: retire that first"
            )));
        }
        let record = ViewRecord { retired: true, log_index: at.index, ..known.record.clone() };
        let retired = KnownView { record, view: Arc::clone(&known.view) };
        self.views.all.insert((name.to_owned(), version), Arc::new(retired));
        self.serve_views();
        self.write_view(name, version);
        Reply::Done
    }

    /// A model version in service that reads it.
    fn reader_of(&self, name: &str, version: u32) -> Option<(String, String)> {
        let mut readers = self.readers_of(name, version);
        readers.find(|(model, of)| {
            self.registry.version(model, of).is_ok_and(|known| known.status.is_live())
        })
    }

    /// The model versions that were bound to it.
    pub(super) fn readers_of(
        &self,
        name: &str,
        version: u32,
    ) -> impl Iterator<Item = (String, String)> {
        let bound = self.views.bound.iter().filter(move |(_, bound)| **bound == version);
        bound
            .map(|(key, _)| key.clone())
            .filter(move |key| self.models.get(key).is_some_and(|record| record.view == name))
    }

    /// Binds a model that was just pushed to the version that has its features.
    pub(crate) fn bind_view(&mut self, record: &ModelRecord) {
        let view = self.views.fitting(&record.view, &record.entity, &record.features);
        let Some(bound) = view.map(|view| view.version()) else { return };
        self.views.bound.insert((record.name.clone(), record.version.clone()), bound);
        self.write_view(&record.view, bound);
    }

    /// From this entry on, what is kept of readings is what the views in force ask for.
    fn serve_views(&mut self) {
        let Self { features, views, .. } = self;
        features.serve(views.in_force().map(AsRef::as_ref));
    }
}
