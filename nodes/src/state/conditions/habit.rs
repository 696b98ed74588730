//! How long a home is usually still: the longest silence of each hour of the day, of the last 28 days.

use super::hours::{HOUR_US, Hours};
use serde::{Deserialize, Serialize};

/// Weeks that are kept, the one that goes on among them: 28 to 35 days.
const WEEKS: usize = 5;
const WEEK_US: i64 = 7 * 24 * HOUR_US;
/// Silence is kept in quarters of an hour, up to 63 hours.
const UNIT_US: i64 = 15 * 60_000_000;

/// The longest silence that reached into each hour of the day, by week; and between two doors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Habit {
    week: u16,
    still: [[u8; 24]; WEEKS],
    /// In hours.
    doors: [u8; WEEKS],
}

impl Habit {
    /// A silence is over.
    pub(crate) fn learn(&mut self, hours: &Hours, from_us: i64, to_us: i64) {
        self.turn_to(to_us);
        let week = usize::from(self.week) % WEEKS;
        let Some(still) = self.still.get_mut(week) else { return };
        // Only the last turn of the day matters: silence grows with time.
        let mut at_us = from_us.max(to_us - 24 * HOUR_US);
        while at_us < to_us {
            let end_us = hours.hour_end(at_us).min(to_us);
            if let Some(longest) = still.get_mut(hours.hour(at_us)) {
                let units = ((end_us - from_us) / UNIT_US).clamp(0, 255) as u8;
                *longest = (*longest).max(units);
            }
            at_us = end_us;
        }
    }

    pub(crate) fn learn_door(&mut self, from_us: i64, to_us: i64) {
        self.turn_to(to_us);
        let week = usize::from(self.week) % WEEKS;
        if let Some(longest) = self.doors.get_mut(week) {
            *longest = (*longest).max(((to_us - from_us) / HOUR_US).clamp(0, 255) as u8);
        }
    }

    fn turn_to(&mut self, at_us: i64) {
        let week = at_us.div_euclid(WEEK_US).clamp(0, i64::from(u16::MAX)) as u16;
        let passed = usize::from(week.saturating_sub(self.week)).min(WEEKS);
        for ahead in 0..passed {
            let slot = (usize::from(week) + WEEKS - ahead) % WEEKS;
            if let (Some(still), Some(door)) = (self.still.get_mut(slot), self.doors.get_mut(slot))
            {
                *still = [0; 24];
                *door = 0;
            }
        }
        self.week = self.week.max(week);
    }

    /// The longest silence that reached into this hour of the day or the ones beside it: nobody wakes
    /// from a nap by the clock.
    pub(crate) fn usual_us(&self, hour: usize) -> i64 {
        let around = [hour + 23, hour, hour + 1].map(|hour| self.still_us(hour % 24));
        around.into_iter().max().unwrap_or(0)
    }

    /// The longest silence that reached into this hour of the day, in microseconds.
    fn still_us(&self, hour: usize) -> i64 {
        let longest = self.still.iter().filter_map(|week| week.get(hour)).max();
        longest.map_or(0, |units| i64::from(*units) * UNIT_US)
    }

    pub(crate) fn doors_us(&self) -> i64 {
        self.doors.iter().max().map_or(0, |hours| i64::from(*hours) * HOUR_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::rules::HoursOfDay;

    const DAY_US: i64 = 24 * HOUR_US;

    #[test]
    fn a_silence_counts_in_the_hours_that_it_reached_into() {
        let hours = Hours::new(HoursOfDay { utc_offset_min: 0, night_from_h: 22, night_to_h: 6 });
        let mut habit = Habit::default();
        // From 9 to half past 11, on some day.
        let nine_us = 20_000 * DAY_US + 9 * HOUR_US;
        habit.learn(&hours, nine_us, nine_us + 5 * HOUR_US / 2);
        let quarters = |habit: &Habit| (8..13).map(|h| habit.still_us(h) / UNIT_US).collect();
        let all: Vec<i64> = quarters(&habit);
        assert_eq!(all, [0, 4, 8, 10, 0]);
        // A shorter one changes nothing; a longer one does, also over two days.
        habit.learn(&hours, nine_us + DAY_US, nine_us + DAY_US + HOUR_US);
        assert_eq!(quarters(&habit), all);
        habit.learn(&hours, nine_us + DAY_US, nine_us + 2 * DAY_US + HOUR_US);
        assert_eq!(habit.still_us(9) / UNIT_US, 25 * 4);
    }

    #[test]
    fn weeks_are_forgotten_in_turn() {
        let hours = Hours::new(HoursOfDay { utc_offset_min: 0, night_from_h: 22, night_to_h: 6 });
        let mut habit = Habit::default();
        let monday_us = 3_000 * WEEK_US;
        habit.learn(&hours, monday_us, monday_us + 3 * HOUR_US);
        for week in 1..5 {
            habit.learn_door(monday_us, monday_us + week * WEEK_US);
            assert_eq!(habit.still_us(2), 3 * HOUR_US, "week {week}");
        }
        habit.learn_door(monday_us, monday_us + 5 * WEEK_US);
        assert_eq!(habit.still_us(2), 0);
    }
}
