//! How long an event takes until it can be read on this node: from the door, from the log's stamp, and
//! from the time at the device. Counted, not guessed, and held against a goal.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the exposition has of the buckets, in microseconds.
const BOUNDS_US: [u64; 17] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
    86_400_000_000,
];
/// Parts of a doubling: a quantile is right to within a sixteenth.
const PARTS: u64 = 16;
const FINE: usize = 42 * PARTS as usize;
/// The newest are counted in turns, of which so many are told.
const TURN: Duration = Duration::from_secs(10);
const TURNS: usize = 6;

/// From where on a wait is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The request's arrival at this node, for the events that came in here.
    Door,
    /// The stamp of the log entry: every event, on every node; clocks that differ are in it.
    Log,
    /// The event's own time, where that is no backfill and not ahead.
    Event,
}

impl Since {
    pub const ALL: [Self; 3] = [Self::Door, Self::Log, Self::Event];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Log => "log",
            Self::Event => "event",
        }
    }
}

/// The newest minute of one measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    pub events: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub longest_us: u64,
}

#[derive(Debug, Default)]
struct Ever {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
    within_goal: AtomicU64,
}

#[derive(Debug)]
struct Turn {
    begun: Instant,
    counts: Vec<u32>,
    longest_us: u64,
}

#[derive(Debug)]
struct Measure {
    ever: Ever,
    turns: Mutex<Vec<Turn>>,
}

/// The waits of one node since it started.
#[derive(Debug)]
pub struct Freshness {
    goal_us: u64,
    measures: [Measure; 3],
}

impl Freshness {
    pub fn new(goal: Duration) -> Self {
        let measure = || Measure { ever: Ever::default(), turns: Mutex::default() };
        Self { goal_us: goal.as_micros() as u64, measures: [measure(), measure(), measure()] }
    }

    pub fn goal_us(&self) -> u64 {
        self.goal_us
    }

    /// So many events waited so long.
    pub fn waited(&self, from: Since, wait_us: u64, events: u64) {
        self.waited_at(Instant::now(), from, [(wait_us, events)]);
    }

    /// [`Freshness::waited`] for many waits at once.
    pub fn all_waited(&self, from: Since, waits: impl IntoIterator<Item = (u64, u64)>) {
        self.waited_at(Instant::now(), from, waits);
    }

    fn waited_at(&self, now: Instant, from: Since, waits: impl IntoIterator<Item = (u64, u64)>) {
        let measure = &self.measures[from as usize];
        let mut turns = measure.turns.lock();
        for (wait_us, events) in waits.into_iter().filter(|(_, events)| *events > 0) {
            let ever = &measure.ever;
            let bucket = BOUNDS_US.partition_point(|bound| *bound < wait_us);
            ever.buckets[bucket].fetch_add(events, Ordering::Relaxed);
            ever.sum_us.fetch_add(wait_us.saturating_mul(events), Ordering::Relaxed);
            if wait_us <= self.goal_us {
                ever.within_goal.fetch_add(events, Ordering::Relaxed);
            }
            if turns.last().is_none_or(|turn| now.duration_since(turn.begun) >= TURN) {
                turns.retain(|turn| now.duration_since(turn.begun) < TURN * TURNS as u32);
                turns.push(Turn { begun: now, counts: vec![0; FINE], longest_us: 0 });
            }
            if let Some(turn) = turns.last_mut() {
                let count = &mut turn.counts[fine(wait_us)];
                *count = count.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
                turn.longest_us = turn.longest_us.max(wait_us);
            }
        }
    }

    /// The last minute.
    pub fn newest(&self, from: Since) -> Newest {
        self.newest_at(Instant::now(), from)
    }

    fn newest_at(&self, now: Instant, from: Since) -> Newest {
        let turns = self.measures[from as usize].turns.lock();
        let mut counts = vec![0_u64; FINE];
        let mut newest = Newest::default();
        let all = turns.iter().filter(|turn| now.duration_since(turn.begun) < TURN * TURNS as u32);
        for turn in all {
            newest.longest_us = newest.longest_us.max(turn.longest_us);
            for (sum, count) in counts.iter_mut().zip(&turn.counts) {
                *sum += u64::from(*count);
            }
        }
        newest.events = counts.iter().sum();
        newest.p50_us = quantile(&counts, newest.events, 50).min(newest.longest_us);
        newest.p99_us = quantile(&counts, newest.events, 99).min(newest.longest_us);
        newest
    }

    /// The share of all events since the start that waited no longer than the goal.
    pub fn within_goal(&self, from: Since) -> Option<f64> {
        let ever = &self.measures[from as usize].ever;
        let all: u64 = ever.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum();
        (all > 0).then(|| ever.within_goal.load(Ordering::Relaxed) as f64 / all as f64)
    }

    /// In the exposition format, in seconds.
    pub(crate) fn expose(&self, group: &str) -> String {
        let mut text = String::from(
            "# HELP hearth_event_visible_seconds From door, log or device until an event can be read here.\n\
             # TYPE hearth_event_visible_seconds histogram\n",
        );
        let mut within = String::from(
            "# HELP hearth_event_visible_within_goal_total Events that were visible within the goal.\n\
             # TYPE hearth_event_visible_within_goal_total counter\n",
        );
        for from in Since::ALL {
            let ever = &self.measures[from as usize].ever;
            let labels = format!("group=\"{group}\",from=\"{}\"", from.as_str());
            let mut sum = 0;
            for (at, bucket) in ever.buckets.iter().enumerate() {
                sum += bucket.load(Ordering::Relaxed);
                let bound = BOUNDS_US
                    .get(at)
                    .map_or_else(|| "+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
                // Writing into a string cannot fail.
                let _ = writeln!(
                    text,
                    "hearth_event_visible_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}"
                );
            }
            let seconds = ever.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
            let good = ever.within_goal.load(Ordering::Relaxed);
            let _ = writeln!(text, "hearth_event_visible_seconds_sum{{{labels}}} {seconds}");
            let _ = writeln!(text, "hearth_event_visible_seconds_count{{{labels}}} {sum}");
            let _ = writeln!(within, "hearth_event_visible_within_goal_total{{{labels}}} {good}");
        }
        let goal = self.goal_us as f64 / 1e6;
        let _ = writeln!(
            within,
            "# HELP hearth_event_visible_goal_seconds 99 of 100 events should be visible so soon.\n\
             # TYPE hearth_event_visible_goal_seconds gauge\n\
             hearth_event_visible_goal_seconds{{group=\"{group}\"}} {goal}"
        );
        text + &within
    }
}

/// Sixteen places a doubling; below sixteen microseconds one each.
fn fine(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let doubling = u64::from(us.ilog2());
    let part = (us >> (doubling - 4)) & (PARTS - 1);
    ((doubling - 3) * PARTS + part).min(FINE as u64 - 1) as usize
}

/// The longest wait of a place.
fn top_us(place: usize) -> u64 {
    let place = place as u64;
    if place < PARTS {
        return place;
    }
    let (doubling, part) = (place / PARTS + 3, place % PARTS);
    ((PARTS + part + 1) << (doubling - 4)) - 1
}

fn quantile(counts: &[u64], all: u64, percent: u64) -> u64 {
    let wanted = (all * percent).div_ceil(100);
    let mut sum = 0;
    let found = counts.iter().position(|count| {
        sum += count;
        sum >= wanted.max(1)
    });
    found.map_or(0, top_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness() -> Freshness {
        Freshness::new(Duration::from_millis(100))
    }

    #[test]
    fn places_hold_what_falls_into_them() {
        for us in (0..5_000).chain([70_000, 99_999, 1 << 30, 86_400_000_000]) {
            let place = fine(us);
            let below = place.checked_sub(1).map_or(0, |before| top_us(before) + 1);
            assert!(
                below <= us && us <= top_us(place),
                "{us} in {place}: {below} to {}",
                top_us(place)
            );
            assert!(top_us(place) as f64 <= (below.max(1) as f64) * 1.07, "{us}");
        }
        assert_eq!(fine(u64::MAX), FINE - 1);
    }

    #[test]
    fn quantiles_are_of_the_last_minute() {
        let (freshness, now) = (freshness(), Instant::now());
        freshness.waited_at(now, Since::Door, (1..=100).map(|ms| (ms * 1_000, 10)));
        let newest = freshness.newest_at(now, Since::Door);
        assert_eq!((newest.events, newest.longest_us), (1_000, 100_000));
        assert!((50_000..=53_500).contains(&newest.p50_us), "{newest:?}");
        assert!((99_000..=100_000).contains(&newest.p99_us), "{newest:?}");
        assert_eq!(freshness.newest_at(now, Since::Log), Newest::default());
        assert_eq!(
            freshness.newest_at(now + Duration::from_secs(61), Since::Door),
            Newest::default()
        );
        freshness.waited_at(now + Duration::from_secs(90), Since::Door, [(7, 1)]);
        let later = freshness.newest_at(now + Duration::from_secs(90), Since::Door);
        assert_eq!(later, Newest { events: 1, p50_us: 7, p99_us: 7, longest_us: 7 });
    }

    #[test]
    fn the_goal_and_the_buckets_are_told() {
        let freshness = freshness();
        assert_eq!(freshness.within_goal(Since::Door), None);
        freshness.waited(Since::Door, 100_000, 3);
        freshness.waited(Since::Door, 100_001, 1);
        freshness.waited(Since::Door, u64::MAX, 0);
        assert_eq!(freshness.within_goal(Since::Door), Some(0.75));
        let text = freshness.expose("g");
        for line in [
            "hearth_event_visible_seconds_bucket{group=\"g\",from=\"door\",le=\"0.05\"} 0",
            "hearth_event_visible_seconds_bucket{group=\"g\",from=\"door\",le=\"0.1\"} 3",
            "hearth_event_visible_seconds_bucket{group=\"g\",from=\"door\",le=\"+Inf\"} 4",
            "hearth_event_visible_seconds_count{group=\"g\",from=\"door\"} 4",
            "hearth_event_visible_within_goal_total{group=\"g\",from=\"door\"} 3",
            "hearth_event_visible_goal_seconds{group=\"g\"} 0.1",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }
}
