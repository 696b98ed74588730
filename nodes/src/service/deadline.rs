//! How long a caller waits: the header `grpc-timeout`.

use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";
/// The protocol's own limit.
const DIGITS_MAX: usize = 8;

/// The moment after which nobody waits; nothing where the caller does not say.
pub(crate) fn of(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = parse(metadata.get(HEADER)?.to_str().ok()?)?;
    Instant::now().checked_add(timeout)
}

/// The nearer of two deadlines.
pub(crate) fn nearer(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_a_number_and_a_unit() {
        assert_eq!(parse("1H"), Some(Duration::from_hours(1)));
        assert_eq!(parse("2M"), Some(Duration::from_mins(2)));
        assert_eq!(parse("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for wrong in ["", "S", "1", "-1S", "1.5S", "999999999S", "1s", "1\u{e9}"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert_eq!(nearer(Some(later), Some(now)), Some(now));
        assert_eq!(nearer(None, Some(later)), Some(later));
        assert_eq!(nearer(None, None), None);
    }
}
