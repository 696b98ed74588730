//! A device whose readings change sides too often: its fault, and no hazard.

use super::plan::FlapPlan;
use features::Kind;
use serde::{Deserialize, Serialize};

/// The changes of one device and kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flap {
    is_over: bool,
    last_us: i64,
    /// Times of the newest changes, the oldest first.
    changes: Vec<i64>,
    pub(crate) is_faulty: bool,
    /// The log time at which it is to be looked at again.
    pub(crate) due_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Same,
    Faulty,
}

/// Kinds whose last side stands with the device, so that nothing more is remembered of one that never
/// changes.
const KINDS: [Kind; 7] =
    [Kind::Door, Kind::Contact, Kind::Water, Kind::Gas, Kind::Smoke, Kind::Bed, Kind::Motion];

/// The number of such a kind, counted from 1; 0 for others.
pub(crate) fn number_of(kind: Kind) -> u8 {
    KINDS.iter().position(|each| *each == kind).map_or(0, |at| at as u8 + 1)
}

impl Flap {
    pub(crate) fn new(is_over: bool, at_us: i64) -> Self {
        Self { is_over, last_us: at_us, ..Self::default() }
    }

    pub(crate) fn see(
        &mut self,
        plan: &FlapPlan,
        value: i64,
        (at_us, now_us): (i64, i64),
    ) -> Turned {
        // A late reading says nothing about the order of the others.
        if at_us < self.last_us {
            return Turned::Same;
        }
        self.last_us = at_us;
        let is_over = value >= plan.level;
        if is_over == self.is_over {
            return Turned::Same;
        }
        self.is_over = is_over;
        self.changes.push(at_us);
        self.changes.retain(|each| *each >= at_us - plan.within_us);
        let from = self.changes.len().saturating_sub(plan.changes);
        self.changes.drain(..from);
        let wait_us = if self.is_faulty { plan.quiet_us } else { plan.within_us };
        self.due_us = now_us + wait_us;
        if self.changes.len() < plan.changes || self.is_faulty {
            return Turned::Same;
        }
        self.is_faulty = true;
        self.due_us = now_us + plan.quiet_us;
        Turned::Faulty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_changes_within_the_time_are_a_fault_and_one_fewer_is_none() {
        let plan = FlapPlan {
            level: 5,
            changes: 4,
            within_us: 60_000_000,
            quiet_us: 600_000_000,
            mute: true,
        };
        for (step_s, at_most, faulty) in [(15, 5, true), (15, 4, false), (21, 40, false)] {
            let mut flap = Flap::new(false, 0);
            let turned = (1..at_most).map(|n| {
                let us = n * step_s * 1_000_000;
                flap.see(&plan, if n % 2 == 1 { 9 } else { 0 }, (us, us))
            });
            let found = turned.filter(|each| *each == Turned::Faulty).count();
            assert_eq!(found, usize::from(faulty), "{step_s} {at_most}");
        }
    }
}
