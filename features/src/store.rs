//! All entities, their series and the log time: what events write and feature vectors read.

use crate::aggregate::{Reading, Summary};
use crate::ahead::{Ahead, Owner};
use crate::entity::EntityKind;
use crate::event::{ID_BYTES_MAX, VALUE_MAX};
use crate::fixed;
use crate::kind::Kind;
use crate::roster::Roster;
use crate::series::{Landing, Series};
use crate::window::{DAY_US, Window};

/// In what time `advance` visits every entity once, to give back the memory of those gone quiet.
const SWEEP_US: i64 = DAY_US;
/// How many entities one `advance` visits at most.
const SWEEP_ENTITIES_MAX: usize = 8192;

/// The features' state: a function of the readings recorded and of the log time, not of the order in
/// which they came.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub(crate) now_us: i64,
    pub(crate) rosters: [Roster; EntityKind::ALL.len()],
    pub(crate) ahead: Ahead,
    /// Which entity the next sweep begins at. Only memory depends on it, so it is not stored.
    swept: usize,
    /// Log time that has passed since the last entity was swept.
    unswept_us: i64,
}

impl Store {
    pub fn new() -> Self {
        Self::default()
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
        roster.add(slot, kind, reading, self.now_us)
    }

    /// Moves the log time on; an earlier one changes nothing. Readings that waited for their time
    /// enter their series, and a part of the entities gives back memory.
    pub fn advance(&mut self, now_us: i64) {
        if now_us <= self.now_us {
            return;
        }
        self.unswept_us = self.unswept_us.saturating_add(now_us - self.now_us).min(SWEEP_US);
        self.now_us = now_us;
        for (owner, reading) in self.ahead.release(now_us) {
            self.rosters[owner.entity as usize].add(
                owner.slot as usize,
                owner.kind,
                reading,
                now_us,
            );
        }
        self.sweep();
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
            for roster in &mut self.rosters {
                if slot < roster.len() {
                    roster.prune(slot, self.now_us);
                    break;
                }
                slot -= roster.len();
            }
            self.swept = (self.swept + 1) % total;
        }
    }

    /// The window of one kind (of every kind where it is `None`), or its whole life without a window.
    /// A time before the log time reads as of the log time; nothing for an unknown entity.
    pub fn summary(
        &self,
        entity: EntityKind,
        key: &str,
        kind: Option<Kind>,
        window: Option<Window>,
        as_of_us: i64,
    ) -> Option<Summary> {
        let slot = self.rosters[entity as usize].find(key)?;
        Some(self.summary_at(entity, slot, kind, window, as_of_us.max(self.now_us)))
    }

    pub(crate) fn summary_at(
        &self,
        entity: EntityKind,
        slot: usize,
        kind: Option<Kind>,
        window: Option<Window>,
        as_of_us: i64,
    ) -> Summary {
        let mut all = self.rosters[entity as usize].read(slot, kind, window, as_of_us);
        if as_of_us > self.now_us {
            let owner = Owner { entity, slot: slot as u32, kind: kind.unwrap_or(Kind::Door) };
            let from_us = window.map_or(i64::MIN, |window| window.start_us(as_of_us));
            let mut held = self.ahead.read(owner, kind.is_none(), from_us, as_of_us);
            if window.is_none() {
                held = Summary { count: held.count, last: held.last, ..Summary::default() };
            }
            all.merge(&held);
        }
        all
    }

    /// Every window of an entity that is not empty: by kind, the shortest window first.
    pub fn current(
        &self,
        entity: EntityKind,
        key: &str,
        as_of_us: i64,
    ) -> impl Iterator<Item = (Kind, Window, Summary)> {
        let as_of_us = as_of_us.max(self.now_us);
        let slot = self.rosters[entity as usize].find(key);
        let kinds = Kind::ALL.iter().copied().filter_map(move |kind| Some((slot?, kind)));
        kinds
            .flat_map(move |(slot, kind)| {
                let read =
                    move |window| self.summary_at(entity, slot, Some(kind), Some(window), as_of_us);
                Window::ALL.into_iter().map(move |window| (kind, window, read(window)))
            })
            .filter(|(_, _, summary)| summary.count > 0)
    }

    /// The series of an entity, in the order of their kinds.
    pub fn series(&self, entity: EntityKind, key: &str) -> &[Series] {
        let roster = &self.rosters[entity as usize];
        roster.find(key).map_or(&[], |slot| roster.series(slot))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{HOUR_US, MINUTE_US};

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn count(store: &Store, window: Window, as_of_us: i64) -> u64 {
        store
            .summary(EntityKind::Device, "d", Some(Kind::Door), Some(window), as_of_us)
            .unwrap()
            .count
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
            for device in 0..20 {
                let key = format!("d-{device}");
                store.record(
                    EntityKind::Device,
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
        let series: usize = store.rosters[0]
            .keys()
            .map(|key| store.series(EntityKind::Device, key)[0].heap_bytes())
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
        let want = Window::ALL
            .map(|window| (Kind::Door, window))
            .into_iter()
            .chain([(Kind::Motion, Window::D1), (Kind::Motion, Window::D7)]);
        assert!(live.iter().copied().eq(want), "{live:?}");
        assert_eq!(store.current(EntityKind::Resident, "nobody", NOW_US).count(), 0);
        assert!(store.entities(EntityKind::Resident).eq(["r"]));
    }
}
