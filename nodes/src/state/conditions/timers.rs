//! What waits for a time of the log, beside heartbeats and silences, which have wheels.

use super::bits::Bits;
use super::kept::Timer;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// As a list of times and what waits for them, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, Timer)>", into = "Vec<(i64, Timer)>")]
pub(crate) struct Timers {
    rare: OrdSet<(i64, Timer)>,
    /// Every home may wait for the end of one night: a bit each, by time and rule.
    nights: OrdMap<(i64, u8), Arc<Bits>>,
}

impl Timers {
    pub(crate) fn insert(&mut self, due_us: i64, timer: Timer) {
        if let Timer::Night(home, rule) = timer {
            Arc::make_mut(self.nights.entry((due_us, rule)).or_default()).set(home, true);
        } else {
            self.rare.insert((due_us, timer));
        }
    }

    /// Takes a timer away that is for no night.
    pub(crate) fn remove(&mut self, due_us: i64, timer: Timer) {
        self.rare.remove(&(due_us, timer));
    }

    pub(crate) fn forget_nights(&mut self) {
        self.nights = OrdMap::new();
    }

    /// The next time that anything waits for.
    pub(crate) fn next_us(&self) -> Option<i64> {
        let rare = self.rare.get_min().map(|(due_us, _)| *due_us);
        let night = self.nights.get_min().map(|((due_us, _), _)| *due_us);
        rare.into_iter().chain(night).min()
    }

    /// Takes out what is due next and not after that time: one of the rare, or all nights that end then,
    /// by home and rule.
    pub(crate) fn take_due(&mut self, now_us: i64) -> Vec<Timer> {
        let Some(due_us) = self.next_us().filter(|due_us| *due_us <= now_us) else {
            return Vec::new();
        };
        // In the order of the list: of the same time, nights come last.
        if let Some(first) = self.rare.get_min().copied().filter(|first| first.0 == due_us) {
            self.rare.remove(&first);
            return vec![first.1];
        }
        let mut nights = Vec::new();
        while let Some(((at_us, rule), homes)) = self.nights.get_min().cloned()
            && at_us == due_us
        {
            nights.extend(homes.iter().map(|home| Timer::Night(home, rule)));
            self.nights.remove(&(at_us, rule));
        }
        nights.sort_unstable();
        nights
    }
}

impl From<Vec<(i64, Timer)>> for Timers {
    fn from(list: Vec<(i64, Timer)>) -> Self {
        let mut timers = Self::default();
        for (due_us, timer) in list {
            timers.insert(due_us, timer);
        }
        timers
    }
}

impl From<Timers> for Vec<(i64, Timer)> {
    fn from(timers: Timers) -> Self {
        let mut list: Self = timers.rare.into_iter().collect();
        for ((due_us, rule), homes) in &timers.nights {
            list.extend(homes.iter().map(|home| (*due_us, Timer::Night(home, *rule))));
        }
        list.sort_unstable();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::conditions::sight::PlaceId;
    use proptest::prelude::*;

    fn any_timer() -> impl Strategy<Value = (i64, Timer)> {
        let timer = prop_oneof![
            (0..9_u32, 0..3_u16).prop_map(|(home, rule)| Timer::Watch(PlaceId::home(home), rule)),
            (0..9_u32, 0..3_u8).prop_map(|(device, kind)| Timer::Flap(device, kind)),
            (0..9_u32, 0..3_u32).prop_map(|(home, left)| Timer::Bed(home, left)),
            (0..200_u32, 0..3_u8).prop_map(|(home, rule)| Timer::Night(home, rule)),
        ];
        (1..6_i64, timer)
    }

    proptest! {
        /// Everything comes in the order of one sorted list, and is written as that list.
        #[test]
        fn what_waits_comes_in_order(all in prop::collection::vec(any_timer(), 0..60), now in 0..7_i64) {
            let (mut timers, mut plain) = (Timers::default(), OrdSet::new());
            for (due_us, timer) in all {
                timers.insert(due_us, timer);
                plain.insert((due_us, timer));
                if let Timer::Bed(..) = timer && due_us == 2 {
                    timers.remove(due_us, timer);
                    plain.remove(&(due_us, timer));
                }
            }
            let bytes = postcard::to_stdvec(&timers).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&plain).unwrap());
            let again: Timers = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&again, &timers);
            prop_assert_eq!(timers.next_us(), plain.get_min().map(|first| first.0));
            let mut came = Vec::new();
            loop {
                let due = timers.take_due(now);
                if due.is_empty() {
                    break;
                }
                came.extend(due);
            }
            let wanted: Vec<Timer> =
                plain.iter().filter(|each| each.0 <= now).map(|each| each.1).collect();
            prop_assert_eq!(came, wanted);
        }
    }
}
