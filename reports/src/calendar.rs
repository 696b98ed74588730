//! Days and instants as people write them, by arithmetic alone: no clock and no time-zone tables.
//!
//! The bureau lives at UTC+8 the year round, so a stored UTC instant is shown eight hours later and
//! a "day" of a report is a day there.

/// What is added to a UTC instant before it is shown, in microseconds.
pub(crate) const LOCAL_OFFSET_US: i64 = 8 * 3_600 * 1_000_000;
const DAY_US: i64 = 86_400 * 1_000_000;

/// The local day of an instant, in days since 1970-01-01.
pub(crate) fn local_day(time_us: i64) -> i32 {
    time_us.saturating_add(LOCAL_OFFSET_US).div_euclid(DAY_US) as i32
}

/// Days since 1970-01-01 of a date; the era of 400 years makes the division exact.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since 1970-01-01.
pub(crate) fn date_of(days: i32) -> (i64, i64, i64) {
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// `YYYY-MM-DD`, and nothing else, as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.split('-');
    let mut number = |width: usize| -> Option<i64> {
        let part = parts.next()?;
        (part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if parts.next().is_some() {
        return None;
    }
    let days = i32::try_from(days_of(year, month, day)).ok()?;
    // Only a real date comes back as itself: 2026-02-30 does not.
    (date_of(days) == (year, month, day)).then_some(days)
}

pub(crate) fn show_date(days: i32) -> String {
    let (year, month, day) = date_of(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Local minute of an instant: `YYYY-MM-DD HH:MM`.
pub(crate) fn show_time(time_us: i64) -> String {
    let minutes = time_us.saturating_add(LOCAL_OFFSET_US).rem_euclid(DAY_US) / 60_000_000;
    format!("{} {:02}:{:02}", show_date(local_day(time_us)), minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2000-02-29"), Some(11_016));
        assert_eq!(parse_date("2026-11-21"), Some(20_778));
        for wrong in
            ["2026-02-30", "2026-13-01", "2026-1-01", "26-01-01", "2026-01-01-01", "", "+026-01-01"]
        {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_late_evening_in_utc_is_the_next_day_here() {
        let time_us = (20_778 * 86_400 + 17 * 3_600) * 1_000_000;
        assert_eq!(show_time(time_us), "2026-11-22 01:00");
        assert_eq!(show_time(-LOCAL_OFFSET_US - 60_000_000), "1969-12-31 23:59");
    }

    proptest! {
        #[test]
        fn a_day_survives_its_text(days in -700_000_i32..2_900_000) {
            if (0..=9999).contains(&date_of(days).0) {
                prop_assert_eq!(parse_date(&show_date(days)), Some(days));
            }
        }
    }
}
