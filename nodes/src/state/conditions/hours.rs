//! Hours of the day in local time, and time that passes by day only.

use crate::state::rules::HoursOfDay;

pub(crate) const HOUR_US: i64 = 3_600_000_000;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;
const MINUTE_US: i64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Hours {
    /// All in microseconds: local time ahead of UTC, the hour of dusk, how long the night is.
    offset: i64,
    dusk: i64,
    night: i64,
}

impl Hours {
    pub(crate) fn new(hours: HoursOfDay) -> Self {
        let (from, to) = (i64::from(hours.night_from_h), i64::from(hours.night_to_h));
        Self {
            offset: i64::from(hours.utc_offset_min) * MINUTE_US,
            dusk: from * HOUR_US,
            night: (to - from).rem_euclid(24) * HOUR_US,
        }
    }

    /// The local hour, 0 to 23.
    pub(crate) fn hour(&self, us: i64) -> usize {
        ((us + self.offset).rem_euclid(DAY_US) / HOUR_US) as usize
    }

    /// The local time of the day as `08:12`.
    pub(crate) fn text(&self, us: i64) -> String {
        let minutes = (us + self.offset).rem_euclid(DAY_US) / MINUTE_US;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// When the local hour ends.
    pub(crate) fn hour_end(&self, us: i64) -> i64 {
        us + HOUR_US - (us + self.offset).rem_euclid(HOUR_US)
    }

    /// How far into the day that begins with the night.
    fn since_dusk(&self, us: i64) -> i64 {
        (us + self.offset - self.dusk).rem_euclid(DAY_US)
    }

    pub(crate) fn is_night(&self, us: i64) -> bool {
        self.since_dusk(us) < self.night
    }

    /// When the night ends; the time itself by day.
    pub(crate) fn dawn(&self, us: i64) -> i64 {
        if self.is_night(us) { us - self.since_dusk(us) + self.night } else { us }
    }

    /// When so much time has passed by day.
    pub(crate) fn after_day_time(&self, from_us: i64, span_us: i64) -> i64 {
        let day_us = DAY_US - self.night;
        let mut at_us = self.dawn(from_us);
        // A span that ends with a day ends at its dusk, not at the dawn after it.
        let whole = (span_us.max(1) - 1) / day_us;
        let mut left_us = span_us.max(0) - whole * day_us;
        at_us += whole * DAY_US;
        let until_dusk_us = DAY_US - self.since_dusk(at_us);
        if left_us > until_dusk_us {
            left_us -= until_dusk_us;
            at_us += until_dusk_us + self.night;
        }
        at_us + left_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 22 to 6 o'clock, eight hours ahead of UTC.
    fn hours() -> Hours {
        Hours::new(HoursOfDay { utc_offset_min: 480, night_from_h: 22, night_to_h: 6 })
    }

    /// That hour of the local day on which 1970 began.
    fn at(hour: f64) -> i64 {
        ((hour - 8.0) * HOUR_US as f64) as i64
    }

    #[test]
    fn the_night_is_from_ten_to_six() {
        for (hour, night) in
            [(21.9, false), (22.0, true), (23.5, true), (24.0, true), (29.9, true), (30.0, false)]
        {
            assert_eq!(hours().is_night(at(hour)), night, "{hour}");
        }
        assert_eq!(hours().dawn(at(23.0)), at(30.0));
        assert_eq!(hours().dawn(at(12.5)), at(12.5));
        assert_eq!(hours().hour(at(26.5)), 2);
        assert_eq!(hours().hour_end(at(26.5)), at(27.0));
    }

    #[test]
    fn by_day_means_that_the_night_does_not_count() {
        for (from, span, to) in [
            (8.0, 12.0, 20.0),
            (20.0, 12.0, 40.0),
            (23.0, 12.0, 42.0),
            (6.0, 16.0, 22.0),
            (10.0, 16.0, 34.0),
            (10.0, 40.0, 66.0),
        ] {
            assert_eq!(hours().after_day_time(at(from), (span * HOUR_US as f64) as i64), at(to));
        }
        let never = Hours::new(HoursOfDay { utc_offset_min: 0, night_from_h: 3, night_to_h: 3 });
        assert!((0..48).all(|hour| !never.is_night(at(f64::from(hour)))));
        assert_eq!(never.after_day_time(0, 30 * HOUR_US), 30 * HOUR_US);
    }
}
