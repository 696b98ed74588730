//! The time that a leader stamps: its own clock, as long as the others agree with it.
//!
//! A machine whose clock is an hour off must not carry the log's time away: it never runs back, so
//! every timer would be wrong for an hour. Each node asks the other voters for their clocks and takes
//! the middle of all of them and of the time that the log itself leads to expect.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::Config;
use crate::wall::Wall;

/// The own clock is used as it is while it is this close to the middle.
const TOLERANCE_US: i64 = 2_000_000;
/// What a peer said about its clock counts for so long.
const FRESH: Duration = Duration::from_secs(5);

/// What this node knows about time.
#[derive(Debug, Default)]
pub(crate) struct LogClock {
    wall: Wall,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Time of the newest entry, and when it was applied here.
    entry: Option<(i64, Instant)>,
    /// What each other voter's clock said, and when. Not against the own clock: that may step.
    peers: BTreeMap<u64, (i64, Instant)>,
    is_off: bool,
}

impl LogClock {
    pub(crate) fn new(config: &Config) -> Self {
        Self { wall: Wall::new(config), known: Mutex::default() }
    }

    /// What this machine's clock says.
    pub(crate) fn own_us(&self) -> i64 {
        self.wall.now_us()
    }

    /// An entry of this time was applied now.
    pub(crate) fn entry(&self, time_us: i64) {
        self.known.lock().entry = Some((time_us, Instant::now()));
    }

    /// A peer's clock says this now.
    pub(crate) fn peer(&self, node: u64, theirs_us: i64) {
        self.known.lock().peers.insert(node, (theirs_us, Instant::now()));
    }

    /// Whether a peer has answered lately.
    pub(crate) fn has_heard(&self, node: u64) -> bool {
        let known = self.known.lock();
        known.peers.get(&node).is_some_and(|(_, said)| said.elapsed() <= FRESH)
    }

    /// Forgets who is no other voter any more.
    pub(crate) fn retain(&self, is_voter: impl Fn(u64) -> bool) {
        self.known.lock().peers.retain(|node, _| is_voter(*node));
    }

    /// The group's time, and how far it is ahead of this node's own clock.
    pub(crate) fn now(&self) -> (i64, i64) {
        self.at(self.own_us(), Instant::now())
    }

    fn at(&self, own_us: i64, now: Instant) -> (i64, i64) {
        let mut known = self.known.lock();
        let goes_on = |(time_us, at): &(i64, Instant)| {
            time_us.saturating_add(now.duration_since(*at).as_micros() as i64)
        };
        let expected = known.entry.as_ref().map(goes_on);
        let fresh = known.peers.values().filter(|(_, said)| now.duration_since(*said) <= FRESH);
        let peers: Vec<i64> = fresh.map(goes_on).collect();
        let has_peers = !known.peers.is_empty();
        let time_us = agreed(own_us, &peers, expected.filter(|_| has_peers));
        let is_off = time_us != own_us;
        if is_off != known.is_off {
            known.is_off = is_off;
            tracing::warn!(
                group_ahead_us = time_us - own_us,
                is_off,
                "this node's clock against the others': check its time service"
            );
        }
        (time_us, time_us - own_us)
    }
}

/// The own clock if it is near the middle of all, else the middle. Where there are two that differ,
/// what the log leads to expect.
fn agreed(own_us: i64, peers: &[i64], expected: Option<i64>) -> i64 {
    let mut all: Vec<i64> = peers.iter().copied().chain([own_us]).chain(expected).collect();
    all.sort_unstable();
    let middle = match (all.len(), expected) {
        (2, Some(expected)) => expected,
        (count, _) => all[(count - 1) / 2],
    };
    if own_us.abs_diff(middle) <= TOLERANCE_US.unsigned_abs() { own_us } else { middle }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;
    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn a_clock_that_is_off_is_outvoted_either_way() {
        for off in [HOUR_US, -HOUR_US] {
            let right = [NOW_US, NOW_US + 1_000];
            for expected in [None, Some(NOW_US - 300_000)] {
                let got = agreed(NOW_US + off, &right, expected);
                assert!(got.abs_diff(NOW_US) < 1_000_000, "{off} {expected:?}: {got}");
            }
            // The one that is off does not move the others.
            let got = agreed(NOW_US, &[NOW_US + off, NOW_US + 1_000], Some(NOW_US - 300_000));
            assert_eq!(got, NOW_US);
            // With one peer alone the log decides.
            assert_eq!(agreed(NOW_US, &[NOW_US + off], Some(NOW_US - 5)), NOW_US);
            let got = agreed(NOW_US + off, &[NOW_US], Some(NOW_US - 5));
            assert!(got.abs_diff(NOW_US) <= 5, "{got}");
        }
    }

    #[test]
    fn after_a_long_stop_of_all_the_clocks_decide_and_not_the_log() {
        let expected = Some(NOW_US - 48 * HOUR_US);
        assert_eq!(agreed(NOW_US, &[NOW_US + 5], expected), NOW_US);
        assert_eq!(agreed(NOW_US, &[NOW_US + 5, NOW_US - 5], expected), NOW_US);
        // Until a peer has spoken, the log's time goes on.
        assert_eq!(agreed(NOW_US, &[], expected), NOW_US - 48 * HOUR_US);
        assert_eq!(agreed(NOW_US, &[], None), NOW_US);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_peer_said_grows_old_and_the_log_goes_on_at_the_pace_of_time() {
        let clock = LogClock::default();
        assert_eq!(clock.at(NOW_US, Instant::now()), (NOW_US, 0));
        clock.entry(NOW_US);
        // Alone, a node follows its own clock wherever it goes.
        assert_eq!(clock.at(NOW_US + HOUR_US, Instant::now()).1, 0);
        clock.peer(2, NOW_US);
        clock.peer(3, NOW_US);
        assert_eq!(clock.at(NOW_US + HOUR_US, Instant::now()), (NOW_US, -HOUR_US));
        tokio::time::advance(FRESH * 2).await;
        let later_us = NOW_US + FRESH.as_micros() as i64 * 2;
        assert_eq!(clock.at(later_us + HOUR_US, Instant::now()), (later_us, -HOUR_US));
        clock.retain(|_| false);
        assert_eq!(clock.at(NOW_US, Instant::now()), (NOW_US, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_own_clock_stands_alone_at_once() {
        let clock = LogClock::default();
        clock.entry(NOW_US);
        clock.peer(2, NOW_US);
        clock.peer(3, NOW_US);
        assert_eq!(clock.at(NOW_US, Instant::now()), (NOW_US, 0));
        // No peer has been asked since.
        for step in [HOUR_US, -HOUR_US] {
            assert_eq!(clock.at(NOW_US + step, Instant::now()), (NOW_US, -step));
        }
    }
}
