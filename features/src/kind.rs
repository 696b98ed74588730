//! What an event can be about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;

macro_rules! kinds {
    ($($name:ident $text:literal),* $(,)?) => {
        /// What an event is about. A kind is stored as its place in this list: new ones go last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Kind { $(#[serde(rename = $text)] $name),* }

        impl Kind {
            /// Every kind, in stored order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            fn named(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    Door "door", Motion "motion", Smoke "smoke", Gas "gas", Co "co", Respiration "respiration",
    HeartRate "heart_rate", Bed "bed", Water "water", Heartbeat "heartbeat", Battery "battery", Sos "sos",
    Meal "meal", Temperature "temperature", Humidity "humidity", Light "light", Contact "contact",
    Pressure "pressure", GaitSpeed "gait_speed", Steps "steps", Fall "fall", Help "help", Offline "offline",
    Tamper "tamper",
}

impl Kind {
    /// The stored form.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A kind that nobody here knows, with the known one it is nearest to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind {kind:?} is unknown: the nearest known kind is {nearest:?}")]
pub struct UnknownKind {
    pub kind: String,
    pub nearest: &'static str,
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::named(text).ok_or_else(|| {
            // An error must stay one short line, whatever was sent.
            let kind: String = text.chars().take(64).collect();
            let nearest = nearest(&kind, Self::ALL.iter().map(|known| known.as_str()));
            UnknownKind { kind, nearest }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_lead_back() {
        assert_eq!(Kind::ALL.len(), 24);
        for (code, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(Kind::from_code(code as u8), Some(*kind));
            assert_eq!(usize::from(kind.code()), code);
        }
        assert_eq!(Kind::from_code(200), None);
    }

    #[test]
    fn an_unknown_kind_names_its_neighbour() {
        let said = "heartrate".parse::<Kind>().unwrap_err();
        assert_eq!(said.nearest, "heart_rate");
        let long = "x".repeat(5000).parse::<Kind>().unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }
}
