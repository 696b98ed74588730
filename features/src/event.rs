//! An event as a device, gateway or department sends it, and what is refused at the door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event_ref::EventRef;
use crate::kind::{Kind, UnknownKind};
use crate::window::{DAY_US, HOUR_US, MINUTE_US};

/// The longest `event_id`, `device_id` and `source`, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// The longest unit, in bytes.
pub const UNIT_BYTES_MAX: usize = 32;
/// How many attributes an event may carry.
pub const ATTRIBUTES_MAX: usize = 32;
/// The longest name of an attribute, in bytes.
pub const ATTRIBUTE_KEY_BYTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1024;
/// The names and values of all attributes together, in bytes.
pub const ATTRIBUTES_BYTES_MAX: usize = 4096;
/// The largest value, of either sign.
pub const VALUE_MAX: f64 = 1e9;
/// The earliest event time: 1990-01-01.
pub const TIME_MIN_US: i64 = 631_152_000_000_000;
/// How far ahead of the clock an event time may be.
pub const TIME_AHEAD_MAX_US: i64 = HOUR_US;
/// How far ahead of its receipt a device's clock is believed.
pub const CLOCK_AHEAD_US: i64 = 5 * MINUTE_US;
/// From which age on an event is a backfill: recorded, but nobody is woken for it.
pub const BACKFILL_US: i64 = 7 * DAY_US;

/// One thing that happened, in the fields of the wire message of the same name. In text a field that
/// is left out is empty or 0, and an unknown one is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Event {
    /// Made by the sender; unique within its `source`.
    pub event_id: String,
    pub device_id: String,
    pub kind: String,
    /// Unix time in microseconds, at the device.
    pub event_time_us: i64,
    pub value: f64,
    /// UCUM where one exists.
    pub unit: String,
    /// The gateway, department or feed.
    pub source: String,
    pub boot_id: u32,
    pub seq: u64,
    pub attributes: BTreeMap<String, String>,
}

/// Why an event was refused: one line, with the limit and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EventError {
    #[error("{field} is empty: send 1 to {ID_BYTES_MAX} bytes")]
    Empty { field: &'static str },
    #[error("{field} has {got} bytes: send at most {max}")]
    Long { field: &'static str, got: usize, max: usize },
    #[error("{field} holds a control character: send printable text")]
    Unprintable { field: &'static str },
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error("value is not a number: send a finite one between -1e9 and 1e9")]
    NotFinite,
    #[error("value {got} is out of range: send one between -1e9 and 1e9, or a larger unit")]
    Range { got: f64 },
    #[error(
        "event_time_us {got} is before 1990: send Unix time in microseconds, not seconds or milliseconds"
    )]
    TooOld { got: i64 },
    #[error("event_time_us {got} is more than an hour ahead: set the clock of the device")]
    TooNew { got: i64 },
    #[error("the event has {got} attributes: send at most {ATTRIBUTES_MAX}")]
    Attributes { got: usize },
    #[error("the attributes have {got} bytes together: send at most {ATTRIBUTES_BYTES_MAX}")]
    AttributesLong { got: usize },
}

impl Event {
    /// What the event is about, or why it is refused.
    pub fn check(&self, now_us: i64) -> Result<Kind, EventError> {
        EventRef::from(self).check(now_us)
    }
}

pub(crate) fn check_text(field: &'static str, text: &str, max: usize) -> Result<(), EventError> {
    if text.is_empty() {
        return Err(EventError::Empty { field });
    }
    if text.len() > max {
        return Err(EventError::Long { field, got: text.len(), max });
    }
    // Nearly every text is ASCII: bytes are quicker to look at than characters.
    let has_control = if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    };
    if has_control {
        return Err(EventError::Unprintable { field });
    }
    Ok(())
}

/// How far the time of an event is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    Good,
    /// The device's clock runs ahead: the time of receipt stands in.
    ClockAhead,
    /// More than seven days old on receipt.
    Backfill,
}

impl Quality {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::ClockAhead => "clock_ahead",
            Self::Backfill => "backfill",
        }
    }
}

/// The time an event counts at, and how good that time is.
///
/// Up to five minutes ahead of receipt a clock is believed; beyond, the event counts at its receipt.
pub fn effective_time_us(event_time_us: i64, received_us: i64) -> (i64, Quality) {
    if event_time_us > received_us.saturating_add(CLOCK_AHEAD_US) {
        (received_us, Quality::ClockAhead)
    } else if event_time_us < received_us.saturating_sub(BACKFILL_US) {
        (event_time_us, Quality::Backfill)
    } else {
        (event_time_us, Quality::Good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn event() -> Event {
        Event {
            event_id: "e-1".into(),
            device_id: "门-0001".into(),
            kind: "door".into(),
            event_time_us: NOW_US,
            value: 1.0,
            source: "gateway-7".into(),
            ..Event::default()
        }
    }

    /// What is said about an event after `change`.
    fn refusal(change: impl FnOnce(&mut Event)) -> String {
        let mut event = event();
        change(&mut event);
        let said = event.check(NOW_US).unwrap_err().to_string();
        assert!(!said.contains('\n') && said.len() < 200, "{said}");
        said
    }

    #[test]
    fn limits_are_reached_but_not_passed() {
        assert_eq!(event().check(NOW_US), Ok(Kind::Door));
        let mut full = event();
        full.event_id = "e".repeat(128);
        full.unit = "u".repeat(32);
        full.value = -1e9;
        full.event_time_us = NOW_US + TIME_AHEAD_MAX_US;
        full.attributes = (0..32).map(|n| (format!("{n:0>64}"), "v".repeat(64))).collect();
        assert_eq!(full.check(NOW_US), Ok(Kind::Door));
        full.event_time_us = TIME_MIN_US;
        assert_eq!(full.check(NOW_US), Ok(Kind::Door));
    }

    #[test]
    fn every_refusal_names_its_field_and_limit() {
        assert!(refusal(|e| e.event_id.clear()).contains("event_id is empty"));
        assert!(
            refusal(|e| e.device_id = "d".repeat(129))
                .contains("device_id has 129 bytes: send at most 128")
        );
        assert!(refusal(|e| e.device_id = "a\nb".into()).contains("control"));
        assert!(refusal(|e| e.source.clear()).contains("source is empty"));
        assert!(refusal(|e| e.unit = "u".repeat(33)).contains("at most 32"));
        assert!(refusal(|e| e.kind = "dor".into()).contains("\"door\""));
        assert!(refusal(|e| e.value = f64::NAN).contains("finite"));
        assert!(refusal(|e| e.value = 1.1e9).contains("1e9"));
        assert!(refusal(|e| e.event_time_us = NOW_US / 1000).contains("microseconds"));
        assert!(refusal(|e| e.event_time_us = NOW_US + TIME_AHEAD_MAX_US + 1).contains("clock"));
    }

    #[test]
    fn attributes_are_bounded_each_and_together() {
        let many = |n: usize, bytes: usize| {
            (0..n).map(|n| (format!("k{n:03}"), "v".repeat(bytes))).collect()
        };
        assert!(refusal(|e| e.attributes = many(33, 1)).contains("33 attributes: send at most 32"));
        assert!(refusal(|e| e.attributes = many(1, 1025)).contains("at most 1024"));
        assert!(
            refusal(|e| e.attributes = many(4, 1021))
                .contains("4100 bytes together: send at most 4096")
        );
        assert!(
            refusal(|e| e.attributes = [("k".repeat(65), String::new())].into())
                .contains("at most 64")
        );
    }

    #[test]
    fn a_clock_is_believed_for_five_minutes_ahead_and_seven_days_back() {
        let ahead = NOW_US + CLOCK_AHEAD_US;
        assert_eq!(effective_time_us(ahead, NOW_US), (ahead, Quality::Good));
        assert_eq!(effective_time_us(ahead + 1, NOW_US), (NOW_US, Quality::ClockAhead));
        let old = NOW_US - BACKFILL_US;
        assert_eq!(effective_time_us(old, NOW_US), (old, Quality::Good));
        assert_eq!(effective_time_us(old - 1, NOW_US), (old - 1, Quality::Backfill));
    }
}
