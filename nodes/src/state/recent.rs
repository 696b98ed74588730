//! The newest events, for eyes only: a short list and a rate. Not part of the replicated state.

use features::Event;
use std::collections::VecDeque;

/// Seconds over which the rate is taken.
const RATE_SECONDS: i64 = 10;

#[derive(Clone, Debug, Default)]
pub struct Recent {
    newest: VecDeque<Event>,
    /// Events by second of receipt.
    seconds: VecDeque<(i64, u64)>,
}

impl Recent {
    /// Events kept for the cockpit.
    pub(crate) const EVENTS_KEPT: usize = 50;

    pub(crate) fn show(&mut self, event: Event) {
        self.newest.push_front(event);
        self.newest.truncate(Self::EVENTS_KEPT);
    }

    pub(crate) fn count(&mut self, received_us: i64, events: u64) {
        let second = received_us / 1_000_000;
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += events,
            _ => self.seconds.push_back((second, events)),
        }
        while self.seconds.front().is_some_and(|(first, _)| *first < second - RATE_SECONDS) {
            self.seconds.pop_front();
        }
    }

    pub fn newest(&self) -> impl Iterator<Item = &Event> {
        self.newest.iter()
    }

    pub fn per_second(&self, now_us: i64) -> f64 {
        let from = now_us / 1_000_000 - RATE_SECONDS;
        let counted: u64 =
            self.seconds.iter().filter(|(second, _)| *second > from).map(|(_, count)| count).sum();
        counted as f64 / RATE_SECONDS as f64
    }
}
