//! Laws broken on purpose, so that the tests which guard them are seen to fail.

use std::cell::Cell;

/// One law, and where it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The log reports an append as on disk before it is.
    AckBeforeFlush,
    /// A vote is answered before it is on disk.
    ForgetVote,
    /// The log does not cut what another leader has overruled.
    KeepConflict,
    /// A leader answers a linearizable read without asking whether it still leads.
    SkipReadConfirmation,
    /// The state machine is handed some entries twice.
    ApplyTwice,
    /// A snapshot from the leader is kept, and the state is not replaced by it.
    SkipRestore,
    /// The state machine takes a repeated event for a new one.
    CountRepeats,
}

impl Mutation {
    pub const ALL: [Self; 7] = [
        Self::AckBeforeFlush,
        Self::ForgetVote,
        Self::KeepConflict,
        Self::SkipReadConfirmation,
        Self::ApplyTwice,
        Self::SkipRestore,
        Self::CountRepeats,
    ];
}

// A simulation has one thread, and so has what it breaks.
thread_local! {
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Makes every node of the simulations on this thread break a law, or none.
pub fn mutate(mutation: Option<Mutation>) {
    BROKEN.set(mutation);
}

pub fn breaks(mutation: Mutation) -> bool {
    BROKEN.get() == Some(mutation)
}
