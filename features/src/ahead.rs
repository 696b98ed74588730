//! Readings whose time the log has not reached: a believed clock may be five minutes ahead.
//!
//! They wait here and enter their series when the log time reaches them. A read at a later time than
//! the log's counts those that its time has reached, so the head of every window stays exact.

use imbl::{OrdMap, OrdSet};

use crate::entity::EntityKind;
use crate::kind::Kind;
use crate::summary::Reading;

/// How many readings may wait.
pub(crate) const AHEAD_MAX: usize = 1 << 20;

/// Whose reading it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) entity: EntityKind,
    pub(crate) slot: u32,
    pub(crate) kind: Kind,
}

/// Cheap to copy, as all that a snapshot holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ahead {
    /// The readings of each owner, in order.
    waiting: OrdMap<Owner, Vec<Reading>>,
    /// When something of which owner is due.
    due: OrdSet<(i64, Owner)>,
    count: usize,
}

impl Ahead {
    pub(crate) fn is_full(&self) -> bool {
        self.count >= AHEAD_MAX
    }

    pub(crate) fn hold(&mut self, owner: Owner, reading: Reading) {
        let readings = self.waiting.entry(owner).or_default();
        let at = readings.partition_point(|each| *each <= reading);
        readings.insert(at, reading);
        self.due.insert((reading.at_us, owner));
        self.count += 1;
    }

    /// Everything that is due at `now_us`, the earliest owner first.
    pub(crate) fn release(&mut self, now_us: i64) -> Vec<(Owner, Reading)> {
        let mut released = Vec::new();
        while let Some((at_us, owner)) = self.due.get_min().copied() {
            if at_us > now_us {
                break;
            }
            self.due.remove(&(at_us, owner));
            let Some(readings) = self.waiting.get_mut(&owner) else { continue };
            let reached = readings.partition_point(|each| each.at_us <= now_us);
            released.extend(readings.drain(..reached).map(|reading| (owner, reading)));
            if readings.is_empty() {
                self.waiting.remove(&owner);
            }
        }
        self.count -= released.len();
        released
    }

    /// What of an entity its time has reached: of one kind, or of all.
    pub(crate) fn reached(
        &self,
        (entity, slot): (EntityKind, usize),
        kind: Option<Kind>,
        as_of_us: i64,
    ) -> impl Iterator<Item = Reading> {
        let ends = Kind::ALL.first().zip(Kind::ALL.last()).filter(|_| !self.waiting.is_empty());
        let owner = move |kind| Owner { entity, slot: slot as u32, kind };
        let range = ends.map(|(first, last)| {
            self.waiting.range(owner(kind.unwrap_or(*first))..=owner(kind.unwrap_or(*last)))
        });
        let readings =
            range.into_iter().flatten().flat_map(|(_, readings)| readings.iter().copied());
        readings.filter(move |reading| reading.at_us <= as_of_us)
    }

    /// All that waits, in the order of the owners.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Owner, Reading)> {
        self.waiting.iter().flat_map(|(owner, all)| all.iter().map(|reading| (*owner, *reading)))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        // A reading, its due date and its share of an owner; tree nodes are two thirds full.
        self.count * (size_of::<Reading>() + size_of::<(i64, Owner)>() * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_wait_until_their_time() {
        let owner = |slot| Owner { entity: EntityKind::Device, slot, kind: Kind::Door };
        let reading = |at_us| Reading { at_us, value: 1 };
        let mut ahead = Ahead::default();
        for at_us in [30, 10, 10, 20] {
            ahead.hold(owner(1), reading(at_us));
        }
        ahead.hold(owner(0), reading(25));
        let of_one = (EntityKind::Device, 1);
        assert_eq!(ahead.reached(of_one, Some(Kind::Door), 20).count(), 3);
        assert_eq!(ahead.reached(of_one, None, 99).count(), 4);
        assert_eq!(ahead.reached(of_one, Some(Kind::Gas), 99).count(), 0);
        assert_eq!(ahead.release(9), []);
        assert_eq!(ahead.release(20), [10, 10, 20].map(|at_us| (owner(1), reading(at_us))));
        assert_eq!(ahead.len(), 2);
        assert_eq!(
            ahead.iter().collect::<Vec<_>>(),
            [(owner(0), reading(25)), (owner(1), reading(30))]
        );
        assert_eq!(ahead.release(30).len(), 2);
        assert_eq!(ahead.len(), 0);
    }
}
