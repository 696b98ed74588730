//! Dates without a clock: days since 1970 to year, month and day, and whole years between two of them.

use crate::window::DAY_US;

/// A day of the calendar in UTC. A birth that is known to the month only is on its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day {
    year: i64,
    month: u8,
    of_month: u8,
}

impl Day {
    pub(crate) fn of_time(at_us: i64) -> Self {
        Self::of_days(at_us.div_euclid(DAY_US))
    }

    /// The day so many days after 1970-01-01, in the Gregorian calendar.
    pub(crate) fn of_days(days: i64) -> Self {
        // Counted from 0000-03-01, so that a leap day ends its year; 400 years have 146,097 days.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let in_era = shifted.rem_euclid(146_097);
        let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // March is 0; the months from March on have 153 days in five.
        let from_march = (5 * in_year + 2) / 153;
        let day = (in_year - (153 * from_march + 2) / 5 + 1) as u8;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 } as u8;
        Self { year: era * 400 + year_of_era + i64::from(month <= 2), month, of_month: day }
    }

    /// The day that `YYYY-MM` or `YYYY-MM-DD` names.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (year, month, day) = match text.as_bytes() {
            [year @ .., b'-', m, n] if year.len() == 4 => (year, [*m, *n], *b"01"),
            [year @ .., b'-', m, n, b'-', d, e] if year.len() == 4 => (year, [*m, *n], [*d, *e]),
            _ => return None,
        };
        let (year, month, day) = (digits(year)?, digits(&month)? as u8, digits(&day)? as u8);
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
        fits.then_some(Self { year, month, of_month: day })
    }

    /// Whole years from `self` to `until`, as an age is counted; below zero where `until` is before.
    pub(crate) fn years_until(self, until: Self) -> i64 {
        let unfinished = (until.month, until.of_month) < (self.month, self.of_month);
        until.year - self.year - i64::from(unfinished)
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    let next =
        |number, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
    text.iter().try_fold(0, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::of_text(text).unwrap()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let known =
            [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (11_017, "2000-03-01")];
        for (days, text) in
            known.into_iter().chain([(-25_509, "1900-02-28"), (-25_508, "1900-03-01")])
        {
            assert_eq!(Day::of_days(days), day(text), "{text}");
        }
        assert_eq!(Day::of_time(1_800_000_000_000_000), day("2027-01-15"));
        assert!((-40_000..40_000).all(|days| Day::of_days(days) < Day::of_days(days + 1)));
    }

    #[test]
    fn a_year_counts_when_it_is_over() {
        assert_eq!(day("1940-05").years_until(day("2026-04-30")), 85);
        assert_eq!(day("1940-05").years_until(day("2026-05-01")), 86);
        assert_eq!(day("2000-02-29").years_until(day("2001-02-28")), 0);
        assert_eq!(day("2030-01").years_until(day("2029-12-31")), -1);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "1940",
            "40-05",
            "1940-13",
            "1940-00",
            "1940-5",
            "1940-05-32",
            "1940-05-01-1",
            "+940-05",
        ] {
            assert_eq!(Day::of_text(text), None, "{text}");
        }
    }
}
