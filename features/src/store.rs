//! All entities, their series and the log time: what events write and feature vectors read.

use std::sync::{Arc, LazyLock};

use crate::ahead::{Ahead, Owner};
use crate::builtin;
use crate::bundle::Bundle;
use crate::demands::{Demand, Demands};
use crate::entity::EntityKind;
use crate::event::{ID_BYTES_MAX, VALUE_MAX};
use crate::fixed;
use crate::kind::Kind;
use crate::part::Part;
use crate::roster::Roster;
use crate::series::{Head, Landing, Series};
use crate::summary::{Reading, Summary};
use crate::topic::Topic;
use crate::view::FeatureView;
use crate::window::{DAY_US, MINUTE_US, Window};
use crate::zones::Zones;

/// What the built-in views ask for.
static BUILTIN: LazyLock<Arc<Demands>> = LazyLock::new(|| {
    // They are compiled in and parsed by a test.
    let views = builtin::views().unwrap_or_default();
    Arc::new(Demands::of(views.iter()))
});

/// In what time `advance` visits every entity once, to give back the memory of those gone quiet.
const SWEEP_US: i64 = DAY_US;
/// How many entities one `advance` visits at most.
const SWEEP_ENTITIES_MAX: usize = 8192;

/// The features' state: a function of the readings recorded and of the log time, not of the order in
/// which they came.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) now_us: i64,
    pub(crate) zones: Zones,
    pub(crate) demands: Arc<Demands>,
    pub(crate) rosters: [Roster; EntityKind::ALL.len()],
    pub(crate) ahead: Ahead,
    /// Which entity the next sweep begins at. Only memory depends on it, so it is not stored.
    swept: usize,
    /// Log time that has passed since the last entity was swept.
    unswept_us: i64,
    /// Bytes of tiles while they are being written.
    scratch: Vec<u8>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// Keeps what the built-in views ask for.
    pub fn new() -> Self {
        Self::demanding(Arc::clone(&BUILTIN))
    }

    /// Keeps what these views ask for.
    pub fn serving<'a>(views: impl Iterator<Item = &'a FeatureView>) -> Self {
        Self::demanding(Arc::new(Demands::of(views)))
    }

    pub(crate) fn demanding(demands: Arc<Demands>) -> Self {
        Self {
            now_us: 0,
            zones: Zones::default(),
            demands,
            rosters: Default::default(),
            ahead: Ahead::default(),
            swept: 0,
            unswept_us: 0,
            scratch: Vec::new(),
        }
    }

    /// Keeps, from the log time on, what these views ask for. What is asked for anew begins with the
    /// readings that come; what nobody asks for any more is given up.
    pub fn serve<'a>(&mut self, views: impl Iterator<Item = &'a FeatureView>) {
        let is_untouched = self.rosters.iter().all(|roster| roster.len() == 0);
        if is_untouched {
            self.demands = Arc::new(Demands::of(views));
        } else {
            Arc::make_mut(&mut self.demands).change(views, self.now_us);
        }
    }

    /// Whether any view in force asks for readings of such an entity.
    pub fn wants(&self, entity: EntityKind) -> bool {
        self.demands.wants(entity)
    }

    /// The log time: the newest that [`Store::advance`] was given.
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    /// Takes a reading in, at its event time. Give the log time to [`Store::advance`] first.
    pub fn record(
        &mut self,
        entity: EntityKind,
        key: &str,
        kind: Kind,
        at_us: i64,
        value: f64,
    ) -> Landing {
        if !self.takes(at_us, value) {
            return Landing::Refused;
        }
        let Some(slot) = self.slot(entity, key) else { return Landing::Refused };
        self.record_at(entity, slot, kind, at_us, value)
    }

    /// The slot of an entity, from now on and in every replica; a new one for an entity that was not
    /// seen before, nothing for an unusable key or in a full store.
    pub fn slot(&mut self, entity: EntityKind, key: &str) -> Option<usize> {
        if key.is_empty() || key.len() > ID_BYTES_MAX {
            return None;
        }
        self.rosters[entity as usize].intern(key)
    }

    /// The slot of an entity that was seen before.
    pub fn find(&self, entity: EntityKind, key: &str) -> Option<usize> {
        self.rosters[entity as usize].find(key)
    }

    /// [`Store::find`] of some keys: their waits for memory overlap. `hashes` is room to work in.
    pub fn find_each<'a>(
        &self,
        entity: EntityKind,
        keys: impl Iterator<Item = &'a str> + Clone,
        hashes: &mut Vec<u64>,
        found: &mut Vec<Option<usize>>,
    ) {
        self.rosters[entity as usize].find_each(keys, hashes, found);
    }

    /// Looks at what [`Store::record_at`] will change for some readings, so that it need not wait for
    /// memory. Gives a number that depends on all of it, for whoever must not let a compiler leave the
    /// look out.
    pub fn warm_each(&self, entity: EntityKind, readings: &[(usize, Kind)]) -> usize {
        let kept = readings.iter().map(|(slot, kind)| (*slot, self.demands.of_kind(entity, *kind)));
        self.rosters[entity as usize].warm_each(kept.filter(|(_, kept)| !kept.is_empty()))
    }

    /// The key of an entity; empty where there is no such slot.
    pub fn key(&self, entity: EntityKind, slot: usize) -> &str {
        self.rosters[entity as usize].key(slot)
    }

    /// Whether a reading would be taken in, whoever it is of.
    pub fn takes(&self, at_us: i64, value: f64) -> bool {
        value.abs() <= VALUE_MAX && !(at_us > self.now_us && self.ahead.is_full())
    }

    /// [`Store::record`] for an entity whose slot is known.
    pub fn record_at(
        &mut self,
        entity: EntityKind,
        slot: usize,
        kind: Kind,
        at_us: i64,
        value: f64,
    ) -> Landing {
        let roster = &mut self.rosters[entity as usize];
        let is_ahead = at_us > self.now_us;
        let Some(micros) = fixed::to_micros(value).filter(|_| value.abs() <= VALUE_MAX) else {
            return Landing::Refused;
        };
        if slot >= roster.len() || (is_ahead && self.ahead.is_full()) {
            return Landing::Refused;
        }
        let reading = Reading { at_us, value: micros };
        if is_ahead {
            self.ahead.hold(Owner { entity, slot: slot as u32, kind }, reading);
            return Landing::Ahead;
        }
        let kept = self.demands.of_kind(entity, kind);
        roster.add(slot, kept, reading, &self.zones, &mut self.scratch)
    }

    /// Moves the log time on; an earlier one changes nothing. Readings that waited for their time
    /// enter their series, and a part of the entities gives back memory.
    pub fn advance(&mut self, now_us: i64) {
        if now_us <= self.now_us {
            return;
        }
        self.unswept_us = self.unswept_us.saturating_add(now_us - self.now_us).min(SWEEP_US);
        self.zones = self.zones_at(now_us);
        self.now_us = now_us;
        for (owner, reading) in self.ahead.release(now_us) {
            let kept = self.demands.of_kind(owner.entity, owner.kind);
            self.rosters[owner.entity as usize].add(
                owner.slot as usize,
                kept,
                reading,
                &self.zones,
                &mut self.scratch,
            );
        }
        self.sweep();
    }

    /// Where windows begin that are read at that time: for a minute all at the same.
    pub(crate) fn zones_at(&self, at_us: i64) -> Zones {
        let is_now = at_us.div_euclid(MINUTE_US) == self.now_us.div_euclid(MINUTE_US);
        if is_now { self.zones } else { Zones::at(at_us) }
    }

    fn sweep(&mut self) {
        let total: usize = self.rosters.iter().map(Roster::len).sum();
        let share = total as i128 * i128::from(self.unswept_us) / i128::from(SWEEP_US);
        if share == 0 {
            return;
        }
        self.unswept_us = 0;
        for _ in 0..(share as usize).min(SWEEP_ENTITIES_MAX) {
            let mut slot = self.swept % total;
            for (entity, roster) in EntityKind::ALL.into_iter().zip(&mut self.rosters) {
                if slot < roster.len() {
                    let demands = &self.demands;
                    roster.prune(slot, &self.zones, |series| demand_of(demands, entity, series));
                    break;
                }
                slot -= roster.len();
            }
            self.swept = (self.swept + 1) % total;
        }
    }

    /// The window of one kind (of every kind where it is `None`), or its whole life without a window.
    /// A time before the log time reads as of the log time; nothing for an unknown entity, or where no
    /// view asks for so much.
    pub fn summary(
        &self,
        entity: EntityKind,
        key: &str,
        kind: Option<Kind>,
        window: Option<Window>,
        as_of_us: i64,
    ) -> Option<Summary> {
        let slot = self.rosters[entity as usize].find(key)?;
        let place = (Topic::from(kind), Part::Values);
        let demand = self.demands.get((entity, place.0, place.1))?;
        if window > demand.reach.deepest() {
            return None;
        }
        let as_of_us = as_of_us.max(self.now_us);
        let start_us = window.map(|window| window.start_us(as_of_us));
        let is_partial = window
            .zip(start_us)
            .is_some_and(|(window, start_us)| demand.reach.is_partial(window, start_us));
        let series = self.series_at((entity, slot), place, demand, (as_of_us, is_partial));
        let read = |series: Series<'_>| {
            start_us.map_or_else(|| series.life(), |start_us| series.read_from(start_us))
        };
        Some(series.map(read).unwrap_or_default())
    }

    /// A series as it is when the log reaches that time, as far as its readings are there already. Where
    /// it is to be read from before it was kept, tiles that have outgrown it are left out at once: how far
    /// compaction has come must not be seen.
    pub(crate) fn series_at(
        &self,
        (entity, slot): (EntityKind, usize),
        place: (Topic, Part),
        demand: &Demand,
        (as_of_us, is_partial): (i64, bool),
    ) -> Option<Series<'_>> {
        let mut series = self.rosters[entity as usize].find_series(slot, place, demand);
        if as_of_us > self.now_us && self.ahead.len() > 0 {
            let waiting = self.ahead.reached((entity, slot), place.0.kind(), as_of_us);
            let (mut alone, mut scratch) = (Bundle::default(), Vec::new());
            for reading in waiting {
                if alone.len() == 0 {
                    let fresh = || Series::new(Head::new(place, demand.generation));
                    alone.push(&series.take().unwrap_or_else(fresh));
                }
                alone.add(0, reading, (&self.zones, &demand.reach), &mut scratch);
            }
            series = series.or_else(|| alone.get(0).map(Series::into_owned));
        }
        if is_partial {
            series = series.map(|series| series.pruned(&self.zones, &demand.reach));
        }
        series
    }

    /// Every window of an entity that is kept and not empty: by kind, the shortest window first.
    pub fn current(
        &self,
        entity: EntityKind,
        key: &str,
        as_of_us: i64,
    ) -> impl Iterator<Item = (Kind, Window, Summary)> {
        let read = move |kind, window| {
            let summary = self.summary(entity, key, Some(kind), Some(window), as_of_us)?;
            (summary.count > 0).then_some((kind, window, summary))
        };
        Kind::ALL.iter().flat_map(move |kind| {
            Window::ALL.into_iter().filter_map(move |window| read(*kind, window))
        })
    }

    /// The series of an entity that are kept, in the order of their kinds.
    pub fn series(&self, entity: EntityKind, key: &str) -> impl Iterator<Item = Series<'_>> {
        let roster = &self.rosters[entity as usize];
        let all = roster.find(key).and_then(|slot| roster.series(slot)).into_iter();
        all.flat_map(Bundle::iter)
            .filter(move |series| demand_of(&self.demands, entity, series).is_some())
    }

    /// The keys of the entities of a kind, in the order of first sight.
    pub fn entities(&self, entity: EntityKind) -> impl Iterator<Item = &str> {
        self.rosters[entity as usize].keys()
    }

    pub fn entity_count(&self, entity: EntityKind) -> usize {
        self.rosters[entity as usize].len()
    }

    /// How many readings wait for the log to reach their time.
    pub fn ahead_count(&self) -> usize {
        self.ahead.len()
    }

    /// About how much memory the store has taken, in bytes, without what an allocator adds.
    pub fn memory_bytes(&self) -> usize {
        let rosters: usize = self.rosters.iter().map(Roster::heap_bytes).sum();
        size_of::<Self>() + rosters + self.ahead.heap_bytes()
    }
}

/// What a series is kept for; nothing for one that was given up.
pub(crate) fn demand_of<'a>(
    demands: &'a Demands,
    entity: EntityKind,
    series: &Series<'_>,
) -> Option<&'a Demand> {
    let (topic, part) = series.place();
    let demand = demands.get((entity, topic, part))?;
    (demand.generation == series.generation()).then_some(demand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{HOUR_US, MINUTE_US};

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn count(store: &Store, window: Window, as_of_us: i64) -> u64 {
        store.summary(EntityKind::Device, "d", None, Some(window), as_of_us).unwrap().count
    }

    #[test]
    fn a_reading_ahead_counts_from_its_own_time_on() {
        let mut store = Store::new();
        store.advance(NOW_US);
        let ahead_us = NOW_US + 3 * MINUTE_US;
        assert_eq!(
            store.record(EntityKind::Device, "d", Kind::Door, ahead_us, 1.0),
            Landing::Ahead
        );
        assert_eq!(count(&store, Window::M5, NOW_US), 0);
        assert_eq!(count(&store, Window::M5, ahead_us - 1), 0);
        assert_eq!(count(&store, Window::M5, ahead_us), 1);
        let life = store.summary(EntityKind::Device, "d", None, None, ahead_us).unwrap();
        assert_eq!((life.count, life.sum), (1, 0));
        store.advance(ahead_us - 1);
        assert_eq!((store.ahead_count(), count(&store, Window::M5, NOW_US)), (1, 0));
        store.advance(ahead_us);
        assert_eq!((store.ahead_count(), count(&store, Window::M5, 0)), (0, 1));
        store.advance(NOW_US);
        assert_eq!(store.now_us(), ahead_us);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let mut store = Store::new();
        store.advance(NOW_US);
        for value in [f64::NAN, f64::INFINITY, 2e9] {
            assert_eq!(
                store.record(EntityKind::Device, "d", Kind::Gas, NOW_US, value),
                Landing::Refused
            );
        }
        assert_eq!(store.record(EntityKind::Device, "", Kind::Gas, NOW_US, 1.0), Landing::Refused);
        assert_eq!(
            store.record(EntityKind::Device, &"d".repeat(129), Kind::Gas, NOW_US, 1.0),
            Landing::Refused
        );
        assert_eq!(store.entity_count(EntityKind::Device), 0);
        assert_eq!(store.summary(EntityKind::Device, "d", None, None, NOW_US), None);
    }

    #[test]
    fn quiet_entities_give_their_memory_back() {
        let mut store = Store::new();
        for step in 0..2_000 {
            store.advance(NOW_US + step * 5 * MINUTE_US);
            for resident in 0..20 {
                let key = format!("r-{resident}");
                store.record(
                    EntityKind::Resident,
                    &key,
                    Kind::Gas,
                    store.now_us(),
                    step as f64 / 7.0,
                );
            }
        }
        let busy = store.memory_bytes();
        for hour in 0..24 * 10 {
            store.advance(NOW_US + 7 * DAY_US + hour * HOUR_US);
        }
        let series: usize = store.rosters[EntityKind::Resident as usize]
            .keys()
            .flat_map(|key| store.series(EntityKind::Resident, key))
            .map(|series| series.tile_bytes())
            .sum();
        assert_eq!(series, 0);
        assert!(store.memory_bytes() < busy / 3, "{} of {busy}", store.memory_bytes());
    }

    #[test]
    fn live_windows_are_listed_by_kind() {
        let mut store = Store::new();
        store.advance(NOW_US);
        store.record(EntityKind::Resident, "r", Kind::Motion, NOW_US - 2 * HOUR_US, 1.0);
        store.record(EntityKind::Resident, "r", Kind::Door, NOW_US, 1.0);
        let live: Vec<_> = store
            .current(EntityKind::Resident, "r", NOW_US)
            .map(|(kind, window, _)| (kind, window))
            .collect();
        let kept = || Window::ALL.into_iter().take_while(|window| *window <= Window::D7);
        let want = kept()
            .map(|window| (Kind::Door, window))
            .chain(kept().skip(3).map(|window| (Kind::Motion, window)));
        assert!(live.iter().copied().eq(want), "{live:?}");
        assert_eq!(store.current(EntityKind::Resident, "nobody", NOW_US).count(), 0);
        assert!(store.entities(EntityKind::Resident).eq(["r"]));
    }
}
