//! The entities of one kind and their series.
//!
//! A series that no view asks for any more is as if it were not there: nobody reads or stores it, and a
//! sweep gives its memory back.

use crate::bundle::Bundle;
use crate::demands::{Demand, Kept};
use crate::interner::{Interner, Keys};
use crate::key::Key;
use crate::paged::Paged;
use crate::part::Part;
use crate::series::{Head, Landing, Series};
use crate::summary::Reading;
use crate::topic::Topic;
use crate::zones::Zones;

/// How many entities of one kind are kept.
pub(crate) const ENTITIES_MAX: usize = 16_000_000;

/// Entities in the order of first sight, each with its series in the order of their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    keys: Interner,
    series: Paged<Bundle>,
    /// What the series have on the heap.
    series_bytes: usize,
}

/// What a snapshot says of a roster; shares everything with it.
#[derive(Clone, Debug)]
pub(crate) struct FrozenRoster {
    pub(crate) keys: Keys,
    pub(crate) series: Paged<Bundle>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn freeze(&self) -> FrozenRoster {
        FrozenRoster { keys: self.keys.keys().clone(), series: self.series.clone() }
    }

    pub(crate) fn key(&self, slot: usize) -> &str {
        self.keys.keys().text(slot)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().texts()
    }

    pub(crate) fn find(&self, key: &str) -> Option<usize> {
        self.find_key(Key::of(key))
    }

    pub(crate) fn find_key(&self, key: Key<'_>) -> Option<usize> {
        self.keys.find(key)
    }

    /// [`Roster::find`] of some keys.
    pub(crate) fn find_each<'a>(
        &self,
        keys: impl Iterator<Item = &'a str> + Clone,
        hashes: &mut Vec<u64>,
        found: &mut Vec<Option<usize>>,
    ) {
        self.keys.find_each(keys, hashes, found);
    }

    /// Looks at all that readings will change, and gives something that depends on it. Each thing is found
    /// by way of another, so they go one step at a time, all together: in one step nothing waits for what
    /// another is still waiting for.
    pub(crate) fn warm_each<'a>(
        &self,
        readings: impl Iterator<Item = (usize, &'a [Kept])> + Clone,
    ) -> usize {
        let all = readings.filter_map(|(slot, kept)| Some((self.series.get(slot)?, kept)));
        let found: usize = all.clone().map(|(bundle, _)| bundle.heap_bytes()).sum();
        let heads: usize = all.clone().map(|(bundle, _)| bundle.warm_heads()).sum();
        let tiles: usize = all.map(|(bundle, kept)| warm_tiles(bundle, kept)).sum();
        found + heads + tiles
    }

    /// The slot of the key, a new one where it has none; nothing where the roster is full.
    pub(crate) fn intern(&mut self, key: &str) -> Option<usize> {
        let slot = if self.len() < ENTITIES_MAX { self.keys.intern(key) } else { self.find(key) }?;
        if slot == self.series.len() {
            self.series.push(Bundle::default());
        }
        Some(slot)
    }

    pub(crate) fn series(&self, slot: usize) -> Option<&Bundle> {
        self.series.get(slot)
    }

    pub(crate) fn find_series(
        &self,
        slot: usize,
        place: (Topic, Part),
        demand: &Demand,
    ) -> Option<Series<'_>> {
        let found = self.series.get(slot)?.find(place)?;
        (found.generation() == demand.generation).then_some(found)
    }

    /// Takes a reading into every series that is kept of its kind; says what became of it in the one of
    /// its own kind, or in the best.
    pub(crate) fn add(
        &mut self,
        slot: usize,
        kept: &[Kept],
        reading: Reading,
        zones: &Zones,
        scratch: &mut Vec<u8>,
    ) -> Landing {
        if kept.is_empty() {
            return if slot < self.len() { Landing::Unwatched } else { Landing::Refused };
        }
        let Some(all) = self.series.get_mut(slot) else { return Landing::Refused };
        let before = all.heap_bytes();
        let (mut at, mut landing) = (0, Landing::Unwatched);
        for Kept { topic, part, demand } in kept {
            let place = (*topic, *part);
            // Both lists stand in the same order.
            at = all.seek(at, place);
            if all.place(at) != Some(place) {
                all.insert(at, &Head::new(place, demand.generation));
            } else if all.generation(at) != Some(demand.generation) {
                all.restart(at, &Head::new(place, demand.generation));
            }
            landing = landing.max(all.add(at, reading, (zones, &demand.reach), scratch));
        }
        self.series_bytes = self.series_bytes + all.heap_bytes() - before;
        landing
    }

    /// Puts a stored series behind those that the slot has.
    pub(crate) fn restore(&mut self, slot: usize, series: &Series<'_>) {
        if let Some(all) = self.series.get_mut(slot) {
            let before = all.heap_bytes();
            all.push(series);
            self.series_bytes = self.series_bytes + all.heap_bytes() - before;
        }
    }

    /// Gives back what of an entity is kept too finely, for too long or for nobody.
    pub(crate) fn prune<'a>(
        &mut self,
        slot: usize,
        zones: &Zones,
        demand: impl Fn(&Series<'_>) -> Option<&'a Demand>,
    ) {
        // A look first: to write to a page that a snapshot shares costs a copy.
        let is_due = |series: Series<'_>| {
            demand(&series).is_none_or(|demand| !series.is_pruned(zones, &demand.reach))
        };
        if !self.series(slot).is_some_and(|all| all.iter().any(is_due)) {
            return;
        }
        let Some(all) = self.series.get_mut(slot) else { return };
        let (before, mut scratch) = (all.heap_bytes(), Vec::new());
        for at in (0..all.len()).rev() {
            match all.get(at).and_then(|series| demand(&series)) {
                Some(demand) => all.prune(at, (zones, &demand.reach), &mut scratch),
                None => all.remove(at),
            }
        }
        self.series_bytes = self.series_bytes + all.heap_bytes() - before;
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.keys.heap_bytes() + self.series.heap_bytes() + self.series_bytes
    }
}

fn warm_tiles(all: &Bundle, kept: &[Kept]) -> usize {
    let is_kept = |at: &usize| {
        let place = all.place(*at);
        kept.iter().any(|kept| Some((kept.topic, kept.part)) == place)
    };
    (0..all.len()).filter(is_kept).map(|at| all.warm_tiles(at)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demands::Demands;
    use crate::entity::EntityKind;
    use crate::kind::Kind;
    use crate::view::FeatureView;

    #[test]
    fn series_stay_in_the_order_of_their_places() {
        let view = "name = 'v'\nentity = 'device'\nversion = 1\nfeature = [\n\
                    { name = 'a', kind = 'door', aggregate = 'count', window = '1h' },\n\
                    { name = 'b', kind = 'any', aggregate = 'std', window = '1h' },\n\
                    { name = 'c', kind = 'gas', aggregate = 'first', window = '1h' },\n]";
        let demands = Demands::of([FeatureView::parse(view).unwrap()].iter());
        let zones = Zones::at(10);
        let mut roster = Roster::default();
        let slot = roster.intern("a").unwrap();
        let add = |roster: &mut Roster, slot, kind| {
            let kept = demands.of_kind(EntityKind::Device, kind);
            roster.add(slot, kept, Reading { at_us: 5, value: 7 }, &zones, &mut Vec::new())
        };
        for kind in [Kind::Gas, Kind::Door, Kind::Help, Kind::Gas] {
            assert_eq!(add(&mut roster, slot, kind), Landing::Window);
        }
        let held: Vec<_> =
            roster.series(slot).unwrap().iter().map(|series| series.place()).collect();
        let (door, gas) = (Topic::of(Kind::Door), Topic::of(Kind::Gas));
        let values = [door, gas, Topic::ANY].map(|topic| (topic, Part::Values));
        let [door, gas, any] = values;
        assert_eq!(held, [door, gas, (gas.0, Part::First), any, (Topic::ANY, Part::Squares)]);
        assert_eq!(roster.series(slot).unwrap().get(4).unwrap().lifetime(), 4);
        assert_eq!(add(&mut roster, 9, Kind::Gas), Landing::Refused);
        let bytes = roster.series_bytes;
        roster.prune(slot, &zones, |_| None);
        assert_eq!((roster.series(slot).unwrap().len(), roster.series_bytes), (0, 0));
        assert!(bytes > 100);
    }
}
