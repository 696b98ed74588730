//! What the engine says.

use super::sight::PlaceId;
use crate::state::Severity;
use std::sync::Arc;

/// Where something was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spot {
    Place(PlaceId),
    /// The home of a device, or the device itself where it hangs in none.
    Device(u32),
    /// Such as `building:b1`.
    Group(Arc<str>),
    /// The same of a device that may never have been heard.
    Named(Arc<str>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Fire {
        severity: Severity,
        level: u32,
        /// The time of the newest reading, in event time.
        event_us: i64,
        evidence: Vec<String>,
        /// Slots of the devices whose word it rests on; none where it rests on silence.
        devices: Vec<u32>,
        reason: String,
    },
    /// One more event that the case rests on; the rule begins anew where there is no case any more.
    Again {
        id: String,
        rule: u16,
        device: u32,
    },
    /// A group that is silent as a whole, such as `building:b1`, explains it.
    Explained {
        by: Arc<str>,
    },
    Over,
    /// The device of the spot was taken away, as the register says: over wherever its case is, unless
    /// another device there is such.
    Withdrawn {
        health: Arc<str>,
    },
    /// What came later shows that it was wrong.
    Wrong {
        event_us: i64,
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The kind of alert.
    pub(crate) alert: Arc<str>,
    pub(crate) spot: Spot,
    pub(crate) what: What,
}
