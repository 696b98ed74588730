//! Rows of several entities of one model, read at one moment of the state.

use super::{Loaded, Sent, Serving, ServingError};
use crate::state::State;
use crate::watch::Codes;
use features::{Asked, FeatureRows, Status, Store};

/// Rows as a model reads them, with what is known about them.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub features: FeatureRows,
    /// Values in a row.
    pub width: usize,
    /// The applied index at which they were read.
    pub log_index: u64,
    /// The event time of the oldest value of all; nothing where none has a time.
    pub oldest_us: Option<i64>,
    /// Rows of entities that nobody knows: they hold defaults, and are not to be scored.
    pub unknown: Vec<usize>,
    /// The groups of each entity, for the rates by group.
    pub groups: Vec<Codes>,
    has_gaps: bool,
}

/// Names of features, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    pub missing: String,
    pub stale: String,
}

impl Serving {
    /// The rows of some entities, by the manifest's policy for what is missing or stale. An entity
    /// that nobody knows is an error where it is alone, where no other row is known either, or where
    /// the policy refuses rows; else it is one of `unknown`.
    pub fn read_rows<'a>(
        &self,
        state: &State,
        loaded: &Loaded,
        entities: impl ExactSizeIterator<Item = &'a str>,
        sent: &Sent,
    ) -> Result<Rows, ServingError> {
        let count = entities.len();
        let mut rows = Rows::open(state, loaded, count)?;
        let entities: Vec<&str> = entities.collect();
        for (at, &entity) in entities.iter().enumerate() {
            look_ahead(state, loaded, &entities, at);
            let is_known = rows.add(state, loaded, (entity, sent.row(at)))?;
            rows.groups.push(self.groups().of(state, loaded, entity));
            if is_known {
                continue;
            }
            rows.unknown.push(at);
            if rows.unknown.len() == count || loaded.rules().can_refuse() {
                let kind = loaded.manifest().entity.clone();
                return Err(ServingError::UnknownEntity { kind, entity: entity.to_owned() });
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// No row yet, and room for so many.
    pub(crate) fn open(state: &State, loaded: &Loaded, count: usize) -> Result<Self, ServingError> {
        let width = loaded.view().ok_or_else(|| no_view(loaded))?.features().len();
        let features = FeatureRows::with_capacity(count * width);
        Ok(Self { features, width, log_index: state.applied, ..Self::default() })
    }

    /// Puts the row of one entity behind the others and says whether anybody knows it; an error, and no
    /// row, where the manifest refuses it.
    pub(crate) fn add(
        &mut self,
        state: &State,
        loaded: &Loaded,
        (entity, request): (&str, &[Option<f64>]),
    ) -> Result<bool, ServingError> {
        let view = loaded.view().ok_or_else(|| no_view(loaded))?;
        let from = self.features.values.len();
        let read = &mut self.features;
        let rows = state.registers();
        let asked = Asked { key: entity, as_of_us: state.clock_us, rows, request };
        let is_known = state.features.read_asked_into(view, &asked, read);
        let statuses = &mut read.statuses[from..];
        let found = loaded.rules().keep(
            &mut read.values[from..],
            statuses,
            &read.event_times_us[from..],
            state.clock_us.max(state.features.now_us()),
        );
        if is_known && found.is_refused {
            let features = loaded.rules().refused(view.names(), statuses);
            let features = features.map(str::to_owned).collect();
            read.truncate(from);
            let (model, entity) = (loaded.name().to_owned(), entity.to_owned());
            return Err(ServingError::Missing { model, entity, features });
        }
        self.has_gaps |= is_known && found.has_gaps;
        self.oldest_us = self.oldest_us.into_iter().chain(found.oldest()).min();
        Ok(is_known)
    }
}

/// At the first of every few entities, has what all of them are read from come from memory together.
pub(crate) fn look_ahead(state: &State, loaded: &Loaded, entities: &[impl AsRef<str>], at: usize) {
    if !at.is_multiple_of(Store::ROWS_AHEAD) {
        return;
    }
    let next = entities.iter().skip(at).take(Store::ROWS_AHEAD).map(AsRef::as_ref);
    let next: Vec<&str> = next.collect();
    if let Some(view) = loaded.view().filter(|_| next.len() > 1) {
        state.features.warm_rows(view, &next, state.registers());
    }
}

pub(super) fn no_view(loaded: &Loaded) -> ServingError {
    ServingError::Invalid(format!(
        "model {} has no feature view: send its features, not an entity",
        loaded.name()
    ))
}

impl Rows {
    /// What was missing or stale in any of the rows of known entities.
    pub fn gaps(&self, names: &[String]) -> Gaps {
        if !self.has_gaps {
            return Gaps::default();
        }
        let named = |fits: fn(Status) -> bool| {
            let mut all = String::new();
            for (at, name) in names.iter().enumerate() {
                let column = self.features.statuses.iter().skip(at).step_by(self.width.max(1));
                if column.copied().any(fits) {
                    push(&mut all, name);
                }
            }
            all
        };
        Gaps {
            missing: named(|status| status == Status::Default),
            stale: named(|status| matches!(status, Status::Stale | Status::Partial)),
        }
    }

    /// The same of one row.
    pub fn gaps_of(&self, row: usize, names: &[String]) -> Gaps {
        let mut gaps = Gaps::default();
        for (name, status) in names.iter().zip(self.row(row, &self.features.statuses)) {
            match status {
                Status::Present => {}
                Status::Stale | Status::Partial => push(&mut gaps.stale, name),
                Status::Default | Status::NotFound => push(&mut gaps.missing, name),
            }
        }
        gaps
    }

    /// The event time of the oldest value of one row; 0 where none has a time.
    pub fn oldest_of(&self, row: usize) -> i64 {
        let times = self.row(row, &self.features.event_times_us).iter();
        times.copied().filter(|at_us| *at_us != 0).min().unwrap_or(0)
    }

    fn row<'a, T>(&self, row: usize, all: &'a [T]) -> &'a [T] {
        all.get(row * self.width..(row + 1) * self.width).unwrap_or(&[])
    }
}

fn push(names: &mut String, name: &str) {
    if !names.is_empty() {
        names.push(',');
    }
    names.push_str(name);
}
