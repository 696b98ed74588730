//! How a file writes time, and how that becomes microseconds since 1970.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};

use super::mapping::MappingError;

/// How the text of an event's time is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// A number of this many microseconds each.
    Unix {
        unit_us: i64,
    },
    Rfc3339,
    /// A strftime-like pattern; a time without its own offset is at `offset_s` from UTC.
    Pattern {
        pattern: String,
        offset_s: i32,
        has_offset: bool,
    },
}

impl Clock {
    pub(super) fn parse(
        path: &str,
        format: &str,
        offset: Option<&str>,
    ) -> Result<Self, MappingError> {
        let refuse = |reason: String| MappingError::Time { path: path.to_owned(), reason };
        let clock = match format {
            "unix_s" => Self::Unix { unit_us: 1_000_000 },
            "unix_ms" => Self::Unix { unit_us: 1_000 },
            "unix_us" => Self::Unix { unit_us: 1 },
            "rfc3339" => Self::Rfc3339,
            pattern if pattern.contains('%') => {
                if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
                    return Err(refuse(format!("the pattern {pattern:?} cannot be read")));
                }
                let has_offset =
                    ["%z", "%:z", "%#z", "%+"].iter().any(|each| pattern.contains(each));
                if !has_offset && offset.is_none() {
                    return Err(refuse(
                        "a pattern without %z needs offset = \"+08:00\"".to_owned(),
                    ));
                }
                let offset_s = offset_s(offset.unwrap_or("Z"))
                    .ok_or_else(|| refuse("an offset is written +08:00, -05:00 or Z".to_owned()))?;
                return Ok(Self::Pattern { pattern: pattern.to_owned(), offset_s, has_offset });
            }
            other => {
                return Err(refuse(format!(
                    "format {other:?} is none of unix_s, unix_ms, unix_us, rfc3339 or a pattern with %"
                )));
            }
        };
        if offset.is_some() {
            return Err(refuse(format!("offset has no meaning with format {format:?}")));
        }
        Ok(clock)
    }

    /// Microseconds since 1970, UTC.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        match self {
            Self::Unix { unit_us } => unix_us(text, *unit_us),
            Self::Rfc3339 => Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros()),
            Self::Pattern { pattern, has_offset: true, .. } => {
                Some(DateTime::parse_from_str(text, pattern).ok()?.timestamp_micros())
            }
            Self::Pattern { pattern, offset_s, .. } => {
                let local = NaiveDateTime::parse_from_str(text, pattern).ok().or_else(|| {
                    NaiveDate::parse_from_str(text, pattern).ok()?.and_hms_opt(0, 0, 0)
                })?;
                let zone = FixedOffset::east_opt(*offset_s)?;
                Some(local.and_local_timezone(zone).single()?.timestamp_micros())
            }
        }
    }
}

/// Whole and fraction apart, so that no microsecond is lost in a float.
fn unix_us(text: &str, unit_us: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 18 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let base: i64 = whole.parse().ok()?;
    let mut part = 0;
    let mut step = unit_us;
    for digit in fraction.bytes() {
        step /= 10;
        part += i64::from(digit - b'0') * step;
    }
    let part = if whole.starts_with('-') { -part } else { part };
    base.checked_mul(unit_us)?.checked_add(part)
}

fn offset_s(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours <= 14 && minutes < 60)
        .then(|| sign * (i32::from(hours) * 3_600 + i32::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, offset: Option<&str>, text: &str) -> Option<i64> {
        Clock::parse("event_time", format, offset).unwrap().read(text)
    }

    #[test]
    fn every_format_reads_the_same_instant() {
        let want = Some(1_105_489_507_250_000);
        assert_eq!(read("unix_s", None, "1105489507.25"), want);
        assert_eq!(read("unix_ms", None, "1105489507250"), want);
        assert_eq!(read("unix_us", None, "1105489507250000"), want);
        assert_eq!(read("rfc3339", None, "2005-01-12T08:25:07.25+08:00"), want);
        assert_eq!(read("%Y-%m-%d %H:%M:%S%.f", Some("+08:00"), "2005-01-12 08:25:07.25"), want);
        assert_eq!(
            read("%d/%m/%Y %I:%M:%S%.f %p", Some("-06:00"), "11/01/2005 06:25:07.25 PM"),
            want
        );
        assert_eq!(read("%Y-%m-%d %H:%M:%S%.f %z", None, "2005-01-12 00:25:07.25 +0000"), want);
        assert_eq!(read("%Y %j", Some("Z"), "1970 002"), Some(86_400_000_000));
        assert_eq!(read("unix_s", None, "-0.5"), Some(-500_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        assert_eq!(read("unix_s", None, "12:30"), None);
        assert_eq!(read("unix_s", None, "99999999999999999"), None);
        assert_eq!(read("rfc3339", None, "2005-01-12 08:25"), None);
        assert!(Clock::parse("t", "%Y-%m-%d", None).is_err());
        assert!(Clock::parse("t", "%Y-%Q", Some("Z")).is_err());
        assert!(Clock::parse("t", "unix_s", Some("Z")).is_err());
        assert!(Clock::parse("t", "%Y", Some("8")).is_err());
        assert!(Clock::parse("t", "iso", None).is_err());
    }
}
