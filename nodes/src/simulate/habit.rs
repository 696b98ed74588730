//! What a home does on a day: when it sleeps, how lively it is, whether it is away.

use super::dice::{Dice, Realm};
use super::kit::Home;
use super::plan::{DAY_US, HOUR_US};

/// How likely a trip begins on a day; with three and a half days each, 2 of 100 days are away.
const TRIP_STARTS: f64 = 0.006;
/// The longest trip, in days.
const TRIP_DAYS_MAX: u32 = 5;

/// The liveliness of each hour, and of the front door's.
pub(super) const MOTION: [f64; 24] = [
    0.3, 0.2, 0.2, 0.2, 0.4, 1.2, 3.0, 4.0, 4.0, 3.5, 3.3, 3.6, 3.4, 2.4, 2.2, 2.6, 3.0, 4.0, 4.8,
    4.5, 3.6, 2.2, 0.9, 0.5,
];
pub(super) const DOOR: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.02, 0.3, 1.0, 1.6, 1.4, 1.2, 1.0, 0.9, 0.6, 0.7, 1.0, 1.1, 1.0, 0.9, 0.6,
    0.3, 0.1, 0.02, 0.0, 0.0,
];

/// One day of a home. Times count from the start of the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    pub(super) wake_us: i64,
    pub(super) sleep_us: i64,
    /// How lively the day is, 1 on average.
    pub(super) lively: f64,
    away: Option<(i64, i64)>,
}

impl Habit {
    pub(super) fn new(seed: u64, home: &Home, day: u32) -> Self {
        let mut dice = Dice::new(seed, Realm::Habit, u64::from(home.household), u64::from(day));
        let day_us = i64::from(day) * DAY_US;
        let mut at =
            |hour: f64| day_us + ((hour + dice.between(-0.4, 0.4)) * HOUR_US as f64) as i64;
        Self {
            wake_us: at(home.wake_h),
            sleep_us: at(home.sleep_h),
            lively: dice.between(0.75, 1.25),
            away: trip(seed, home.household, day),
        }
    }

    pub(super) fn sleeps(&self, at_us: i64) -> bool {
        at_us < self.wake_us || at_us >= self.sleep_us
    }

    pub(super) fn is_away(&self, at_us: i64) -> bool {
        self.away.is_some_and(|(from_us, to_us)| (from_us..to_us).contains(&at_us))
    }

    /// The liveliness of an hour that begins `hour` hours into the day, for a home that does
    /// everything `phase_h` later than others; the 24 hours together are 1.
    pub(super) fn share(weights: &[f64; 24], hour: u32, phase_h: f64) -> f64 {
        let place = (f64::from(hour) - phase_h).rem_euclid(24.0);
        let (before, part) = (place as usize % 24, place.fract());
        let weight = weights[before] * (1.0 - part) + weights[(before + 1) % 24] * part;
        weight / weights.iter().sum::<f64>()
    }
}

/// The trip, if any, that a day lies in: from the morning of its first to the afternoon of its last.
pub(super) fn trip(seed: u64, home: u32, day: u32) -> Option<(i64, i64)> {
    (0..TRIP_DAYS_MAX).find_map(|ago| {
        let first = day.checked_sub(ago)?;
        let mut dice = Dice::new(seed, Realm::Trip, u64::from(home), u64::from(first));
        let starts = dice.chance(TRIP_STARTS);
        let days = dice.whole(2, i64::from(TRIP_DAYS_MAX) + 1);
        if !starts || days <= i64::from(ago) {
            return None;
        }
        let first_us = i64::from(first) * DAY_US;
        Some((first_us + 9 * HOUR_US, first_us + (days - 1) * DAY_US + 17 * HOUR_US))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_of_a_day_are_one_and_two_of_a_hundred_days_are_away() {
        for phase_h in [-1.0, -0.3, 0.0, 0.9] {
            let sum: f64 = (0..24).map(|hour| Habit::share(&MOTION, hour, phase_h)).sum();
            assert!((sum - 1.0).abs() < 1e-9);
        }
        let away =
            (0..150).flat_map(|home| (0..100).filter_map(move |day| trip(5, home, day))).count();
        assert!((240..370).contains(&away), "{away}");
    }
}
