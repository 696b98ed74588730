//! What a seed decides before the simulation starts.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) founders: u64,
    pub(crate) joiners: u64,
    pub(crate) clients: u64,
    /// How long faults come, in simulated milliseconds.
    pub(crate) chaos_ms: u64,
    /// The mean time from one fault to the next.
    pub(crate) fault_every_ms: u64,
    pub(crate) latency_max_ms: u64,
    pub(crate) flush_max_ms: u64,
    pub(crate) snapshot_entries: u64,
    pub(crate) keep_entries: u64,
    /// 0 lets all nodes write snapshots whenever they want to.
    pub(crate) snapshot_turn_ms: u64,
    /// A vote in so many makes its voter crash at once.
    pub(crate) crash_at_vote_one_in: u64,
}

/// Every part draws from a stream of its own, so that they do not move each other.
pub(crate) fn dice(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    dice.set_stream(stream);
    dice
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = dice(seed, 1);
        Self {
            seed,
            founders: dice.random_range(3..=5),
            joiners: dice.random_range(0..=2),
            clients: dice.random_range(3..=6),
            chaos_ms: dice.random_range(6_000..=10_000),
            fault_every_ms: dice.random_range(100..=600),
            latency_max_ms: dice.random_range(2..=30),
            flush_max_ms: dice.random_range(1..=20),
            snapshot_entries: dice.random_range(20..=80),
            keep_entries: dice.random_range(2..=30),
            crash_at_vote_one_in: dice.random_range(30..=200),
            snapshot_turn_ms: dice.random_range(0..=2) * 250,
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.founders + self.joiners
    }
}
