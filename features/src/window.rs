//! The windows, and the one rule for where they begin and end.
//!
//! **The edge rule.** Window W read at time t holds the readings whose event time is in
//! `[floor_hop(t - W), t]`, both ends included. The head is exact: a reading at t counts, one after
//! t does not. The tail moves in hops: it reaches back W and at most one hop more. So a window
//! shrinks as time passes without an event, and a late reading is counted where it belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub const MINUTE_US: i64 = 60_000_000;
pub const HOUR_US: i64 = 60 * MINUTE_US;
pub const DAY_US: i64 = 24 * HOUR_US;

/// How far back a feature looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Window {
    #[serde(rename = "5m")]
    M5,
    #[serde(rename = "15m")]
    M15,
    #[serde(rename = "1h")]
    H1,
    #[serde(rename = "6h")]
    H6,
    #[serde(rename = "1d")]
    D1,
    #[serde(rename = "7d")]
    D7,
    #[serde(rename = "28d")]
    D28,
    #[serde(rename = "90d")]
    D90,
    #[serde(rename = "365d")]
    D365,
}

impl Window {
    /// Every window, the shortest first; each holds those before it.
    pub const ALL: [Self; 9] = [
        Self::M5,
        Self::M15,
        Self::H1,
        Self::H6,
        Self::D1,
        Self::D7,
        Self::D28,
        Self::D90,
        Self::D365,
    ];

    pub const fn length_us(self) -> i64 {
        match self {
            Self::M5 => 5 * MINUTE_US,
            Self::M15 => 15 * MINUTE_US,
            Self::H1 => HOUR_US,
            Self::H6 => 6 * HOUR_US,
            Self::D1 => DAY_US,
            Self::D7 => 7 * DAY_US,
            Self::D28 => 28 * DAY_US,
            Self::D90 => 90 * DAY_US,
            Self::D365 => 365 * DAY_US,
        }
    }

    /// The step in which the tail moves. Each divides the next, and days begin at midnight UTC.
    pub const fn hop_us(self) -> i64 {
        match self {
            Self::M5 => MINUTE_US,
            Self::M15 | Self::H1 => 5 * MINUTE_US,
            Self::H6 | Self::D1 => HOUR_US,
            Self::D7 => 6 * HOUR_US,
            Self::D28 | Self::D90 => DAY_US,
            Self::D365 => 7 * DAY_US,
        }
    }

    /// How finely the gaps between readings are told, in seconds. Each divides the next and the hop.
    pub const fn slot_s(self) -> i64 {
        match self {
            Self::M5 | Self::M15 | Self::H1 => 10,
            Self::H6 | Self::D1 => 60,
            Self::D7 => 300,
            Self::D28 | Self::D90 => 900,
            Self::D365 => 7_200,
        }
    }

    /// The first moment of the window read at `as_of_us`: the edge rule's `floor_hop(t - W)`.
    pub const fn start_us(self, as_of_us: i64) -> i64 {
        let exact = as_of_us.saturating_sub(self.length_us());
        exact.saturating_sub(exact.rem_euclid(self.hop_us()))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::H1 => "1h",
            Self::H6 => "6h",
            Self::D1 => "1d",
            Self::D7 => "7d",
            Self::D28 => "28d",
            Self::D90 => "90d",
            Self::D365 => "365d",
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that names no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("window {0:?} is unknown: it is 5m, 15m, 1h, 6h, 1d, 7d, 28d, 90d or 365d")]
pub struct UnknownWindow(pub String);

impl FromStr for Window {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownWindow(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_moves_in_hops_and_reaches_at_most_one_further() {
        assert_eq!(Window::M5.start_us(6 * MINUTE_US + 1), MINUTE_US);
        assert_eq!(Window::M5.start_us(7 * MINUTE_US - 1), MINUTE_US);
        assert_eq!(Window::M5.start_us(7 * MINUTE_US), 2 * MINUTE_US);
        // 1970 began on a Thursday, and so do the weeks of the longest tail.
        assert_eq!(Window::D365.start_us(373 * DAY_US - 1), 7 * DAY_US);
        assert_eq!(Window::D365.start_us(372 * DAY_US - 1), 0);
        for window in Window::ALL {
            for at in [0, 1, 17 * DAY_US + 12_345, -5 * HOUR_US] {
                let start = window.start_us(at);
                assert_eq!(start.rem_euclid(window.hop_us()), 0);
                let reach = at - start;
                assert!(
                    reach >= window.length_us() && reach < window.length_us() + window.hop_us()
                );
            }
        }
    }

    #[test]
    fn windows_and_hops_nest() {
        for pair in Window::ALL.windows(2) {
            assert_eq!(pair[1].hop_us() % pair[0].hop_us(), 0);
            assert_eq!(pair[1].slot_s() % pair[0].slot_s(), 0);
            // A tile of a hop has at most so many slots as a map of gaps has bits.
            let hop_s = pair[1].hop_us() / 1_000_000;
            assert!(hop_s % pair[1].slot_s() == 0 && hop_s / pair[1].slot_s() <= 96);
            assert!(pair[0].start_us(DAY_US) > pair[1].start_us(DAY_US));
        }
        assert_eq!(Window::D365.start_us(i64::MIN), i64::MIN);
    }
}
