//! A hierarchical timing wheel over small numbers: millions of timers, each four bytes.
//!
//! A timer is put off without being touched: who owns it knows when it is really due, and the wheel
//! asks only when the time has come that it was last told. So an event costs the wheel nothing, and the
//! wheel is derived: what fires and in which order depends on the owner's times alone.

use crate::state::by_slot::extend_to;

/// Ticks in the innermost ring: 17 minutes.
const NEAR: u32 = 4_096;
const NEAR_BITS: u32 = 12;
/// Each place of the second ring is one turn of the first, each of the third one turn of the second.
const FAR: u32 = 256;
const FAR_BITS: u32 = 8;
const RINGS: usize = (NEAR + 2 * FAR) as usize;
/// Beyond this a timer waits in the last place and is looked at again.
const SPAN: u32 = 1 << (NEAR_BITS + 2 * FAR_BITS);

/// A longer pause than this is not turned through tick by tick: every timer is looked at once.
const PAUSE: u32 = 4 * NEAR;

const END: u32 = u32::MAX;
const UNARMED: u32 = u32::MAX - 1;

#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    /// Every tick up to this one has been.
    now: u32,
    heads: Vec<u32>,
    /// The next timer in the same place, by timer.
    next: Vec<u32>,
    armed: u32,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { now: 0, heads: vec![END; RINGS], next: Vec::new(), armed: 0 }
    }
}

impl Wheel {
    /// A wheel that has turned up to a tick.
    pub(crate) fn at(now: u32) -> Self {
        Self { now, ..Self::default() }
    }

    pub(crate) fn is_armed(&self, id: u32) -> bool {
        self.next.get(id as usize).is_some_and(|next| *next != UNARMED)
    }

    /// Has the wheel ask for a timer at a tick, or at once where that has been. An armed one is left
    /// where it is: it must not have become due earlier.
    pub(crate) fn arm(&mut self, id: u32, due: u32) {
        if self.is_armed(id) {
            return;
        }
        extend_to(&mut self.next, id as usize + 1, UNARMED);
        self.armed += 1;
        self.place(id, due);
    }

    fn place(&mut self, id: u32, due: u32) {
        // The tick that is going on has been emptied: the next one is the earliest.
        let due = due.max(self.now + 1).min(self.now.saturating_add(SPAN - SPAN / FAR));
        let ahead = due - self.now;
        let at = if ahead < NEAR {
            due % NEAR
        } else if ahead < NEAR * FAR {
            NEAR + (due >> NEAR_BITS) % FAR
        } else {
            NEAR + FAR + (due >> (NEAR_BITS + FAR_BITS)) % FAR
        };
        let (Some(head), Some(next)) =
            (self.heads.get_mut(at as usize), self.next.get_mut(id as usize))
        else {
            return;
        };
        *next = *head;
        *head = id;
    }

    /// Turns to a tick and gives what is due by then with its time, by time and number. `due` says when
    /// a timer really is due, or that nobody waits for it any more.
    pub(crate) fn turn(
        &mut self,
        to: u32,
        mut due: impl FnMut(u32) -> Option<u32>,
    ) -> Vec<(u32, u32)> {
        let mut fired = Vec::new();
        if to.saturating_sub(self.now) >= PAUSE {
            for at in 0..RINGS {
                self.empty(at, to, &mut due, &mut fired, true);
            }
            self.now = to;
            let waiting = std::mem::take(&mut fired);
            for (when, id) in waiting {
                if when <= to {
                    fired.push((when, id));
                } else {
                    self.arm(id, when);
                }
            }
        }
        while self.now < to {
            if self.armed == 0 {
                self.now = to;
                break;
            }
            self.now += 1;
            let now = self.now;
            if now.is_multiple_of(NEAR) {
                if now.is_multiple_of(NEAR * FAR) {
                    let at = NEAR + FAR + (now >> (NEAR_BITS + FAR_BITS)) % FAR;
                    self.empty(at as usize, to, &mut due, &mut fired, false);
                }
                let at = NEAR + (now >> NEAR_BITS) % FAR;
                self.empty(at as usize, to, &mut due, &mut fired, false);
            }
            self.empty((now % NEAR) as usize, to, &mut due, &mut fired, false);
        }
        fired.sort_unstable();
        fired
    }

    /// Takes every timer out of a place: it fires, is forgotten, or goes where it is due now.
    fn empty(
        &mut self,
        at: usize,
        to: u32,
        due: &mut impl FnMut(u32) -> Option<u32>,
        fired: &mut Vec<(u32, u32)>,
        take_all: bool,
    ) {
        let Some(head) = self.heads.get_mut(at) else { return };
        let mut id = std::mem::replace(head, END);
        while id != END {
            let Some(next) = self.next.get_mut(id as usize) else { return };
            let following = std::mem::replace(next, UNARMED);
            match due(id) {
                Some(when) if when > to && !take_all => self.place(id, when),
                Some(when) => {
                    self.armed -= 1;
                    fired.push((when, id));
                }
                None => self.armed -= 1,
            }
            id = following;
        }
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.next.capacity() + self.heads.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        /// The timer is due so many ticks from now; an armed one is only put off.
        Set(u32, u32),
        Drop(u32),
        Turn(u32),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let ahead = prop_oneof![0..20_u32, 0..5_000_u32, 0..2_000_000_u32, 0..400_000_000_u32];
        let turn = prop_oneof![
            8 => 0..30_u32, 4 => 0..9_000_u32, 2 => 0..3_000_000_u32, 1 => 0..300_000_000_u32
        ];
        prop_oneof![
            5 => (0..60_u32, ahead).prop_map(|(id, ahead)| Step::Set(id, ahead)),
            1 => (0..60_u32).prop_map(Step::Drop),
            4 => turn.prop_map(Step::Turn),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Against a sorted list: each timer fires once, in the turn that its time lies in, in order;
        /// and a wheel that was made anew from the owner's times does the same.
        #[test]
        fn every_timer_fires_once_at_its_time(steps in prop::collection::vec(any_step(), 1..80)) {
            let (mut now, mut due) = (1_000_000_u32, BTreeMap::<u32, u32>::new());
            let mut last = BTreeMap::<u32, u32>::new();
            let mut wheel = Wheel::at(now);
            for step in steps {
                match step {
                    Step::Set(id, ahead) => {
                        let held = if wheel.is_armed(id) { last.get(&id).copied() } else { None };
                        let when = (now + ahead).max(held.unwrap_or(0));
                        due.insert(id, when);
                        last.insert(id, when);
                        wheel.arm(id, when);
                    }
                    Step::Drop(id) => {
                        due.remove(&id);
                    }
                    Step::Turn(ticks) => {
                        let mut other = Wheel::at(now);
                        for (id, when) in &due {
                            other.arm(*id, *when);
                        }
                        now += ticks;
                        let mut wanted: Vec<(u32, u32)> =
                            due.iter().map(|(id, when)| (*when, *id)).filter(|each| each.0 <= now).collect();
                        wanted.sort_unstable();
                        // A time that had been already is told in the next turn that moves at all.
                        if ticks > 0 {
                            prop_assert_eq!(&wheel.turn(now, |id| due.get(&id).copied()), &wanted);
                            prop_assert_eq!(&other.turn(now, |id| due.get(&id).copied()), &wanted);
                            due.retain(|_, when| *when > now);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_timer_that_was_put_off_does_not_fire_at_its_old_time() {
        let mut wheel = Wheel::at(100);
        wheel.arm(7, 110);
        assert!(wheel.turn(120, |_| Some(5_000_000)).is_empty());
        assert!(wheel.is_armed(7));
        assert_eq!(wheel.turn(5_000_000, |_| Some(5_000_000)), [(5_000_000, 7)]);
        assert!(!wheel.is_armed(7));
    }
}
