//! Whether the replicas still hold the same: at the index of a check every node hashes its whole state
//! and reports the digest through the log. Whoever differs from what most voters hold has diverged.

use super::{Reply, State};
use raft::Position;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Checks that may still be reported on; an older one is given up.
const CHECKS_KEPT: usize = 4;

pub type Digest = [u8; 32];

/// A node whose state is not what most voters hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The index at which the states were compared.
    pub index: u64,
    /// When it was found, in the log's time.
    pub found_us: i64,
    pub held: Digest,
    pub expected: Digest,
}

/// The checks under way, the last one that came out well, and who has ever diverged: an id is never
/// used again, so its mark stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    open: BTreeMap<u64, Check>,
    agreed: Option<(u64, Digest)>,
    diverged: BTreeMap<u64, Divergence>,
    /// Checks that all voters reported on without a majority for any digest.
    pub undecided_total: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    voters: BTreeSet<u64>,
    reports: BTreeMap<u64, Digest>,
}

impl Check {
    /// The digest that more than half of the voters hold.
    fn majority(&self) -> Option<Digest> {
        let mut counts: BTreeMap<Digest, usize> = BTreeMap::new();
        for (_, digest) in self.reports.iter().filter(|(node, _)| self.voters.contains(node)) {
            *counts.entry(*digest).or_default() += 1;
        }
        counts
            .into_iter()
            .find(|(_, count)| 2 * count > self.voters.len())
            .map(|(digest, _)| digest)
    }

    fn is_complete(&self) -> bool {
        self.voters.iter().all(|voter| self.reports.contains_key(voter))
    }
}

impl Checks {
    pub fn diverged(&self) -> &BTreeMap<u64, Divergence> {
        &self.diverged
    }

    /// The newest index at which most voters held the same, and its digest.
    pub fn agreed(&self) -> Option<(u64, Digest)> {
        self.agreed
    }

    /// The nodes of a new cluster begin with this state, all alike: who had diverged in the old one
    /// does not concern them, even where they have the same ids. Nobody reports on its open checks.
    pub fn begin_anew(&mut self) {
        self.diverged.clear();
    }

    fn begin(&mut self, index: u64, voters: BTreeSet<u64>) {
        self.open.insert(index, Check { voters, reports: BTreeMap::new() });
        while self.open.len() > CHECKS_KEPT {
            self.open.pop_first();
        }
    }

    /// Takes a report in; a second one of the same node and one for a check that was given up change
    /// nothing.
    fn report(&mut self, node: u64, index: u64, digest: Digest, now_us: i64) {
        let Some(check) = self.open.get_mut(&index) else { return };
        if check.reports.contains_key(&node) {
            return;
        }
        check.reports.insert(node, digest);
        let Some(expected) = check.majority() else {
            self.undecided_total += u64::from(check.is_complete());
            return;
        };
        for (node, held) in check.reports.iter().filter(|(_, held)| **held != expected) {
            let found = Divergence { index, found_us: now_us, held: *held, expected };
            self.diverged.entry(*node).or_insert(found);
        }
        self.agreed = self.agreed.max(Some((index, expected)));
    }
}

impl State {
    /// The state after this entry is what every node hashes.
    pub(crate) fn begin_check(&mut self, at: Position, voters: BTreeSet<u64>) -> Reply {
        self.checks.begin(at.index, voters);
        self.check_due = true;
        Reply::Done
    }

    pub(crate) fn report_check(&mut self, node: u64, index: u64, digest: Digest) -> Reply {
        self.checks.report(node, index, digest, self.clock_us);
        Reply::Done
    }

    /// True once after an entry that asked for a check.
    pub fn take_check_due(&mut self) -> bool {
        std::mem::take(&mut self.check_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Digest = [1; 32];
    const BAD: Digest = [2; 32];

    fn checked(voters: &[u64], reports: &[(u64, Digest)]) -> Checks {
        let mut checks = Checks::default();
        checks.begin(10, voters.iter().copied().collect());
        for (node, digest) in reports {
            checks.report(*node, 10, *digest, 7);
        }
        checks
    }

    #[test]
    fn who_differs_from_most_has_diverged_in_whatever_order_they_report() {
        for reports in [
            [(1, GOOD), (2, GOOD), (3, BAD)],
            [(3, BAD), (1, GOOD), (2, GOOD)],
            [(1, GOOD), (3, BAD), (2, GOOD)],
        ] {
            let checks = checked(&[1, 2, 3], &reports);
            assert_eq!(checks.diverged().keys().copied().collect::<Vec<_>>(), [3]);
            assert_eq!(checks.agreed(), Some((10, GOOD)));
            let found = Divergence { index: 10, found_us: 7, held: BAD, expected: GOOD };
            assert_eq!(checks.diverged()[&3], found);
        }
    }

    #[test]
    fn a_learner_is_judged_and_does_not_judge() {
        let checks = checked(&[1, 2, 3], &[(4, BAD), (5, BAD), (6, BAD), (1, GOOD), (2, GOOD)]);
        assert_eq!(checks.diverged().keys().copied().collect::<Vec<_>>(), [4, 5, 6]);
    }

    #[test]
    fn without_a_majority_nobody_is_judged() {
        let checks = checked(&[1, 2, 3], &[(1, GOOD), (2, BAD)]);
        assert!(checks.diverged().is_empty() && checks.agreed().is_none());
        assert_eq!(checks.undecided_total, 0);
        let checks = checked(&[1, 2, 3], &[(1, GOOD), (2, BAD), (3, [3; 32])]);
        assert!(checks.diverged().is_empty() && checks.agreed().is_none());
        assert_eq!(checks.undecided_total, 1);
    }

    #[test]
    fn in_a_new_cluster_nobody_has_diverged() {
        let mut checks = checked(&[1, 2, 3], &[(1, GOOD), (2, GOOD), (3, BAD)]);
        let before = checks.clone();
        checks.begin_anew();
        assert!(checks.diverged().is_empty() && checks != before);
        assert_eq!(checks.agreed(), before.agreed());
        let mut calm = checked(&[1, 2, 3], &[(1, GOOD)]);
        let before = calm.clone();
        calm.begin_anew();
        assert_eq!(calm, before, "a state that nothing was wrong with stays what it was");
    }

    #[test]
    fn old_checks_and_second_reports_count_for_nothing() {
        let mut checks = checked(&[1, 2, 3], &[(1, GOOD), (1, BAD), (2, GOOD)]);
        assert!(checks.diverged().is_empty());
        for index in 11..=10 + CHECKS_KEPT as u64 {
            checks.begin(index, BTreeSet::from([1]));
        }
        checks.report(3, 10, BAD, 8);
        assert!(checks.diverged().is_empty());
    }
}
