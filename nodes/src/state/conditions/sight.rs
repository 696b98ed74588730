//! One event as rules look at it, and the place it is from.

use features::Kind;
use serde::{Deserialize, Serialize};

/// A home by its slot, or a device that hangs in none by its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PlaceId(u32);

const DEVICE: u32 = 1 << 31;

impl PlaceId {
    pub(crate) const fn home(slot: u32) -> Self {
        Self(slot & !DEVICE)
    }

    pub(crate) const fn device(slot: u32) -> Self {
        Self(slot | DEVICE)
    }

    pub(crate) const fn as_home(self) -> Option<u32> {
        if self.0 & DEVICE == 0 { Some(self.0) } else { None }
    }

    /// The slot of whichever it is.
    pub(crate) const fn slot(self) -> u32 {
        self.0 & !DEVICE
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) place: PlaceId,
    /// The device's slot.
    pub(crate) device: u32,
    pub(crate) kind: Kind,
    /// In millionths.
    pub(crate) value: i64,
    /// The time that windows and rules go by.
    pub(crate) at_us: i64,
    /// The log's clock.
    pub(crate) now_us: i64,
    pub(crate) boot: u32,
    pub(crate) id: &'a str,
    pub(crate) source: &'a str,
}
