//! The newest events, for eyes only: a short list and a rate. Not part of the replicated state.

use features::{Event, EventRef};
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

    /// The room of the oldest one's texts is used again.
    pub(crate) fn show(&mut self, event: &EventRef<'_>) {
        let is_full = self.newest.len() >= Self::EVENTS_KEPT;
        let mut shown = if is_full { self.newest.pop_back() } else { None }.unwrap_or_default();
        let texts = [
            (&mut shown.event_id, event.event_id),
            (&mut shown.device_id, event.device_id),
            (&mut shown.kind, event.kind),
            (&mut shown.unit, event.unit),
            (&mut shown.source, event.source),
        ];
        for (to, from) in texts {
            to.clear();
            to.push_str(from);
        }
        shown.attributes.clear();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        shown.attributes.extend(event.attributes.iter().map(own));
        (shown.event_time_us, shown.value) = (event.event_time_us, event.value);
        (shown.boot_id, shown.seq) = (event.boot_id, event.seq);
        self.newest.push_front(shown);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_shown_as_they_came() {
        let mut recent = Recent::default();
        let event = |n: usize| Event {
            event_id: format!("e-{n}"),
            device_id: "d".repeat(n % 7),
            kind: "door".to_owned(),
            event_time_us: n as i64,
            value: n as f64,
            unit: "u".repeat(n % 3),
            source: format!("s{}", n % 5),
            boot_id: n as u32,
            seq: n as u64,
            attributes: (0..n % 3).map(|n| (format!("a{n}"), format!("{n}"))).collect(),
        };
        let count = 3 * Recent::EVENTS_KEPT;
        for n in 0..count {
            recent.show(&EventRef::from(&event(n)));
        }
        let wanted: Vec<Event> = (count - Recent::EVENTS_KEPT..count).rev().map(event).collect();
        assert!(recent.newest().eq(wanted.iter()));
    }
}
