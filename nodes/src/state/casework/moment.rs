//! Times as people write them: a minute of the day, and a moment with its offset.

use serde::{Deserialize, Serialize};

const MINUTE_US: i64 = 60_000_000;
const DAY_MIN: i64 = 1_440;

/// A minute of a local day, written `22:30`; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minute(u16);

impl TryFrom<String> for Minute {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (minutes < 60 && hours * 60 + minutes <= DAY_MIN as u16).then_some(hours * 60 + minutes)
        });
        parsed.map(Self).ok_or_else(|| format!("{text:?} is no time of day: write it as 22:30"))
    }
}

impl From<Minute> for String {
    fn from(minute: Minute) -> Self {
        format!("{:02}:{:02}", minute.0 / 60, minute.0 % 60)
    }
}

/// A moment in microseconds since 1970, written `2026-02-01T08:00:00+08:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub i64);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = chrono::DateTime::parse_from_rfc3339(&text);
        let said = format!("{text:?} is no moment: write it as 2026-02-01T08:00:00+08:00");
        parsed.map(|moment| Self(moment.timestamp_micros())).map_err(|_| said)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        crate::clock::text(moment.0)
    }
}

/// Where a moment lies in the local week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// 1 is Monday, 7 is Sunday.
    pub(super) day: u8,
    pub(super) minute: u16,
}

impl LocalTime {
    pub(super) fn of(at_us: i64, utc_offset_min: i32) -> Self {
        let minutes = at_us.div_euclid(MINUTE_US) + i64::from(utc_offset_min);
        // 1970-01-01 was a Thursday.
        let day = (minutes.div_euclid(DAY_MIN) + 3).rem_euclid(7) + 1;
        Self { day: day as u8, minute: minutes.rem_euclid(DAY_MIN) as u16 }
    }

    /// Whether it lies in `from..until`, which may go over midnight; its day is then the one on which
    /// it began.
    pub(super) fn is_within(self, from: Minute, until: Minute, days: &[u8]) -> bool {
        let is_day = |day: u8| days.is_empty() || days.contains(&day);
        let yesterday = if self.day == 1 { 7 } else { self.day - 1 };
        if from < until {
            is_day(self.day) && (from.0..until.0).contains(&self.minute)
        } else {
            (is_day(self.day) && self.minute >= from.0)
                || (is_day(yesterday) && self.minute < until.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(text: &str) -> Minute {
        text.to_owned().try_into().unwrap()
    }

    /// 2026-01-31 was a Saturday.
    fn local(text: &str) -> LocalTime {
        LocalTime::of(Moment::try_from(text.to_owned()).unwrap().0, 480)
    }

    #[test]
    fn days_and_minutes_are_local() {
        let late = local("2026-01-31T23:30:00+08:00");
        assert_eq!(late, LocalTime { day: 6, minute: 1_410 });
        assert_eq!(local("2026-01-31T16:30:00Z"), LocalTime { day: 7, minute: 30 });
        assert_eq!(LocalTime::of(-1, 0), LocalTime { day: 3, minute: 1_439 });
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began_on() {
        let night =
            |text: &str, days: &[u8]| local(text).is_within(minute("22:00"), minute("06:00"), days);
        assert!(night("2026-01-31T22:00:00+08:00", &[6]));
        assert!(night("2026-02-01T05:59:59+08:00", &[6]));
        assert!(!night("2026-02-01T06:00:00+08:00", &[]));
        assert!(!night("2026-02-01T05:59:00+08:00", &[7]));
        assert!(!night("2026-01-31T21:59:59+08:00", &[]));
        let noon = local("2026-01-31T12:00:00+08:00");
        assert!(noon.is_within(minute("00:00"), minute("24:00"), &[]));
        assert!(!noon.is_within(minute("12:01"), minute("13:00"), &[]));
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for wrong in ["", "25:00", "24:01", "12", "12:60", "a:b"] {
            assert!(Minute::try_from(wrong.to_owned()).unwrap_err().contains("22:30"), "{wrong}");
        }
        assert!(Moment::try_from("2026-02-01".to_owned()).unwrap_err().contains("+08:00"));
        assert_eq!(String::from(minute("7:05")), "07:05");
    }
}
