//! Which fault comes when: everything from one seed.

use crate::fault::Fault;
use rand::Rng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// Kills of the leader among the first faults.
const FIRST_KILLS: usize = 4;

/// Every fault once and the kill of the leader several times, in a random order; after that, at
/// random.
#[derive(Debug)]
pub(crate) struct Plan {
    all: Vec<Fault>,
    first: Vec<Fault>,
}

impl Plan {
    pub(crate) fn new(all: Vec<Fault>, dice: &mut ChaCha8Rng) -> Self {
        let mut first = all.clone();
        if all.contains(&Fault::KillLeader) {
            first.extend([Fault::KillLeader; FIRST_KILLS - 1]);
        }
        first.shuffle(dice);
        Self { all, first }
    }

    /// True once every fault has had its turn.
    pub(crate) fn is_through(&self) -> bool {
        self.first.is_empty()
    }

    pub(crate) fn next(&mut self, dice: &mut ChaCha8Rng) -> Fault {
        if let Some(fault) = self.first.pop() {
            return fault;
        }
        if dice.random_ratio(1, 5) && self.all.contains(&Fault::KillLeader) {
            return Fault::KillLeader;
        }
        *self.all.choose(dice).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::ALL;
    use rand::SeedableRng as _;

    #[test]
    fn a_seed_gives_one_order_in_which_every_fault_comes() {
        let order = |seed| {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let mut plan = Plan::new(ALL.to_vec(), &mut dice);
            let mut order = Vec::new();
            while !plan.is_through() {
                order.push(plan.next(&mut dice));
            }
            order.extend((0..50).map(|_| plan.next(&mut dice)));
            order
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        assert!(ALL.iter().all(|fault| order(7)[..ALL.len() + 3].contains(fault)));
    }
}
