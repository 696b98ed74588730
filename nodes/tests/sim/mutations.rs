//! Every law is seen to be guarded: break it, and the suite notices.

use raft::sim::Mutation;

use crate::process::run_many;
use crate::replays;

/// A break has to be seen within so many seeds.
const SEEDS_MAX: u64 = 40;

fn is_seen(mutation: Mutation) {
    if replays() {
        return;
    }
    let outcomes = run_many(1..SEEDS_MAX + 1, Some(mutation), |outcome| !outcome.held);
    match outcomes.iter().find(|outcome| !outcome.held) {
        Some(first) => println!("{mutation:?} is seen by seed {}: {}", first.seed, first.told),
        None => panic!("{mutation:?} is not seen in {SEEDS_MAX} seeds"),
    }
}

#[test]
fn an_append_acknowledged_before_it_is_on_disk_is_seen() {
    is_seen(Mutation::AckBeforeFlush);
}

#[test]
fn a_forgotten_vote_is_seen() {
    is_seen(Mutation::ForgetVote);
}

#[test]
fn a_conflict_left_in_the_log_is_seen() {
    is_seen(Mutation::KeepConflict);
}

#[test]
fn an_unconfirmed_read_is_seen() {
    is_seen(Mutation::SkipReadConfirmation);
}

#[test]
fn an_entry_applied_twice_is_seen() {
    is_seen(Mutation::ApplyTwice);
}

#[test]
fn a_snapshot_that_is_not_restored_is_seen() {
    is_seen(Mutation::SkipRestore);
}

#[test]
fn a_repeat_that_is_counted_is_seen() {
    is_seen(Mutation::CountRepeats);
}
