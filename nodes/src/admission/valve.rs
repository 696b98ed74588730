//! How fast calls that can wait are let through while calls of safety come in.
//!
//! Of an inference of some microseconds nearly all is transport: the cheapest way to keep the processors
//! free for an urgent call is to hold the others before they are answered, as a caller that waits for an
//! answer sends nothing. So the valve is shut to a low rate by the first urgent call, and then opens as
//! far as the machine has time to spare.

use std::time::{Duration, Instant};

/// Without an urgent call for so long, everything is let through.
pub(crate) const CALM: Duration = Duration::from_secs(2);
/// Calls a second that are let through at first, at the most when it shuts again, and at the least.
const RATE_FIRST: f64 = 500.0;
const RATE_AGAIN: f64 = 2_000.0;
const RATE_MIN: f64 = 100.0;
const RATE_MAX: f64 = 1e6;
/// Calls that may go on at once after a pause.
const BURST: f64 = 8.0;
/// The share of the machine's time that is to stay free.
const IDLE_WANTED: f64 = 0.4;
/// By what the rate is changed after each look at the machine.
const FASTER: f64 = 1.15;
const SLOWER: f64 = 0.7;

#[derive(Debug)]
pub(crate) struct Valve {
    /// The last urgent call; nothing before the first.
    urgent: Option<Instant>,
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Valve {
    pub(crate) fn new(now: Instant) -> Self {
        Self { urgent: None, rate: RATE_FIRST, tokens: BURST, filled: now }
    }

    /// An urgent call came, not before those that were told of.
    pub(crate) fn press(&mut self, at: Instant) {
        if self.urgent.is_none_or(|last| at.saturating_duration_since(last) >= CALM) {
            // Half of what the machine could spare the last time.
            self.rate = (self.rate / 2.0).clamp(RATE_FIRST, RATE_AGAIN);
            self.tokens = 0.0;
            self.filled = at;
        }
        self.urgent = self.urgent.max(Some(at));
    }

    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.urgent.is_none_or(|last| now.saturating_duration_since(last) >= CALM)
    }

    /// Whether one more call may go on now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.is_open(now) {
            return true;
        }
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(BURST);
        self.filled = self.filled.max(now);
        let goes = self.tokens >= 1.0;
        if goes {
            self.tokens -= 1.0;
        }
        goes
    }

    /// How long until so many calls have gone on.
    pub(crate) fn wait(&self, now: Instant, calls: usize) -> Duration {
        if self.is_open(now) {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(((calls as f64 - self.tokens) / self.rate).max(0.0))
    }

    /// Follows the share of the machine's time that was free of late.
    pub(crate) fn steer(&mut self, idle: f64) {
        let by = if idle < IDLE_WANTED { SLOWER } else { FASTER };
        self.rate = (self.rate * by).clamp(RATE_MIN, RATE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(valve: &mut Valve, from: Instant, ms: u64) -> usize {
        (0..ms * 10).filter(|tick| valve.take(from + Duration::from_micros(tick * 100))).count()
    }

    #[test]
    fn an_urgent_call_shuts_it_and_calm_opens_it() {
        let now = Instant::now();
        let mut valve = Valve::new(now);
        assert_eq!(passed(&mut valve, now, 100), 1_000);
        valve.press(now);
        let first = passed(&mut valve, now, 1_000);
        assert!((RATE_FIRST as usize - 2..=RATE_FIRST as usize + 2).contains(&first), "{first}");
        assert!(valve.wait(now + Duration::from_secs(1), 50) > Duration::from_millis(80));
        assert!(valve.is_open(now + CALM));
        assert_eq!(valve.wait(now + CALM, 50), Duration::ZERO);
        // A later urgent call keeps it shut, and an old one that is told late does not open it.
        valve.press(now + Duration::from_secs(1));
        valve.press(now);
        assert!(!valve.is_open(now + CALM));
    }

    #[test]
    fn it_gives_what_the_machine_can_spare_and_never_nothing() {
        let now = Instant::now();
        let mut valve = Valve::new(now);
        valve.press(now);
        for _ in 0..20 {
            valve.steer(0.9);
        }
        let free = passed(&mut valve, now, 1_000);
        assert!(free > 4 * RATE_FIRST as usize, "{free}");
        for _ in 0..200 {
            valve.steer(0.0);
        }
        let busy = passed(&mut valve, now + Duration::from_secs(1), 900);
        assert!((RATE_MIN as usize * 8 / 10..=RATE_MIN as usize + 10).contains(&busy), "{busy}");
        // After calm it begins anew.
        valve.press(now + CALM * 2);
        let anew = passed(&mut valve, now + CALM * 2, 1_000);
        assert!((RATE_FIRST as usize - 2..=RATE_FIRST as usize + 2).contains(&anew), "{anew}");
        for _ in 0..200 {
            valve.steer(0.9);
        }
        valve.press(now + CALM * 4);
        let again = passed(&mut valve, now + CALM * 4, 1_000);
        assert!((RATE_AGAIN as usize - 2..=RATE_AGAIN as usize + 9).contains(&again), "{again}");
    }
}
