//! What a feature can make of the readings of a window.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::window::Window;

macro_rules! aggregates {
    ($($(#[$doc:meta])* $name:ident $text:literal $part:ident),* $(,)?) => {
        /// What a feature makes of a window. Every formula is in `docs/features.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Aggregate { $($(#[$doc])* #[serde(rename = $text)] $name),* }

        impl Aggregate {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What has to be kept of the readings for it.
            pub const fn part(self) -> Part {
                match self { $(Self::$name => Part::$part),* }
            }
        }

        const NAMES: &str = concat!($($text, " "),*);
    };
}

aggregates! {
    Count "count" Values,
    Sum "sum" Values,
    Mean "mean" Values,
    Min "min" Values,
    Max "max" Values,
    Last "last" Values,
    /// Seconds since the newest reading.
    TimeSinceS "time_since_s" Values,
    /// Readings an hour.
    RatePerH "rate_per_h" Values,
    /// Of a sample, as are `std` and the deviation of `hour_z`.
    Variance "variance" Squares,
    Std "std" Squares,
    First "first" First,
    /// How many different values.
    Distinct "distinct" Distinct,
    /// Seconds between two readings that follow each other, at most.
    GapMaxS "gap_max_s" Gaps,
    /// Share of the readings in one hour of the day.
    HourShare "hour_share" Hours,
    /// Readings in the last whole hour of the clock, on the earlier days of the window.
    HourMean "hour_mean" Hours,
    /// How far the last whole hour is from that, in standard deviations.
    HourZ "hour_z" Hours,
    /// Slope of a straight line through the values, a day.
    TrendPerDay "trend_per_day" Trend,
}

impl Aggregate {
    /// Whether it is also known over a series' whole life, without a window.
    pub const fn is_lifelong(self) -> bool {
        matches!(self, Self::Count | Self::Last | Self::TimeSinceS)
    }

    /// Whether it needs more than the newest reading.
    pub(crate) const fn needs_tiles(self) -> bool {
        !matches!(self, Self::Last | Self::TimeSinceS)
    }

    /// Whether it needs to know what the readings were, and not only how many.
    pub(crate) const fn needs_values(self) -> bool {
        !matches!(self, Self::Count | Self::RatePerH) && self.needs_tiles()
    }

    /// The windows in which it means something.
    pub fn fits(self, window: Window) -> bool {
        match self {
            Self::HourShare => window >= Window::D1,
            // Tiles of a week cannot tell one day from another.
            Self::HourMean | Self::HourZ => (Window::D7..=Window::D90).contains(&window),
            _ => true,
        }
    }

    /// Whether a feature has to say which hour of the day it is about.
    pub const fn wants_hour(self) -> bool {
        matches!(self, Self::HourShare)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Text that names no aggregate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("aggregate {0:?} is unknown: it is one of {names}", names = NAMES.trim_end())]
pub struct UnknownAggregate(pub String);

impl FromStr for Aggregate {
    type Err = UnknownAggregate;

    fn from_str(text: &str) -> Result<Self, UnknownAggregate> {
        let found = Self::ALL.iter().copied().find(|each| each.as_str() == text);
        found.ok_or_else(|| UnknownAggregate(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for aggregate in Aggregate::ALL {
            assert_eq!(aggregate.as_str().parse(), Ok(*aggregate));
        }
        assert!("avg".parse::<Aggregate>().unwrap_err().to_string().contains(" gap_max_s "));
    }
}
