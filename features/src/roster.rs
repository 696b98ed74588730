//! The entities of one kind and their series.

use crate::aggregate::{Reading, Summary};
use crate::interner::{Interner, Keys};
use crate::kind::Kind;
use crate::paged::Paged;
use crate::series::{Landing, Series};
use crate::window::Window;

/// How many entities of one kind are kept.
pub(crate) const ENTITIES_MAX: usize = 16_000_000;

/// Entities in the order of first sight, each with its series in the order of their kinds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    keys: Interner,
    series: Paged<Vec<Series>>,
    /// What the series and their tiles have on the heap.
    series_bytes: usize,
}

/// What a snapshot says of a roster; shares everything with it.
#[derive(Clone, Debug)]
pub(crate) struct FrozenRoster {
    pub(crate) keys: Keys,
    pub(crate) series: Paged<Vec<Series>>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn freeze(&self) -> FrozenRoster {
        FrozenRoster { keys: self.keys.keys().clone(), series: self.series.clone() }
    }

    pub(crate) fn key(&self, slot: usize) -> &str {
        self.keys.keys().get(slot)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().iter()
    }

    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.keys.find(key)
    }

    /// The slot of the key, a new one where it has none; nothing where the roster is full.
    pub(crate) fn intern(&mut self, key: &str) -> Option<usize> {
        let slot =
            if self.len() < ENTITIES_MAX { self.keys.intern(key) } else { self.keys.find(key) }?;
        if slot == self.series.len() {
            self.series.push(Vec::new());
        }
        Some(slot)
    }

    pub(crate) fn series(&self, slot: usize) -> &[Series] {
        self.series.get(slot).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn find_series(&self, slot: usize, kind: Kind) -> Option<&Series> {
        // A handful at most: a walk beats a search.
        self.series(slot).iter().find(|series| series.kind() == kind)
    }

    pub(crate) fn add(
        &mut self,
        slot: usize,
        kind: Kind,
        reading: Reading,
        now_us: i64,
    ) -> Landing {
        let Some(all) = self.series.get_mut(slot) else { return Landing::Refused };
        let at = all.partition_point(|series| series.kind() < kind);
        if all.get(at).is_none_or(|series| series.kind() != kind) {
            insert(all, at, Series::new(kind));
            self.series_bytes += size_of::<Series>();
        }
        let series = &mut all[at];
        let before = series.heap_bytes();
        let landing = series.add(reading, now_us);
        self.series_bytes = self.series_bytes + series.heap_bytes() - before;
        landing
    }

    /// Puts a stored series behind those that the slot has.
    pub(crate) fn restore(&mut self, slot: usize, series: Series) {
        if let Some(all) = self.series.get_mut(slot) {
            self.series_bytes += size_of::<Series>() + series.heap_bytes();
            insert(all, all.len(), series);
        }
    }

    pub(crate) fn prune(&mut self, slot: usize, now_us: i64) {
        // A look first: to write to a page that a snapshot shares costs a copy.
        if self.series(slot).iter().all(|series| series.is_pruned(now_us)) {
            return;
        }
        for series in self.series.get_mut(slot).into_iter().flatten() {
            let before = series.heap_bytes();
            series.prune(now_us);
            self.series_bytes = self.series_bytes + series.heap_bytes() - before;
        }
    }

    /// The window, or the whole life, of one kind or of all.
    pub(crate) fn read(
        &self,
        slot: usize,
        kind: Option<Kind>,
        window: Option<Window>,
        as_of_us: i64,
    ) -> Summary {
        let read = |series: &Series| {
            window.map_or_else(|| series.life(), |window| series.read(window, as_of_us))
        };
        if let Some(kind) = kind {
            return self.find_series(slot, kind).map_or_else(Summary::default, read);
        }
        self.series(slot).iter().fold(Summary::default(), |mut all, series| {
            all.merge(&read(series));
            all
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.keys.heap_bytes() + self.series.heap_bytes() + self.series_bytes
    }
}

/// Grows by one: most entities keep the series they begin with.
fn insert(all: &mut Vec<Series>, at: usize, series: Series) {
    all.reserve_exact(1);
    all.insert(at, series);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_stay_in_the_order_of_their_kinds() {
        let mut roster = Roster::default();
        let slot = roster.intern("a").unwrap();
        for kind in [Kind::Gas, Kind::Door, Kind::Help, Kind::Gas] {
            roster.add(slot, kind, Reading { at_us: 5, value: 7 }, 10);
        }
        let kinds: Vec<_> = roster.series(slot).iter().map(Series::kind).collect();
        assert_eq!(kinds, [Kind::Door, Kind::Gas, Kind::Help]);
        assert_eq!(roster.read(slot, None, Some(Window::M5), 10).count, 4);
        assert_eq!(roster.read(slot, Some(Kind::Gas), None, 10).count, 2);
        assert_eq!(roster.read(9, None, None, 10), Summary::default());
        assert_eq!(roster.add(9, Kind::Gas, Reading { at_us: 5, value: 7 }, 10), Landing::Refused);
    }
}
